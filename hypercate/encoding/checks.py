"""Checks of vectors with one value per row: covariates, treatment, outcome and weights."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hypercate.encoding.frames import as_pandas, check_same_order, index_of

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


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this package that led here."""
    package = __name__.split(".")[0]
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].split(".")[0] == package:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


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
        If values is a masked or structured array, or cannot be made an array, such as a dict.
    ValueError
        If the rows of a nested list differ in length.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.filled(...) with NaN for missing")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be converted to an array, do its rows differ in length? {error}"
        ) from error
    except RuntimeError as error:  # a tensor of torch that is on a GPU or needs gradients
        raise TypeError(f"{name} cannot be converted to an array: {error}") from error
    if array.dtype.names:
        raise TypeError(f"{name} is a structured array: pass pandas.DataFrame({name})")
    if array.dtype == object and not array.ndim and values is not None:
        raise TypeError(
            f"{name} is a {type(values).__name__}, which has no rows: pass an array, a list, or a "
            "frame or series of pandas, polars or pyarrow"
        )
    if array.dtype.kind in "US" and isinstance(values, list | tuple):
        return np.asarray(values, dtype=object)
    return array


def as_vector(values: Any, name: str) -> Vector:
    """Values with their pandas type if they have one, else as an array, of any shape.

    A frame of one column is that column.
    """
    values = as_pandas(values, name)
    if isinstance(values, pd.DataFrame):
        return values.iloc[:, 0] if values.shape[1] == 1 else values.to_numpy()
    if isinstance(values, pd.Series | pd.Index | pd.Categorical):
        return values
    return as_array(values, name)


def as_series(values: Any, name: str) -> pd.Series:
    """A vector as a Series, with the index, name and type that it has.

    Raises
    ------
    ValueError
        If values is not one-dimensional.
    """
    vector = as_vector(values, name)
    if vector.ndim != 1:
        raise ValueError(
            f"{name} should be a 1d array, got an array of shape {vector.shape} instead"
        )
    return vector if isinstance(vector, pd.Series) else pd.Series(vector)


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
    if types and all_of(types, (str,)):
        return _texts(objects, name)
    for allowed in ((bool, np.bool_), (Integral,), (Real, Decimal)):
        if all_of(types, allowed):
            labels = np.array(objects)
            return as_floats(labels, name) if labels.dtype.kind == "O" else labels
    found = types_found(objects, range(len(objects)))
    raise TypeError(
        f"{name} holds {found}: make its values all strings or all real numbers, e.g. with "
        f"{name}.astype(str)"
    )


def _texts(objects: list[str], name: str) -> np.ndarray:
    """Strings as an array, those of an enumeration by their value."""
    texts = np.array([str.__str__(text) for text in objects])
    cut = np.char.str_len(texts) < np.array([len(text) for text in objects])
    if cut.any():
        raise ValueError(
            f"{name} ends in a NUL character in {rows_where(cut)}, which arrays of strings do not "
            "keep: remove it"
        )
    try:
        "".join(set(objects)).encode()
    except UnicodeEncodeError:
        wrong = np.array([text != text.encode(errors="ignore").decode() for text in objects])
        raise ValueError(
            f"{name} is not valid Unicode in {rows_where(wrong)}: decode it again, or drop them"
        ) from None
    return texts


def codes_of(
    labels: np.ndarray,
    codes: Mapping[Hashable, int],
    name: str,
    known_as: str = "those seen in fit",
) -> np.ndarray:
    """The code of each row's label.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        From `as_labels`.
    codes : mapping of label to int
    name : str
        Name of the argument, for messages.
    known_as : str
        What messages call the labels that have a code.

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
            f"{rows_where(result < 0)}: {known_as} are {listed(map(repr, codes))}"
        )
    return result


def check_rows(
    n: int, index: pd.Index | np.ndarray | None = None, of: str = "X", /, **named_vectors: Any
) -> None:
    """Check that every vector has one value per row of X, in the order of X.

    Parameters
    ----------
    n : int
        Number of rows of X.
    index : Index, or ndarray from `hash_labels`, shape (n,), optional
        Labels of the rows of X, if it has any.
    of : str, default="X"
        What messages call X.
    **named_vectors : array-like of length n, or None
        Vectors by argument name; None is passed over.

    Raises
    ------
    TypeError
        If a vector is a single value.
    ValueError
        If a vector's length is not n, or its own labels contradict the order of X; see
        `hypercate.encoding.frames.check_same_order`.
    """
    for name, vector in named_vectors.items():
        if vector is None:
            continue
        is_list = isinstance(vector, list | tuple)
        shape = (len(vector),) if is_list else as_vector(vector, name).shape
        if not shape:
            kind = type(vector).__name__
            raise TypeError(f"{name} must have one value for each row of {of}, got a single {kind}")
        if shape[0] != n:
            raise ValueError(
                f"{name} has {shape[0]} rows, but {of} has {n}: pass one value for each row"
            )
        given = index_of(vector)
        if index is not None and given is not None:
            check_same_order(name, given, index, of)
