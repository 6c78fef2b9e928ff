"""The table and the picture of a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypercate.benchmark import tables
from hypercate.benchmark.panel import OURS
from hypercate.benchmark.studies import Study
from hypercate.benchmark.tables import NO_SPREAD, numbers, with_error
from hypercate.log_axis import label_decimals

OUR_COLOUR, THEIR_COLOUR = "#c2410c", "#64748b"
_LEAST_SHOWN = 1e-4
_ROUNDING = 1e-9


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row a learner, best first.

    Parameters
    ----------
    results : DataFrame
        Rows of one data set, as `hypercate.benchmark.harness.run` returns them.

    Returns
    -------
    DataFrame
        Indexed by learner: mean, standard error and median of the study's headline figure out of
        sample and in sample; means of its further figures; mean headline figure over mean standard
        deviation of the true effect (test rows); median seconds; share of replications in which the
        learner's out-of-sample headline figure was below HyperCATE's, and in which it was above
        that of the true mean effect, where effects are known; and how many ran and failed.
        Statistics are over the replications in which the learner did not fail; what is not
        measured is NaN.
    """
    study = tables.study_of(results)
    outside, inside = f"{study.headline}_out", f"{study.headline}_in"
    rows = {}
    for learner, runs in results.groupby("learner", sort=False):
        ran = runs[runs[outside].notna()]
        spread = ran["effect_sd"].mean()
        rows[learner] = {
            "out mean": ran[outside].mean(),
            "out s.e.": ran[outside].sem(),
            "out median": ran[outside].median(),
            "in mean": ran[inside].mean(),
            "in s.e.": ran[inside].sem(),
            "in median": ran[inside].median(),
            **{heading: ran[figure].mean() for heading, figure in study.further.items()},
            "over sd": ran[outside].mean() / spread if spread > NO_SPREAD else np.nan,
            "fit s": ran["fit_seconds"].median(),
            "predict ms": 1e3 * ran["predict_seconds"].median(),
            "won against us": tables.wins(results, learner, outside),
            "worse than true mean": _worse_than_true_mean(ran, study),
            "n": len(ran),
            "failed": len(runs) - len(ran),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("out mean")


def _worse_than_true_mean(ran: pd.DataFrame, study: Study) -> float:
    """Share of replications in which effects were further off than their true mean is."""
    if study.headline != "pehe" or not len(ran):
        return np.nan
    return float((ran["pehe_out"] > ran["effect_sd"] * (1 + _ROUNDING)).mean())


def to_markdown(results: pd.DataFrame) -> str:
    """The summary as a markdown table, with a line for each learner that failed."""
    study = tables.study_of(results)
    summary = summarise(results)

    def mean(part: str) -> pd.Series:
        return with_error(summary[f"{part} mean"], summary[f"{part} s.e."], study.decimals)

    cells = {
        "out: mean ± s.e.": mean("out"),
        "median": numbers(summary["out median"], study.decimals),
        "in: mean ± s.e.": mean("in"),
        "median ": numbers(summary["in median"], study.decimals),
        **{heading: numbers(summary[heading], study.decimals) for heading in study.further},
        "out / sd": numbers(summary["over sd"], 3),
        "fit s": numbers(summary["fit s"], 2),
        "predict ms": numbers(summary["predict ms"], 1),
        "won against us": tables.shares(summary["won against us"]),
        "worse than true mean": tables.shares(summary["worse than true mean"]),
        "n": numbers(summary["n"], 0),
    }
    return tables.to_markdown(cells) + tables.failures(results, f"{study.headline}_out")


def draw(results: pd.DataFrame, title: str, path: Path) -> None:
    """Save a picture: the headline figure of each replication's test rows, a line a learner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    study = tables.study_of(results)
    figure_name = f"{study.headline}_out"
    summary = summarise(results).dropna(subset="out mean")
    least = _LEAST_SHOWN * results[figure_name].max() if study.log_scale else -np.inf
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(summary)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    jitter = np.random.default_rng(0)
    for place, learner in enumerate(summary.index[::-1]):
        values = results.loc[results["learner"] == learner, figure_name].dropna().clip(lower=least)
        colour = OUR_COLOUR if learner == OURS else THEIR_COLOUR
        height = place + jitter.uniform(-0.16, 0.16, len(values))
        axes.scatter(values, height, s=14, color=colour, alpha=0.45, linewidths=0, zorder=2)
        axes.plot(
            [np.median(values)] * 2, [place - 0.34, place + 0.34], color=colour, lw=2.5, zorder=3
        )
        axes.scatter(
            values.mean(), place, marker="D", s=34, color=colour, edgecolor="white", zorder=4
        )
    axes.set_yticks(range(len(summary)), summary.index[::-1])
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    if study.log_scale:
        axes.set_xscale("log")
        label_decimals(axes.xaxis)
    axes.set_xlabel(
        f"out-of-sample {study.label}{', log scale' if study.log_scale else ''} "
        "(dot: replication, bar: median, diamond: mean)"
    )
    axes.set_title(title, loc="left")
    axes.grid(axis="x", color="#e2e8f0", lw=0.6, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150)
