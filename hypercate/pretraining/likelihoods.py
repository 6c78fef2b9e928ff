"""Last layers of outcomes that are not continuous: the same prior, on the scale of the link."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.outcomes import Family
from hypercate.pretraining.emitted import Emitted
from hypercate.pretraining.last_layers import solve_last_layers

_STEPS = 12
_LENGTHS = (0.0, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0)  # of a step, of which the best is taken
_LEAST_SLOPE = 1e-4
_LARGEST_LOG = 20.0


class Logit:
    """Of a binary outcome."""

    dispersed: ClassVar[bool] = False  # whether outcomes may vary more than it says

    def read(self, y: np.ndarray) -> np.ndarray:
        """What the generator reads as a continuous outcome."""
        return y

    def start(self, mean: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """Output for the mean of so many rows, and how far a unit of it moves the mean there."""
        half = 0.5 / total
        mean = mean.clamp(min=half, max=1 - half)
        return mean.logit(), mean * (1 - mean)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def slope(self, mean: Tensor) -> Tensor:
        """Derivative of the mean by the output."""
        return mean * (1 - mean)

    def information(self, mean: Tensor) -> Tensor:
        """Of a row, on the output."""
        return mean * (1 - mean)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Negative log-likelihood, but for what does not depend on the output."""
        return F.softplus(output) - y * output


class Log(Logit):
    """Of a count, in units of its mean."""

    dispersed = True

    def read(self, y: np.ndarray) -> np.ndarray:
        """The root, whose variance depends little on the mean (Bartlett, 1936, "The square root
        transformation in analysis of variance", Supplement to the JRSS 3:68-78)."""
        return np.sqrt(y)

    def start(self, mean: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(mean), torch.ones_like(mean)

    def mean(self, output: Tensor) -> Tensor:
        return output.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()

    def slope(self, mean: Tensor) -> Tensor:
        return mean

    def information(self, mean: Tensor) -> Tensor:
        return mean

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return self.mean(output) - y * output


class LogOfPositive(Log):
    """Of a positive outcome, whose standard deviation is proportional to its mean."""

    def read(self, y: np.ndarray) -> np.ndarray:
        """The logarithm, whose variance does not depend on the mean then."""
        return np.log(y)

    def information(self, mean: Tensor) -> Tensor:
        return torch.ones_like(mean)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return output + y / self.mean(output)


_OF: dict[str, Logit] = {"binary": Logit(), "count": Log(), "positive": LogOfPositive()}


def likelihood_of(family: Family) -> Logit | None:
    """The likelihood that last layers are fitted by; None for squared error."""
    return _OF.get(family.kind)


def refitted(
    emitted: Emitted, x: Tensor, in_arm: Tensor, y: Tensor, likelihood: Logit
) -> tuple[Emitted, Tensor]:
    """The same networks with last layers fitted by a likelihood.

    Fisher scoring for the penalised likelihood (McCullagh & Nelder, 1989, "Generalized linear
    models", section 2.5), each step as long as lowers it most; the posterior is the normal
    approximation there (Laplace's). Precisions are those on the standardised outcome, times the
    information of a row at the mean outcome, so that rows weigh as much against them.

    Parameters
    ----------
    emitted : Emitted
        On the standardised outcome.
    x : Tensor, shape (b, n, p)
    in_arm : Tensor, shape (b, n, n_arms)
        Weight of each row in its own arm, 0 in the others.
    y : Tensor, shape (b, n)
        0 or 1 if binary, else in units of the mean.
    likelihood : Logit

    Returns
    -------
    emitted : Emitted
    dispersion : Tensor, shape (b,)
        Variance of the outcomes over that of the likelihood, by Pearson's statistic on the rows
        less what was fitted (McCullagh & Nelder, section 4.5.2); of a binary outcome it is 1.
    """
    features = emitted.features(x)
    weight = in_arm.sum(2)
    total = weight.sum(1)
    start, moves = likelihood.start((weight * y).sum(1) / total, total)
    shared, own = emitted.shared * moves[:, None], emitted.own * moves[:, None]
    mine = (in_arm > 0).to(x)
    coef = torch.zeros_like(emitted.last.coef)
    coef[..., 0] = start[:, None]
    common = coef[:, 0]
    length = torch.tensor(_LENGTHS, device=x.device, dtype=x.dtype)[:, None, None]
    study = torch.arange(len(x), device=x.device)
    for _ in range(_STEPS):
        output = (mine * (features @ coef.mT)).sum(2)
        mean = likelihood.mean(output)
        response = output + (y - mean) / likelihood.slope(mean).clamp(min=_LEAST_SLOPE)
        information = likelihood.information(mean).clamp(min=_LEAST_SLOPE)
        last = solve_last_layers(features, in_arm * information[..., None], response, shared, own)
        coefs = coef + length[..., None] * (last.coef - coef)
        commons = common + length * (last.shared - common)
        outputs = (mine * (features @ coefs.mT)).sum(-1)
        loss = (weight * likelihood.loss(outputs, y)).sum(-1)
        apart = coefs - commons[:, :, None]
        penalty = (shared * commons**2).sum(-1) + (own[:, None] * apart**2).sum((-1, -2))
        best = (loss + penalty / 2).argmin(0)
        coef, common = coefs[best, study], commons[best, study]
    fitted = replace(emitted, last=replace(last, coef=coef, shared=common))
    if not likelihood.dispersed:
        return fitted, torch.ones_like(total)
    mean = likelihood.mean((mine * (features @ coef.mT)).sum(2))
    slope, information = (
        of(mean).clamp(min=_LEAST_SLOPE) for of in (likelihood.slope, likelihood.information)
    )
    missed = information * ((y - mean) / slope).square()
    used = (in_arm * information[..., None] * last.leverage(features)).sum((1, 2))
    return fitted, (weight * missed).sum(1) / (total - used).clamp(min=1.0)
