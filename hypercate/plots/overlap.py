"""Plots of overlap: who could have received which arm, and how similar the arms' rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hypercate.overlap import OverlapReport
from hypercate.plots.style import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    chosen,
    colour_of,
    dodged,
    ink,
    legend_beside,
    new_axes,
    style_of,
    title_and_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_BARS = 40  # half as many where an arm has few rows
FEW_ROWS = 100
IMBALANCE = 0.1


def plot_overlap(report: OverlapReport, *, arm: Any = None, ax: Axes | None = None) -> Axes:
    """Propensity of an arm among the rows that received it and among the others.

    Parameters
    ----------
    report : OverlapReport
        From ``hypercate.overlap_report``.
    arm : label, optional
        The arm whose propensity is drawn; by default, with two arms, the one that is not control,
        and with more, all arms.
    ax : Axes, optional

    Returns
    -------
    Axes
        For one arm, with a histogram for each arm received, in percent of its rows, unweighted, and
        the limit below which a row is outside the arm's support. For all arms, with the propensity
        of each arm among the rows that received it, upwards, and among the others, downwards.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If arm is unknown.

    Examples
    --------
    >>> from hypercate import overlap_report
    >>> from hypercate.plots import plot_overlap
    >>> plot_overlap(overlap_report(X, treatment)).get_xlabel()
    'propensity of drug'
    """
    labels = report.arms.index.tolist()
    if arm is None and len(labels) > 2:
        return _draw_all(report, labels, ax)
    (arm,) = chosen(labels[1] if arm is None else arm, labels)
    ax = new_axes(ax, width=6.4 if len(labels) == 2 else 8.4)
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
            **style_of(ax, place, filled=len(labels) == 2),
            label=f"received {received} ({len(rows)} rows)",
        )
    limit = report.arms["limit"].iloc[labels.index(arm)]
    ax.axvline(limit, color=ink(ax), ls=":", lw=1.5, label=f"limit of support: {limit:.3g}")
    ax.set(xlim=(0, edges[-1]), xlabel=f"propensity of {arm}", ylabel="rows of the arm (%)")
    title = f"Overlap: who could have received {arm}"
    if len(labels) == 2:
        title_and_legend(ax, title)
    else:
        ax.set_title(title, loc="left")
        legend_beside(ax, "")
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
        The arm to compare with control; by default all arms except control.
    most : int, default=30
        Largest number of covariates shown: those that differ most before weighting.
    ax : Axes, optional

    Returns
    -------
    Axes
        Several arms are drawn below one another in different colours, with the covariates that
        differ most in any of them. An infinite difference, of a covariate that varies in neither
        arm, is drawn beyond the largest finite one, with a mark.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If arm is unknown.

    Examples
    --------
    >>> from hypercate import overlap_report
    >>> from hypercate.plots import plot_balance
    >>> plot_balance(overlap_report(X, treatment)).get_title(loc="left")
    'Balance of drug'
    """
    arms = chosen(arm, report.arms.index[1:].tolist())
    alone = len(arms) == 1
    balance = pd.concat(
        {each: report.balance.xs(each, level="arm").abs() for each in arms}, axis=1
    ).swaplevel(axis=1)
    order = balance["before"].max(axis=1).sort_values(kind="stable").index
    shown = balance.loc[order[-most:]]
    each_row = 0.24 if alone else 0.1 + 0.12 * len(arms)
    of_legend = 1.5 + 0.36 * len(arms)
    height = max(1.6 + each_row * len(shown), of_legend)
    ax = new_axes(ax, height=height, width=6.4 if alone else 8.4)
    values = shown.to_numpy()
    end = 1.15 * max(IMBALANCE, values[np.isfinite(values)].max(initial=0.0))
    places = np.arange(len(shown))
    for place, each in enumerate(arms):
        before, after = (shown[when, each].clip(upper=end) for when in ("before", "after"))
        at = places - dodged(place, len(arms), 0.7)
        ax.hlines(at, *np.sort([before, after], axis=0), color=FAINT, lw=1.2, zorder=1)
        colours = (ORANGE, BLUE) if alone else (colour_of(ax, place),) * 2
        of_arm = "" if alone else f"{each}, "
        look: dict[str, Any] = {"mfc": "none", "color": colours[0], "ms": 6, "zorder": 2}
        ax.plot(before, at, "o", **look, label=f"{of_arm}before")
        ax.plot(after, at, "o", color=colours[1], ms=6, label=f"{of_arm}after weighting", zorder=3)
    ax.axvline(IMBALANCE, color=GREY, ls=":", lw=1.5, label=f"{IMBALANCE}: imbalance begins")
    marks = np.where(np.isinf(shown["before"]).any(axis=1), " (infinite)", "")
    ax.set_yticks(places, [f"{name}{mark}" for name, mark in zip(shown.index, marks, strict=True)])
    ax.set(xlim=(0, 1.05 * end), ylim=(-0.7, len(shown) - 0.3))
    ax.set_xlabel("standardised mean difference from control, absolute (sd)")
    left_out = f", {len(shown)} of {len(balance)} covariates" if len(shown) < len(balance) else ""
    title = f"Balance of {arms[0] if alone else 'all arms'}{left_out}"
    if alone:
        title_and_legend(ax, title)
    else:
        ax.set_title(title, loc="left")
        legend_beside(ax, "arm")
    return ax


def _draw_all(report: OverlapReport, labels: list, ax: Axes | None) -> Axes:
    """Propensity of every arm, among the rows that received it and among the others."""
    ax = new_axes(ax, height=1.6 + 0.75 * len(labels), width=8.4)
    edges = np.linspace(0, _round_up(report.propensity.to_numpy().max()), N_BARS + 1)
    received = report.received.to_numpy()
    for place, arm in enumerate(labels):
        propensity, own = report.propensity.iloc[:, place].to_numpy(), received == arm
        bars = [np.histogram(propensity[some], edges)[0] / some.sum() for some in (own, ~own)]
        size = 0.44 / max(part.max() for part in bars)
        middle, first = len(labels) - 1 - place, "" if place == 0 else "_"
        for part, up, colour, text in (
            (bars[0], 1, BLUE, "rows that received the arm"),
            (bars[1], -1, ORANGE, "rows that received another"),
        ):
            ends = middle + up * size * part
            look: dict[str, Any] = {"fill": True, "color": colour, "alpha": 0.6, "lw": 0}
            ax.stairs(ends, edges, baseline=middle, **look, label=first + text)
        limit = report.arms["limit"].iloc[place]
        marked = [middle - 0.45, middle + 0.45]
        ax.plot(
            [limit, limit], marked, ":", color=ink(ax), lw=1.5, label=f"{first}limit of support"
        )
    ax.set_yticks(np.arange(len(labels))[::-1], [str(arm) for arm in labels])
    ax.set(xlim=(0, edges[-1]), ylim=(-0.6, len(labels) - 0.4))
    ax.set(xlabel="propensity of the arm", ylabel="arm")
    ax.set_title("Overlap: who could have received each arm", loc="left")
    legend_beside(ax, "")
    return ax


def _round_up(largest: float) -> float:
    """End of an axis of probabilities: 1, or less if all of them are far below."""
    ends = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
    return min((end for end in ends if end >= largest), default=1.0)
