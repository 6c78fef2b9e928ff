"""Values of each arm in each row: outcomes, or effects against control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.frames import as_pandas, index_of
from hypercate.metrics.rows import read_table, refuse_missing


def read_values(
    values: Any, arms: Sequence[Any] | None, control: Any, name: str
) -> tuple[np.ndarray, list]:
    """Outcomes of every arm, or effects, of which control's are 0.

    Parameters
    ----------
    values : DataFrame or array-like, shape (n,), (n, K - 1) or (n, K)
    arms : sequence of K labels, control first, or None
        By default a frame's columns, after control; with one value per row, 0 and 1.
    control : label, optional
        Of a frame without a column for it: the values are then effects against it.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    table : ndarray of float64, shape (n, K)
    arms : list
        Labels of the columns, control first.

    Raises
    ------
    TypeError, ValueError
        If the labels do not fit the values, or one is missing.
    """
    values = as_pandas(values, name)
    labels = None if arms is None else np.asarray(arms).tolist()
    if labels is not None and control is not None and labels[0] != control:
        raise ValueError(f"control={control!r} is not the first of arms={labels}")
    if labels is not None and len(set(labels)) < max(2, len(labels)):
        raise ValueError(f"arms={labels} must be two or more distinct labels, control first")
    n_columns = values.shape[1] if getattr(values, "ndim", np.ndim(values)) == 2 else 1
    if labels is None:
        labels = _labels(values, control, n_columns, name)
    if n_columns == len(labels):
        table = read_table(values, labels, name)
    elif n_columns == len(labels) - 1:
        effects = read_table(values, labels[1:], name)
        table = np.column_stack([np.zeros(len(effects)), effects])
    else:
        raise ValueError(
            f"{name} has {n_columns} columns, but must have one for each of the arms {labels} "
            f"(outcomes), or for each but {labels[0]!r} (effects)"
        )
    refuse_missing(table, name)
    return table, labels


def in_the_form_of(values: Any, labels: list, code: np.ndarray) -> np.ndarray | pd.Series:
    """Labels of the arms of rows: a Series on the index of a pandas frame, else an array."""
    index = index_of(values)
    chosen = np.asarray(labels)[code]
    return chosen if index is None else pd.Series(chosen, index, name="arm")


def _labels(values: Any, control: Any, n_columns: int, name: str) -> list:
    if isinstance(values, pd.DataFrame) and (n_columns > 1 or control is not None):
        columns = values.columns.tolist()
        if control is None:
            raise ValueError(
                f"{name} has the columns {columns}: pass control=, the arm that the others are "
                "compared with, or arms="
            )
        return [control, *(label for label in columns if label != control)]
    if n_columns == 1:
        return [0 if control is None else control, 1]
    raise ValueError(f"{name} has {n_columns} columns without names: pass arms=, control first")
