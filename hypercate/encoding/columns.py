"""One column of covariates: what it holds, what of it is kept, and the values it expands to."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hypercate.encoding.checks import (
    NUMBER_TYPES,
    all_of,
    as_floats,
    listed,
    rows_where,
    types_found,
    warn,
)
from hypercate.encoding.scaling import robust_moments

MAX_LEVELS = 30  # with an indicator each; a column of more is coded
LEAST_LEVEL_ROWS = 5  # of a level that counts on its own, where there are more
MIN_INDICATOR_SD = 0.1

Values: TypeAlias = np.ndarray | pd.Categorical


def read_column(column: pd.Series, name: str) -> Values:
    """Numbers (NaN for missing) as an array, everything with levels as a Categorical.

    Parameters
    ----------
    column : Series, shape (n,)
    name : str
        The column's name, for messages.

    Raises
    ------
    TypeError
        If the column holds dates or durations, a mix of strings and numbers, or other objects.
    ValueError
        If it holds complex or infinite numbers.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.Categorical(column)
    if dtype.kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r} holds {dtype}")
    if dtype.kind in "mM":
        raise TypeError(
            f"column {name!r} holds {dtype}: turn dates and durations into numbers, e.g. days "
            "since a reference date"
        )
    if dtype.kind in "biuf":
        if isinstance(dtype, np.dtype):
            numbers = column.to_numpy()
        else:
            numbers = column.to_numpy(np.float64, na_value=np.nan)
    else:
        present = column.dropna()
        types = {str} if isinstance(dtype, pd.StringDtype) else set(map(type, present))
        if types and all_of(types, (str,)):
            return pd.Categorical(column)
        if not all_of(types, NUMBER_TYPES):
            found = types_found(present, np.flatnonzero(column.notna()).tolist())
            raise TypeError(
                f"column {name!r} holds {found}, but each argument must be a string "
                "or a real number, the same throughout a column: convert it, or leave it out"
            )
        numbers = np.full(len(column), np.nan)
        numbers[column.notna()] = as_floats(present.to_numpy(object), f"column {name!r}")
    infinite = np.isinf(numbers)
    if infinite.any():
        raise ValueError(
            f"column {name!r} is infinite (inf) in {rows_where(infinite)}: correct the value, or "
            "make it NaN for missing"
        )
    return numbers


@dataclass(frozen=True)
class NumberColumn:
    """A numeric column and, if values were missing in fit, its indicator of missing values.

    Attributes
    ----------
    name : str
    centre, spread : float
        Robust location and scale; a constant column's scale is infinite, which makes it 0.
    missing : float
        Share of rows missing in fit.
    """

    name: str
    centre: float
    spread: float
    missing: float

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> NumberColumn:
        """Take location, scale and share missing of values, of which one at least is present."""
        values = values.astype(np.float64)
        present = values[~np.isnan(values)]
        centre, spread = robust_moments(present)
        return cls(name, centre, spread or math.inf, 1 - len(present) / len(values))

    @property
    def output_names(self) -> list[str]:
        """Name of each output."""
        return [self.name, f"{self.name} (missing)"][: 2 if self.missing else 1]

    @property
    def location(self) -> list[float]:
        """Location of each raw output."""
        return [self.centre, self.missing][: len(self.output_names)]

    @property
    def scale(self) -> list[float]:
        """Scale of each raw output."""
        return [self.spread, _indicator_sd(self.missing)][: len(self.output_names)]

    def source(self, values: Values) -> np.ndarray:
        """Numbers of a column read again, shape (n,).

        Raises
        ------
        TypeError
            If the column now holds strings or categories.
        """
        if not isinstance(values, pd.Categorical):
            return values
        if (values.codes < 0).all():
            return np.full(len(values), np.nan)
        raise TypeError(
            f"column {self.name!r} was numeric in fit and now holds strings or categories: "
            "convert it with pandas.to_numeric"
        )

    def expand(self, source: np.ndarray, rows: np.ndarray) -> None:
        """Write numbers, shape (n,), as raw outputs into rows, shape (n_outputs, n)."""
        rows[0] = source
        if self.missing:
            rows[1] = np.isnan(rows[0])


@dataclass(frozen=True)
class CategoryColumn:
    """A column of strings or categories: indicators of few levels, or the code of one of many.

    Codes run over the levels, then the pooled rare ones, then missing. A value without a level
    of its own or a pool has the next code; as indicators it is NaN, which standardises to the mean.

    Attributes
    ----------
    name : str
    levels : tuple of str
        Sorted. Where there are more than `MAX_LEVELS`, those of `LEAST_LEVEL_ROWS` rows or more.
    pooled, missing : bool
        Whether levels were pooled, and whether values were missing, in fit.
    shares : tuple of float
        Share of rows of each code in fit.
    """

    name: str
    levels: tuple[str, ...]
    pooled: bool
    missing: bool
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, name: str, values: pd.Categorical) -> CategoryColumn:
        """Take the levels of values, of which one at least is present.

        Warns
        -----
        UserWarning
            If levels are pooled; it names them.
        """
        codes = np.asarray(values.codes)
        sizes = np.bincount(codes[codes >= 0], minlength=len(values.categories))
        counts: Counter[str] = Counter()
        for category, size in zip(values.categories, sizes.tolist(), strict=True):
            if size:
                counts[_level(category)] += size
        rare: list[str] = []
        if len(counts) > MAX_LEVELS:
            rare = sorted(level for level, count in counts.items() if count < LEAST_LEVEL_ROWS)
        if rare:
            warn(
                f"column {name!r} has {len(counts)} levels, of which {len(rare)} have fewer than "
                f"{LEAST_LEVEL_ROWS} rows and are pooled as one: {listed(map(repr, rare))}. Merge "
                "similar levels, or leave the column out if it only identifies the rows"
            )
        levels = tuple(sorted(counts.keys() - set(rare)))
        column = cls(name, levels, bool(rare), missing=bool((codes < 0).any()), shares=())
        code_sizes = np.bincount(column.source(values), minlength=column.n_codes)
        return replace(column, shares=tuple((code_sizes / len(codes)).tolist()))

    @property
    def n_codes(self) -> int:
        """Codes that rows had in fit."""
        return len(self.levels) + self.pooled + self.missing

    @property
    def other_code(self) -> int:
        """Code of a value without a level of its own."""
        return len(self.levels) if self.pooled else self.n_codes

    @property
    def missing_code(self) -> int:
        return len(self.levels) + self.pooled if self.missing else self.n_codes

    @property
    def coded(self) -> bool:
        """Whether the only output is the code."""
        return len(self.levels) > MAX_LEVELS

    @property
    def code_names(self) -> list[str]:
        """Name of each code."""
        rest = [f"{self.name} (other)"] * self.pooled + [f"{self.name} (missing)"] * self.missing
        return [f"{self.name}={level}" for level in self.levels] + rest

    @property
    def output_names(self) -> list[str]:
        """Name of each output."""
        return [self.name] if self.coded else self.code_names

    @property
    def location(self) -> list[float]:
        """Location of each raw output."""
        return [0.0] if self.coded else list(self.shares)

    @property
    def scale(self) -> list[float]:
        """Scale of each raw output."""
        return [1.0] if self.coded else [_indicator_sd(share) for share in self.shares]

    def source(self, values: Values) -> np.ndarray:
        """Codes of a column read again, int64, shape (n,).

        Raises
        ------
        TypeError
            If the column now holds numbers.
        """
        if not isinstance(values, pd.Categorical):
            if not np.isnan(values).all():
                raise TypeError(
                    f"column {self.name!r} held strings or categories in fit and now holds "
                    "numbers: convert it with astype(str) or astype('category')"
                )
            values = pd.Categorical([None] * len(values))
        code_of = {level: code for code, level in enumerate(self.levels)}
        known = [code_of.get(_level(category), self.other_code) for category in values.categories]
        return np.array([*known, self.missing_code], dtype=np.int64)[values.codes]

    def expand(self, source: np.ndarray, rows: np.ndarray) -> None:
        """Write codes, shape (n,), as raw outputs into rows, shape (n_outputs, n)."""
        if self.coded:
            rows[0] = source
            return
        rows[:] = source == np.arange(len(rows))[:, None]
        rows[:, source == self.n_codes] = np.nan


def fit_column(values: Values, name: str) -> NumberColumn | CategoryColumn:
    """Fit the kind of column that values are.

    Raises
    ------
    ValueError
        If every value is missing.
    """
    if pd.isna(values).all():
        raise ValueError(f"column {name!r} is missing in every row: leave it out")
    if isinstance(values, pd.Categorical):
        return CategoryColumn.fit(name, values)
    return NumberColumn.fit(name, values)


def _level(category: Any) -> str:
    """A category in words; 1, 1.0 and "1" are one level, as a missing value turns 1 into 1.0."""
    if isinstance(category, float) and category.is_integer():
        return str(int(category))
    if isinstance(category, str):
        return str.__str__(category)  # of an enumeration, its value
    return str(category)


def _indicator_sd(share: float) -> float:
    return max(math.sqrt(share * (1 - share)), MIN_INDICATOR_SD)
