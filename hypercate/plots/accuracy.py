"""Plots of how accurate effects and their intervals are, when the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hypercate.encoding import check_rows
from hypercate.inference.effects import EffectInference, check_alpha
from hypercate.metrics import rejection_curve
from hypercate.plots.style import (
    GREY,
    colour_of,
    count_of,
    new_axes,
    title_and_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FURTHEST_REJECTED = 0.9
LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())

Intervals: TypeAlias = (
    EffectInference | np.ndarray | Callable[[float], tuple[np.ndarray, np.ndarray]]
)


def plot_calibration(
    effect_true: Any,
    intervals: Intervals,
    *,
    levels: Sequence[float] = LEVELS,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Coverage of intervals of the effect, against their nominal level.

    Draw several models on the same axes to compare them.

    Parameters
    ----------
    effect_true : array-like, shape (n,) or (n, n_effects)
        True effects, which are known only in simulations.
    intervals : EffectInference, callable or ndarray
        The result of ``effect_inference``; or a function of alpha that returns the lower and upper
        ends of intervals of level 1 - alpha, such as
        ``lambda alpha: est.effect_interval(X, alpha=alpha)``; or draws of the effects, shape
        (n_samples, n) or (n_samples, n, n_effects).
    levels : sequence of float in (0, 1)
        Nominal levels.
    label : str, optional
        Name of the line in the legend.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the intervals do not have the shape of effect_true, if effect_true is a Series with the
        index labels of the data in another order, or if a level is not inside (0, 1).

    Examples
    --------
    >>> from hypercate.plots import plot_calibration
    >>> effect_true = 2.0 * (X["site"] == "north")
    >>> plot_calibration(effect_true, est.effect_inference(X), label="HyperCATE").get_ylabel()
    'true effects inside (%)'
    """
    ax = new_axes(ax)
    true = np.asarray(effect_true, dtype=float)
    coverage = []
    for level in levels:
        lower, upper = _ends(intervals, 1 - level)
        if lower.shape != true.shape:
            raise ValueError(
                f"effect_true has shape {true.shape}, but the intervals have {lower.shape}"
            )
        coverage.append(100 * np.mean((lower <= true) & (true <= upper)))
    if isinstance(intervals, EffectInference):
        check_rows(len(true), intervals.index, effect_true=effect_true)
    place = count_of(ax, "coverage")
    if place == 0:
        ax.plot(
            [0, 100],
            [0, 100],
            color=GREY,
            ls=":",
            lw=1.5,
            label="coverage equal to the level",
            zorder=1,
        )
    ax.plot(
        100 * np.asarray(levels),
        coverage,
        gid="coverage",
        color=colour_of(ax, place),
        marker="o",
        ms=3.5,
        label=label or "intervals",
        zorder=3,
    )
    ax.set(xlim=(0, 100), ylim=(0, 102), aspect="equal", anchor="W")
    ax.set(xlabel="level of the intervals (%)", ylabel="true effects inside (%)")
    title_and_legend(ax, "Coverage of intervals")
    return ax


def plot_rejection(
    effect_true: Any,
    effect_pred: Any,
    uncertainty: Any,
    *,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Error of the rows that are kept when the least certain are rejected.

    With a useful measure of uncertainty, the line falls from that of rejection at random towards
    that of an oracle, which rejects the rows with the largest errors. Draw several models on the
    same axes to compare them, each with its own reference lines.

    Parameters
    ----------
    effect_true, effect_pred : array-like, shape (n,) or (n, n_effects)
        True and predicted effects. With several effects, the squared error of a row is the mean
        over its effects.
    uncertainty : array-like, shape (n,)
        Largest for the row that is rejected first, such as the width of an interval; rows with
        equal uncertainty are rejected in random order, and the expected error is drawn.
    label : str, optional
        Name of the line in the legend.
    ax : Axes, optional

    Returns
    -------
    Axes
        With sqrt-PEHE against the share of rows rejected, up to 90 %.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If shapes differ, or a value is missing or infinite.

    Examples
    --------
    >>> from hypercate.plots import plot_rejection
    >>> effect_true = 2.0 * (X["site"] == "north")
    >>> found = est.effect_inference(X)
    >>> plot_rejection(effect_true, found.point_estimate, found.stderr).get_xlabel()
    'rows rejected (%)'
    """
    ax = new_axes(ax)
    true, pred = np.asarray(effect_true, dtype=float), np.asarray(effect_pred, dtype=float)
    doubt = np.asarray(uncertainty, dtype=float)
    if true.shape != pred.shape or doubt.shape != true.shape[:1] or not len(doubt):
        raise ValueError(
            f"effect_true has shape {true.shape}, effect_pred {pred.shape} and uncertainty "
            f"{doubt.shape}: the first two must agree, and uncertainty needs one value per row"
        )
    for name, values in (("effect_true", true), ("effect_pred", pred), ("uncertainty", doubt)):
        if not np.isfinite(values).all():
            row = np.argwhere(~np.isfinite(values))[0, 0]
            raise ValueError(f"{name} is missing or infinite in row {row}")
    error = ((true - pred) ** 2).reshape(len(doubt), -1).mean(axis=1)
    shares = np.arange(len(doubt)) / len(doubt)
    rejected = 100 * shares
    shown = rejected <= 100 * FURTHEST_REJECTED
    place = count_of(ax, "kept")
    colour = colour_of(ax, place)
    for doubted, text, width, dashes, gid in (
        (doubt, label or "least certain first", 2.0, "-", "kept"),
        (np.zeros(len(doubt)), "_" if place else "at random", 1.0, "--", None),
        (error, "_" if place else "oracle", 1.0, ":", None),
    ):
        kept = rejection_curve(true, pred, doubted, shares)[shown]
        ax.plot(rejected[shown], kept, dashes, color=colour, lw=width, label=text, gid=gid)
    ax.set(xlim=(0, 100 * FURTHEST_REJECTED), xlabel="rows rejected (%)")
    ax.set_ylabel("sqrt-PEHE of the rows kept")
    top = max(np.max(line.get_ydata()) for line in ax.lines)
    ax.set_ylim(0, 1.05 * top if top > 0 else 1)
    title_and_legend(ax, "Error of the rows kept, by share rejected")
    return ax


def _ends(intervals: Intervals, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    check_alpha(alpha)
    if isinstance(intervals, EffectInference):
        lower, upper = intervals.interval(alpha)
    elif callable(intervals):
        lower, upper = intervals(alpha)
    else:
        lower, upper = np.quantile(intervals, [alpha / 2, 1 - alpha / 2], axis=0)
    return np.asarray(lower), np.asarray(upper)
