"""Columns that a tree can split, and thresholds that people can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.encoding import FeatureEncoder
from hypercate.encoding.columns import CategoryColumn
from hypercate.encoding.scaling import LINEAR_RANGE, standardise

MOST_DIGITS = 9


@dataclass(frozen=True)
class SplitColumn:
    """A column that a tree can split: a number, or a yes/no property.

    Attributes
    ----------
    name : str
        Such as "age", "age (missing)" or "site=north".
    place : int
        Of the encoded column.
    code : int
        Of a column of codes, the one asked for; -1 of others.
    is_number : bool
    location, scale : float
        Of a number.
    """

    name: str
    place: int
    code: int
    is_number: bool
    location: float
    scale: float

    def values(self, x: np.ndarray) -> np.ndarray:
        """Encoded values of rows, or whether they have the code."""
        own = x[:, self.place]
        return own if self.code < 0 else (own == self.code).astype(np.float32)

    def encode(self, number: float) -> np.float32:
        """A number of the column as it is encoded."""
        block = np.array([[number]])
        standardise(block, np.array([self.location]), np.array([self.scale]))
        return np.float32(block[0, 0])

    def threshold(self, low: np.float32, high: np.float32) -> tuple[float, np.float32]:
        """A short number between two encoded values, and how it is encoded.

        Of a column that only holds or not, half way.
        """
        middle = np.float32((np.float64(low) + np.float64(high)) / 2)
        if not self.is_number:
            return 0.5, middle
        number = self._decode(float(middle))
        for digits in range(1, MOST_DIGITS + 1):
            short = float(f"{number:.{digits}g}")
            if low <= self.encode(short) < high:
                return short, self.encode(short)
        return number, middle

    def _decode(self, value: float) -> float:
        size = abs(value)
        if size > LINEAR_RANGE:
            value = float(np.copysign(LINEAR_RANGE + np.expm1(size - LINEAR_RANGE), value))
        return self.location + self.scale * value


def split_columns(features: FeatureEncoder) -> list[SplitColumn]:
    """The columns that a tree can split; a constant one is left out."""
    found, place = [], 0
    for column in features.columns:
        names = column.output_names
        if isinstance(column, CategoryColumn):
            for code, name in enumerate(column.code_names):
                at = (place, code) if column.coded else (place + code, -1)
                found.append(SplitColumn(name, *at, False, 0.0, 1.0))
        else:
            if np.isfinite(column.spread):
                found.append(SplitColumn(names[0], place, -1, True, column.centre, column.spread))
            found += [SplitColumn(name, place + 1, -1, False, 0.0, 1.0) for name in names[1:]]
        place += len(names)
    return found


def binned(
    columns: list[SplitColumn], x: np.ndarray, most: int | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Bins of every column between which it can be split.

    Parameters
    ----------
    columns : list of SplitColumn
    x : ndarray of float32, shape (n, n_outputs)
    most : int or None
        Thresholds of a column: quantiles where it has more; None for all.

    Returns
    -------
    bins : ndarray of int64, shape (n, n_columns)
    limits : list of ndarray, shape (n_bins - 1, 2)
        Of each column, the largest value of each bin but the last and the smallest of the next.
    """
    bins, limits = [], []
    for column in columns:
        values, code = np.unique(column.values(x), return_inverse=True)
        last = np.arange(len(values) - 1)
        if most is not None and len(last) > most:
            below = np.cumsum(np.bincount(code))
            wanted = np.arange(1, most + 1) / (most + 1) * len(code)
            last = np.unique(np.minimum(np.searchsorted(below, wanted), len(values) - 2))
        bins.append(np.searchsorted(last, np.arange(len(values)), side="left")[code])
        limits.append(np.column_stack([values[last], values[last + 1]]))
    return np.column_stack(bins), limits
