"""Checks of vectors with a value a row, shared by covariates, treatment, outcome and weights."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

MAX_LISTED = 5
NUMBER_TYPES = (Real, Decimal, np.bool_)

Vector: TypeAlias = np.ndarray | pd.Series | pd.Index | pd.Categorical


def listed(items: Iterable[Any]) -> str:
    """The first few items, comma separated, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more


def rows_where(mask: np.ndarray) -> str:
    """Positions of the true rows, counted from 0, in words for a message."""
    rows = np.flatnonzero(mask)
    return f"row{'s' if len(rows) > 1 else ''} {listed(rows)} (counted from 0)"


def types_found(values: Iterable[Any], rows: Iterable[int]) -> str:
    """Types of values, each with the first row that has it, in words for a message."""
    first: dict[type, int] = {}
    for value, row in zip(values, rows, strict=True):
        first.setdefault(type(value), row)
    return " and ".join(f"{kind.__name__} (first in row {row})" for kind, row in first.items())


def all_of(types: Iterable[type], allowed: tuple[type, ...]) -> bool:
    """Whether every type is a subclass of an allowed one."""
    return all(issubclass(kind, allowed) for kind in types)


def as_array(values: Any, name: str) -> np.ndarray:
    """Do as `numpy.asarray`, but keep the numbers in a list of strings and numbers.

    Parameters
    ----------
    values : array-like
    name : str
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        If values is a masked array.
    ValueError
        If the rows of a nested list differ in length.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.filled(...) with NaN for missing")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be made an array, do its rows differ in length? {error}"
        ) from error
    if array.dtype.kind in "US" and isinstance(values, list | tuple):
        return np.asarray(values, dtype=object)
    return array


def as_vector(values: Any, name: str) -> Vector:
    """Values with their pandas type if they have one, else as an array, of any shape."""
    return (
        values
        if isinstance(values, pd.Series | pd.Index | pd.Categorical)
        else as_array(values, name)
    )


def as_floats(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of any type as float64.

    Raises
    ------
    ValueError
        If an integer is too large.
    """
    try:
        return values.astype(np.float64)
    except OverflowError as error:
        raise ValueError(f"{name} holds a number too large for float64") from error


def as_labels(values: Vector, name: str) -> np.ndarray:
    """A vector as an array of booleans, integers, floats or strings, with nothing missing.

    Parameters
    ----------
    values : array, Series, Index or Categorical, shape (n,)
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray, shape (n,)
        Of dtype kind b, i, u, f or U.

    Raises
    ------
    TypeError
        If the values mix strings and numbers, or are neither.
    ValueError
        If values is not one-dimensional, or one is missing.
    """
    if values.ndim != 1:
        raise ValueError(
            f"{name} should be a 1d array, got an array of shape {values.shape} instead"
        )
    missing = np.asarray(pd.isna(values))
    if missing.any():
        raise ValueError(
            f"{name} is missing (NaN or None) in {rows_where(missing)}: drop or complete these rows"
        )
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufU":
        return np.asarray(values)
    objects: list[Any] = list(values)
    types = set(map(type, objects))
    for allowed in ((str,), (bool, np.bool_), (Integral,), (Real, Decimal)):
        if all_of(types, allowed):
            labels = np.array(objects)
            return as_floats(labels, name) if labels.dtype.kind == "O" else labels
    found = types_found(objects, range(len(objects)))
    raise TypeError(
        f"{name} holds {found}: make its values all strings or all real numbers, e.g. with "
        f"{name}.astype(str)"
    )


def codes_of(labels: np.ndarray, codes: Mapping[Hashable, int], name: str) -> np.ndarray:
    """The code of each row's label.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        From `as_labels`.
    codes : mapping of label to int
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If a label has no code.
    """
    distinct, inverse = np.unique(labels, return_inverse=True)
    known = np.array([codes.get(label, -1) for label in distinct.tolist()], dtype=np.int64)
    result = known[inverse]
    if (known < 0).any():
        raise ValueError(
            f"{name} has unknown labels {listed(map(repr, distinct[known < 0].tolist()))} in "
            f"{rows_where(result < 0)}: those seen in fit are {listed(map(repr, codes))}"
        )
    return result


def check_rows(n: int, **named_vectors: Any) -> None:
    """Check that every vector has one value a row of X.

    Parameters
    ----------
    n : int
        Number of rows of X.
    **named_vectors : array-like of length n, or None
        Vectors by argument name; None is passed over.

    Raises
    ------
    TypeError
        If a vector is a single value.
    ValueError
        If a vector's length is not n.
    """
    for name, vector in named_vectors.items():
        if vector is None:
            continue
        is_list = isinstance(vector, list | tuple)
        shape = (len(vector),) if is_list else as_vector(vector, name).shape
        if not shape:
            raise TypeError(f"{name} must have one value for each row of X, got {vector!r}")
        if shape[0] != n:
            raise ValueError(
                f"{name} has {shape[0]} rows, but X has {n}: pass one value for each row"
            )


def check_sample_weight(sample_weight: Any, n: int) -> np.ndarray:
    """Weights of the rows, ones when there are none.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), or None
    n : int
        Number of rows of X.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    TypeError
        If a weight is not a number, or there is only one for all rows.
    ValueError
        If a weight is missing, infinite or negative, none is positive, the shape is not (n,).
    """
    if sample_weight is None:
        return np.ones(n)
    check_rows(n, sample_weight=sample_weight)
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
    return weights
