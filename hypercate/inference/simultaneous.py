"""Several averages at once: simultaneous intervals, and p-values adjusted for multiple testing."""

from __future__ import annotations

import numpy as np


def level_of_each(alpha: float, n: int) -> float:
    """The alpha of each of n intervals that all cover at once with probability 1 - alpha.

    For estimates that are jointly normal, whatever their correlations (Sidak, 1967, "Rectangular
    confidence regions for the means of multivariate normal distributions", JASA 62:626-633).
    """
    return 1 - (1 - alpha) ** (1 / n)


def adjusted(pvalues: np.ndarray) -> np.ndarray:
    """Step-down adjusted p-values: the smallest is tested first, each for the tests that remain.

    Rejecting those below alpha rejects any true hypothesis with probability at most alpha (Holm,
    1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6:65-70, with Sidak's levels). P-values that are NaN stay NaN and are not counted.
    """
    known = ~np.isnan(pvalues)
    own = pvalues[known]
    order = np.argsort(own, kind="stable")
    left = np.arange(len(own), 0, -1)
    stepped = np.maximum.accumulate(-np.expm1(left * np.log1p(-np.minimum(own[order], 1 - 1e-16))))
    found = np.full(len(pvalues), np.nan)
    found[np.flatnonzero(known)[order]] = stepped
    return found
