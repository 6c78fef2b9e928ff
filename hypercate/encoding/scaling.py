"""Location and scale that neither outliers nor extreme units upset, and standardisation by them."""

from __future__ import annotations

import math

import numpy as np

CLIPPED_PERCENT = 1
LINEAR_RANGE = 4.0
FURTHEST = 1e6
ROUNDING = 4 * float(np.finfo(np.float64).eps)


def moments(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Mean and standard deviation, computed from the smallest value in units of the largest.

    Large offsets (1e12 and a small variation) and squares of large values (1e300) do no harm.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite, at least one.
    weights : ndarray of float64, shape (n,), optional
        Not negative, not all 0.

    Returns
    -------
    mean, sd : float
        sd is 0 when the values differ by no more than rounding.
    """
    if weights is not None:
        values, weights = values[weights > 0], weights[weights > 0] / weights.max()
    low, high = float(values.min()), float(values.max())
    if _same(low, high):
        return low, 0.0
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    offset = math.ldexp(low, -exponent)
    units = np.ldexp(values, -exponent) - offset
    mean = float(np.average(units, weights=weights))
    sd = math.sqrt(np.average((units - mean) ** 2, weights=weights))
    return math.ldexp(offset + mean, exponent), math.ldexp(sd, exponent)


def robust_moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of values clipped to their 1st and 99th percentile.

    Percentiles are order statistics, rounded inwards: even among few rows an extreme is clipped.
    Where clipping leaves no spread (a rare event coded 0 and 1) the values are taken as they are.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite, at least one.

    Returns
    -------
    location, scale : float
        scale is 0 when the values differ by no more than rounding.
    """
    bounds = clipped(values)
    return moments(values if bounds is None else np.clip(values, *bounds))


def clipped(values: np.ndarray) -> tuple[float, float] | None:
    """The 1st and 99th percentile, rounded inwards; None if there is nothing between them."""
    first = -(-(len(values) - 1) * CLIPPED_PERCENT // 100)
    last = len(values) - 1 - first
    if first >= last:
        return None
    ordered = np.partition(values, [first, last])
    low, high = float(ordered[first]), float(ordered[last])
    return None if _same(low, high) else (low, high)


def standardise(block: np.ndarray, location: np.ndarray, scale: np.ndarray) -> None:
    """Standardise in place and compress what is far out; NaN becomes 0, the mean.

    ``z = (x - location) / scale`` is left alone up to 4 in size; beyond,
    ``sign(z) * (4 + log1p(|z| - 4))`` goes on smoothly, and stops at ``|z| = 1e6``.

    Parameters
    ----------
    block : ndarray of float64, shape (p, n)
        A column of values in each row of the array; finite or NaN.
    location, scale : ndarray of float64, shape (p,)
        A scale of infinity makes its column 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        block -= location[:, None]
        block /= scale[:, None]
    size = np.abs(block)
    far = size > LINEAR_RANGE
    compressed = LINEAR_RANGE + np.log1p(np.minimum(size[far], FURTHEST) - LINEAR_RANGE)
    block[far] = np.copysign(compressed, block[far])
    block[np.isnan(block)] = 0.0


def _same(low: float, high: float) -> bool:
    return high - low <= ROUNDING * max(abs(low), abs(high))
