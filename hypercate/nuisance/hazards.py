"""Hazards of an event given covariates and arm, constant within each of some periods.

A row is followed through periods until its time. That it has an event in one of them, at a rate of
so many per unit of time, has the likelihood of a Poisson count with the time followed as exposure
(Holford, 1980, "The analysis of rates and of survivorship using log-linear models", Biometrics
36:299-305; Friedman, 1982, "Piecewise exponential models for survival data with covariates",
Annals of Statistics 10:101-113). Boosted trees maximise it, with the arm and the period among
their inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.nuisance import lightgbm
from hypercate.nuisance.tree_text import NO_TREES, TreeText

N_PERIODS = 12
N_TREES = 40
MOST_ROWS = 5_000  # of an arm, to grow trees on
PERIODS_A_TREE = 20_000
LEAST_EXPOSURE = 1e-6  # in horizons
EVENTS_A_LEAF = 20.0  # that are expected in it, at least
_SLACK = np.exp(0.7)  # by which LightGBM enlarges second derivatives of a Poisson likelihood


@dataclass(frozen=True, eq=False)
class Hazard:
    """The rate of one kind of event.

    Attributes
    ----------
    middle : ndarray of float64, shape (n_periods,)
        Of each period.
    model : TreeText
        LightGBM's text; empty where no such event was seen.
    """

    middle: np.ndarray
    model: TreeText

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Rates (n, n_periods) at covariates and arm."""
        n, n_periods = len(x), len(self.middle)
        if not self.model:
            return np.zeros((n, n_periods))
        row, period = np.indices((n, n_periods)).reshape(2, -1)
        inputs = np.column_stack([x[row], self.middle[period]]).astype(np.float32)
        rates = lightgbm.predict(self.model, inputs)
        return rates.reshape(n, n_periods)


def periods(time: np.ndarray, horizon: float) -> np.ndarray:
    """Ends (n_periods + 1,) of periods up to the horizon, in each of which as many times lie."""
    before = time[time < horizon]
    inner = before[:0]
    if len(before):
        inner = np.quantile(before, np.arange(1, N_PERIODS) / N_PERIODS, method="lower")
    return np.unique(np.concatenate([[0.0], inner, [horizon]]))


def fit_hazard(
    x: np.ndarray,
    n_codes: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    weight: np.ndarray,
    ends: np.ndarray,
    seed: int,
) -> Hazard:
    """Fit the rate of an event.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)
        Covariates and arm.
    n_codes : ndarray of int64, shape (n_inputs,)
        Of inputs that are codes; 0 for numbers.
    time : ndarray of float64, shape (n,)
        Up to which a row was followed.
    event : ndarray of bool, shape (n,)
        Whether it ended with the event.
    weight : ndarray of float64, shape (n,)
    ends : ndarray of float64, shape (n_periods + 1,)
        The last is the horizon.
    seed : int
        Of the rows that each tree is grown on.
    """
    middle = (ends[:-1] + ends[1:]) / 2
    followed = np.clip(time[:, None] - ends[:-1], 0, np.diff(ends))
    row, period = np.nonzero(followed)
    ended = (event & (time <= ends[-1]))[row] & (time[row] <= ends[period + 1])
    if not ended.any():
        return Hazard(middle, NO_TREES)
    exposure = np.maximum(followed[row, period], LEAST_EXPOSURE * ends[-1])
    model, _ = lightgbm.grow(
        np.column_stack([x[row], middle[period]]).astype(np.float32),
        ended / exposure,
        weight[row] * exposure,
        N_TREES,
        np.append(n_codes, 0),
        objective="poisson",
        learning_rate=0.1,
        max_depth=3,
        num_leaves=8,
        min_data_in_leaf=1,
        min_sum_hessian_in_leaf=EVENTS_A_LEAF * _SLACK,
        bagging_fraction=min(1.0, PERIODS_A_TREE / len(row)),
        bagging_freq=1,
        seed=seed,
    )
    return Hazard(middle, model)
