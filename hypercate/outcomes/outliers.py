"""Outcomes that are grossly out of line, such as a slip of the decimal point or a code for missing.

A few of them would decide every mean: the loss that networks are trained on, and the averages.
"""

from __future__ import annotations

import numpy as np

from hypercate.encoding.checks import rows_where, warn
from hypercate.encoding.scaling import CLIPPED_PERCENT, clipped, moments

FURTHER = 10.0  # times as far from the median as every other outcome
LEAST_ROWS = 30  # that show what is usual
LEAST_SDS = 20.0  # standard deviations of the outcomes clipped to their percentiles


def pulled_in(y: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Outcomes, with gross outliers moved to the furthest of the others.

    At most 1 % of the rows, or one of less than a hundred, are outliers: those more than ten times
    as far from the median as every other row, and more than 20 standard deviations of the outcomes
    clipped to their 1st and 99th percentile from it. Tails that are merely heavy have no such gap,
    and are left alone, as are fewer than 30 rows.

    Parameters
    ----------
    y : ndarray of float64, shape (n_used,)
    used : ndarray of bool, shape (n_given,)
        Which of the rows given these are.

    Returns
    -------
    ndarray of float64, shape (n_used,)

    Warns
    -----
    UserWarning
        If there are outliers; it names the rows.
    """
    most = max(1, len(y) * CLIPPED_PERCENT // 100)
    bounds = clipped(y)
    if bounds is None or len(y) < LEAST_ROWS:
        return y
    with np.errstate(over="ignore"):
        distance = np.abs(y - np.median(y))
        tail = np.sort(distance)[-most - 1 :]
        least = LEAST_SDS * moments(np.clip(y, *bounds))[1]
        apart = tail[1:] > np.maximum(FURTHER * tail[:-1], least)
    if not apart.any():
        return y
    outlying = distance > tail[:-1][apart.argmax()]
    low, high = y[~outlying].min(), y[~outlying].max()
    rows = np.zeros(len(used), dtype=bool)
    rows[np.flatnonzero(used)[outlying]] = True
    warn(
        f"y in {rows_where(rows)} is more than {FURTHER:g} times as far from the median as any "
        f"other outcome (the others lie between {low:.4g} and {high:.4g}) and would dominate every "
        "mean: it is set to the nearest of the others. Correct or drop these rows"
    )
    return np.clip(y, low, high)
