"""Pictures of rows' effects: in their order, and by a covariate."""

from __future__ import annotations

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
    effect_label,
    legend,
    new_axes,
    percent,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 250  # drawn one by one
MOST_CATEGORIES = 30
N_BINS = 12
MEANS = "mean of rows"


def plot_effects(
    inference: EffectInference, *, alpha: float = ALPHA, arm: Any = None, ax: Axes | None = None
) -> Axes:
    """Effects in rising order with their intervals, and which intervals exclude 0.

    Parameters
    ----------
    inference : EffectInference
        From ``HyperCATE.effect_inference``.
    alpha : float in (0, 1), default=0.05
        Intervals have level 1 - alpha.
    arm : label, optional
        Whose effect; needed if there are several, and not for one contrast of T1 with T0.
    ax : Axes, optional

    Returns
    -------
    Axes
        Of more than 250 rows, 250 at even distances in the order are drawn.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If inference is something else, such as averages.
    ValueError
        If alpha is not inside (0, 1), or arm is needed or unknown.
    """
    ax = new_axes(ax)
    arm, frame = _effects_of(inference, alpha, arm)
    frame = frame.sort_values("point_estimate", kind="stable")
    excludes = ((frame["ci_lower"] > 0) | (frame["ci_upper"] < 0)).to_numpy()
    n = len(frame)
    drawn = np.unique(np.linspace(0, n - 1, min(n, MOST_ROWS)).round().astype(int))
    place = 100 * (drawn + 0.5) / n
    for shown, colour, text in (
        (excludes, BLUE, "interval excludes 0"),
        (~excludes, GREY, "interval includes 0"),
    ):
        rows, at = drawn[shown[drawn]], place[shown[drawn]]
        if not shown.any():
            continue
        some = frame.iloc[rows]
        label = f"{text}: {percent(shown.mean())} of rows"
        ax.vlines(at, some["ci_lower"], some["ci_upper"], color=colour, alpha=0.35, lw=1, zorder=2)
        ax.plot(at, some["point_estimate"], ".", color=colour, ms=4, label=label, zorder=3)
    mean = frame["point_estimate"].mean()
    ax.axhline(mean, color=ORANGE, ls="--", lw=1.2, label=f"mean effect: {mean:.3g}", zorder=1)
    zero_line(ax, "h")
    ax.set(xlim=(0, 100), xlabel="rows, sorted by effect (% of rows)", ylabel=effect_label(arm))
    ax.set_title(f"Effects with {percent(1 - alpha)} intervals", loc="left")
    legend(ax, loc="upper left")
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
        Numbers are put in 12 bins of equal counts (values, if there are no more), and missing
        ones left out and counted in the axis label. Categories, strings, booleans and numbers of
        at most two values stay as they are, with missing as one more.
    alpha : float in (0, 1), default=0.05
        Intervals have level 1 - alpha.
    arm : label, optional
        Whose effect; needed if there are several, and not for one contrast of T1 with T0.
    ax : Axes, optional

    Returns
    -------
    Axes
        With the bins' means as a line; the band or bars are the means of the rows' interval ends,
        which are not an interval of the mean: for that see ``gate_inference``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If the covariate is neither numbers nor categories, or inference is something else.
    ValueError
        If lengths differ, the covariate is a Series with the labels of the data in another order,
        there are over 30 categories, alpha is not inside (0, 1), or arm is needed or unknown.
    """
    ax = new_axes(ax)
    arm, frame = _effects_of(inference, alpha, arm)
    values = _covariate(covariate, inference.index)
    name = "covariate" if values.name is None else str(values.name)
    frame = frame.reset_index(drop=True)
    intervals = f"mean of their {percent(1 - alpha)} intervals"
    if _is_numeric(values):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        _draw_numeric(ax, frame, numbers, name, intervals)
    else:
        _draw_categories(ax, frame, values, name, intervals)
    zero_line(ax, "h")
    ax.set_ylabel(effect_label(arm))
    ax.set_title(f"Effect by {name}", loc="left", pad=24)
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=3)
    return ax


def _effects_of(inference: EffectInference, alpha: float, arm: Any) -> tuple[Any, pd.DataFrame]:
    """The arm, and the table of its effects, a row a row of the data."""
    if not isinstance(inference, EffectInference):
        raise TypeError(
            f"inference is a {type(inference).__name__}: pass what effect_inference returns "
            "(plot_group_effects draws averages)"
        )
    frame, arms = inference.summary_frame(alpha), list(inference.arms)
    if inference.point_estimate.ndim == 1 and len(arms) > 1:
        if arm is not None:
            raise ValueError(f"arm={arm!r}, but these are effects of one contrast: leave out arm=")
        return None, frame
    arm = chosen(arm, arms)
    return arm, frame.iloc[arms.index(arm) :: len(arms)]


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


def _draw_numeric(
    ax: Axes, frame: pd.DataFrame, values: np.ndarray, name: str, intervals: str
) -> None:
    known = np.isfinite(values)
    values, frame = values[known], frame[known]
    _draw_rows(ax, frame, values)
    distinct, bins = np.unique(values, return_inverse=True)
    if len(distinct) > N_BINS:
        inner = np.unique(np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1]))
        bins = np.searchsorted(inner, values, side="right")
    mean = frame.assign(at=values).groupby(bins).mean()
    ends = mean["at"], mean["ci_lower"], mean["ci_upper"]
    ax.fill_between(*ends, color=BLUE, alpha=0.2, lw=0, label=intervals, zorder=2)
    ax.plot(mean["at"], mean["point_estimate"], "o-", color=BLUE, ms=4, label=MEANS, zorder=3)
    missing = np.sum(~known)
    ax.set_xlabel(name + (f" ({missing} missing, not shown)" if missing else ""))


def _draw_categories(
    ax: Axes, frame: pd.DataFrame, values: pd.Series, name: str, intervals: str
) -> None:
    codes, labels = _categories(values)
    if len(labels) > MOST_CATEGORIES:
        raise ValueError(
            f"covariate {name} has {len(labels)} categories, more than {MOST_CATEGORIES} that can "
            "be read: group them first"
        )
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, len(codes))
    _draw_rows(ax, frame, codes + jitter)
    mean = frame.groupby(codes).mean()
    ends = mean.index, mean["ci_lower"], mean["ci_upper"]
    ax.vlines(*ends, color=BLUE, lw=2.5, label=intervals, zorder=2)
    ax.plot(mean.index, mean["point_estimate"], "o", color=BLUE, ms=7, label=MEANS, zorder=3)
    crowded = sum(map(len, labels)) > 60
    ax.set_xticks(range(len(labels)), labels, rotation=90 if crowded else 0)
    ax.set_xlabel(name)


def _categories(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Code of each row's category, and the categories in order, missing last."""
    categories = pd.Categorical(values).remove_unused_categories()
    labels = [
        f"{label:g}" if isinstance(label, float) else str(label) for label in categories.categories
    ]
    codes = np.asarray(categories.codes, dtype=int)
    if (codes < 0).any():
        codes = np.where(codes < 0, len(labels), codes)
        labels.append("missing")
    return codes, labels


def _draw_rows(ax: Axes, frame: pd.DataFrame, at: np.ndarray) -> None:
    """A dot for each row of a random choice, few enough to be seen."""
    rows = np.random.default_rng(0).permutation(len(at))[:MOST_ROWS]
    effect = frame["point_estimate"].to_numpy()[rows]
    ax.plot(at[rows], effect, "o", color=GREY, alpha=0.3, ms=3, mew=0, label="rows", zorder=1)
