"""Inputs of metrics: one value per row, aligned by index labels, and effects by the arm's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_array, as_labels, as_vector, check_rows, rows_where
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.frames import as_pandas, index_of
from hypercate.encoding.weights import check_sample_weight


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows that had an arm or control, and what is predicted for them.

    Attributes
    ----------
    effect, y, weight : ndarray of float64, shape (n,)
    treated : ndarray of bool, shape (n,)
    """

    effect: np.ndarray
    y: np.ndarray
    treated: np.ndarray
    weight: np.ndarray


def check_aligned(**named: Any) -> tuple[int, pd.Index | None]:
    """Check that all arguments have the rows of the first one, in the same order.

    Parameters
    ----------
    **named : array-like of length n, or None
        By argument name. None is passed over.

    Returns
    -------
    n : int
    index : Index or None
        Of the first that has one.

    Raises
    ------
    TypeError, ValueError
        As `hypercate.encoding.checks.check_rows`.
    """
    given = {name: values for name, values in named.items() if values is not None}
    first, values = next(iter(given.items()))
    values = as_pandas(values, first)
    shape = np.shape(values) if isinstance(values, pd.DataFrame) else as_vector(values, first).shape
    if not shape or not shape[0]:
        raise ValueError(f"{first} has no rows: pass one value for each row")
    check_rows(shape[0], None, first, **given)
    for name, values in given.items():
        index = index_of(values)
        if index is not None:
            check_rows(shape[0], index, name, **given)
            return shape[0], index
    return shape[0], None


def read_numbers(values: Any, name: str) -> np.ndarray:
    """Finite numbers, one per row: float64, shape (n,).

    Raises
    ------
    TypeError
        If values are strings.
    ValueError
        If they are not one-dimensional, or one is missing or infinite.
    """
    numbers = as_labels(as_vector(values, name), name)
    if numbers.dtype.kind == "U":
        raise TypeError(f"{name} must hold numbers, but row 0 holds {numbers[0].item()!r}")
    numbers = numbers.astype(np.float64)
    infinite = np.isinf(numbers)
    if infinite.any():
        raise ValueError(f"{name} is infinite (inf) in {rows_where(infinite)}")
    return numbers


def read_table(values: Any, labels: Sequence[Any], name: str) -> np.ndarray:
    """One column for each label: in a frame by its name, in an array by its position.

    Parameters
    ----------
    values : DataFrame or array-like, shape (n, n_labels); (n,) or a Series for one label
    labels : sequence
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray of float64, shape (n, n_labels)

    Raises
    ------
    TypeError
        If values are not numbers.
    ValueError
        If columns or shape do not fit.
    """
    labels = list(labels)
    values = as_pandas(values, name)
    if isinstance(values, pd.DataFrame) and (values.shape[1] > 1 or len(labels) > 1):
        columns = {str(column): values.iloc[:, j] for j, column in enumerate(values.columns)}
        if len(columns) != len(labels) or any(str(label) not in columns for label in labels):
            raise ValueError(
                f"{name} has the columns {values.columns.tolist()}, but must have one for each of "
                f"the arms {labels}, named by its label"
            )
        table = [columns[str(label)] for label in labels]
    elif np.ndim(values) == 2 and not isinstance(values, pd.DataFrame):
        array = as_array(values, name)
        if array.shape[1] != len(labels):
            raise ValueError(
                f"{name} has {array.shape[1]} columns, but must have one for each of the arms "
                f"{labels}, in this order"
            )
        table = list(array.T)
    else:
        if len(labels) > 1:
            raise ValueError(
                f"{name} has one value per row, but must have one for each of the arms {labels}: "
                "pass a frame with a column for each, named by its label"
            )
        table = [values]
    return np.column_stack(
        [
            _with_missing(column, f"{name}[{label!r}]" if len(labels) > 1 else name)
            for column, label in zip(table, labels, strict=True)
        ]
    )


def refuse_missing(table: np.ndarray, name: str) -> None:
    """Refuse a number that is missing or infinite, by a ValueError that names the row."""
    bad = ~np.isfinite(table).reshape(len(table), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} is missing or infinite in {rows_where(bad)}: give such rows sample_weight 0, "
            "or drop them"
        )


def read_comparisons(
    y: Any, effects: Any, treatment: Any, control: Any, sample_weight: Any
) -> dict[Any, Comparison]:
    """The rows of every other arm with those of control, by the arm's label.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the argument, arm or row.
    """
    n, index = check_aligned(effects=effects, y=y, treatment=treatment, sample_weight=sample_weight)
    conditions = Conditions.fit(treatment, control)
    labels = conditions.labels.tolist()
    arm = conditions.positions(treatment)
    weight = check_sample_weight(sample_weight, n, index, "effects")
    outcome = read_numbers(y, "y")
    table = read_table(effects, labels[1:], "effects")
    used = weight > 0
    refuse_missing(table[used], "effects")
    rows_of_arm = np.bincount(arm[used], minlength=len(labels))
    if not rows_of_arm.all():
        label = labels[int(rows_of_arm.argmin())]
        raise ValueError(f"arm {label!r} has no row of positive weight: leave it out")
    found = {}
    for code, label in enumerate(labels[1:], start=1):
        rows = used & ((arm == 0) | (arm == code))
        found[label] = Comparison(
            table[rows, code - 1], outcome[rows], arm[rows] == code, weight[rows]
        )
    return found


def by_arm(values: dict[Any, float], name: str) -> float | pd.Series:
    """A float for one other arm, a Series indexed by the arms for several."""
    if len(values) == 1:
        return next(iter(values.values()))
    return pd.Series(list(values.values()), pd.Index(list(values), name="arm"), name=name)


def _with_missing(values: Any, name: str) -> np.ndarray:
    """Numbers of which some may be missing."""
    vector = as_vector(values, name)
    if vector.ndim != 1:
        raise ValueError(f"{name} should be a 1d array, got an array of shape {vector.shape}")
    missing = np.asarray(pd.isna(vector))
    numbers = np.full(len(vector), np.nan)
    if not missing.all():
        numbers[~missing] = _plain(as_labels(vector[~missing], name), name)
    return numbers


def _plain(numbers: np.ndarray, name: str) -> np.ndarray:
    if numbers.dtype.kind == "U":
        raise TypeError(f"{name} must hold numbers, but holds {numbers[0].item()!r}")
    return numbers.astype(np.float64)
