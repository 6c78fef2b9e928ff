"""Pictures of overlap: who could have received which arm, and how alike the arms' rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hypercate.overlap import OverlapReport
from hypercate.plots.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    chosen,
    legend,
    new_axes,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_BARS = 40  # half as many where an arm has few rows
FEW_ROWS = 100
IMBALANCE = 0.1


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
    arm = labels[1] if arm is None and len(labels) == 2 else chosen(arm, labels)
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
    arm = chosen(arm, report.arms.index[1:].tolist())
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


def _round_up(largest: float) -> float:
    """End of an axis of probabilities: 1, or less if all of them are far below."""
    ends = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
    return min((end for end in ends if end >= largest), default=1.0)
