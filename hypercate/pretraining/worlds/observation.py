"""Observed outcomes: noise around the mean potential outcomes, or events of their probability."""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.pretraining.worlds.chance import FLOAT, Chance

NAMES = ("binary", "unequal_noise", "heavy")
BINARY = 0.15
UNEQUAL_BY_ROW, UNEQUAL_BY_ARM = 0.2, 0.1
HEAVY = 0.15
FURTHEST_NOISE = 15.0
RISK_STEP = 0.2
SHARE_STEPS = 8


def observe(
    chance: Chance,
    outcomes: Tensor,
    arm: Tensor,
    spread: Tensor,
    constant: Tensor,
    without: frozenset[str],
) -> tuple[Tensor, Tensor]:
    """Draw outcomes of the arms that rows are in.

    Parameters
    ----------
    chance : Chance
    outcomes : Tensor of float32, shape (b, n_arms, rows)
        Mean potential outcomes, or what their probabilities are logistic in.
    arm : Tensor of int64, shape (b, rows)
    spread : Tensor of float32, shape (b, rows)
        Surface that the sd of the noise depends on where it is unequal over rows.
    constant : Tensor of bool, shape (b,)
        Worlds whose effects are constant, and stay so as differences of probabilities.
    without : frozenset of str
        What to leave out, of `NAMES`.

    Returns
    -------
    y : Tensor of float32, shape (b, rows)
    outcomes : Tensor of float32, shape (b, n_arms, rows)
        Means of y in every arm.
    """
    b = len(arm)
    noise = _noise(chance, _of_arm(outcomes, arm), arm, spread, outcomes.shape[1], without)
    scale = chance.normal(b, 1, 1).exp()
    location = 3 * scale * chance.normal(b, 1, 1)
    means = location + scale * outcomes
    y = _of_arm(means, arm) + scale[:, 0] * noise
    binary = chance.happens(0.0 if "binary" in without else BINARY, b, 1)
    probability = _probabilities(chance, outcomes, arm, constant)
    event = chance.happens(_of_arm(probability, arm), *arm.shape).to(FLOAT)
    return torch.where(binary, event, y), torch.where(binary[..., None], probability, means)


def _of_arm(values: Tensor, arm: Tensor) -> Tensor:
    return values.gather(1, arm[:, None])[:, 0]


def _noise(
    chance: Chance,
    signal: Tensor,
    arm: Tensor,
    spread: Tensor,
    n_arms: int,
    without: frozenset[str],
) -> Tensor:
    """Noise that leaves the signal a share of variance (R2) drawn from .05 to .98."""
    b, rows = signal.shape
    usual = chance.uniform(b, 1, low=0.3, high=0.9)
    explained = chance.uniform(b, 1, low=0.05, high=0.98)
    explained = torch.where(chance.happens(0.75, b, 1), usual, explained)
    variance = signal.var(1, correction=0, keepdim=True)
    variance = torch.where(variance > 1e-6, variance, torch.ones_like(variance))
    sd = (variance * (1 - explained) / explained).sqrt()

    by_row = chance.uniform(b, 1, low=0.2, high=0.8) * spread.clamp(-3, 3)
    by_arm = (0.5 * chance.normal(b, n_arms)).gather(1, arm)
    which = chance.uniform(b, 1)
    uneven = torch.where(which < UNEQUAL_BY_ROW, by_row, torch.zeros_like(by_row))
    uneven = torch.where(which > 1 - UNEQUAL_BY_ARM, by_arm, uneven)
    if "unequal_noise" not in without:
        factor = uneven.exp()
        sd = sd * factor / factor.square().mean(1, keepdim=True).sqrt()

    normal = chance.normal(b, rows)
    if "heavy" in without:
        return sd * normal
    long_tailed = normal / chance.normal(3, b, rows).square().sum(0).clamp(min=1e-6).sqrt()
    long_tailed = long_tailed.clamp(-FURTHEST_NOISE, FURTHEST_NOISE)
    return sd * torch.where(chance.happens(HEAVY, b, 1), long_tailed, normal)


def _probabilities(chance: Chance, outcomes: Tensor, arm: Tensor, constant: Tensor) -> Tensor:
    """Probabilities logistic in the outcomes, with an expected share of events from .1 to .9."""
    b = len(arm)
    logits = chance.uniform(b, 1, 1, low=0.5, high=2.5) * outcomes
    share = chance.uniform(b, 1, 1, low=0.1, high=0.9)
    shift = share.logit()
    for _ in range(SHARE_STEPS):
        reached = _of_arm((logits + shift).sigmoid(), arm).mean(1)[:, None, None]
        shift = shift + share.logit() - reached.logit(eps=1e-6)
    probability = (logits + shift).sigmoid()
    control = RISK_STEP + (1 - 2 * RISK_STEP) * probability[:, :1]
    difference = (outcomes - outcomes[:, :1]).mean(-1, keepdim=True)
    level = control + RISK_STEP * difference.tanh()
    return torch.where(constant[:, None, None], level, probability)
