"""Covariates to a standardised float32 array; columns are matched by name."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils import check_array

from hypercate.encoding.checks import MAX_LISTED, as_array, listed
from hypercate.encoding.columns import fit_column, read_column
from hypercate.encoding.scaling import standardise

ROWS_AT_A_TIME = 4096
OWNER = "HyperCATE"


class FeatureEncoder:
    """Numbers standardised, strings and categories one-hot, missing values indicated.

    A numeric column becomes ``(x - location) / scale`` with the mean and standard deviation of
    its values clipped to the 1st and 99th percentile, compressed beyond 4 in size; a missing
    value becomes 0 and, if fit met one too, sets the column's indicator. A column of strings or
    categories becomes an indicator for each level, at most 30 with the rarest pooled, and one for
    missing; a level first met in transform counts as pooled or, without a pool, as the average
    row. Only statistics of columns are kept, never rows.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of str objects, shape (n_features_in_,), or None
        Set if X was a DataFrame with string column names.
    output_names : list of str, length n_outputs
        E.g. "age", "age (missing)", "site=north", "site (other)", "site (missing)".
    n_outputs : int
    """

    feature_names_in_: np.ndarray | None
    n_features_in_: int
    output_names: list[str]

    def fit(self, X: Any) -> Self:
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
        frame, labels = _read_frame(X)
        feature_names = _string_labels(labels)
        names = [f"x{j}" for j in range(frame.shape[1])] if labels is None else map(str, labels)
        self._columns = [
            fit_column(read_column(frame.iloc[:, j], name), name) for j, name in enumerate(names)
        ]
        self._labels = labels
        self.feature_names_in_ = feature_names
        self.n_features_in_ = frame.shape[1]
        self.output_names = [name for column in self._columns for name in column.output_names]
        self._location = np.array([value for column in self._columns for value in column.location])
        self._scale = np.array([value for column in self._columns for value in column.scale])
        return self

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
        frame, labels = _read_frame(X)
        given = [series for _, series in frame.items()]
        sources = [
            column.source(read_column(given[j], column.name))
            for column, j in zip(self._columns, self._match(frame, labels), strict=True)
        ]
        ends = np.cumsum([len(column.output_names) for column in self._columns])
        encoded = np.empty((len(frame), self.n_outputs), dtype=np.float32)
        for start in range(0, len(frame), ROWS_AT_A_TIME):
            rows = slice(start, min(start + ROWS_AT_A_TIME, len(frame)))
            block = np.empty((self.n_outputs, rows.stop - start))
            for column, source, end in zip(self._columns, sources, ends, strict=True):
                column.expand(source[rows], block[end - len(column.output_names) : end])
            standardise(block, self._location, self._scale)
            encoded[rows] = block.T
        return encoded

    def _match(self, frame: pd.DataFrame, labels: list[Hashable] | None) -> np.ndarray:
        """Position in the frame of each column of fit."""
        named = _string_labels(labels) is not None
        fitted_named = self.feature_names_in_ is not None
        if labels is not None and self._labels is not None and named == fitted_named:
            unseen = [label for label in labels if label not in self._labels]
            missing = [label for label in self._labels if label not in labels]
            if unseen or missing:
                raise ValueError(
                    "The feature names should match those that were passed during fit.\n"
                    + _bullets("Feature names unseen at fit time:", unseen)
                    + _bullets("Feature names seen at fit time, yet now missing:", missing)
                )
            return frame.columns.get_indexer(self._labels)
        if fitted_named and not named:
            warnings.warn(
                f"X does not have valid feature names, but {OWNER} was fitted with feature names",
                stacklevel=3,
            )
        elif named and not fitted_named:
            warnings.warn(
                f"X has feature names, but {OWNER} was fitted without feature names", stacklevel=3
            )
        if frame.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {frame.shape[1]} features, but {OWNER} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return np.arange(self.n_features_in_)


def _read_frame(X: Any) -> tuple[pd.DataFrame, list[Hashable] | None]:
    """X as a DataFrame, without a copy where it is one or a numeric array, and its labels."""
    if not isinstance(X, pd.DataFrame):
        if isinstance(X, list | tuple | np.ndarray):
            X = as_array(X, "X")
        X = check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
        return pd.DataFrame(X, dtype=object if X.dtype == object else None, copy=False), None
    if 0 in X.shape:
        raise ValueError(
            f"X is empty: {X.shape[0]} rows and {X.shape[1]} columns, while 1 of each is required"
        )
    duplicated = X.columns[X.columns.duplicated()].unique()
    if len(duplicated):
        raise ValueError(
            f"X has more than one column named {listed(map(repr, duplicated))}: rename or drop one"
        )
    return X, list(X.columns)


def _string_labels(labels: list[Hashable] | None) -> np.ndarray | None:
    """Column labels as an object array if they are strings, None if none of them is."""
    strings = [isinstance(label, str) for label in ([] if labels is None else labels)]
    if any(strings) and not all(strings):
        raise TypeError(
            "X has column names of which some are strings and some are not: make all of them "
            "strings with X.columns = X.columns.astype(str)"
        )
    return np.array(labels, dtype=object) if any(strings) else None


def _bullets(title: str, labels: Iterable[Hashable]) -> str:
    lines = [f"- {label}\n" for label in labels]
    if len(lines) > MAX_LISTED:
        lines = [*lines[:MAX_LISTED], "- ...\n"]
    return "".join([f"{title}\n", *lines]) if lines else ""
