"""Pictures of averages: of groups and arms, and over doses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.inference.averages import AverageInference
from hypercate.plots.style import (
    ALPHA,
    BLUE,
    ORANGE,
    SKY,
    chosen,
    effect_label,
    legend,
    new_axes,
    percent,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_DOSES = 101


def plot_group_effects(
    effects: AverageInference | pd.DataFrame,
    *,
    alpha: float | None = None,
    arm: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Forest plot: the average effect of every group or arm with its interval.

    Parameters
    ----------
    effects : AverageInference or DataFrame
        From ``HyperCATE.gate_inference``, ``ate_inference`` or ``att_inference``; or a table with
        the columns ``point_estimate, ci_lower, ci_upper``, a row a group, named by the index. The
        first row is drawn on top.
    alpha : float in (0, 1), optional
        Intervals have level 1 - alpha; 0.05 by default. Not for a table, which has its intervals.
    arm : label, optional
        Keep the rows of this arm, where the index has a level ``arm``; all rows by default.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If effects is neither averages nor a table, such as effects of rows.
    ValueError
        If a table is empty, lacks a column or comes with alpha, alpha is not inside (0, 1), or arm
        is unknown.
    """
    frame, title = _averages_of(effects, alpha)
    if arm is not None:
        if "arm" not in frame.index.names:
            raise ValueError(f"arm={arm!r}, but the index of effects has no level 'arm'")
        of_row = frame.index.get_level_values("arm")
        arm = chosen(arm, of_row.unique().tolist())
        frame = frame[of_row == arm]
        if frame.index.nlevels > 1:
            frame = frame.droplevel("arm")
    ax = new_axes(ax, height=1.6 + 0.32 * len(frame))
    height = np.arange(len(frame))[::-1]
    estimate = frame["point_estimate"].to_numpy(dtype=float)
    ax.hlines(height, frame["ci_lower"], frame["ci_upper"], color=BLUE, lw=2, zorder=2)
    ax.plot(estimate, height, "s", color=BLUE, ms=6, zorder=3)
    zero_line(ax, "v")
    names = [
        ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
        for label in frame.index
    ]
    ax.set_yticks(height, names)
    ax.set(ylim=(-0.7, len(frame) - 0.3), xlabel=effect_label(arm))
    ax.set_ylabel(", ".join(str(name) for name in frame.index.names if name is not None))
    ax.set_title(title, loc="left")
    return ax


def plot_dose_response(
    estimator: Any, X: Any, *, arm: Any = None, alpha: float = ALPHA, ax: Axes | None = None
) -> Axes:
    """Mean outcome over doses, how much rows differ, and the doubly robust means of ranges.

    Parameters
    ----------
    estimator : HyperCATE
        Fitted with ``treatment_kind="dose"``.
    X : DataFrame or array-like, shape (n, n_features)
        Rows whose curves are averaged.
    arm : label, optional
        Whose doses, where treatment had a column of arms beside them.
    alpha : float in (0, 1), default=0.05
        Intervals of the means have level 1 - alpha.
    ax : Axes, optional

    Returns
    -------
    Axes
        With the mean of the rows' curves, a band that holds the middle four fifths of them at each
        dose, and a dot with its interval in the middle of each range, of the rows of the fit.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If its treatments are arms, alpha is not inside (0, 1), or `arm` is none of the arms, is
        lacking, or has one dose.
    """
    check_is_fitted(estimator, "fitted_")
    table = estimator.average_dose_response(alpha)
    of_curve, _ = estimator.fitted_.doses.curve(arm)
    if of_curve.is_one:
        raise ValueError(f"arm={arm!r} was given in one dose alone, so that it has no curve")
    if arm is not None:
        table = table[table["arm"] == arm]
    ax = new_axes(ax)
    doses = np.linspace(*of_curve.ends[[0, -1]], N_DOSES)
    curves = estimator.dose_response(X, doses, arm=arm)
    ax.fill_between(
        doses, *np.quantile(curves, [0.1, 0.9], axis=0), color=SKY, alpha=0.3, lw=0,
        label="curves of the middle 80 % of rows",
    )  # fmt: skip
    ax.plot(doses, curves.mean(axis=0), color=BLUE, lw=1.6, label="mean curve")
    middle, mean = (table["least"] + table["greatest"]) / 2, table["point_estimate"]
    ends = np.abs(table[["ci_lower", "ci_upper"]].T.to_numpy() - mean.to_numpy())
    label = f"doubly robust mean of a range, {percent(1 - alpha)} interval"
    ax.errorbar(middle, mean, ends, fmt="o", color=ORANGE, ms=5, lw=1.2, label=label)
    ax.set(xlabel="dose", ylabel="mean outcome")
    ax.set_title("Outcome over doses" + ("" if arm is None else f" of {arm}"), loc="left")
    legend(ax, loc="best")
    return ax


def _averages_of(effects: Any, alpha: float | None) -> tuple[pd.DataFrame, str]:
    """A table of averages with their intervals, and the title of its picture."""
    if isinstance(effects, AverageInference):
        alpha = ALPHA if alpha is None else alpha
        level = percent(1 - alpha)
        return effects.summary_frame(alpha), f"{effects.estimand}\nwith {level} intervals"
    if not isinstance(effects, pd.DataFrame):
        raise TypeError(
            f"effects is a {type(effects).__name__}: pass what gate_inference, ate_inference or "
            "att_inference returns, or its table (plot_effects draws effects of rows)"
        )
    lacking = [name for name in ("point_estimate", "ci_lower", "ci_upper") if name not in effects]
    if lacking:
        raise ValueError(f"effects has no column {', '.join(lacking)}: pass a table of effects")
    if effects.empty:
        raise ValueError("effects has no rows: there is no group to draw")
    if alpha is not None:
        raise ValueError(
            f"alpha={alpha!r}, but a table has its intervals already: leave out alpha, or pass "
            "what gate_inference returns"
        )
    return effects, "Average effects with the intervals of the table"
