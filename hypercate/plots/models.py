"""Pictures of effects, their intervals, overlap and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.encoding import check_rows
from hypercate.encoding.checks import as_series
from hypercate.inference.averages import AverageInference
from hypercate.inference.effects import EffectInference, check_alpha
from hypercate.log_axis import label_decimals
from hypercate.metrics import rejection_curve
from hypercate.overlap import OverlapReport
from hypercate.plots.style import (
    ALPHA,
    BLACK,
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    SKY,
    count_of,
    legend,
    new_axes,
    percent,
    style_of,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 250  # drawn one by one
MOST_CATEGORIES = 30
N_BINS = 12
N_BARS = 40  # half as many where an arm has few rows
FEW_ROWS = 100
FURTHEST_REJECTED = 0.9
IMBALANCE = 0.1
MEANS = "mean of rows"
N_DOSES = 101
_LOSSES = {
    "continuous": "squared error (standardised outcome)",
    "binary": "cross-entropy",
    "count": "Poisson deviance",
    "positive": "gamma deviance",
}
LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2))

Intervals: TypeAlias = (
    EffectInference | np.ndarray | Callable[[float], tuple[np.ndarray, np.ndarray]]
)


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
    ax.set(xlim=(0, 100), xlabel="rows, sorted by effect (% of rows)", ylabel=_effect_label(arm))
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
    ax.set_ylabel(_effect_label(arm))
    ax.set_title(f"Effect by {name}", loc="left", pad=24)
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=3)
    return ax


def plot_calibration(
    effect_true: Any,
    intervals: Intervals,
    *,
    levels: Sequence[float] = LEVELS,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Share of true effects inside their intervals, against the intervals' nominal level.

    Draw several models on the same axes to compare them.

    Parameters
    ----------
    effect_true : array-like, shape (n,) or (n, n_effects)
        Known in simulations only.
    intervals : EffectInference, callable or ndarray
        An inference; or a function of alpha that returns lower and upper ends of level 1 - alpha,
        such as ``lambda alpha: est.effect_interval(X, alpha=alpha)``; or draws of the effects,
        shape (n_samples, n) or (n_samples, n, n_effects).
    levels : sequence of float in (0, 1)
    label : str, optional
        Of the line, in the legend.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the intervals are not of effect_true's shape, effect_true is a Series with the labels of
        the data in another order, or a level is not inside (0, 1).
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
        color=COLOURS[place % len(COLOURS)],
        marker="o",
        ms=3.5,
        label=label or "intervals",
        zorder=3,
    )
    ax.set(xlim=(0, 100), ylim=(0, 102), aspect="equal")
    ax.set(xlabel="level of the intervals (%)", ylabel="true effects inside (%)")
    ax.set_title("Coverage of intervals", loc="left")
    legend(ax, loc="best")
    return ax


def plot_overlap(report: OverlapReport, *, arm: Any = None, ax: Axes | None = None) -> Axes:
    """How likely an arm was for those who received it and for the others.

    Parameters
    ----------
    report : OverlapReport
        From ``hypercate.overlap_report``.
    arm : label, optional
        Whose propensity; of two arms the one that is not control, needed if there are more.
    ax : Axes, optional

    Returns
    -------
    Axes
        With a histogram for each arm received, in percent of its rows whatever their weights, and
        the limit below which a row is outside the arm's support.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If arm is needed or unknown.
    """
    ax = new_axes(ax)
    labels = report.arms.index.tolist()
    arm = labels[1] if arm is None and len(labels) == 2 else _chosen(arm, labels)
    propensity = report.propensity.iloc[:, labels.index(arm)].to_numpy()
    n_bars = N_BARS if report.received.value_counts().min() >= FEW_ROWS else N_BARS // 2
    edges = np.linspace(0, _round_up(propensity.max()), n_bars + 1)
    for place, received in enumerate(labels):
        rows = propensity[(report.received == received).to_numpy()]
        ax.hist(
            rows,
            edges.tolist(),
            weights=np.full(len(rows), 100 / len(rows)),
            histtype="stepfilled" if len(labels) == 2 else "step",
            **style_of(place, filled=len(labels) == 2),
            label=f"received {received} ({len(rows)} rows)",
        )
    limit = report.arms["limit"].iloc[labels.index(arm)]
    ax.axvline(limit, color=BLACK, ls=":", lw=1.5, label=f"limit of support: {limit:.3g}")
    ax.set(xlim=(0, edges[-1]), xlabel=f"propensity of {arm}", ylabel="rows of the arm (%)")
    ax.set_title(f"Overlap: who could have received {arm}", loc="left")
    legend(ax, loc="best")
    return ax


def plot_balance(
    report: OverlapReport, *, arm: Any = None, most: int = 30, ax: Axes | None = None
) -> Axes:
    """Differences of an arm from control in every covariate, before and after weighting.

    Parameters
    ----------
    report : OverlapReport
        From ``hypercate.overlap_report``.
    arm : label, optional
        Which arm; needed if there are several besides control.
    most : int, default=30
        Covariates shown: those that differ most before weighting.
    ax : Axes, optional

    Returns
    -------
    Axes
        An infinite difference, of a covariate that varies in neither arm, is drawn beyond the
        largest finite one and marked so.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If arm is needed or unknown.
    """
    arm = _chosen(arm, report.arms.index[1:].tolist())
    balance = report.balance.xs(arm, level="arm").abs()
    shown = balance.sort_values("before", kind="stable").iloc[-most:]
    ax = new_axes(ax, height=1.6 + 0.24 * len(shown))
    finite = shown.to_numpy()[np.isfinite(shown.to_numpy())]
    end = 1.15 * max(IMBALANCE, finite.max(initial=0.0))
    drawn = shown.clip(upper=end)
    height = np.arange(len(shown))
    ax.hlines(height, drawn.min(axis=1), drawn.max(axis=1), color="#C8C8C8", lw=1.2, zorder=1)
    ax.plot(drawn["before"], height, "o", mfc="white", color=ORANGE, ms=6, label="before", zorder=2)
    ax.plot(drawn["after"], height, "o", color=BLUE, ms=6, label="after weighting", zorder=3)
    ax.axvline(IMBALANCE, color=GREY, ls=":", lw=1.5, label=f"{IMBALANCE}: imbalance begins")
    marks = np.where(np.isinf(shown["before"]), " (infinite)", "")
    ax.set_yticks(height, [f"{name}{mark}" for name, mark in zip(shown.index, marks, strict=True)])
    ax.set(xlim=(0, 1.05 * end), ylim=(-0.7, len(shown) - 0.3))
    ax.set_xlabel("standardised mean difference from control, absolute (sd)")
    left_out = f", {len(shown)} of {len(balance)} covariates" if len(shown) < len(balance) else ""
    ax.set_title(f"Balance of {arm}{left_out}", loc="left")
    legend(ax, loc="lower right")
    return ax


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
        arm = _chosen(arm, of_row.unique().tolist())
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
    ax.set(ylim=(-0.7, len(frame) - 0.3), xlabel=_effect_label(arm))
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


def plot_history(estimator: Any, *, ax: Axes | None = None) -> Axes:
    """Loss of each member's network in training, and the epoch whose weights it kept.

    Parameters
    ----------
    estimator : HyperCATE
        Fitted.
    ax : Axes, optional

    Returns
    -------
    Axes
        With two lines a member, loss in training and on the rows that stop it, and a dot at
        the least of the latter.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    """
    check_is_fitted(estimator, "history_")
    ax = new_axes(ax)
    for place, (member, epochs) in enumerate(estimator.history_.groupby("member")):
        colour = COLOURS[place % len(COLOURS)]
        best = epochs.loc[epochs["validation_loss"].idxmin()]
        ax.plot(epochs["epoch"], epochs["train_loss"], color=colour, lw=0.9, ls=":")
        ax.plot(
            epochs["epoch"],
            epochs["validation_loss"],
            color=colour,
            lw=1.4,
            label=f"member {member}",
        )
        ax.plot(best["epoch"], best["validation_loss"], "o", color=colour, ms=5)
    ax.set(xlabel="epoch", ylabel=_LOSSES[estimator.outcome_], yscale="log")
    label_decimals(ax.yaxis)
    ax.set_title("Loss: training (dotted), validation (solid), its lowest (dot)", loc="left")
    legend(ax, loc="upper right", ncols=2)
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

    A useful uncertainty falls from the line of rejection at random towards that of an oracle who
    rejects the rows of largest error. Draw several models on the same axes to compare them, each
    with its own lines of reference.

    Parameters
    ----------
    effect_true, effect_pred : array-like, shape (n,) or (n, n_effects)
        Of several effects, a row's squared error is their mean.
    uncertainty : array-like, shape (n,)
        Largest for the row that is rejected first, such as an interval's width; equal ones are
        rejected in random order, of which the expected error is drawn.
    label : str, optional
        Of the line, in the legend.
    ax : Axes, optional

    Returns
    -------
    Axes
        Of sqrt-PEHE against the share rejected, up to 90 %.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If shapes differ, or a value is missing or infinite.
    """
    ax = new_axes(ax)
    true, pred = np.asarray(effect_true, dtype=float), np.asarray(effect_pred, dtype=float)
    doubt = np.asarray(uncertainty, dtype=float)
    if true.shape != pred.shape or doubt.shape != true.shape[:1] or not len(doubt):
        raise ValueError(
            f"effect_true has shape {true.shape}, effect_pred {pred.shape} and uncertainty "
            f"{doubt.shape}: the first two must agree, and uncertainty have one value a row"
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
    colour = COLOURS[place % len(COLOURS)]
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
    ax.set_title("Error of the rows kept, by share rejected", loc="left")
    legend(ax, loc="best")
    return ax


def _effect_label(arm: Any) -> str:
    return f"effect{'' if arm is None else f' of {arm}'} (units of the outcome)"


def _round_up(largest: float) -> float:
    """End of an axis of probabilities: 1, or less if all of them are far below."""
    ends = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
    return min((end for end in ends if end >= largest), default=1.0)


def _chosen(arm: Any, arms: list) -> Any:
    if arm is None and len(arms) == 1:
        return arms[0]
    if arm is None:
        raise ValueError(f"there are several arms, {arms}: pass one of them as arm=")
    if arm not in arms:
        raise ValueError(f"arm={arm!r} is not an arm: the arms are {arms}")
    return arm


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
    arm = _chosen(arm, arms)
    return arm, frame.iloc[arms.index(arm) :: len(arms)]


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


def _ends(intervals: Intervals, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    check_alpha(alpha)
    if isinstance(intervals, EffectInference):
        lower, upper = intervals.interval(alpha)
    elif callable(intervals):
        lower, upper = intervals(alpha)
    else:
        lower, upper = np.quantile(intervals, [alpha / 2, 1 - alpha / 2], axis=0)
    return np.asarray(lower), np.asarray(upper)


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
