"""Rows that are dicts, by the names of columns: as a frame, and encoded without one.

A service is asked for one row at a time, and to make a frame of it takes longer than all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from hypercate.encoding.checks import listed
from hypercate.encoding.columns import CategoryColumn, NumberColumn
from hypercate.encoding.scaling import standardise

_NUMBERS = {float, int, bool, type(None)}


def are_records(X: Any) -> TypeGuard[dict | list[dict]]:
    """Whether X is a dict, one row, or a list that starts with one."""
    first = X[0] if isinstance(X, list) and X else X
    return isinstance(first, dict) and not issparse(first)  # some sparse matrices are dicts


def records(X: dict | list[dict]) -> list[dict]:
    """The rows of what `are_records` found."""
    return [X] if isinstance(X, dict) else X


def frame_of_records(rows: list[dict]) -> pd.DataFrame:
    """A frame of the rows, whose columns are the keys of the first.

    Raises
    ------
    TypeError
        If a row is no dict.
    ValueError
        If a row has not the keys of the first.
    """
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise TypeError(
                f"X[{place}] is a {type(row).__name__}, but X[0] is a dict: a list of rows needs a "
                "dict for each row, with the names of the columns as keys"
            )
        if row.keys() != rows[0].keys():
            differ = [key for key in (rows[0] | row) if (key in row) != (key in rows[0])]
            raise ValueError(
                f"X[{place}] does not have the columns of X[0]: it differs in "
                f"{listed(map(repr, differ))}. Every row needs every column, with None for missing"
            )
    return pd.DataFrame(rows)


def level_table(column: CategoryColumn) -> np.ndarray:
    """What each code of a column is encoded as: float32, shape (n_codes + 1, n_outputs)."""
    codes = np.arange(column.n_codes + 1)
    block = np.empty((len(column.output_names), len(codes)))
    column.expand(codes, block)
    if not column.coded:
        standardise(block, np.array(column.location), np.array(column.scale))
    return block.T.astype(np.float32)


def missing_table(column: NumberColumn) -> np.ndarray:
    """What the indicator of missing values is, where they are not and where they are: float32."""
    block = np.array([[0.0, 1.0]])
    standardise(block, np.array(column.location[1:]), np.array(column.scale[1:]))
    return block[0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numeric columns side by side.

    Attributes
    ----------
    names : tuple of str
    location, scale : ndarray of float64, shape (n_numbers,)
    place : ndarray of int64, shape (n_numbers,)
        Output of each.
    indicated : ndarray of int64, shape (n_indicated,)
        Those with an indicator of missing values, which is the output after their own.
    missing : ndarray of float32, shape (n_indicated, 2)
        Values of the indicator: `missing_table`.
    """

    names: tuple[str, ...]
    location: np.ndarray
    scale: np.ndarray
    place: np.ndarray
    indicated: np.ndarray
    missing: np.ndarray


@dataclass(frozen=True, eq=False)
class Category:
    """A column of levels.

    Attributes
    ----------
    name : str
    codes : dict of int
        Code of each level; of None, the code of missing values.
    other : int
        Code of a level that was not met.
    table : ndarray of float32, shape (n_codes + 1, n_outputs)
        `level_table`.
    place : slice
        Outputs.
    """

    name: str
    codes: dict[str | None, int]
    other: int
    table: np.ndarray
    place: slice

    def code(self, value: Any) -> int | None:
        """Code of a value, None if the value is neither a string nor missing."""
        kind = type(value)
        if kind is str:
            return self.codes.get(value, self.other)
        if value is None or (kind is float and value != value):
            return self.codes[None]
        return None


@dataclass(frozen=True, eq=False)
class RecordEncoder:
    """Columns flattened into arrays, to encode rows of plain values.

    Attributes
    ----------
    names : frozenset of str
        Of all columns.
    numbers : Numbers
    categories : tuple of Category
    n_outputs : int
    """

    names: frozenset[str]
    numbers: Numbers
    categories: tuple[Category, ...]
    n_outputs: int

    @classmethod
    def of(cls, columns: tuple[NumberColumn | CategoryColumn, ...]) -> RecordEncoder:
        """From fitted columns, whose names are those that rows have."""
        widths = [len(column.output_names) for column in columns]
        ends = np.cumsum(widths).tolist()
        numbers, categories = [], []
        for column, width, end in zip(columns, widths, ends, strict=True):
            if isinstance(column, NumberColumn):
                numbers.append((column, end - width))
                continue
            codes: dict[str | None, int] = {level: j for j, level in enumerate(column.levels)}
            codes[None] = column.missing_code
            place = slice(end - width, end)
            table = level_table(column)
            categories.append(Category(column.name, codes, column.other_code, table, place))
        of_numbers = [column for column, _ in numbers]
        return cls(
            frozenset(column.name for column in columns),
            Numbers(
                tuple(column.name for column in of_numbers),
                np.array([column.centre for column in of_numbers]),
                np.array([column.spread for column in of_numbers]),
                np.array([place for _, place in numbers], dtype=np.int64),
                np.flatnonzero([bool(column.missing) for column in of_numbers]),
                np.array(
                    [missing_table(column) for column in of_numbers if column.missing],
                    dtype=np.float32,
                ).reshape(-1, 2),
            ),
            tuple(categories),
            ends[-1],
        )

    def encode(self, rows: list[dict]) -> np.ndarray | None:
        """Encode rows of finite numbers, booleans, strings and None.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs), or None
            What `FeatureEncoder.transform` of their frame is; None if a row has other values or
            columns, which the frame then reads or refuses.
        """
        if not all(isinstance(row, dict) and row.keys() == self.names for row in rows):
            return None
        encoded = np.empty((len(rows), self.n_outputs), dtype=np.float32)
        for category in self.categories:
            codes = [category.code(row[category.name]) for row in rows]
            if None in codes:
                return None
            encoded[:, category.place] = category.table[np.array(codes, dtype=np.int64)]
        names = self.numbers.names
        values = [[row[name] for name in names] for row in rows]
        if not {type(value) for own in values for value in own} <= _NUMBERS:
            return None
        try:
            block = np.array(values, dtype=np.float64).T.reshape(len(names), len(rows))
        except OverflowError:
            return None
        if np.isinf(block).any():
            return None
        indicated, place = self.numbers.indicated, self.numbers.place
        if len(indicated):
            is_missing = np.isnan(block[indicated])
            without, with_missing = self.numbers.missing.T[..., None]
            encoded[:, place[indicated] + 1] = np.where(is_missing, with_missing, without).T
        standardise(block, self.numbers.location, self.numbers.scale)
        encoded[:, place] = block.T
        return encoded
