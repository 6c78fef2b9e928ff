"""How well intervals of effects cover known effects.

References
----------
Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", JASA
102:359-378.
Winkler (1972), "A decision-theoretic approach to interval estimation", JASA 67:187-191.
"""

import numpy as np
from numpy.typing import ArrayLike

from hypercate.metrics.checks import check_finite


def coverage(effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Share of true effects that lie inside their intervals, ends included.

    Parameters
    ----------
    effect_true : array-like of shape (n,) or (n, K - 1)
        True CATE against control, in units of the outcome.
    lower, upper : array-like of the same shape
        Ends of the intervals; an end may be infinite.

    Returns
    -------
    float
        In [0, 1], over rows and contrasts; near the nominal level if the intervals are calibrated.

    Raises
    ------
    ValueError
        If the shapes differ or are not as above, a true effect is missing or infinite, an end is
        missing, or a lower end is above its upper end.

    Examples
    --------
    >>> from hypercate.metrics import coverage
    >>> coverage([1.0, 2.0, 3.0, 4.0], lower=[0.0, 1.0, 2.0, 5.0], upper=[2.0, 3.0, 4.0, 6.0])
    0.75
    """
    true, low, high = _check_intervals(effect_true, lower, upper)
    return float(np.mean((low <= true) & (true <= high)))


def interval_score(
    effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike, alpha: float
) -> float:
    """Mean interval score (Winkler, 1972; Gneiting & Raftery, 2007, eq. 43).

    The width of the interval, plus ``2 / alpha`` times the distance between the interval and a
    true effect outside it. Intervals with too low coverage and intervals that are wider than
    necessary both have a high score: the score is lowest if the ends are the quantiles at
    ``alpha / 2`` and ``1 - alpha / 2``.

    Parameters
    ----------
    effect_true : array-like of shape (n,) or (n, K - 1)
        True CATE against control, in units of the outcome.
    lower, upper : array-like of the same shape
        Ends of the intervals; an end may be infinite.
    alpha : float in (0, 1)
        The intervals' nominal level is ``1 - alpha``.

    Returns
    -------
    float
        In units of the outcome, over rows and contrasts; lower is better. Infinite if an interval
        is unbounded.

    Raises
    ------
    ValueError
        As :func:`coverage`, or if alpha is not between 0 and 1.

    Examples
    --------
    >>> from hypercate.metrics import interval_score
    >>> interval_score([1.0, 4.0], lower=[0.0, 5.0], upper=[2.0, 6.0], alpha=0.5)
    3.5
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    true, low, high = _check_intervals(effect_true, lower, upper)
    missed = np.maximum(low - true, 0) + np.maximum(true - high, 0)
    return float(np.mean(high - low + 2 / alpha * missed))


def _check_intervals(
    effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    true = np.asarray(effect_true, dtype=float)
    low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if not true.shape == low.shape == high.shape:
        raise ValueError(
            f"effect_true has shape {true.shape} but the intervals have {low.shape} and "
            f"{high.shape}"
        )
    if true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(f"effects must have shape (n,) or (n, K - 1), got {true.shape}")
    check_finite(effect_true=true)
    bad = np.argwhere(~((low <= high) & (low < np.inf) & (high > -np.inf)))
    if len(bad):
        place = tuple(bad[0])
        raise ValueError(
            f"the interval of row {place[0]} is [{low[place]}, {high[place]}]: its ends must not "
            "be missing, and the lower end must not be above the upper end"
        )
    return true, low, high
