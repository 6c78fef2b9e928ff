"""Covariates to a standardised float32 array; columns are matched by name."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import check_array

from hypercate.encoding.checks import MAX_LISTED, as_array, listed, warn
from hypercate.encoding.columns import CategoryColumn, NumberColumn, fit_column, read_column
from hypercate.encoding.frames import as_pandas
from hypercate.encoding.records import RecordEncoder, are_records, frame_of_records, records
from hypercate.encoding.scaling import standardise

ROWS_AT_A_TIME = 4096
OWNER = "HyperCATE"


@dataclass(frozen=True, eq=False)
class FeatureEncoder:
    """Numbers standardised, strings and categories one-hot, missing values indicated.

    A numeric column becomes ``(x - location) / scale`` with the mean and standard deviation of
    its values clipped to the 1st and 99th percentile, compressed beyond 4 in size; a missing
    value becomes 0 and, if fit met one too, sets the column's indicator. A column of strings or
    categories becomes an indicator for each level, and one for missing. Of a column of more than 30
    levels those of fewer than 5 rows are pooled, with a warning, and where more than 30 are left it
    becomes one output, the level's code, which is no number to calculate with: see `n_codes`. A
    level first met in transform counts as pooled or, without a pool, as the average row. Only
    statistics of columns are kept, never rows.

    Attributes
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        In the order of the columns of X.
    labels : tuple of labels, or None
        Names of the columns of X, if it was a frame of any library.
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    labels: tuple[Hashable, ...] | None

    @classmethod
    def fit(cls, X: Any) -> FeatureEncoder:
        """Learn each column's kind, scale and levels.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            Numbers, booleans, strings or categories, one kind a column; may have missing values.

        Raises
        ------
        TypeError
            If X is sparse, a column holds something else or a mix, or only some column names are
            strings.
        ValueError
            If X is empty or not two-dimensional, column names repeat, a column is missing
            throughout, or a value is complex or infinite.
        """
        frame, labels = read_frame(X)
        _string_labels(labels)  # refuses names of which only some are strings
        names = [f"x{j}" for j in range(frame.shape[1])] if labels is None else map(str, labels)
        return cls(
            tuple(
                fit_column(read_column(frame.iloc[:, j], name), name)
                for j, name in enumerate(names)
            ),
            None if labels is None else tuple(labels),
        )

    @cached_property
    def feature_names_in_(self) -> np.ndarray | None:
        """Names of the columns of X as objects, if it was a frame with string names."""
        return _string_labels(self.labels)

    @property
    def n_features_in_(self) -> int:
        """Number of columns of X."""
        return len(self.columns)

    @cached_property
    def output_names(self) -> list[str]:
        """Such as "age", "age (missing)", "site=north", "site (other)", "site (missing)"."""
        return [name for column in self.columns for name in column.output_names]

    @cached_property
    def n_codes(self) -> np.ndarray:
        """Codes of each output that is the code of a level; 0 for one that is a number.

        ndarray of int64, shape (n_outputs,). A level that is met first in transform has the next.
        """
        return np.array(
            [
                column.n_codes if isinstance(column, CategoryColumn) and column.coded else 0
                for column in self.columns
                for _ in column.output_names
            ]
        )

    @property
    def n_outputs(self) -> int:
        """Number of encoded columns."""
        return len(self.output_names)

    def transform(self, X: Any) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            A DataFrame's columns may come in any order if fit had a DataFrame as well.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs)
            Finite, C-contiguous.

        Raises
        ------
        TypeError, ValueError
            As in fit, and if columns are missing, new, of another number or of another kind.

        Warns
        -----
        UserWarning
            If only one of fit and transform was given column names.
        """
        if are_records(X) and self._records is not None:
            encoded = self._records.encode(records(X))
            if encoded is not None:
                return encoded
        frame, labels = read_frame(X)
        order = self._match(frame, labels)
        if self._numeric and all(_is_number(dtype) for dtype in frame.dtypes):
            return self._numbers(frame, order)
        given = [series for _, series in frame.items()]
        sources = [
            column.source(read_column(given[j], column.name))
            for column, j in zip(self.columns, order, strict=True)
        ]
        ends = np.cumsum([len(column.output_names) for column in self.columns])
        encoded = np.empty((len(frame), self.n_outputs), dtype=np.float32)
        for rows in _blocks(len(frame)):
            block = np.empty((self.n_outputs, rows.stop - rows.start))
            for column, source, end in zip(self.columns, sources, ends, strict=True):
                column.expand(source[rows], block[end - len(column.output_names) : end])
            codes = block[self.n_codes > 0]
            standardise(block, *self._moments)
            block[self.n_codes > 0] = codes
            encoded[rows] = block.T
        return encoded

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Location and scale of every raw output."""
        location = np.array([value for column in self.columns for value in column.location])
        scale = np.array([value for column in self.columns for value in column.scale])
        return location, scale

    @cached_property
    def _numeric(self) -> bool:
        return all(isinstance(column, NumberColumn) for column in self.columns)

    @cached_property
    def _records(self) -> RecordEncoder | None:
        """What encodes rows that are dicts; None where columns have no names that are strings."""
        return None if self.feature_names_in_ is None else RecordEncoder.of(self.columns)

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs that are numbers, those that say what is missing, and of which columns."""
        widths = np.array([len(column.output_names) for column in self.columns])
        first = np.cumsum(widths) - widths
        indicated = np.flatnonzero(widths == 2)
        return first, first[indicated] + 1, indicated

    def _numbers(self, frame: pd.DataFrame, order: np.ndarray) -> np.ndarray:
        """Encode columns that are all plain numbers, side by side."""
        first, missing, indicated = self._places
        encoded = np.empty((len(frame), self.n_outputs), dtype=np.float32)
        for rows in _blocks(len(frame)):
            numbers = frame.iloc[rows].to_numpy(np.float64).T[order]
            infinite = np.isinf(numbers).any(axis=1)
            if infinite.any():
                j = int(infinite.argmax())
                read_column(frame.iloc[:, order[j]], self.columns[j].name)  # names the rows
            block = np.empty((self.n_outputs, rows.stop - rows.start))
            block[first] = numbers
            block[missing] = np.isnan(numbers[indicated])
            standardise(block, *self._moments)
            encoded[rows] = block.T
        return encoded

    def _match(self, frame: pd.DataFrame, labels: Sequence[Hashable] | None) -> np.ndarray:
        """Position in the frame of each column of fit."""
        named = _string_labels(labels) is not None
        fitted_named = self.feature_names_in_ is not None
        if labels is not None and self.labels is not None:
            unseen = [label for label in labels if label not in self.labels]
            missing = [label for label in self.labels if label not in labels]
            if unseen or missing:
                raise ValueError(
                    "The feature names should match those that were passed during fit.\n"
                    + _bullets("Feature names unseen at fit time:", unseen)
                    + _bullets("Feature names seen at fit time, yet now missing:", missing)
                )
            place = {label: j for j, label in enumerate(labels)}
            return np.array([place[label] for label in self.labels])
        if fitted_named and not named:
            warn(f"X does not have valid feature names, but {OWNER} was fitted with feature names")
        elif named and not fitted_named:
            warn(f"X has feature names, but {OWNER} was fitted without feature names")
        if frame.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {frame.shape[1]} features, but {OWNER} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return np.arange(self.n_features_in_)


def _is_number(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, ROWS_AT_A_TIME):
        yield slice(start, min(start + ROWS_AT_A_TIME, n))


def read_frame(X: Any) -> tuple[pd.DataFrame, list[Hashable] | None]:
    """X as a pandas DataFrame, not copied where it is one or a numeric array, and its labels."""
    X = frame_of_records(records(X)) if are_records(X) else as_pandas(X, "X")
    if not isinstance(X, pd.DataFrame):
        if not issparse(X):
            _check_dimensions(X)
            X = as_array(X, "X")
        X = check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
        return pd.DataFrame(X, dtype=object if X.dtype == object else None, copy=False), None
    if 0 in X.shape:
        raise ValueError(
            f"X is empty: {X.shape[0]} rows and {X.shape[1]} columns, while 1 of each is required"
        )
    labels = list(X.columns)
    for place, label in enumerate(labels):
        if not isinstance(label, tuple) and pd.isna(label):
            raise ValueError(
                f"X has a column without a name, {label!r}, in position {place} (counted from 0): "
                "give it a name in X.columns, or leave it out"
            )
    duplicated = X.columns[X.columns.duplicated()].unique()
    if len(duplicated):
        raise ValueError(
            f"X has more than one column named {listed(map(repr, duplicated))}: rename or drop one"
        )
    return X, labels


def _check_dimensions(X: Any) -> None:
    """Refuse a scalar or vector, in words that name its shape and none of its values."""
    shape = as_array(X, "X").shape
    if isinstance(X, pd.Series):
        raise ValueError(
            f"Expected a 2-dimensional container, got a Series of shape {shape} as X: pass "
            "X.to_frame() if it is one covariate"
        )
    if len(shape) < 2:
        raise ValueError(
            f"Expected 2D array, got {f'{len(shape)}D' if shape else 'scalar'} array instead: X "
            f"has shape {shape}. Reshape your data: X.reshape(-1, 1) if it is one covariate, or "
            "X.reshape(1, -1) if it is one row"
        )


def _string_labels(labels: Sequence[Hashable] | None) -> np.ndarray | None:
    """Column labels as an object array if they are strings, None if none of them is."""
    strings = [isinstance(label, str) for label in ([] if labels is None else labels)]
    if any(strings) and not all(strings):
        raise TypeError(
            "some column names of X are strings and some are not: make all of them "
            "strings with X.columns = X.columns.astype(str)"
        )
    return np.array(labels, dtype=object) if any(strings) else None


def _bullets(title: str, labels: Iterable[Hashable]) -> str:
    lines = [
        f"- {label}\n" if isinstance(label, str) else f"- {label!r} ({type(label).__name__})\n"
        for label in labels
    ]
    if len(lines) > MAX_LISTED:
        lines = [*lines[:MAX_LISTED], "- ...\n"]
    return "".join([f"{title}\n", *lines]) if lines else ""
