"""What treating the rows with the largest effects earns, by how many are treated."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.costs import read_costs
from hypercate.metrics.curves import Curve
from hypercate.metrics.ranked import first_rows
from hypercate.metrics.scores import read_effects, read_scores


def profit_curve(
    effects: Any,
    scores: Any,
    *,
    value: float = 1.0,
    cost: Any = 0.0,
    control: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> Curve:
    """Profit of treating the share of rows with the largest predicted effects.

    At share u, the curve is the sum over these rows of ``value`` times the effect, by doubly robust
    scores, minus ``cost``, divided by the number of all rows: profit per row of the whole sample.

    Parameters
    ----------
    effects, scores, control, sample_weight, groups
        As in `hypercate.metrics.toc_curve`. The scores may also be the predicted effects
        themselves, shape (n,), for the profit that the model predicts.
    value : float, default=1
        What a unit of the outcome is worth.
    cost : float, or dict, Series or array-like by arm, default=0
        Cost of treating a row with an arm instead of control, in units of ``value``.

    Returns
    -------
    Curve
        One curve for each other arm, at each hundredth of the rows, with pointwise standard errors.

    Raises
    ------
    TypeError, ValueError
        As `hypercate.metrics.toc_curve`; or if value is not a number, or an arm has no cost.

    Examples
    --------
    >>> from hypercate.policy import profit_curve
    >>> curve = profit_curve([3.0, 2.0, 0.5, -1.0], [3.0, 2.0, 0.5, -1.0], cost=1.0)
    >>> table = curve.table.set_index("share")["value"]
    >>> table[[0.25, 0.5, 1.0]].tolist()
    [0.5, 0.75, 0.125]
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(value):
        raise ValueError(f"value={value!r} must be a finite number")
    if np.ndim(cost) == 2:
        raise ValueError("cost must be one number for each arm, not one for each row")
    rows, gains, others = read_scores(scores, control, sample_weight, groups, effects=effects)
    predicted = read_effects(effects, others, rows)
    worth = value * gains - read_costs(cost, others, 1)
    parts = []
    for j, arm in enumerate(others):
        table = first_rows(predicted[:, j], worth[:, j], rows, "sum")
        random = table["share"] * rows.mean(worth[:, j])
        parts.append(table.assign(arm=arm, random=random)[["arm", *table.columns, "random"]])
    return Curve("profit", pd.concat(parts, ignore_index=True), "Profit", "profit per row")
