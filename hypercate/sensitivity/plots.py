"""A picture of how far confounding could move an average.

As in `hypercate.plots`, it is drawn on the axes given, or on those of a new figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hypercate.plots.style import BLACK, BLUE, ORANGE, new_axes
from hypercate.sensitivity.bounds import Sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_N_STEPS = 61
_LEAST_RANGE, _MOST_RANGE = 0.1, 0.95
_SHARES = (0.25, 0.5, 0.75, 1.5, 2.0, 3.0)  # of the way from the estimate to the null
_ROOM = 1.3  # times the strongest of what is drawn


def plot_sensitivity(
    result: Sensitivity,
    *,
    covariates: pd.DataFrame | None = None,
    arm: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """The bound that is nearer to the null, over strengths of confounding.

    Parameters
    ----------
    result : Sensitivity
    covariates : DataFrame, optional
        Of `leave_out`: covariates are drawn where a confounder as strong would be.
    arm : label, optional
        Whose average; needed if there are several.
    ax : Axes, optional

    Returns
    -------
    Axes
        Contours of the bound, a quarter, a half, three quarters, and one and a half, two and three
        times the way to the null, which is the orange one.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If result is something else.
    ValueError
        If arm is needed or unknown.

    Examples
    --------
    >>> from hypercate.sensitivity import leave_out, plot_sensitivity, sensitivity
    >>> strengths = leave_out(est, X, y, arm)  # doctest: +SKIP
    >>> plot_sensitivity(sensitivity(est), covariates=strengths)  # doctest: +SKIP
    """
    if not isinstance(result, Sensitivity):
        raise TypeError(f"result is a {type(result).__name__}: pass sensitivity(est)")
    arms = result.index.tolist()
    if (arm is None and len(arms) > 1) or (arm is not None and arm not in arms):
        raise ValueError(f"arm={arm!r} must be one of {arms}")
    k = 0 if arm is None else arms.index(arm)
    ax = new_axes(ax, height=5)
    points = _points(covariates, arm, len(arms))
    value = float(result.robustness_value()[k])
    furthest = max([value, _LEAST_RANGE / _ROOM, *points.max(axis=0)]) if len(points) else value
    grid = np.linspace(0, min(_MOST_RANGE, max(_LEAST_RANGE, _ROOM * furthest)), _N_STEPS)
    cf_d, cf_y = np.meshgrid(grid, grid)
    estimate, bias = result.point_estimate[k], result.parts.largest_bias[k]
    side = -1.0 if estimate > result.null else 1.0
    bound = estimate + side * np.sqrt(cf_y * cf_d / (1 - cf_d)) * bias
    way = np.array(_SHARES) * (result.null - estimate)
    lines = ax.contour(grid, grid, bound, levels=np.sort(estimate + way), colors=BLUE, linewidths=1)
    ax.clabel(lines, fontsize=8, fmt="%.3g")
    if bound.min() < result.null < bound.max():
        reached = ax.contour(grid, grid, bound, levels=[result.null], colors=ORANGE, linewidths=2)
        ax.clabel(reached, fontsize=8, fmt=f"null: {result.null:.3g}")
    ax.plot(value, value, "D", color=ORANGE, ms=6)
    ax.annotate(
        f"robustness value: {value:.3f}",
        (value, value),
        xytext=(8, 4),
        textcoords="offset points",
        color=ORANGE,
        fontsize=9,
    )
    for name, (y, d) in zip(points.index, points.to_numpy(), strict=True):
        ax.plot(d, y, "o", color=BLACK, ms=4)
        ax.annotate(f"{name}", (d, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
    which = "lower" if side < 0 else "upper"
    ax.set(
        xlabel="cf_d: share of the weights' variance due to the confounder",
        ylabel="cf_y: share of the outcome's variance due to the confounder",
    )
    of_arm = "" if len(arms) == 1 else f", arm {arms[k]}"
    ax.set_title(f"{which.capitalize()} bound of the {result.estimand.upper()}{of_arm}", loc="left")
    return ax


def _points(covariates: pd.DataFrame | None, arm: Any, n_arms: int) -> pd.DataFrame:
    if covariates is None:
        return pd.DataFrame(columns=["cf_y", "cf_d"], dtype=float)
    return (covariates.loc[arm] if n_arms > 1 else covariates)[["cf_y", "cf_d"]]
