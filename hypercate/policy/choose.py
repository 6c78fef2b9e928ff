"""The best arm for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.costs import read_costs
from hypercate.metrics.rows import check_aligned
from hypercate.policy.values import in_the_form_of, read_values


def best_arm(
    values: Any,
    *,
    costs: Any = None,
    arms: Sequence[Any] | None = None,
    control: Any = None,
) -> np.ndarray | pd.Series:
    """The arm with the largest outcome minus its costs, for each row.

    Parameters
    ----------
    values : DataFrame or array-like, shape (n,), (n, K - 1) or (n, K)
        Predictions from any package. K columns are outcomes under every arm, such as from
        ``HyperCATE.predict_outcomes``; K - 1 columns are effects against control, such as from
        ``predict``. A frame's columns are named by the arms.
    costs : dict, Series, array-like or frame, optional
        In units of the outcome: a dict or Series by arm, K numbers in the order of the arms, or a
        frame or array of shape (n, K), for each row and arm. Every arm has a cost, including
        control.
    arms : sequence of K labels, optional
        Labels of the arms, control first; needed for arrays with several columns.
        ``HyperCATE.arms_`` has this order.
    control : label, optional
        For a frame: the column of the control arm, or, if there is no such column, the arm that
        effects are compared with.

    Returns
    -------
    ndarray, or Series with the index of a frame, shape (n,)
        Labels of the arms. Among arms of equal worth the first is chosen, so that control wins.

    Raises
    ------
    TypeError, ValueError
        If labels, values or costs do not fit together; the message names them.

    Examples
    --------
    >>> from hypercate.policy import best_arm
    >>> costs = {"placebo": 0, "drug": 1}
    >>> best_arm([0.5, -1.0, 2.0], arms=["placebo", "drug"], costs=costs).tolist()
    ['placebo', 'placebo', 'drug']
    """
    check_aligned(values=values, costs=costs if np.ndim(costs) == 2 else None)
    table, labels = read_values(values, arms, control, "values")
    if costs is not None:
        table = table - read_costs(costs, labels, len(table))
    return in_the_form_of(values, labels, table.argmax(axis=1))
