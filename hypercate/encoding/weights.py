"""Weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_labels, as_vector, check_rows, rows_where

LEAST_WEIGHT, LARGEST_WEIGHT = 1e-100, 1e100  # of the largest, so that squares and sums are finite


def check_sample_weight(
    sample_weight: Any, n: int, index: pd.Index | np.ndarray | None = None, of: str = "X"
) -> np.ndarray:
    """Weights of the rows, ones when there are none.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), or None
    n : int
        Number of rows of X.
    index : Index, optional
        As in `check_rows`.
    of : str, default="X"
        As in `check_rows`.

    Returns
    -------
    ndarray of float64, shape (n,)
        As given, or divided by a power of two where squares or sums would not be finite.

    Raises
    ------
    TypeError
        If a weight is not a number, or there is only one for all rows.
    ValueError
        If a weight is missing, infinite or negative, none is positive, the shape is not (n,), or
        labels contradict the order of X.
    """
    if sample_weight is None:
        return np.ones(n)
    check_rows(n, index, of, sample_weight=sample_weight)
    weights = as_labels(as_vector(sample_weight, "sample_weight"), "sample_weight")
    if weights.dtype.kind == "U":
        raise TypeError(f"sample_weight must hold numbers, but row 0 holds {weights[0].item()!r}")
    weights = weights.astype(np.float64)
    for wrong, what in ((np.isinf(weights), "infinite (inf)"), (weights < 0, "negative")):
        if wrong.any():
            raise ValueError(
                f"sample_weight is {what} in {rows_where(wrong)}: weights are 0 or more"
            )
    if not weights.any():
        raise ValueError(
            "sample_weight is zero in every row: at least one row needs a positive weight"
        )
    largest = weights.max()
    scaled = np.ldexp(weights, -np.frexp(largest)[1])
    lost = (weights > 0) & (scaled == 0)
    if lost.any():
        raise ValueError(
            f"sample_weight is too small compared with the largest, {largest:g}, in "
            f"{rows_where(lost)}, and lost to rounding: set these to 0, or drop the rows"
        )
    return weights if LEAST_WEIGHT < largest < LARGEST_WEIGHT else scaled
