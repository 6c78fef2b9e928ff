"""What EconML's tools hand on, as a HyperCATE takes it: columns, and frames with their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.estimator import HyperCATE


def column(values: Any, name: str) -> Any:
    """A table of one column as its column, and anything else as it is.

    Raises
    ------
    ValueError
        If there are several columns; the message calls them `name`.
    """
    if np.ndim(values) < 2:
        return values
    if np.ndim(values) > 2 or np.shape(values)[1] != 1:
        raise ValueError(f"{name} has shape {np.shape(values)}, but must have one column")
    return values.iloc[:, 0] if isinstance(values, pd.DataFrame) else np.asarray(values)[:, 0]


def names_of(model: HyperCATE) -> np.ndarray | None:
    return getattr(model, "feature_names_in_", None)


def given(X: Any) -> Any:
    if X is None:
        raise ValueError("X is missing: pass the covariates of the rows, X=X")
    return X


def named(X: Any, names: np.ndarray | None) -> Any:
    """A bare array as a frame of the columns that it consists of."""
    if names is None or not isinstance(X, np.ndarray) or X.shape[1:] != names.shape:
        return X
    return pd.DataFrame(X, columns=names).infer_objects()


def name_of(values: Any, default: str) -> str:
    """That of a column of a frame."""
    name = getattr(values, "name", None)
    return default if name in (None, "") else str(name)
