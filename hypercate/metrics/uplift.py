"""Uplift curves: how much the people that predicted effects rank first gain, in an experiment.

They compare those who had an arm with those who had control, among the people with the largest
predicted effects, and so need a randomised experiment. If the probability of an arm depends on
covariates, use `hypercate.metrics.toc_curve` and `rate_score` on doubly robust scores instead.

References
----------
Radcliffe (2007), "Using control groups to target on predicted lift: building and assessing uplift
models", Direct Marketing Analytics Journal 3:14-21.
Gutierrez & Gerardy (2016), "Causal inference and uplift modelling: a review of the literature",
PMLR 67:1-13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.curves import Curve
from hypercate.metrics.rows import Comparison, read_comparisons

Points = tuple[np.ndarray, np.ndarray]


def qini_curve(
    y: Any, effects: Any, treatment: Any, *, control: Any = None, sample_weight: Any = None
) -> Curve:
    """Incremental outcomes among the treated, over rows in order of falling effect.

    At the first m rows, the curve is ``Y_T - Y_C N_T / N_C``: the sum of the outcomes of those who
    had the arm, minus the sum for those who had control, scaled to the same number of rows
    (Radcliffe, 2007); the second term is 0 as long as no control is among the first rows. Rows with
    equal effects enter together, which gives the mean over their orders. The values are those of
    scikit-uplift's ``qini_curve``; CausalML's ``get_qini`` interpolates as long as no control is
    among the first rows, and keeps rows with equal effects in the order given.

    Parameters
    ----------
    y : array-like, shape (n,)
        Observed outcome; more is better.
    effects : array-like, shape (n,) for two arms, (n, K - 1) for more
        Predicted effects against control, from any package; only their order matters. With several
        arms: a frame with one column per arm, named by its label, or an array in sorted order.
    treatment : array-like, shape (n,)
        Arm of each row: labels of any kind.
    control : label, optional
        The control arm; the first in sorted order by default.
    sample_weight : array-like, shape (n,), optional
        A row of weight 2 counts as two rows.

    Returns
    -------
    Curve
        One curve for each other arm, over the rows that had this arm or control.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used, such as a Series whose index has the rows in another order; the
        message names the argument, arm or row.

    Examples
    --------
    >>> from hypercate.metrics import qini_curve
    >>> curve = qini_curve([1, 0, 1, 0], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"])
    >>> curve.table["value"].tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0]
    """
    return _curve(qini_points, "qini", "Qini curve", y, effects, treatment, control, sample_weight)


def uplift_curve(
    y: Any, effects: Any, treatment: Any, *, control: Any = None, sample_weight: Any = None
) -> Curve:
    """Difference in mean outcomes times the number of rows, in order of falling effect.

    At the first m rows, the curve is ``(Y_T / N_T - Y_C / N_C) m``, the cumulative gain (Gutierrez
    & Gerardy, 2016, section 4.1); the mean of an arm that is not yet among these rows is set to 0.
    The values are those of scikit-uplift's ``uplift_curve``; CausalML's ``get_cumgain``
    interpolates as long as an arm is not among the rows, and keeps rows with equal effects in the
    order given.

    Parameters
    ----------
    y, effects, treatment, control, sample_weight
        As in `qini_curve`.

    Returns
    -------
    Curve

    Raises
    ------
    TypeError, ValueError
        As `qini_curve`.

    Examples
    --------
    >>> from hypercate.metrics import uplift_curve
    >>> curve = uplift_curve([1, 0, 1, 0], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"])
    >>> curve.table["value"].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return _curve(
        uplift_points, "uplift", "Uplift curve", y, effects, treatment, control, sample_weight
    )


def qini_points(rows: Comparison) -> Points:
    """Numbers of first rows, from 0 on, and the Qini curve there."""
    n_treated, y_treated, n_control, y_control = _sums(rows)
    return n_treated + n_control, y_treated - y_control * _ratio(n_treated, n_control)


def uplift_points(rows: Comparison) -> Points:
    """The same of the uplift curve."""
    n_treated, y_treated, n_control, y_control = _sums(rows)
    n = n_treated + n_control
    return n, (_ratio(y_treated, n_treated) - _ratio(y_control, n_control)) * n


def _sums(rows: Comparison) -> tuple[np.ndarray, ...]:
    """Weights and summed outcomes of the treated and of control, up to each distinct effect."""
    tied = np.unique(-rows.effect, return_inverse=True)[1]
    of_treated, of_control = rows.weight * rows.treated, rows.weight * ~rows.treated
    return tuple(
        np.append(0.0, np.cumsum(np.bincount(tied, values)))
        for values in (of_treated, of_treated * rows.y, of_control, of_control * rows.y)
    )


def _ratio(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(values, n, out=np.zeros_like(values), where=n > 0)


def _curve(
    points_of: Callable[[Comparison], Points],
    kind: str,
    title: str,
    y: Any,
    effects: Any,
    treatment: Any,
    control: Any,
    sample_weight: Any,
) -> Curve:
    parts = []
    for arm, rows in read_comparisons(y, effects, treatment, control, sample_weight).items():
        n, value = points_of(rows)
        share = n / n[-1]
        parts.append(
            pd.DataFrame(
                {"arm": arm, "share": share, "rows": n, "value": value, "random": share * value[-1]}
            )
        )
    return Curve(kind, pd.concat(parts, ignore_index=True), title, "incremental outcomes")
