"""Columns as a tree splits them, and its splits in words."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hypercate.encoding.checks import listed
from hypercate.encoding.columns import read_column


@dataclass(frozen=True)
class NumberSplit:
    """A column of numbers, split at a threshold; missing values go to one of the sides.

    Attributes
    ----------
    label : label of the column
    missing : bool
        Whether rows of the fit miss it.
    """

    label: Hashable
    missing: bool

    def values(self, column: pd.Series) -> np.ndarray:
        """Numbers (n,), NaN for missing."""
        return np.asarray(read_column(column, str(self.label)), dtype=float)

    def words(
        self, threshold: float, missing_left: bool, reaching: tuple[int, int]
    ) -> tuple[str, str]:
        """What is true of rows that go left, and of those that go right."""
        or_missing = " or missing" if self.missing else ""
        return (
            f"{self.label} <= {threshold:.6g}{or_missing * missing_left}",
            f"{self.label} > {threshold:.6g}{or_missing * (not missing_left)}",
        )


@dataclass(frozen=True)
class LevelSplit:
    """A column of levels in the order of their mean effect, split between two of them.

    Of one effect that is the best split of levels in two (Fisher, 1958, "On grouping for maximum
    homogeneity", JASA 53:789-798), where it is the first.

    Attributes
    ----------
    label : label of the column
    levels : tuple of str
        In the order of their mean effect; "missing" for rows that miss it.
    """

    label: Hashable
    levels: tuple[str, ...]

    @classmethod
    def fit(cls, label: Hashable, column: pd.Series, effect: np.ndarray) -> LevelSplit:
        """Order the levels of rows by the mean of their effects (n,)."""
        means = pd.Series(effect).groupby(_levels(column, str(label))).mean()
        return cls(label, tuple(means.sort_values(kind="stable").index))

    def values(self, column: pd.Series) -> np.ndarray:
        """Places in the order (n,); NaN for a level that the fit did not meet."""
        place = {level: float(place) for place, level in enumerate(self.levels)}
        return np.array([place.get(level, np.nan) for level in _levels(column, str(self.label))])

    def words(
        self, threshold: float, missing_left: bool, reaching: tuple[int, int]
    ) -> tuple[str, str]:
        """What is true of rows that go left and right, of levels from and up to some places."""
        middle = int(threshold) + 1
        parts = self.levels[reaching[0] : middle], self.levels[middle : reaching[1]]
        left, right = (
            f"{self.label} is {part[0]}"
            if len(part) == 1
            else f"{self.label} in {{{listed(sorted(part))}}}"
            for part in parts
        )
        return left, right


Split: TypeAlias = NumberSplit | LevelSplit


def fit_splits(frame: pd.DataFrame, effect: np.ndarray) -> list[Split]:
    """How each column of rows with effects (n,) is split."""
    splits: list[Split] = []
    for label, column in frame.items():
        if _has_levels(column, str(label)):
            splits.append(LevelSplit.fit(label, column, effect))
        else:
            missing = bool(np.isnan(NumberSplit(label, False).values(column)).any())
            splits.append(NumberSplit(label, missing))
    return splits


def design(frame: pd.DataFrame, splits: list[Split]) -> np.ndarray:
    """What the tree reads of rows: (n, n_columns)."""
    return np.column_stack([split.values(frame.iloc[:, j]) for j, split in enumerate(splits)])


def _has_levels(column: pd.Series, name: str) -> bool:
    return pd.api.types.is_bool_dtype(column.dtype) or isinstance(
        read_column(column, name), pd.Categorical
    )


def _levels(column: pd.Series, name: str) -> list[str]:
    """Each row's level in words."""
    values: Any = column if pd.api.types.is_bool_dtype(column.dtype) else read_column(column, name)
    levels = pd.Categorical(values)
    names = np.array([*map(str, levels.categories), "missing"], dtype=object)
    return names[levels.codes].tolist()
