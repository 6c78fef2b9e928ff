"""Costs of arms, for everyone or by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.frames import as_pandas
from hypercate.metrics.rows import read_numbers, read_table, refuse_missing


def read_costs(costs: Any, arms: Sequence[Any], n: int) -> np.ndarray:
    """Cost of each arm in each row.

    Parameters
    ----------
    costs : dict or Series by arm, array-like (K,), or frame or array-like (n, K)
        In units of the outcome. A single number is the cost of every arm.
    arms : sequence
        Labels.
    n : int
        Rows.

    Returns
    -------
    ndarray of float64, shape (n, K)

    Raises
    ------
    TypeError, ValueError
        If an arm has no cost, a label is none of the arms, or a cost is missing or no number.
    """
    arms = list(arms)
    costs = as_pandas(costs, "costs")
    if isinstance(costs, pd.Series):
        costs = costs.to_dict()
    if isinstance(costs, Mapping):
        if set(costs) != set(arms):
            raise ValueError(
                f"costs are given for {list(costs)}, but must be given for each of the arms {arms}"
            )
        costs = [costs[label] for label in arms]
    if isinstance(costs, pd.DataFrame) or np.ndim(costs) == 2:
        table = read_table(costs, arms, "costs")
        if len(table) != n:
            raise ValueError(f"costs has {len(table)} rows, but there are {n}")
    else:
        if np.ndim(costs) and len(costs) != len(arms):
            raise ValueError(
                f"costs has {len(costs)} values for the arms {arms}: pass one for each, as a dict "
                "by label or in this order"
            )
        each = [read_numbers([cost], "costs")[0] for cost in np.atleast_1d(costs)]
        table = np.broadcast_to(each, (n, len(arms)))
    refuse_missing(table, "costs")
    return table
