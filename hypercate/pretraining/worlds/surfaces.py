"""Random surfaces: mixtures of kinds, of one relevant column, a few or all."""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.pretraining.worlds.arrays import standardised, take_rows
from hypercate.pretraining.worlds.chance import FLOAT, Chance
from hypercate.pretraining.worlds.covariates import Covariates
from hypercate.pretraining.worlds.shapes import N_PICKED, SHAPES, SMOOTH, Columns

NAMES = (*SHAPES, "nuisance")

KIND_CONCENTRATION = 0.2
NUISANCE_WORLDS = 0.5
MOST_NUISANCE = 0.9
ONE_SORT = 0.12  # of surfaces depend on two-valued columns only, and as many on none
SMOOTH_FACTOR = 6.0
FEW = 3


def draw_surfaces(
    chance: Chance,
    covariates: Covariates,
    smoother: Tensor,
    few: Tensor,
    without: frozenset[str],
) -> Tensor:
    """Draw s surfaces in each world, each of mean 0 and sd 1 over its rows.

    Parameters
    ----------
    chance : Chance
    covariates : Covariates
    smoother, few : Tensor of bool, shape (b, s)
        Surfaces in which smooth kinds weigh more, and that depend on at most three columns.
    without : frozenset of str
        What to leave out, of `NAMES`.

    Returns
    -------
    Tensor of float32, shape (b, s, rows)
        A surface is 0 where nothing that it depends on varies.
    """
    b, s = few.shape
    weight = _relevance(chance, covariates, few, "nuisance" not in without)
    picked = take_rows(covariates.x, chance.choice(weight, N_PICKED).flatten(1))
    columns = Columns(covariates.x, weight, picked.unflatten(1, (s, N_PICKED)))
    kinds = [kind for kind in SHAPES if kind not in without]
    share = chance.weights(b, s, len(kinds), concentration=KIND_CONCENTRATION)
    smooth = torch.tensor([kind in SMOOTH for kind in kinds], device=share.device)
    share = share * (1 + (SMOOTH_FACTOR - 1) * (smoother[..., None] & smooth).to(FLOAT))
    total = torch.zeros_like(columns.picked[:, :, 0])
    for kind, of_kind in zip(kinds, share.unbind(-1), strict=True):
        total = total + of_kind[..., None] * standardised(SHAPES[kind](chance, columns))
    return standardised(total)


def _relevance(chance: Chance, covariates: Covariates, few: Tensor, nuisance: bool) -> Tensor:
    """Relevance of each column to each surface, (b, s, p): a power of its rank, or 0.

    The order of the columns is partly common to the surfaces of a world, so that what an effect
    depends on is often among what the outcome depends on.
    """
    (b, s), p = few.shape, covariates.x.shape[1]
    varies = covariates.x.abs().amax(-1) > 0
    in_world = chance.uniform(b, 1, high=MOST_NUISANCE) * chance.happens(NUISANCE_WORLDS, b, 1)
    useful = varies & (chance.uniform(b, p) >= (in_world if nuisance else 0.0))
    useful = torch.where(useful.any(-1, keepdim=True), useful, varies)[:, None]
    sort = chance.uniform(b, s, 1)
    two_valued = covariates.two_valued[:, None]
    narrow = useful & ((sort >= ONE_SORT) | two_valued)
    narrow = narrow & ((sort <= 1 - ONE_SORT) | ~two_valued)
    allowed = torch.where(narrow.any(-1, keepdim=True), narrow, useful)

    common = chance.uniform(b, 1, p)
    own = chance.uniform(b, s, p)
    score = torch.where(chance.happens(0.6, b, s, 1), common + 0.3 * own, own) + 2.0 * allowed
    rank = score.argsort(-1, descending=True).argsort(-1)
    limit = allowed.sum(-1, keepdim=True).clamp(min=1)
    count = limit.pow(chance.uniform(b, s, 1)).round()
    count = torch.where(few[..., None], count.clamp(max=FEW), count)
    return (1 + rank.to(FLOAT)) ** -chance.uniform(b, s, 1, high=2.0) * (rank < count)
