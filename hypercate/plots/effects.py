"""Plots of the effects of rows: sorted, and by a covariate."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hypercate.encoding import check_rows
from hypercate.encoding.checks import as_series
from hypercate.inference.effects import EffectInference
from hypercate.plots.style import (
    ALPHA,
    BLUE,
    GREY,
    ORANGE,
    chosen,
    colour_of,
    dodged,
    effect_label,
    legend_beside,
    named_ticks,
    new_axes,
    percent,
    refuse_several_outcomes,
    title_and_legend,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 250  # drawn one by one
MOST_CATEGORIES = 30
N_BINS = 12
MEANS = "mean of rows"
_DRAWN = ["point_estimate", "ci_lower", "ci_upper"]


def plot_effects(
    inference: EffectInference, *, alpha: float = ALPHA, arm: Any = None, ax: Axes | None = None
) -> Axes:
    """Effects in increasing order with their intervals, and which intervals exclude 0.

    Parameters
    ----------
    inference : EffectInference
        From ``HyperCATE.effect_inference``.
    alpha : float in (0, 1), default=0.05
        Intervals have level 1 - alpha.
    arm : label, optional
        The arm whose effects are drawn; by default all arms.
    ax : Axes, optional

    Returns
    -------
    Axes
        If there are more than 250 rows, 250 evenly spaced ones in this order are drawn. Several
        arms are drawn side by side, each with its own order of the rows, and share these 250.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If inference is something else, such as averages.
    ValueError
        If alpha is not inside (0, 1), or arm is unknown.

    Examples
    --------
    >>> from hypercate.plots import plot_effects
    >>> plot_effects(est.effect_inference(X)).get_title(loc="left")
    'Effects with 95 % intervals'
    """
    tables = _effects_of(inference, alpha, arm)
    alone, scale = len(tables) == 1, inference.scale
    null = 1 if scale.is_ratio else 0
    ax = new_axes(ax, width=max(6.4, 1.6 * len(tables)))
    ends, names = [], []
    for place, (name, table) in enumerate(tables.items()):
        frame = table.sort_values("point_estimate", kind="stable")
        excludes = ((frame["ci_lower"] > null) | (frame["ci_upper"] < null)).to_numpy()
        n, left = len(frame), 110 * place
        drawn = np.linspace(0, n - 1, min(n, MOST_ROWS // len(tables))).round().astype(int)
        drawn = np.unique(drawn)
        at = left + 100 * (drawn + 0.5) / n
        for shown, colour, text in (
            (excludes, BLUE, f"interval excludes {null}"),
            (~excludes, GREY, f"interval includes {null}"),
        ):
            if not shown.any():
                continue
            some, where = frame.iloc[drawn[shown[drawn]]], at[shown[drawn]]
            label = f"{text}: {percent(shown.mean())} of rows" if alone else _once(ax, text)
            bars = some["ci_lower"], some["ci_upper"]
            ax.vlines(where, *bars, color=colour, alpha=0.35, lw=1, zorder=2)
            ax.plot(where, some["point_estimate"], ".", color=colour, ms=4, label=label, zorder=3)
        mean = float(scale.back(scale.forth(frame["point_estimate"].to_numpy()).mean()))
        label = f"mean effect: {mean:.3g}" if alone else _once(ax, "mean effect")
        ends = [left, left + 100]
        ax.plot(ends, [mean, mean], color=ORANGE, ls="--", lw=1.2, label=label, zorder=1)
        names.append(f"{fill(str(name), 16)}\n{percent(excludes.mean())} exclude {null}")
    ax.set(xlim=(0, ends[-1]), xlabel="rows, sorted by effect (% of rows)")
    if not alone:
        ax.set_xticks(50 + 110 * np.arange(len(names)), names)
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel("rows of each arm, sorted by effect")
    ax.set_ylabel(effect_label(next(iter(tables)) if alone else None, scale))
    zero_line(ax, "h", scale)
    title_and_legend(ax, f"Effects with {percent(1 - alpha)} intervals")
    return ax


def plot_effect_by(
    inference: EffectInference,
    covariate: Any,
    *,
    alpha: float = ALPHA,
    arm: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Effects against a covariate: rows, their mean in bins, and the mean of their intervals.

    Parameters
    ----------
    inference : EffectInference
        From ``HyperCATE.effect_inference``.
    covariate : array-like, shape (n,)
        Numbers are put in 12 bins with equal counts (or one bin per value, if there are at most
        12); missing numbers are left out and counted in the axis label. Categories, strings,
        booleans and numbers with at most two values are not binned, and missing is one more
        category.
    alpha : float in (0, 1), default=0.05
        Intervals have level 1 - alpha.
    arm : label, optional
        The arm whose effects are drawn; by default all arms.
    ax : Axes, optional

    Returns
    -------
    Axes
        With one line per arm through the means of the bins. The band or bars are the means of the
        rows' interval ends, which are not an interval of the mean: for that, use
        ``gate_inference``. Means of ratios are geometric.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If the covariate is neither numbers nor categories, or inference is something else.
    ValueError
        If lengths differ, if the covariate is a Series with the index labels of the data in another
        order, if there are more than 30 categories, if alpha is not inside (0, 1), or if arm is
        unknown.

    Examples
    --------
    >>> from hypercate.plots import plot_effect_by
    >>> plot_effect_by(est.effect_inference(X), X["site"]).get_xlabel()
    'site'
    """
    tables = _effects_of(inference, alpha, arm)
    values = _covariate(covariate, inference.index)
    name = "covariate" if values.name is None else str(values.name)
    numeric = _is_numeric(values)
    if numeric:
        labels: list[str] = []
        at = values.to_numpy(dtype=float, na_value=np.nan)
    else:
        at, labels = _categories(values, name)
    known = np.isfinite(at)
    at, alone, scale = at[known], len(tables) == 1, inference.scale
    bins = _bins(at) if numeric else at
    intervals = f"mean of their {percent(1 - alpha)} intervals"
    ax = new_axes(ax, width=6.4 if alone else 7.6)
    for place, (of_arm, table) in enumerate(tables.items()):
        frame = table[_DRAWN].reset_index(drop=True)[known]
        if alone:
            _draw_rows(ax, frame["point_estimate"].to_numpy(), at, 0.0 if numeric else 0.2)
        means = pd.DataFrame(scale.forth(frame.to_numpy()), columns=_DRAWN).groupby(bins).mean()
        mean = pd.DataFrame(scale.back(means.to_numpy()), means.index, _DRAWN)
        where = pd.Series(at).groupby(bins).mean()
        colour = colour_of(ax, place)
        ends = mean["ci_lower"], mean["ci_upper"]
        label, text = (intervals, MEANS) if alone else ("_", str(of_arm))
        if numeric:
            shade = 0.2 if alone else 0.12
            ax.fill_between(where, *ends, color=colour, alpha=shade, lw=0, label=label, zorder=2)
        else:
            where += dodged(place, len(tables), 0.6)
            ax.vlines(where, *ends, color=colour, lw=2.5, label=label, zorder=2)
        marks, size = ("o-", 4) if numeric else ("o", 7)
        ax.plot(where, mean["point_estimate"], marks, color=colour, ms=size, label=text, zorder=3)
    missing = int(np.sum(~known))
    ax.set_xlabel(name + (f" ({missing} missing, not shown)" if missing else ""))
    if labels:
        named_ticks(ax, range(len(labels)), labels)
    ax.set_ylabel(effect_label(next(iter(tables)) if alone else None, scale))
    zero_line(ax, "h", scale)
    if alone:
        title_and_legend(ax, f"Effect by {name}")
    else:
        ax.set_title(f"Effect by {name}: {MEANS},\nand {intervals}", loc="left")
        legend_beside(ax, "arm")
    return ax


def _once(ax: Axes, label: str) -> str:
    """A label that the legend does not have yet, or one that it leaves out."""
    return f"_{label}" if label in ax.get_legend_handles_labels()[1] else label


def _effects_of(inference: EffectInference, alpha: float, arm: Any) -> dict[Any, pd.DataFrame]:
    """Table of effects by arm, with one row per row of the data; by None for one contrast."""
    refuse_several_outcomes(inference)
    if not isinstance(inference, EffectInference):
        raise TypeError(
            f"inference is a {type(inference).__name__}: pass what effect_inference returns "
            "(plot_group_effects draws averages)"
        )
    frame, arms = inference.summary_frame(alpha), list(inference.arms)
    if inference.point_estimate.ndim == 1 and len(arms) != 1:
        if arm is not None:
            raise ValueError(f"arm={arm!r}, but these are effects of one contrast: leave out arm=")
        return {None: frame}
    return {each: frame.iloc[arms.index(each) :: len(arms)] for each in chosen(arm, arms)}


def _covariate(covariate: Any, index: pd.Index) -> pd.Series:
    check_rows(len(index), index, covariate=covariate)
    return as_series(covariate, "covariate")


def _is_numeric(values: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise TypeError(
            "covariate holds times: pass numbers, such as years since a date, or categories"
        )
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return numbers and values.nunique() > 2


def _bins(values: np.ndarray) -> np.ndarray:
    """Which bin each number is in: of equal counts, or of a value, if there are few."""
    distinct, bins = np.unique(values, return_inverse=True)
    if len(distinct) <= N_BINS:
        return bins
    inner = np.unique(np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    return np.searchsorted(inner, values, side="right")


def _categories(values: pd.Series, name: str) -> tuple[np.ndarray, list[str]]:
    """Code of each row's category, and the categories in order, missing last."""
    categories = pd.Categorical(values).remove_unused_categories()
    labels = [
        f"{label:g}" if isinstance(label, float) else str(label) for label in categories.categories
    ]
    codes = np.asarray(categories.codes, dtype=float)
    if (codes < 0).any():
        codes = np.where(codes < 0, len(labels), codes)
        labels.append("missing")
    if len(labels) > MOST_CATEGORIES:
        raise ValueError(
            f"covariate {name} has {len(labels)} categories, but a plot shows at most "
            f"{MOST_CATEGORIES}: group them first"
        )
    return codes, labels


def _draw_rows(ax: Axes, effect: np.ndarray, at: np.ndarray, apart: float) -> None:
    """A dot for each row of a random choice, few enough to be seen, and moved by up to `apart`."""
    rows = np.random.default_rng(0).permutation(len(at))[:MOST_ROWS]
    moved = at[rows] + np.random.default_rng(0).uniform(-apart, apart, len(rows))
    look: dict[str, Any] = {"color": GREY, "alpha": 0.3, "ms": 3, "mew": 0}
    ax.plot(moved, effect[rows], "o", **look, label="rows", zorder=1)
