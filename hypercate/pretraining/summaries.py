"""What the generator is told of a study: of its columns, its arms, and pairs of columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (0.03, 0.3, 3.0)  # of ridge regressions, a row of a standardised column
_READ = 1  # the penalty whose residuals are read
_FURTHEST = 5.0


@dataclass(frozen=True)
class Summaries:
    """Of studies of the same shape.

    Attributes
    ----------
    columns : Tensor, shape (b, n_arms, p, N_COLUMN)
        How an arm's outcome goes with each column.
    pooled : Tensor, shape (b, p, N_POOLED)
        What a column looks like, and how it differs between arms.
    arms : Tensor, shape (b, n_arms, N_ARM)
    study : Tensor, shape (b, N_STUDY)
    pairs : Tensor, shape (b, N_PAIR, p, p)
        Correlations, and how residuals go with products of two columns, together and by arm.
    """

    columns: Tensor
    pooled: Tensor
    arms: Tensor
    study: Tensor
    pairs: Tensor


N_COLUMN, N_POOLED, N_ARM, N_STUDY, N_PAIR = 10, 6, 9, 4, 3


def summarise(x: Tensor, weight: Tensor, y: Tensor) -> Summaries:
    """Read studies.

    Parameters
    ----------
    x : Tensor, shape (b, n, p)
        Encoded covariates.
    weight : Tensor, shape (b, n, n_arms)
        Of each row in its own arm, 0 in the others; every arm has some.
    y : Tensor, shape (b, n)
        Outcomes of about mean 0 and variance 1.
    """
    (b, n, p), n_arms = x.shape, weight.shape[2]
    per_arm = weight.sum(1)
    total = per_arm.sum(1, keepdim=True)
    share = per_arm / total
    averaging = (weight / per_arm[:, None]).mT  # (b, n_arms, n)
    mean = averaging @ x
    level = averaging @ y[..., None]
    centred = x[:, None] - mean[:, :, None]
    rest = (y[:, None] - level) * (weight.mT > 0)
    weighted = centred * averaging[..., None]
    covariance = weighted.mT @ centred
    with_y = (weighted.mT @ rest[..., None]).squeeze(-1)
    spread = covariance.diagonal(dim1=2, dim2=3).clamp(min=0).sqrt()
    variance = (averaging * rest**2).sum(-1, keepdim=True)
    size = variance.sqrt() + 1e-3
    correlation = with_y / (spread * size + 1e-4)
    root_n = per_arm.sqrt()[..., None]
    columns = [correlation * 2, correlation * root_n / 3]
    errors = []
    identity = torch.eye(p, device=x.device, dtype=x.dtype)
    for place, penalty in enumerate(PENALTIES):
        inverse = torch.linalg.inv(covariance + penalty * identity)
        coef = (inverse @ with_y[..., None]).squeeze(-1)
        columns.append(coef / size * 2)
        projected = centred @ inverse
        used = (averaging * (1 + (projected * centred).sum(-1))).clamp(max=0.95)
        residual = rest - (centred @ coef[..., None]).squeeze(-1) * (weight.mT > 0)
        held_out = residual / (1 - used)
        errors.append((averaging * held_out**2).sum(-1) / size.squeeze(-1) ** 2)
        if place == _READ:
            read, slopes = held_out, coef
            fitted_error = (averaging * residual**2).sum(-1) / size.squeeze(-1) ** 2
    scatter = (averaging * read**2).sum(-1, keepdim=True).sqrt() + 1e-3
    for basis in (x**2, x.sign(), (x.abs() - 1).relu(), torch.sin(2 * x), x**3 / 3):
        own = basis[:, None] - (averaging @ basis)[:, :, None]
        with_rest = (averaging[..., None] * own * read[..., None]).sum(2)
        norm = (averaging[..., None] * own**2).sum(2).sqrt() * scatter + 1e-3
        columns.append(with_rest / norm * root_n / 2)
    least = per_arm.min(1, keepdim=True).values.sqrt()
    fourth = x.pow(4).mean(1)
    imbalance = _over_arms(mean)
    pooled = [
        fourth.log1p() / 2,
        x.pow(3).mean(1) / 2,
        (x.abs() - x.abs().mean(1, keepdim=True)).pow(2).mean(1).sqrt(),
        imbalance * 2,
        imbalance * least / 3,
        _over_arms(slopes / size) * least / 2,
    ]
    arms = [
        per_arm.log() / 2 - 2.5,
        share,
        level.squeeze(-1),
        size.squeeze(-1),
        fitted_error,
        math.log(n_arms) * torch.ones_like(share),
        *(error.clamp(min=1e-2).log() for error in errors),
    ]
    ones = torch.ones(b, device=x.device, dtype=x.dtype)
    study = [
        total.squeeze(1).log() / 2 - 2.5,
        ones * math.log(p) / 2,
        (total.squeeze(1) / p).log() / 2,
        _over_arms(level).squeeze(-1),
    ]
    products = (centred * (averaging * read / scatter)[..., None]).mT @ centred
    overall = x - x.mean(1, keepdim=True)
    deviation = overall.pow(2).mean(1).sqrt() + 1e-2
    scaled = overall / deviation[:, None]
    pairs = [
        scaled.mT @ scaled / n,
        (share[..., None, None] * products).sum(1) * total[..., None].sqrt() / 3,
        _over_arms(products) * least[..., None] / 3,
    ]
    return Summaries(
        _stacked(columns), _stacked(pooled), _stacked(arms), _stacked(study),
        torch.stack(pairs, 1).clamp(-_FURTHEST, _FURTHEST),
    )  # fmt: skip


def _over_arms(values: Tensor) -> Tensor:
    """Standard deviation of values (b, n_arms, ...) over the arms."""
    return (values - values.mean(1, keepdim=True)).pow(2).mean(1).add(1e-8).sqrt()


def _stacked(values: list[Tensor]) -> Tensor:
    return torch.stack(values, -1).clamp(-_FURTHEST, _FURTHEST)
