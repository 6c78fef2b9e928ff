"""Pseudo-outcomes that replace censored outcomes, and have the same mean given x and arm.

Let v(T) be a function of the time T of an event, such as ``min(T, horizon)``, and U the time up to
which a row was followed. The doubly robust transformation of Rubin & van der Laan (2007, "A doubly
robust censoring unbiased transformation", International Journal of Biostatistics 3(1), article 4),
on which causal survival forests are also based (Cui, Kosorok, Sverdrup, Wager & Zhu, 2023,
"Estimating heterogeneous treatment effects with right-censored data via causal survival forests",
JRSS B 85:179-211), is

    y* = v / G(U) - integral from 0 to U of Q(u) d(1 / G(u)),

where ``G(u)`` is the probability of not being censored up to u, given covariates and arm,
``Q(u) = E[v(T) | T > u]`` given them, and v is v(T) if that is known, and Q(U) if the row was
censored. Its mean is that of v(T) if either G or Q is right: its bias is a product of the errors of
the two. Both come from hazards: see `hypercate.nuisance.hazards`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hypercate.encoding.checks import warn
from hypercate.folds import Folds
from hypercate.nuisance.cross_fit import Pair, in_pair, of_models, pairs_of
from hypercate.nuisance.hazards import MOST_ROWS, fit_hazard, periods
from hypercate.outcomes import Censored
from hypercate.study import Study
from hypercate.threads import mapped

LEAST_FOLLOWED = 0.05  # probability of not being censored, by which is divided
_SPLIT = 4  # parts of a period, within which integrals are those of straight lines
_MOST_ROWS = 20_000  # transformed at a time


def with_pseudo_outcomes(
    study: Study, folds: Folds, family: Censored, seed: int, n_jobs: int
) -> Study:
    """The study with pseudo-outcomes in place of times: each model's own.

    A model learns from a row by hazards that were fitted without the row's part and without the
    rows that judge the model; the row is judged by its pseudo-outcome from hazards that were fitted
    without the latter. What nuisances are fitted to, without the rows of two parts, comes from
    hazards of the same rows, those of either part having no say in it.

    Parameters
    ----------
    study : Study
        Of times, with ``event``.
    folds : Folds
    family : Censored
    seed : int
        Of the rows that each tree is grown on.
    n_jobs : int
        Threads.

    Warns
    -----
    UserWarning
        If rows were followed up to the horizon with a probability of less than 5 %.
    """
    event = study.event
    assert event is not None
    time = np.minimum(study.y, family.horizon)
    observed = event | (study.y >= family.horizon)
    known = family.known(study.y, event)
    treatment, n_levels = study.condition[:, None], study.n_conditions
    if study.splines is not None:
        treatment, n_levels = study.splines, 0
    x = np.column_stack([study.x, treatment]).astype(np.float32)
    of_treatment = np.full(treatment.shape[1], n_levels if n_levels > 2 else 0)
    n_codes = np.append(study.n_codes, of_treatment)

    def fit(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        rows = folds.sample(np.flatnonzero(~in_pair(folds, pair)), MOST_ROWS)
        ends = periods(time[rows], family.horizon)
        of_event, of_censoring = (
            fit_hazard(x[rows], n_codes, time[rows], ended[rows], study.weight[rows], ends, seed)
            for ended in (event & (study.y <= family.horizon), ~observed)
        )
        blocks = [
            pseudo_outcomes(
                time[some],
                observed[some],
                known[some],
                ends,
                of_event.predict(x[some]),
                of_censoring.predict(x[some]),
                family.kind == "time",
            )
            for some in np.array_split(np.arange(len(time)), -(-len(time) // _MOST_ROWS))
        ]
        outcomes, followed = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return outcomes, followed

    pairs = pairs_of(folds)
    outcomes, followed = (
        dict(zip(pairs, values, strict=True))
        for values in zip(*mapped(fit, pairs, n_jobs, "censoring"), strict=True)
    )

    def by_model(values: dict[Pair, np.ndarray]) -> np.ndarray:
        own = {pair: values[pair][in_pair(folds, pair), None] for pair in pairs}
        return of_models(folds, own)[..., 0]

    model, row = folds.judged
    seldom = np.zeros(len(time), dtype=bool)
    seldom[row[by_model(followed)[model, row] < LEAST_FOLLOWED]] = True
    if seldom.any():
        warn(
            f"censoring leaves little to learn from up to horizon={family.horizon:g}: "
            f"{seldom.sum()} of {len(time)} rows, by their covariates and arm, had a probability "
            f"of less than {LEAST_FOLLOWED:.0%} of being followed that long. Predictions for such "
            "rows are extrapolations from the others: pass an earlier horizon"
        )
    return replace(study, y=by_model(outcomes), y_without=outcomes)


def pseudo_outcomes(
    time: np.ndarray,
    observed: np.ndarray,
    known: np.ndarray,
    ends: np.ndarray,
    of_event: np.ndarray,
    of_censoring: np.ndarray,
    restricted_mean: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Doubly robust censoring unbiased transformation of outcomes.

    Parameters
    ----------
    time : ndarray of float64, shape (n,)
        Up to which a row was followed, or the horizon if that is less.
    observed : ndarray of bool, shape (n,)
        Whether the outcome is known from then on.
    known : ndarray of float64, shape (n,)
        The outcome, where it is.
    ends : ndarray of float64, shape (n_periods + 1,)
        Of the periods, from 0 to the horizon.
    of_event, of_censoring : ndarray of float64, shape (n, n_periods)
        Hazards within them.
    restricted_mean : bool
        Whether the outcome is the time up to the horizon, else survival beyond it.

    Returns
    -------
    outcomes : ndarray of float64, shape (n,)
    followed : ndarray of float64, shape (n,)
        Probability of not being censored up to the horizon.
    """
    places = np.arange(_SPLIT * (len(ends) - 1) + 1) / _SPLIT
    ends = np.interp(places, np.arange(len(ends)), ends)
    of_event, of_censoring = (np.repeat(rate, _SPLIT, axis=1) for rate in (of_event, of_censoring))
    n, width = len(time), np.diff(ends)
    rows = np.arange(n)
    last = np.clip(np.searchsorted(ends, time) - 1, 0, len(width) - 1)  # the period of the time
    before = np.pad(np.cumsum(of_censoring * width, axis=1), ((0, 0), (1, 0)))
    at_time = before[rows, last] + of_censoring[rows, last] * (time - ends[last])
    inverse = 1 / np.maximum(np.exp(-before), LEAST_FOLLOWED)
    inverse_at_time = 1 / np.maximum(np.exp(-at_time), LEAST_FOLLOWED)

    rest = np.zeros((n, len(ends))) if restricted_mean else np.ones((n, len(ends)))
    for period in range(len(width) - 1, -1, -1):
        rest[:, period] = _earlier(
            rest[:, period + 1], of_event[:, period], width[period], restricted_mean
        )
    left = ends[last + 1] - time
    rest_at_time = _earlier(rest[rows, last + 1], of_event[rows, last], left, restricted_mean)
    expected = ends + rest if restricted_mean else rest
    expected_at_time = time + rest_at_time if restricted_mean else rest_at_time

    whole = (expected[:, :-1] + expected[:, 1:]) / 2 * np.diff(inverse, axis=1)
    whole = np.where(np.arange(len(width)) < last[:, None], whole, 0.0).sum(axis=1)
    part = (expected[rows, last] + expected_at_time) / 2 * (inverse_at_time - inverse[rows, last])
    value = np.where(observed, known, expected_at_time)
    return value * inverse_at_time - whole - part, np.exp(-before[:, -1])


def _earlier(
    rest: np.ndarray, rate: np.ndarray, width: np.ndarray | float, restricted_mean: bool
) -> np.ndarray:
    """Time left up to the horizon, or survival beyond it, of those alive so much earlier."""
    hazard = rate * width
    if not restricted_mean:
        return rest * np.exp(-hazard)
    share = np.divide(-np.expm1(-hazard), hazard, out=np.ones_like(hazard), where=hazard > 1e-8)
    return width * share + rest * np.exp(-hazard)
