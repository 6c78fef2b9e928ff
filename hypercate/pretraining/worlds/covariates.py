"""Covariates of simulated studies, encoded as a study's covariates are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.encoding.columns import MIN_INDICATOR_SD
from hypercate.encoding.scaling import CLIPPED_PERCENT, FURTHEST, LINEAR_RANGE
from hypercate.pretraining.worlds.arrays import choose, take_rows
from hypercate.pretraining.worlds.chance import FLOAT, Chance

# How often a column is of a kind, before each world weighs the kinds anew.
COLUMN_KINDS = {
    "normal": 3.0,
    "binary_columns": 3.0,
    "skewed": 1.0,
    "heavy_columns": 0.7,
    "counts": 0.7,
}
KINDS = (*COLUMN_KINDS, "one_hot", "missing")
ONE_HOT, INDICATOR = KINDS.index("one_hot"), KINDS.index("missing")
NAMES = (*KINDS[1:], "correlation")

KIND_CONCENTRATION = 0.5
FEWEST_LEVELS, MOST_LEVELS = 3, 6
ONE_HOT_WORLDS = 0.5
MISSING_WORLDS = 0.35
MOST_MISSING = 0.2
N_FACTORS = 4
N_TAILS = 4
BEYOND = 1e30
ROUNDING = 1e-5


@dataclass(frozen=True)
class Covariates:
    """Covariates of a batch of worlds.

    Attributes
    ----------
    x : Tensor of float32, shape (b, p, rows)
        Encoded.
    two_valued : Tensor of bool, shape (b, p)
        Binary columns, one-hot columns and indicators of missing values.
    """

    x: Tensor
    two_valued: Tensor


def draw_covariates(
    chance: Chance, b: int, n: int, m: int, p: int, without: frozenset[str]
) -> Covariates:
    """Draw n rows of a study and m fresh ones for each of b worlds, encoded by the first n.

    Parameters
    ----------
    chance : Chance
    b, n, m, p : int
        Worlds, rows, fresh rows and encoded columns.
    without : frozenset of str
        What to leave out, of `NAMES`.
    """
    z = _correlated(chance, b, n + m, p, "correlation" not in without)
    shares = torch.tensor(
        [0.0 if kind in without else share for kind, share in COLUMN_KINDS.items()],
        device=chance.device,
        dtype=FLOAT,
    )
    shares = shares * chance.weights(b, len(shares), concentration=KIND_CONCENTRATION)
    kind = chance.choice(shares, p)
    one_hot, winners = _one_hot(chance, z, 0.0 if "one_hot" in without else ONE_HOT_WORLDS)
    gaps, indicator = _gaps(chance, one_hot, 0.0 if "missing" in without else MISSING_WORLDS)
    threshold = torch.special.ndtri(chance.uniform(b, p, 1, low=0.001, high=MOST_MISSING))
    flag = (z < threshold).to(FLOAT)
    kind = kind.masked_fill(one_hot, ONE_HOT).masked_fill(indicator, INDICATOR)
    values = choose((*_numbers(chance, z), winners, flag), kind)
    absent = gaps[..., None] * flag.roll(-1, dims=1)

    two_valued = one_hot | indicator | (kind == KINDS.index("binary_columns"))
    return Covariates(_encoded(values, absent, one_hot | indicator, n), two_valued)


def _correlated(chance: Chance, b: int, rows: int, p: int, any_correlation: bool) -> Tensor:
    """Normal columns: independent, or with common factors, of a series, or in blocks."""
    z = chance.normal(b, p, rows)
    if not any_correlation:
        return z
    structure = chance.integers(b, 1, 1, low=0, high=3)
    place = torch.arange(p, device=chance.device)
    lag = place[:, None] - place
    rho = chance.uniform(b, 1, 1, low=0.1, high=0.9) * (structure == 1)
    series = torch.where(lag >= 0, rho ** lag.clamp(min=0), torch.zeros_like(rho))
    series = series * torch.where(place == 0, torch.ones_like(rho), (1 - rho.square()).sqrt())

    own_block = chance.integers(b, p, 1, low=0, high=N_FACTORS - 1)
    block = torch.where(structure == 2, own_block, torch.zeros_like(own_block))
    member = block == torch.arange(N_FACTORS, device=chance.device)
    strength = chance.uniform(b, 1, 1, low=0.2, high=0.95)
    loading = strength * chance.uniform(b, p, 1, low=0.5) * (structure >= 2)
    loading = loading * torch.where(structure == 2, torch.ones_like(loading), chance.signs(b, p, 1))
    rest = (1 - loading.square()).sqrt()
    return (rest * series) @ z + (loading * member) @ chance.normal(b, N_FACTORS, rows)


def _numbers(chance: Chance, z: Tensor) -> tuple[Tensor, ...]:
    """Normal columns, raw, as each of `COLUMN_KINDS`."""
    b, p, rows = z.shape
    binary = z > torch.special.ndtri(chance.uniform(b, p, 1, low=0.05, high=0.95))
    grown = (chance.uniform(b, p, 1, low=0.3, high=1.2) * z).exp()
    skewed = choose((z.square(), grown), chance.happens(0.7, b, p).to(torch.int64))
    tails = chance.normal(b, N_TAILS, rows).square()
    tails = tails - 2 * chance.uniform(b, N_TAILS, rows).clamp(min=1e-6).log()
    tails = (3 / tails.clamp(min=1e-3)).sqrt()[:, torch.arange(p, device=z.device) % N_TAILS]
    counts = (grown * chance.log_uniform(b, p, 1, low=0.5, high=6)).floor()
    return z, binary.to(FLOAT), skewed, z * tails, counts


def _one_hot(chance: Chance, z: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Which columns belong to a group of indicators, (b, p), and whose level each row has."""
    b, p, _ = z.shape
    lengths = chance.integers(b, -(-p // FEWEST_LEVELS), low=FEWEST_LEVELS, high=MOST_LEVELS)
    ends = lengths.cumsum(1)
    within = torch.arange(MOST_LEVELS, device=z.device)
    members = (ends - lengths)[..., None] + torch.minimum(within, lengths[..., None] - 1)
    group = (torch.arange(p, device=z.device)[:, None] >= ends[:, None]).sum(-1)
    in_world = chance.uniform(b, 1, low=0.1, high=0.9) * chance.happens(share, b, 1)
    chosen = chance.happens(in_world, *ends.shape) & (ends <= p)
    score = z + 0.7 * chance.normal(b, p, 1)
    best = take_rows(score, members.clamp(max=p - 1).flatten(1)).unflatten(1, members.shape[1:])
    winners = score == take_rows(best.amax(2), group)
    return chosen.gather(1, group), winners.to(FLOAT)


def _gaps(chance: Chance, one_hot: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Which columns miss values, and which is the indicator: the next column."""
    b, p = one_hot.shape
    in_world = chance.uniform(b, 1, low=0.1, high=0.7) * chance.happens(share, b, 1)
    place = torch.arange(p, device=one_hot.device)
    gaps = chance.happens(in_world, b, p) & (place % 2 == 0) & (place < p - 1)
    gaps = gaps & ~one_hot & ~one_hot.roll(-1, dims=1)
    return gaps, gaps.roll(1, dims=1)


def _encoded(values: Tensor, absent: Tensor, indicator: Tensor, n: int) -> Tensor:
    """Standardise by the first n rows as the encoder of a study does; missing values become 0."""
    study, present = values[..., :n], 1 - absent[..., :n]
    count = present.sum(-1, keepdim=True)
    first = (-((1 - count) * CLIPPED_PERCENT / 100).floor()).clamp(min=0).to(torch.int64)
    deepest = -(-(n - 1) * CLIPPED_PERCENT // 100) + 1
    beyond = absent[..., :n] * BEYOND
    smallest = (study + beyond).topk(deepest, largest=False).values
    largest = (study - beyond).topk(deepest).values
    low, high = smallest.gather(-1, first), largest.gather(-1, first)
    plain = indicator[..., None] | (high <= low)
    low = torch.where(plain, smallest[..., :1], low)
    high = torch.where(plain, largest[..., :1], high)

    count = count.clamp(min=1)
    inside = torch.minimum(torch.maximum(study, low), high)
    centre = (inside * present).sum(-1, keepdim=True) / count
    variance = ((inside - centre).square() * present).sum(-1, keepdim=True) / count
    spread = variance.sqrt()
    varies = spread > ROUNDING * centre.abs()
    spread = torch.where(indicator[..., None], spread.clamp(min=MIN_INDICATOR_SD), spread)

    x = (values - centre) * (varies / spread.clamp(min=ROUNDING**2)) * (1 - absent)
    size = x.abs()
    far = (size - LINEAR_RANGE).clamp(0, FURTHEST - LINEAR_RANGE).log1p()
    return (size.clamp(max=LINEAR_RANGE) + far).copysign(x)
