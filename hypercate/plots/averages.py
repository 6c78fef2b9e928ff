"""Plots of averages: of groups and arms, and over doses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.inference.averages import AverageInference
from hypercate.inference.scales import DIFFERENCE
from hypercate.metrics.scores import ScoreInference
from hypercate.plots.style import (
    ALPHA,
    BLUE,
    ORANGE,
    SKY,
    chosen,
    colour_of,
    dodged,
    effect_label,
    legend_beside,
    new_axes,
    percent,
    refuse_several_outcomes,
    title_and_legend,
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
        the columns ``point_estimate, ci_lower, ci_upper``, one row per group, named by the index.
        The first row is drawn on top.
    alpha : float in (0, 1), optional
        Intervals have level 1 - alpha; 0.05 by default. Not allowed with a table, which already has
        its intervals.
    arm : label, optional
        Draw only the rows of this arm, if the index has a level ``arm``; by default all rows, with
        the arms of a group below one another in different colours.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If effects is neither averages nor a table (for example effects of rows), or has several
        outcomes.
    ValueError
        If a table is empty, lacks a column or is passed with alpha, if alpha is not inside (0, 1),
        or if arm is unknown.

    Examples
    --------
    >>> from hypercate.plots import plot_group_effects
    >>> plot_group_effects(est.gate_inference(X["site"])).get_ylabel()
    'site'
    """
    frame, title = _averages_of(effects, alpha)
    frame, names, arms = _rows_of(frame, arm)
    of_arms = list(dict.fromkeys(arms))
    alone = len(of_arms) == 1
    rows = names if alone else list(dict.fromkeys(names))
    height = np.arange(len(rows), dtype=float)[::-1]
    at = height if alone else height[[rows.index(name) for name in names]]
    each = 0.32 if alone else 0.1 + 0.2 * len(of_arms)
    ax = new_axes(ax, height=1.6 + each * len(rows), width=6.4 if alone else 7.6)
    for place, of_arm in enumerate(of_arms):
        own = np.array([each == of_arm for each in arms])
        some, colour = frame[own], colour_of(ax, place)
        moved = at[own] - dodged(place, len(of_arms), 0.7)
        ax.hlines(moved, some["ci_lower"], some["ci_upper"], color=colour, lw=2, zorder=2)
        estimate = some["point_estimate"].to_numpy(dtype=float)
        ax.plot(estimate, moved, "s", color=colour, ms=6, zorder=3, label=str(of_arm))
    ax.set_yticks(height, rows)
    ax.set(ylim=(-0.7, len(rows) - 0.3), xlabel=_label(effects, arm))
    levels = [name for name in frame.index.names if name is not None and (alone or name != "arm")]
    ax.set_ylabel(", ".join(map(str, levels)))
    zero_line(ax, "v", effects.scale if isinstance(effects, AverageInference) else DIFFERENCE)
    ax.set_title(title, loc="left")
    if not alone:
        legend_beside(ax, "arm")
    return ax


def plot_dose_response(
    estimator: Any, X: Any, *, arm: Any = None, alpha: float = ALPHA, ax: Axes | None = None
) -> Axes:
    """Mean dose-response curve, how much rows differ, and doubly robust means of dose ranges.

    Parameters
    ----------
    estimator : HyperCATE
        Fitted with ``treatment_kind="dose"``.
    X : DataFrame or array-like, shape (n, n_features)
        Rows whose curves are averaged.
    arm : label, optional
        The arm whose doses are drawn, if treatment had a column of arms besides the doses.
    alpha : float in (0, 1), default=0.05
        Intervals of the means have level 1 - alpha.
    ax : Axes, optional

    Returns
    -------
    Axes
        With the mean of the rows' curves, a band that contains the middle four fifths of them at
        each dose, and, in the middle of each range of doses, a dot with an interval for the mean
        over the rows of the fit.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If its treatments are arms, if alpha is not inside (0, 1), or if `arm` is unknown, is
        missing, or has a single dose.

    Examples
    --------
    >>> from hypercate.plots import plot_dose_response
    >>> mg = np.linspace(0, 10, 300)
    >>> est = HyperCATE(treatment_kind="dose", effort="fast", max_epochs=5, random_state=0)
    >>> ax = plot_dose_response(est.fit(X, y + mg, mg), X)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('dose', 'mean outcome')
    """
    check_is_fitted(estimator, "fitted_")
    table = estimator.average_dose_response(alpha)
    of_curve, _ = estimator.fitted_.doses.curve(arm)
    if of_curve.is_one:
        raise ValueError(f"arm={arm!r} was given at a single dose, so it has no curve")
    if arm is not None:
        table = table[table["arm"] == arm]
    ax = new_axes(ax)
    doses = np.linspace(of_curve.ends[0], of_curve.ends[-1], N_DOSES)
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
    title_and_legend(ax, "Outcome over doses" + ("" if arm is None else f" of {arm}"))
    return ax


def _rows_of(frame: pd.DataFrame, arm: Any) -> tuple[pd.DataFrame, list[str], list]:
    """The rows to draw, their names, and the arm of each where it is not its name."""
    index = frame.index
    if arm is not None:
        if "arm" not in index.names:
            raise ValueError(f"arm={arm!r}, but the index of effects has no level 'arm'")
        of_row = index.get_level_values("arm")
        frame = frame[of_row.isin(chosen(arm, of_row.unique().tolist()))]
    arms: list = [None] * len(frame)
    index = frame.index
    if "arm" in index.names and index.nlevels > 1:
        arms, index = index.get_level_values("arm").tolist(), index.droplevel("arm")
        if arm is not None:
            frame = frame.set_axis(index)
    names = [
        ", ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in index
    ]
    return frame, names, arms


def _label(effects: Any, arm: Any) -> str:
    if isinstance(effects, ScoreInference):
        return "estimate"
    return effect_label(arm, effects.scale if isinstance(effects, AverageInference) else DIFFERENCE)


def _averages_of(effects: Any, alpha: float | None) -> tuple[pd.DataFrame, str]:
    """A table of averages with their intervals, and the title of its picture."""
    refuse_several_outcomes(effects)
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
