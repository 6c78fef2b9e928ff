"""Whether the event of a row was seen, where outcomes are times until it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_labels, as_vector, check_rows, listed, rows_where


def read_event(event: Any, n: int, index: pd.Index | np.ndarray | None = None) -> np.ndarray:
    """Whether each row's event was seen: bool, shape (n,).

    Parameters
    ----------
    event : array-like of shape (n,)
        Booleans, or 1 for an event that was seen and 0 for a row that was censored.
    n : int
        Number of rows of X.
    index : Index, optional
        As in `check_rows`.

    Raises
    ------
    TypeError, ValueError
        If a value is missing or neither, there is not one per row, or labels contradict the order
        of X.
    """
    check_rows(n, index, event=event)
    seen = as_labels(as_vector(event, "event"), "event")
    wrong = ~np.isin(seen, [0, 1]) if seen.dtype.kind in "biuf" else np.ones(n, dtype=bool)
    if wrong.any():
        raise ValueError(
            f"event holds {listed(map(repr, np.unique(seen[wrong]).tolist()))} in "
            f"{rows_where(wrong)}: it must be 1 (or True) where the event was seen and 0 (or "
            "False) where the row was censored, last seen without it"
        )
    return seen.astype(bool)


def check_horizon(
    horizon: float, time: np.ndarray, event: np.ndarray, position: np.ndarray, labels: np.ndarray
) -> None:
    """Refuse a horizon that no event comes before, or that lies where nothing of an arm is known.

    Parameters
    ----------
    horizon : float
    time : ndarray of float64, shape (n,)
    event : ndarray of bool, shape (n,)
    position : ndarray of int64, shape (n,)
        Of each row's arm among the labels.
    labels : ndarray, shape (n_arms,)
    """
    if not (event & (time <= horizon)).any():
        raise ValueError(
            f"no event is seen up to horizon={horizon:g}: the times of events in y start at "
            f"{time[event].min():g}, so pass a later horizon"
            if event.any()
            else "event is 0 in every row: times cannot be modelled without any event"
        )
    for k, label in enumerate(labels):
        own = position == k
        last = time[own].max()
        if last < horizon and not event[own & (time == last)].all():
            raise ValueError(
                f"horizon={horizon:g} lies beyond the last time of arm {label.item()!r}, "
                f"{last:g}, when a row was censored: after that time there are no data on this "
                "arm. Pass an earlier horizon, such as a time at which many rows of every arm are "
                "still followed"
            )
