"""Mean potential outcomes: the control's surface, and what each arm changes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hypercate.pretraining.worlds.arrays import standardised
from hypercate.pretraining.worlds.chance import FLOAT, Chance

# How often the effects of a world are of a kind.
EFFECT_KINDS = {
    "null": 0.06,
    "constant": 0.06,
    "weak": 0.18,
    "strong": 0.2,
    "few_columns": 0.2,
    "own_surface": 0.12,
    "scaled": 0.09,
    "link": 0.09,
}
NAMES = (*EFFECT_KINDS, "shared_effects")
N_SHARED = 2

MEAN_EFFECT = 0.5
ARM_WITHOUT_EFFECT = 0.15
INDEX_RANGE = 3.5


def draw_kinds(chance: Chance, b: int, without: frozenset[str]) -> Tensor:
    """Position in `EFFECT_KINDS` of each world's effects, (b,)."""
    shares = [0.0 if kind in without else share for kind, share in EFFECT_KINDS.items()]
    return chance.choice(torch.tensor(shares, device=chance.device, dtype=FLOAT), b)


def of_kind(kinds: Tensor, *names: str) -> Tensor:
    """Whether the effects are of one of the kinds named, (b,)."""
    hit = torch.zeros_like(kinds, dtype=torch.bool)
    for code in map(list(EFFECT_KINDS).index, names):
        hit = hit | (kinds == code)
    return hit


def draw_outcomes(
    chance: Chance, kinds: Tensor, control: Tensor, own: Tensor, shared: Tensor
) -> Tensor:
    """Mean potential outcomes of every arm, in units in which the control's have sd 1.

    Parameters
    ----------
    chance : Chance
    kinds : Tensor of int64, shape (b,)
    control : Tensor of float32, shape (b, rows)
        Surface of the control, or the index that it is the exponential of.
    own : Tensor of float32, shape (b, n_arms - 1, rows)
        A surface for each other arm.
    shared : Tensor of float32, shape (b, 0 or N_SHARED, rows)
        Surfaces that the effects of all arms have in common.

    Returns
    -------
    Tensor of float32, shape (b, n_arms, rows)
    """
    b, others, _ = own.shape
    part = _partly_shared(chance, own, shared)
    grown = (
        chance.uniform(b, 1, low=0.4, high=1.2) * control.clamp(-INDEX_RANGE, INDEX_RANGE)
    ).exp()
    base = torch.where(of_kind(kinds, "link")[:, None], standardised(grown), control)[:, None]

    size = chance.log_uniform(b, others, 1, low=0.05, high=0.3)
    strong = chance.uniform(b, others, 1, low=0.5, high=1.5)
    few = chance.log_uniform(b, others, 1, low=0.1, high=0.8)
    size = torch.where(of_kind(kinds, "strong", "own_surface")[:, None, None], strong, size)
    size = torch.where(of_kind(kinds, "few_columns")[:, None, None], few, size)
    shift = MEAN_EFFECT * chance.normal(b, others, 1)
    level = base + chance.uniform(b, 1, 1, low=0.0, high=3.0)
    slope = chance.uniform(b, others, 1, low=0.3, high=1.2)

    effect = shift + size * part
    effect = torch.where(of_kind(kinds, "own_surface")[:, None, None], effect - base, effect)
    scaled = 0.4 * chance.normal(b, others, 1) * level
    effect = torch.where(of_kind(kinds, "scaled")[:, None, None], scaled, effect)
    straight = shift + slope * control[:, None] - base
    effect = torch.where(of_kind(kinds, "link")[:, None, None], straight, effect)
    effect = torch.where(of_kind(kinds, "constant")[:, None, None], shift, effect)
    absent = of_kind(kinds, "null")[:, None, None]
    if others > 1:
        idle = chance.happens(ARM_WITHOUT_EFFECT, b, others, 1)
        absent = absent | (idle & ~of_kind(kinds, "constant", "own_surface", "link")[:, None, None])
    effect = effect.masked_fill(absent, 0.0)
    return torch.cat([base, base + effect], 1)


def _partly_shared(chance: Chance, own: Tensor, shared: Tensor) -> Tensor:
    """Surfaces of the arms of which a share, from none to all, is a combination of common ones."""
    if not shared.shape[1]:
        return own
    b, others, _ = own.shape
    share = (0.5 * math.pi * chance.uniform(b, 1, 1)).sin().square()
    angle = chance.uniform(b, others, 1, high=2 * math.pi)
    common = angle.cos() * shared[:, :1] + angle.sin() * shared[:, 1:]
    return standardised(share.sqrt() * common + (1 - share).sqrt() * own)
