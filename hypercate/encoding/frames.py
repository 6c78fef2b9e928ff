"""Frames and series of any library as pandas', and the labels of their rows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

_TEMPORAL = (nw.Date, nw.Datetime, nw.Duration)
_NO_NUMPY_NUMBER = (nw.Decimal, nw.Int128, nw.UInt128)
_LIKE_A_FRAME = ("__dataframe__", "__arrow_c_stream__", "columns")


def as_pandas(values: Any, name: str) -> Any:
    """A frame or series of any library as pandas' own, anything else as it is.

    Columns are converted one by one, so that polars needs no pyarrow: numbers and booleans become
    numpy's, with NaN for null, categories a Categorical, and everything else objects.

    Parameters
    ----------
    values : object
    name : str
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        If values are a lazy frame, or a frame that cannot be read by the names of its columns.
    ValueError
        If a column's name repeats.
    """
    if isinstance(values, pd.DataFrame):
        return _with_categories(values)
    if isinstance(values, pd.Series | pd.Index | pd.Categorical | np.ndarray | list | tuple):
        return values
    pyarrow = nw.dependencies.get_pyarrow()
    if pyarrow is not None and isinstance(values, pyarrow.Array):
        values = pyarrow.chunked_array([values])
    try:
        read = nw.from_native(values, allow_series=True, pass_through=True)
        names = read.columns if isinstance(read, nw.DataFrame) else []
    except nw.exceptions.DuplicateError as error:
        raise ValueError(
            f"{name} has more than one column of the same name, rename or drop one: {error}"
        ) from error
    if isinstance(read, nw.LazyFrame):
        raise TypeError(
            f"{name} is a {_kind(values)}, which is not computed yet: collect it first, e.g. with "
            f"{name}.collect()"
        )
    if isinstance(read, nw.Series):
        return _series(read)
    if isinstance(read, nw.DataFrame):
        if read.implementation.is_pandas_like():
            return _with_categories(read.to_pandas())
        columns = {column: _series(read[column]) for column in names}
        return pd.DataFrame(columns, index=pd.RangeIndex(len(read)), copy=False)
    if any(hasattr(values, attribute) for attribute in _LIKE_A_FRAME):
        raise TypeError(
            f"{name} is a {_kind(values)}, whose columns cannot be read by name: pass a frame of "
            "pandas, polars or pyarrow (pyarrow.Table), or a numpy array to go by position"
        )
    return values


def index_of(values: Any) -> pd.Index | None:
    """Labels of the rows of a pandas frame or series, None of anything else."""
    if isinstance(values, pd.DataFrame | pd.Series):
        return values.index
    if isinstance(values, np.ndarray | list | dict):
        return None
    read = nw.from_native(values, allow_series=True, pass_through=True)
    if isinstance(read, nw.DataFrame | nw.Series):
        index = nw.maybe_get_index(read)
        return index if isinstance(index, pd.Index) else None
    return None


def hash_labels(index: pd.Index) -> np.ndarray:
    """A number for each label of an index, uint64 of shape (n,); equal labels have the same.

    Whole floats are hashed as integers, and times by the nanosecond.
    """
    if not isinstance(index, pd.MultiIndex):
        index = index.infer_objects()
        if index.dtype.kind in "mM" and isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
            with suppress(ValueError):  # beyond the years that nanoseconds reach
                index = index.as_unit("ns")
        elif index.dtype.kind == "f" and index.notna().all():
            whole = index.to_numpy(np.float64)
            if (np.abs(whole) < 2.0**53).all() and (whole == np.round(whole)).all():
                index = pd.Index(whole.astype(np.int64))
    return pd.util.hash_pandas_object(index, index=False).to_numpy(np.uint64)


def check_same_order(
    name: str, given: pd.Index, index: pd.Index | np.ndarray, of: str = "X"
) -> None:
    """Refuse a series by whose labels its rows are not those of X, in the order of X.

    Rows are taken by position, which is right only where labels do not contradict it. They do, and
    the series is refused, if its labels are those of X in another order, counted as often as they
    occur. They do as well if more than half of them are X's, but not all; unless its index or X's
    is the default one, 0 to n - 1, which says nothing of where rows come from.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    given : Index, shape (n,)
        Of the series.
    index : Index, or ndarray of uint64 from `hash_labels`, shape (n,)
        Of X.
    of : str, default="X"
        What messages call X.

    Raises
    ------
    ValueError
        If labels contradict positions.
    """
    if isinstance(index, pd.Index):
        if given.equals(index):
            return
        index = hash_labels(index)
    labels = hash_labels(given)
    if np.array_equal(labels, index):
        return
    n = len(index)
    (ours, our_times), (theirs, their_times) = (
        np.unique(codes, return_counts=True) for codes in (index, labels)
    )
    _, i, j = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    shared = int(np.minimum(our_times[i], their_times[j]).sum())
    by_position = f"pass {name}.to_numpy() to go by position"
    if shared == n and len(ours) == n:
        raise ValueError(
            f"{name} has an index that holds the labels of {of} in another order: pass "
            f"{name}.loc[{of}.index] to go by label, or {by_position}"
        )
    if shared == n:
        raise ValueError(
            f"{name} has an index that holds the labels of {of} in another order, and some labels "
            f"more than once: bring its rows into the order of {of} first, or "
            f"{by_position}"
        )
    default = hash_labels(pd.RangeIndex(n))
    if 2 * shared > n and not any(np.array_equal(codes, default) for codes in (index, labels)):
        raise ValueError(
            f"{name} has an index that holds {shared} of the {n} labels of {of}, but not the "
            f"others: pass the rows that have {of}'s labels, {name}.loc[{of}.index], or "
            f"{by_position}"
        )


def _series(column: nw.Series) -> pd.Series:
    dtype = column.dtype
    values: Any
    if dtype == nw.Boolean or (dtype.is_integer() and dtype not in _NO_NUMPY_NUMBER):
        null = column.is_null().to_numpy()
        if null.any():
            values = column.fill_null(False if dtype == nw.Boolean else 0).to_numpy()
            values = np.where(null, np.nan, values.astype(np.float64))
        else:
            values = column.to_numpy()
    elif dtype.is_float() or dtype in _TEMPORAL:
        values = column.to_numpy()
    elif dtype in (nw.Categorical, nw.Enum):
        values = pd.Categorical(column.to_list())
    else:
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
    return pd.Series(values, name=column.name or None, copy=False)


def _with_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, with dictionaries of pyarrow as the categories that they are."""
    coded = [
        j
        for j, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, pd.ArrowDtype) and dtype.type is pd.CategoricalDtype.type
    ]
    if coded:
        frame = frame.copy(deep=False)
        for j in coded:
            column = frame.iloc[:, j]
            frame.isetitem(j, pd.Categorical(column.astype(object).where(column.notna(), None)))
    return frame


def _kind(values: Any) -> str:
    kind = type(values)
    return f"{kind.__module__.split('.')[0]} {kind.__name__}"
