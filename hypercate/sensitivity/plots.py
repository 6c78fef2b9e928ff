"""A plot of how far confounding could move an average.

As in `hypercate.plots`, it is drawn on the axes that it gets, or on those of a new figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hypercate.plots.style import (
    BLUE,
    ORANGE,
    chosen,
    colour_of,
    ink,
    legend_beside,
    new_axes,
    written_blue,
)
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
        From `leave_out`: each covariate is drawn where a confounder of the same strength would be.
    arm : label, optional
        The arm whose average is drawn; by default all arms.
    ax : Axes, optional

    Returns
    -------
    Axes
        For one arm, contours of the bound: the orange one is where the bound reaches the null, and
        the others are at a quarter, a half, three quarters, one and a half, two and three times
        the way to the null. For several arms, one line per arm, each in its colour: the strengths
        at which the bound reaches the null.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If result is something else.
    ValueError
        If arm is unknown.

    Examples
    --------
    >>> from hypercate.sensitivity import leave_out, plot_sensitivity, sensitivity
    >>> strengths = leave_out(est, X, y, treatment, ["age"])
    >>> plot_sensitivity(sensitivity(est), covariates=strengths).get_title(loc="left")
    'Lower bound of the ATE'
    """
    if not isinstance(result, Sensitivity):
        raise TypeError(f"result is a {type(result).__name__}: pass sensitivity(est)")
    arms = chosen(arm, result.index.tolist())
    several = len(result.index) > 1
    points = {each: _points(covariates, each, several) for each in arms}
    value = dict(zip(result.index, result.robustness_value().tolist(), strict=True))
    strongest = [part.to_numpy().max(initial=0.0) for part in points.values()]
    furthest = max(*(value[each] for each in arms), *strongest)
    grid = np.linspace(0, min(_MOST_RANGE, max(_LEAST_RANGE, _ROOM * furthest)), _N_STEPS)
    ax = new_axes(ax, height=5)
    draw = _contours if len(arms) == 1 else _ways_to_null
    draw(ax, result, {each: value[each] for each in arms}, grid)
    for place, own in enumerate(points.values()):
        colour = ink(ax) if len(arms) == 1 else colour_of(ax, place)
        for name, (y, d) in zip(own.index, own.to_numpy(), strict=True):
            ax.plot(d, y, "o", color=colour, ms=4)
            ax.annotate(
                f"{name}", (d, y), xytext=(4, 4), textcoords="offset points", fontsize=8,
                color=colour,
            )  # fmt: skip
    ax.set(
        xlim=(0, grid[-1]),
        ylim=(0, grid[-1]),
        xlabel="cf_d: share of the weights' variance\ndue to the confounder",
        ylabel="cf_y: share of the outcome's variance\ndue to the confounder",
    )
    return ax


def _contours(ax: Axes, result: Sensitivity, values: dict[Any, float], grid: np.ndarray) -> None:
    """The bound of one average, and its robustness value."""
    ((arm, value),) = values.items()
    k = result.index.tolist().index(arm)
    cf_d, cf_y = np.meshgrid(grid, grid)
    estimate, bias = result.point_estimate[k], result.parts.largest_bias[k]
    side = -1.0 if estimate > result.null else 1.0
    bound = estimate + side * np.sqrt(cf_y * cf_d / (1 - cf_d)) * bias
    way = np.array(_SHARES) * (result.null - estimate)
    lines = ax.contour(grid, grid, bound, levels=np.sort(estimate + way), colors=BLUE, linewidths=1)
    ax.clabel(lines, fontsize=8, fmt="%.3g", colors=written_blue(ax))
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
    which = "Lower" if side < 0 else "Upper"
    of_arm = "" if len(result.index) == 1 else f", arm {arm}"
    ax.set_title(f"{which} bound of the {result.estimand.upper()}{of_arm}", loc="left")


def _ways_to_null(
    ax: Axes, result: Sensitivity, values: dict[Any, float], grid: np.ndarray
) -> None:
    """Where the bound of each average reaches the null, beyond which it is explained away."""
    inner = grid[1:]
    for place, (arm, value) in enumerate(values.items()):
        colour = colour_of(ax, place)
        reached = value**2 / (1 - value) * (1 - inner) / inner
        ax.plot(inner, reached, color=colour, lw=1.6, label=f"{arm}: {value:.3f}")
        ax.plot(value, value, "D", color=colour, ms=6)
    ax.set_title(
        f"Confounders that would explain the {result.estimand.upper()} away:\n"
        "those beyond the line of an arm",
        loc="left",
    )
    legend_beside(ax, "arm: robustness value")


def _points(covariates: pd.DataFrame | None, arm: Any, several: bool) -> pd.DataFrame:
    if covariates is None:
        return pd.DataFrame(columns=["cf_y", "cf_d"], dtype=float)
    return (covariates.loc[arm] if several else covariates)[["cf_y", "cf_d"]]
