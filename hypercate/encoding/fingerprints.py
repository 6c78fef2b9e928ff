"""Numbers by which rows are known again, and a warning of rows that are there twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hypercate.encoding.checks import warn

MANY_REPEATED = 0.05  # share of rows that have a twin
SELDOM_OTHER = 0.05  # share of pairs alike in x that differ in y or arm, over that by chance


def fingerprints(x: np.ndarray) -> np.ndarray:
    """One number for each row of encoded covariates, the same for the same covariates.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    return combined((np.ascontiguousarray(x) + np.float32(0)).view(np.uint32).T)  # -0 becomes 0


def fingerprints_with(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The same of each row of covariates and of values, float of shape (n, k), that go with it."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    return combined([fingerprints(x), *bits.T])


def combined(columns: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """One number for each row of some columns of bit patterns or codes: uint64, shape (n,)."""
    code = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        code = (code ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(29)
    return code


def warn_of_repeated_rows(x: np.ndarray, y: np.ndarray, condition: np.ndarray) -> None:
    """Rows written down several times are not independent; where x is coarse, twins are natural."""
    x = fingerprints(x)
    answer = combined([y.view(np.uint64), condition.astype(np.uint64)])
    x_times, answer_times, times = (
        np.unique(code, return_counts=True)[1] for code in (x, answer, combined([x, answer]))
    )
    repeated = times[times > 1].sum() / len(x)
    by_chance = np.square(answer_times / len(x)).sum()
    pairs, alike = (np.sum(c * (c - 1.0)) for c in (times, x_times))
    if repeated > MANY_REPEATED and alike - pairs < SELDOM_OTHER * (1 - by_chance) * alike:
        warn(
            f"{repeated:.0%} of the rows are repeated: they are identical to another row in every "
            "covariate, the outcome and the treatment. If these are copies of one unit, errors and "
            "intervals are too small: pass groups=, the unit of each row, or drop the copies"
        )
