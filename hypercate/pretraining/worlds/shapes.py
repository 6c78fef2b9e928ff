"""The kinds of random surface: each turns columns into one random function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.pretraining.worlds.arrays import choose, standardised
from hypercate.pretraining.worlds.chance import FLOAT, Chance

N_PICKED = 8
POWER_RANGE = 3.0
INDEX_RANGE = 3.5
N_BUMPS = 5
N_STEPS = 6
DEEPEST = 4
WIDTH = 5


@dataclass(frozen=True)
class Columns:
    """What the surfaces of a batch of worlds are functions of.

    Attributes
    ----------
    x : Tensor of float32, shape (b, p, rows)
    weight : Tensor of float32, shape (b, s, p)
        Relevance of each column to each surface; 0 for columns that it does not depend on.
    picked : Tensor of float32, shape (b, s, N_PICKED, rows)
        Columns drawn by relevance, with replacement.
    """

    x: Tensor
    weight: Tensor
    picked: Tensor


def linear(chance: Chance, columns: Columns) -> Tensor:
    """Weighted sum of columns."""
    return (columns.weight * chance.normal(*columns.weight.shape)) @ columns.x


def products(chance: Chance, columns: Columns) -> Tensor:
    """Products of two and of three columns."""
    b, s = columns.weight.shape[:2]
    z = columns.picked.clamp(-POWER_RANGE, POWER_RANGE)
    coefficient = chance.normal(b, s, 3, 1)
    third = 1 + chance.happens(0.5, b, s, 1) * (z[:, :, 6] - 1)
    total = coefficient[:, :, 0] * z[:, :, 0] * z[:, :, 1]
    total = total + coefficient[:, :, 1] * z[:, :, 2] * z[:, :, 3]
    return total + coefficient[:, :, 2] * z[:, :, 4] * z[:, :, 5] * third


def bumps(chance: Chance, columns: Columns) -> Tensor:
    """Sum of sigmoids and Gaussian bumps of projections of one to three columns."""
    b, s = columns.weight.shape[:2]
    size = chance.integers(b, s, N_BUMPS, 1, low=1, high=3)
    order = chance.uniform(b, s, N_BUMPS, N_PICKED).argsort(-1)
    slope = chance.normal(b, s, N_BUMPS, N_PICKED) * (order < size)
    slope = slope * chance.log_uniform(b, s, N_BUMPS, 1, low=0.5, high=3)
    index = slope @ columns.picked + chance.normal(b, s, N_BUMPS, 1)
    bell = chance.happens(0.4, b, s, N_BUMPS)
    form = choose((index.tanh(), (-index.square()).exp()), bell.to(torch.int64))
    return (chance.normal(b, s, 1, N_BUMPS) @ form)[:, :, 0]


def additive(chance: Chance, columns: Columns) -> Tensor:
    """Sum of smooth functions of a single column each: powers, |z|, hinge and sine."""
    b, s = columns.weight.shape[:2]
    z = columns.picked[:, :, :5].clamp(-POWER_RANGE, POWER_RANGE) - 0.7 * chance.normal(b, s, 5, 1)
    phase = chance.log_uniform(b, s, 1, low=0.5, high=3) * z[:, :, 4]
    forms = (
        z[:, :, 0].square() / 1.5,
        z[:, :, 1].pow(3) / 5,
        1.5 * z[:, :, 2].abs(),
        1.5 * z[:, :, 3].clamp(min=0),
        1.5 * phase.sin(),
    )
    share = chance.weights(b, s, len(forms), concentration=0.5).sqrt()
    share = share * chance.signs(*share.shape)
    return (share[:, :, None] @ torch.stack(forms, 2))[:, :, 0]


def steps(chance: Chance, columns: Columns) -> Tensor:
    """Sum of steps at thresholds in single columns."""
    b, s = columns.weight.shape[:2]
    above = columns.picked[:, :, :N_STEPS] > chance.normal(b, s, N_STEPS, 1)
    share = chance.weights(b, s, 1, N_STEPS, concentration=1.0) * chance.signs(b, s, 1, N_STEPS)
    return (share @ above.to(FLOAT))[:, :, 0]


def trees(chance: Chance, columns: Columns) -> Tensor:
    """Sum of two decision trees of two to four levels; one asks the same of all nodes of a level.

    A tree is evaluated from its leaves up: each node takes the value of its left or right branch.
    """
    b, s = columns.weight.shape[:2]
    leaves = torch.arange(2**DEEPEST, device=columns.x.device).expand(b, s, -1)
    total = torch.zeros_like(columns.picked[:, :, 0])
    for oblivious in (False, True):
        cut = DEEPEST - chance.integers(b, s, 1, low=2, high=DEEPEST)
        value = chance.normal(*leaves.shape).gather(2, leaves >> cut)[..., None]
        for level in reversed(range(DEEPEST)):
            nodes = 1 if oblivious else 2**level
            start = DEEPEST + level if oblivious else min(nodes - 1, N_PICKED - nodes)
            z = columns.picked[:, :, start : start + nodes]
            goes_right = (z > 0.8 * chance.normal(b, s, nodes, 1)).to(FLOAT)
            left, right = value[:, :, 0::2], value[:, :, 1::2]
            value = left + goes_right * (right - left)
        total = total + value[:, :, 0]
    return total


def exponential(chance: Chance, columns: Columns) -> Tensor:
    """Exponential of a weighted sum of columns, from nearly straight to steep."""
    b, s, _ = columns.weight.shape
    index = standardised(linear(chance, columns)).clamp(-INDEX_RANGE, INDEX_RANGE)
    return chance.signs(b, s, 1) * (chance.uniform(b, s, 1, low=0.2, high=1.2) * index).exp()


def network(chance: Chance, columns: Columns) -> Tensor:
    """A network of two hidden layers of tanh with random weights."""
    b, s, p = columns.weight.shape
    scale = columns.weight / columns.weight.square().sum(-1, keepdim=True).sqrt()
    scale = scale * chance.log_uniform(b, s, 1, low=0.5, high=2.5)
    first = (chance.normal(b, s, WIDTH, p) * scale[:, :, None]).flatten(1, 2) @ columns.x
    first = (first.unflatten(1, (s, WIDTH)) + 0.7 * chance.normal(b, s, WIDTH, 1)).tanh()
    second = chance.normal(b, s, WIDTH, WIDTH) @ first
    second = (second + 0.5 * chance.normal(b, s, WIDTH, 1)).tanh()
    return (chance.normal(b, s, 1, WIDTH) @ second)[:, :, 0]


def cubic(chance: Chance, columns: Columns) -> Tensor:
    """A random polynomial of degree three in two projections of a few columns."""
    b, s = columns.weight.shape[:2]
    slope = chance.normal(b, s, 2, N_PICKED) * chance.happens(0.3, b, s, 2, N_PICKED)
    slope[..., 0] = chance.signs(b, s, 2)
    index = standardised(slope @ columns.picked).clamp(-POWER_RANGE, POWER_RANGE)
    u, v = index[:, :, 0], index[:, :, 1]
    c = chance.normal(b, s, 9, 1)
    second = c[:, :, 0] * u.square() + c[:, :, 1] * u * v + c[:, :, 2] * v.square()
    third = u * (c[:, :, 3] * u + c[:, :, 4] * v) * (u + c[:, :, 5] * v) + c[:, :, 6] * v.pow(3)
    return c[:, :, 7] * u + c[:, :, 8] * v + 0.7 * second + 0.25 * third


SHAPES: dict[str, Callable[[Chance, Columns], Tensor]] = {
    "linear": linear,
    "products": products,
    "bumps": bumps,
    "additive": additive,
    "steps": steps,
    "trees": trees,
    "exponential": exponential,
    "network": network,
    "cubic": cubic,
}
SMOOTH = ("linear", "bumps", "additive", "network")
