"""Networks that a generator has emitted for a study, and how they miss its rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.pretraining.last_layers import LastLayers, solve_last_layers

N_ROUND_STUDY, N_ROUND_COLUMN, N_ROUND_UNIT = 5, 4, 3


@dataclass(frozen=True)
class Emitted:
    """Networks of studies of the same shape, on standardised outcomes.

    Attributes
    ----------
    first : Tensor, shape (b, p, n_units)
    bias : Tensor, shape (b, n_units)
        Of the hidden layer.
    centre, scale : Tensor, shape (b, n_units)
        Mean and standard deviation of the hidden units over the rows.
    shared, own : Tensor, shape (b, 1 + p + n_units)
        Precisions that the last layers were solved with.
    last : LastLayers
    noise : Tensor, shape (b,)
        Mean squared error of rows left out, one at a time, of the last layers.
    spread : Tensor, shape (b,)
        Factor of posterior standard deviations of effects; 1 in all rounds but the last.
    """

    first: Tensor
    bias: Tensor
    centre: Tensor
    scale: Tensor
    shared: Tensor
    own: Tensor
    last: LastLayers
    noise: Tensor
    spread: Tensor

    def features(self, x: Tensor) -> Tensor:
        """What last layers read at rows (b, n, p): (b, n, 1 + p + n_units)."""
        hidden = F.silu(x @ self.first + self.bias[:, None])
        return _features(x, (hidden - self.centre[:, None]) / self.scale[:, None])

    def outcomes(self, x: Tensor) -> Tensor:
        """Potential outcomes at rows (b, n, p): (b, n, n_arms)."""
        return self.features(x) @ self.last.coef.mT

    def weights(self, coef: Tensor) -> Tensor:
        """Flat weights of an `OutcomeNet` with ``n_units + 2`` hidden SiLU units.

        Two of them hold an arm's linear part, for ``silu(z) - silu(-z) = z``.

        Parameters
        ----------
        coef : Tensor, shape (..., b, n_arms, 1 + p + n_units)

        Returns
        -------
        Tensor, shape (..., b, n_arms, n_weights)
        """
        p, n_units = self.first.shape[1:]
        level, linear, last = coef.split([1, p, n_units], dim=-1)
        last = last / self.scale[:, None]
        level = level - (last * self.centre[:, None]).sum(-1, keepdim=True)
        shape = *coef.shape[:-1], p, n_units
        first = self.first[:, None].expand(shape)
        first = torch.cat([first, linear[..., None], -linear[..., None]], -1).flatten(-2)
        bias = self.bias[:, None].expand(*coef.shape[:-1], n_units)
        one = torch.ones_like(level)
        return torch.cat([first, bias, 0 * one, 0 * one, last, one, -one, level], -1)


@dataclass(frozen=True)
class Missed:
    """What a round of networks tells the next.

    Attributes
    ----------
    study : Tensor, shape (b, N_ROUND_STUDY)
    column : Tensor, shape (b, p, N_ROUND_COLUMN)
    unit : Tensor, shape (b, n_units, N_ROUND_UNIT)
    gradient : Tensor, shape (b, p, n_units)
        How far each entry of the hidden layer would lower the squared error of rows left out, in
        standard errors.
    """

    study: Tensor
    column: Tensor
    unit: Tensor
    gradient: Tensor


def solve(
    x: Tensor,
    weight: Tensor,
    y: Tensor,
    first: Tensor,
    bias: Tensor,
    shared: Tensor,
    own: Tensor,
) -> tuple[Emitted, Missed]:
    """Networks with these hidden layers, and how they miss rows left out of their last layers.

    Parameters
    ----------
    x, weight, y : Tensor
        As `Emitter` reads them.
    first : Tensor, shape (b, p, n_units)
    bias : Tensor, shape (b, n_units)
    shared, own : Tensor, shape (b, 1 + p + n_units)
        Precisions of `solve_last_layers`.
    """
    p = x.shape[2]
    total = weight.sum((1, 2))[:, None]
    of_row = weight.sum(2)
    input_ = x @ first + bias[:, None]
    hidden = F.silu(input_)
    share = (of_row / total)[..., None]
    centre = (share * hidden).sum(1)
    scale = ((share * (hidden - centre[:, None]) ** 2).sum(1) + 1e-4).sqrt()
    features = _features(x, (hidden - centre[:, None]) / scale[:, None])
    last = solve_last_layers(features, weight, y, shared, own)
    in_arm = (weight > 0).to(x)
    fitted = (in_arm * (features @ last.coef.mT)).sum(2)
    used = (weight * last.leverage(features)).sum(2).clamp(max=0.95)
    residual = (y - fitted) * (of_row > 0)
    held_out = residual / (1 - used)
    noise = (share.squeeze(-1) * held_out**2).sum(1)
    own_coef = in_arm @ last.coef[..., 1 + p :]
    sigmoid = torch.sigmoid(input_)
    slope = sigmoid * (1 + input_ * (1 - sigmoid)) / scale[:, None]
    miss = (of_row * held_out)[..., None] * own_coef * slope
    gradient = (x.mT @ miss) / ((x.square().mT @ miss.square()) + 1e-6).sqrt()
    of_bias = miss.sum(1) / (miss.square().sum(1) + 1e-6).sqrt()
    departing = last.coef - last.shared[:, None]
    of_all, of_own = last.shared, (departing.pow(2).mean(1) + 1e-8).sqrt()
    missed = Missed(
        torch.stack(
            [
                (noise + 1e-3).log(),
                ((share.squeeze(-1) * residual**2).sum(1) + 1e-3).log(),
                (of_row * used).sum(1) / total.squeeze(1),
                (of_all[:, 1:].pow(2).sum(1) + 1e-3).log(),
                (of_own[:, 1:].pow(2).sum(1) + 1e-3).log(),
            ],
            -1,
        ),
        torch.stack(
            [
                of_all[:, 1 : 1 + p] * 3,
                of_own[:, 1 : 1 + p] * 3,
                gradient.pow(2).mean(2).add(1e-6).sqrt() / 2,
                first.pow(2).mean(2).add(1e-8).sqrt() * p**0.5,
            ],
            -1,
        ).clamp(-5, 5),
        torch.stack(
            [
                (of_all[:, 1 + p :].abs() + 1e-3).log() / 2,
                (of_own[:, 1 + p :] + 1e-3).log() / 2,
                of_bias / 2,
            ],
            -1,
        ).clamp(-5, 5),
        gradient.clamp(-6, 6) / 2,
    )
    spread = torch.ones_like(noise)
    return Emitted(first, bias, centre, scale, shared, own, last, noise, spread), missed


def _features(x: Tensor, hidden: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(x[..., :1]), x, hidden], -1)
