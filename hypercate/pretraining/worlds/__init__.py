"""Simulated studies whose effects are known, many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.pretraining.worlds import assignment, covariates, effects, observation, surfaces
from hypercate.pretraining.worlds.chance import Chance
from hypercate.pretraining.worlds.shapes import SHAPES

PARTS = tuple(
    name for part in (covariates, surfaces, effects, assignment, observation) for name in part.NAMES
)
"""What `draw_worlds` can leave out."""

SMOOTHER_EFFECTS = 0.7


@dataclass(frozen=True)
class Worlds:
    """A batch of simulated studies, of each of which the true effects are known.

    Attributes
    ----------
    x : Tensor of float32, shape (b, n + m, p)
        Covariates as a study's encoder gives them: standardised by the first n rows, categories
        and missing values with an indicator column each.
    arm : Tensor of int64, shape (b, n + m)
        0, the control, to n_arms - 1. Each has at least two of the first n rows.
    y : Tensor of float32, shape (b, n + m)
        Observed outcomes; 0 or 1 in some worlds.
    outcomes : Tensor of float32, shape (b, n + m, n_arms)
        Mean potential outcomes; where y is 0 or 1, probabilities.
    n : int
        The first n rows are the study; the others are fresh rows of the same world.
    """

    x: Tensor
    arm: Tensor
    y: Tensor
    outcomes: Tensor
    n: int


def draw_worlds(
    b: int,
    n: int,
    m: int,
    p: int,
    n_arms: int,
    generator: torch.Generator,
    without: frozenset[str] = frozenset(),
) -> Worlds:
    """Draw b worlds and a study of n rows in each, with m fresh rows to judge effects on.

    Parameters
    ----------
    b, n, m, p : int
        Worlds, rows of a study, fresh rows and columns of encoded covariates. n is at least
        twice the number of arms, m may be 0.
    n_arms : int
        The control and n_arms - 1 treatments, at least 2.
    generator : torch.Generator
        Source of every draw; the worlds are on its device.
    without : frozenset of str, default empty
        What to leave out, of `PARTS`: kinds of surface, of effect or of covariate, or a trait.

    Raises
    ------
    ValueError
        If a size is too small, a name in `without` is unknown, or every kind is left out.
    """
    _check_sizes(b, n, m, p, n_arms)
    without = _check_names(without)
    chance = Chance(generator)
    columns = covariates.draw_covariates(chance, b, n, m, p, without)

    kinds = effects.draw_kinds(chance, b, without)
    n_shared = effects.N_SHARED if n_arms > 2 and "shared_effects" not in without else 0
    counts = [1, n_arms - 1, n_shared, min(n_arms - 1, 2), 1]
    of_effect = torch.zeros(sum(counts), dtype=torch.bool, device=chance.device)
    of_effect[1 : n_arms + n_shared] = True
    smoother = of_effect & chance.happens(SMOOTHER_EFFECTS, b, 1)
    few = of_effect & effects.of_kind(kinds, "few_columns")[:, None]
    drawn = surfaces.draw_surfaces(chance, columns, smoother, few, without)
    control, own, shared, others, spread = drawn.split(counts, 1)

    means = effects.draw_outcomes(chance, kinds, control[:, 0], own, shared)
    propensity = assignment.draw_propensities(chance, means, others, without)
    arm = assignment.assign(chance, propensity, n)
    constant = effects.of_kind(kinds, "constant")
    y, means = observation.observe(chance, means, arm, spread[:, 0], constant, without)
    return Worlds(columns.x.mT.contiguous(), arm, y, means.mT.contiguous(), n)


def _check_sizes(b: int, n: int, m: int, p: int, n_arms: int) -> None:
    least = {"b": (b, 1), "m": (m, 0), "p": (p, 1), "n_arms": (n_arms, 2), "n": (n, 2 * n_arms)}
    for name, (value, lowest) in least.items():
        if value < lowest:
            why = ", two rows of each arm" if name == "n" else ""
            raise ValueError(f"{name} must be at least {lowest}{why}, got {value}")


def _check_names(without: frozenset[str]) -> frozenset[str]:
    unknown = sorted(set(without) - set(PARTS))
    if unknown:
        raise ValueError(
            f"without has unknown names {', '.join(unknown)}; known are {', '.join(PARTS)}"
        )
    for what, kinds in (("surface", SHAPES), ("effect", effects.EFFECT_KINDS)):
        if set(kinds) <= set(without):
            raise ValueError(f"without leaves out every kind of {what}: {', '.join(kinds)}")
    return frozenset(without)
