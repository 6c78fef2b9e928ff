"""Who gets which arm if the budget does not suffice for all.

References
----------
Dantzig (1957), "Discrete-variable extremum problems", Operations Research 5:266-288: with one item
a row, taking the largest ratio of gain to cost first solves the problem in which the last item may
be taken in part.
Sinha & Zoltners (1979), "The multiple-choice knapsack problem", Operations Research 27:503-515: the
same with one of several items a row, over the steps of each row's concave hull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.costs import read_costs
from hypercate.metrics.rows import check_aligned
from hypercate.policy.values import in_the_form_of, read_values


@dataclass(frozen=True, repr=False, eq=False)
class Spending:
    """Who gets which arm, and what that costs and gains; `print` shows a summary.

    Attributes
    ----------
    policy : ndarray or Series, shape (n,)
        Labels of the arms.
    cost, gain : float
        Total cost, and total predicted effect, of the policy.
    bound : float
        Upper bound on the total predicted effect of any policy within the budget: that of the
        policy which also takes a fraction of the first step that was not affordable.
    shadow_price : float
        What the next unit of budget would gain: the gain per unit of cost of the first step that
        was not taken; 0 if everything with a gain is paid for.
    rows : Series
        Number of rows that get each arm.

    Examples
    --------
    >>> from hypercate.policy import spend
    >>> print(spend([0.5, 3.0, 2.0], costs=1.0, budget=2))
    Cost 2, predicted gain 5 (at most 5 with this budget)
    The next unit of budget would gain 0.5
         rows
    arm
    0       1
    1       2
    """

    policy: np.ndarray | pd.Series
    cost: float
    gain: float
    bound: float
    shadow_price: float
    rows: pd.Series

    def _lines(self) -> tuple[str, str]:
        return (
            f"Cost {self.cost:.4g}, predicted gain {self.gain:.4g} (at most {self.bound:.4g} with "
            "this budget)",
            f"The next unit of budget would gain {self.shadow_price:.4g}",
        )

    def __str__(self) -> str:
        return "\n".join([*self._lines(), self.rows.to_frame().to_string()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return f"<p>{'<br>'.join(self._lines())}</p>\n{self.rows.to_frame().to_html(border=0)}"


def spend(
    effects: Any,
    costs: Any,
    budget: float,
    *,
    arms: Sequence[Any] | None = None,
    control: Any = None,
) -> Spending:
    """Choose arms so that the total predicted effect is largest within a budget.

    Each row starts with control, which costs nothing. The row's other arms that gain more for more
    money, at a falling rate, form a sequence of steps (the concave hull of gain over cost). The
    steps of all rows are taken in order of gain per unit of cost while the budget lasts (Dantzig,
    1957; Sinha & Zoltners, 1979). With one arm besides control, at the same cost in all rows, this
    is the optimum. Otherwise it is the optimum of the problem in which one step may be taken in
    part, without that part: the total gain is below the best possible by less than the gain of a
    single step, and `Spending.bound` bounds this difference.

    Parameters
    ----------
    effects : DataFrame or array-like, shape (n,) for two arms, (n, K - 1) for more
        Predicted effects against control, from any package. A frame's columns are named by the
        arms.
    costs : float, dict, Series, array-like or frame
        Costs of giving an arm instead of control, at least 0: one number for all, a dict or Series
        by arm, K - 1 numbers, or a frame or array of shape (n, K - 1).
    budget : float
        What all rows together may cost, in the units of the costs.
    arms : sequence of K labels, optional
        Labels of the arms, control first; needed for arrays with several columns.
    control : label, optional
        The arm that the effects of a frame are compared with.

    Returns
    -------
    Spending

    Raises
    ------
    TypeError, ValueError
        If labels, values or costs do not fit together, if a cost is negative, or if the budget is
        not a number of at least 0.

    Examples
    --------
    >>> from hypercate.policy import spend
    >>> found = spend([0.5, 3.0, 2.0], costs=1.0, budget=2)
    >>> found.policy.tolist(), found.gain
    ([0, 1, 1], 5.0)
    """
    if isinstance(budget, bool) or not isinstance(budget, Real) or not budget >= 0:
        raise ValueError(f"budget={budget!r} must be a number of at least 0")
    check_aligned(effects=effects, costs=costs if np.ndim(costs) == 2 else None)
    gain, labels = read_values(effects, arms, control, "effects")
    if np.any(gain[:, 0]):
        raise ValueError(
            f"effects has a column for control, {labels[0]!r}, that is not 0: pass effects against "
            "it, not outcomes"
        )
    n, n_arms = gain.shape
    cost = np.column_stack([np.zeros(n), read_costs(costs, labels[1:], n)])
    if (cost < 0).any():
        row, arm = np.argwhere(cost < 0)[0]
        raise ValueError(
            f"costs must be at least 0, and that of arm {labels[arm]!r} in row {row} is "
            f"{cost[row, arm]:g}"
        )
    steps = _steps(gain, cost)
    order = np.argsort(-steps.rate, kind="stable")
    total = np.cumsum(steps.cost[order])
    slack = 1e-9 * max(float(budget), 1.0)
    taken = int(np.searchsorted(total, float(budget) + slack, side="right"))
    code = np.zeros(n, dtype=np.int64)
    kept = order[:taken]
    code[steps.row[kept]] = steps.arm[kept]  # a later step of a row replaces an earlier one
    rows = np.arange(n)
    spent, gained = float(cost[rows, code].sum()), float(gain[rows, code].sum())
    left = order[taken:]
    price = float(steps.rate[left[0]]) if len(left) else 0.0
    return Spending(
        in_the_form_of(effects, labels, code),
        spent,
        gained,
        gained + max(float(budget) - spent, 0.0) * price,
        price,
        pd.Series(np.bincount(code, minlength=n_arms), pd.Index(labels, name="arm"), name="rows"),
    )


@dataclass(frozen=True, eq=False)
class _Steps:
    """Steps of all rows, those of a row in their order.

    Attributes
    ----------
    row, arm : ndarray of int64, shape (n_steps,)
        Whose step, and the arm that it leads to.
    cost, rate : ndarray of float64, shape (n_steps,)
        What it costs more, and what it gains more by cost.
    """

    row: np.ndarray
    arm: np.ndarray
    cost: np.ndarray
    rate: np.ndarray


def _steps(gain: np.ndarray, cost: np.ndarray) -> _Steps:
    """Steps along the concave hull of every row's arms, from control on."""
    n, n_arms = gain.shape
    rows = np.arange(n)
    now = np.zeros(n, dtype=np.int64)
    parts, last = [], np.full(n, np.inf)
    for _ in range(n_arms - 1):
        more = gain - gain[rows, now][:, None]
        dearer = cost - cost[rows, now][:, None]
        useful = (more > 0) & (dearer >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(useful, more / dearer, -np.inf)
        best = np.minimum(rate.max(axis=1), last)  # along a hull it falls, but for rounding
        # of several on one line the last; of several that cost nothing more, the best
        furthest = np.where(rate >= best[:, None], more, -np.inf).argmax(axis=1)
        go = best > 0
        at = rows[go]
        parts.append((at, furthest[go], dearer[at, furthest[go]], best[go]))
        now, last = np.where(go, furthest, now), best
    return _Steps(*(np.concatenate(part) for part in zip(*parts, strict=True)))
