"""Probabilities of the arms that are known by design."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_array, as_labels, as_vector, check_rows, rows_where
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.frames import as_pandas

_TOLERANCE = 1e-6  # of a row's sum


def check_propensity(
    propensity: Any, n: int, conditions: Conditions, index: pd.Index | np.ndarray | None = None
) -> np.ndarray:
    """Known probabilities of the arms.

    Parameters
    ----------
    propensity : array-like, shape (n,), or (n, n_arms)
        Of the treatment where there are two arms; or of every arm, a frame with a column for each
        arm's label, or an array in the order of the labels.
    n : int
        Rows of X.
    conditions : Conditions
    index : Index, optional
        As in `check_rows`.

    Returns
    -------
    ndarray of float64, shape (n, n_arms)
        In the order of the labels.

    Raises
    ------
    TypeError
        If values are not numbers.
    ValueError
        If the shape, the columns or the order of the rows do not fit, or values are no
        probabilities above 0 and below 1 whose sum is 1.
    """
    labels = conditions.labels.tolist()
    values = as_pandas(propensity, "propensity")
    if isinstance(values, pd.DataFrame) and values.shape[1] > 1:
        columns = {f"propensity[{k!r}]": column for k, column in _columns(values, labels).items()}
        check_rows(n, index, **columns)
        table = np.column_stack([_numbers(column, name) for name, column in columns.items()])
    elif np.ndim(values) == 2 and not isinstance(values, pd.DataFrame):
        array = as_array(values, "propensity")
        if array.shape != (n, len(labels)):
            raise ValueError(
                f"propensity has shape {array.shape}, but must have a row for each of the {n} rows "
                f"of X and a column for each of the arms {labels}, in this order"
            )
        table = np.column_stack([_numbers(column, "propensity") for column in array.T])
    else:
        check_rows(n, index, propensity=values)
        if len(labels) > 2:
            raise ValueError(
                f"propensity has one value per row, but there are {len(labels)} arms: pass a frame "
                f"with a column for each of {labels}"
            )
        treated = _numbers(values, "propensity")
        table = np.column_stack([1 - treated, treated])
    inside = np.asarray(((table > 0) & (table < 1)).all(axis=1))
    if not inside.all():
        raise ValueError(
            f"propensity must be above 0 and below 1, but is not in {rows_where(~inside)}: drop "
            "rows that could have received only one arm, since they say nothing about effects"
        )
    total = table.sum(axis=1)
    wrong = np.abs(total - 1) > _TOLERANCE
    if wrong.any():
        raise ValueError(
            f"propensity must sum to 1 over the arms, but does not in {rows_where(wrong)}"
        )
    return table / total[:, None]


def _columns(frame: pd.DataFrame, labels: list) -> dict[Any, pd.Series]:
    """The column of each arm, whose name is the arm's label or that as a string."""
    by_name = {str(name): column for name, column in frame.items()}
    if len(frame.columns) != len(labels) or any(str(label) not in by_name for label in labels):
        raise ValueError(
            f"propensity has the columns {frame.columns.tolist()}, but must have one for each of "
            f"the arms {labels}, named by its label"
        )
    return {label: by_name[str(label)] for label in labels}


def _numbers(values: Any, name: str) -> np.ndarray:
    numbers = as_labels(as_vector(values, name), name)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold probabilities, but row 0 holds {numbers[0].item()!r}")
    return numbers.astype(np.float64)
