"""Last layers of a binary outcome: the same prior, on the logit scale."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.pretraining.emitted import Emitted
from hypercate.pretraining.last_layers import solve_last_layers

_STEPS = 12
_LENGTHS = (0.0, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0)  # of a step, of which the best is taken


def logistic(emitted: Emitted, x: Tensor, in_arm: Tensor, y: Tensor) -> Emitted:
    """The same networks with last layers fitted to a binary outcome.

    Newton's method for the penalised likelihood, each step as long as lowers it most; the posterior
    is the normal approximation there (Laplace's). Precisions are those on the standardised outcome,
    times its variance, for one unit of a logit moves a probability by as much.

    Parameters
    ----------
    emitted : Emitted
        On the standardised outcome.
    x : Tensor, shape (b, n, p)
    in_arm : Tensor, shape (b, n, n_arms)
        Weight of each row in its own arm, 0 in the others.
    y : Tensor, shape (n,)
        0 or 1.
    """
    features = emitted.features(x)
    weight = in_arm.sum(2)
    total = weight.sum(1)
    half = 0.5 / total
    share = ((weight * y).sum(1) / total).clamp(min=half, max=1 - half)
    variance = (share * (1 - share))[:, None]
    shared, own = emitted.shared * variance, emitted.own * variance
    mine = (in_arm > 0).to(x)
    coef = torch.zeros_like(emitted.last.coef)
    coef[..., 0] = share.logit()[:, None]
    common = coef[:, 0]
    length = torch.tensor(_LENGTHS, device=x.device, dtype=x.dtype)[:, None, None]
    study = torch.arange(len(x), device=x.device)
    for _ in range(_STEPS):
        logit = (mine * (features @ coef.mT)).sum(2)
        probability = torch.sigmoid(logit)
        slope = (probability * (1 - probability)).clamp(min=1e-4)
        response = logit + (y - probability) / slope
        last = solve_last_layers(features, in_arm * slope[..., None], response, shared, own)
        coefs = coef + length[..., None] * (last.coef - coef)
        commons = common + length * (last.shared - common)
        logits = (mine * (features @ coefs.mT)).sum(-1)
        loss = (weight * (F.softplus(logits) - y * logits)).sum(-1)
        apart = coefs - commons[:, :, None]
        penalty = (shared * commons**2).sum(-1) + (own[:, None] * apart**2).sum((-1, -2))
        best = (loss + penalty / 2).argmin(0)
        coef, common = coefs[best, study], commons[best, study]
    return replace(emitted, last=replace(last, coef=coef, shared=common))
