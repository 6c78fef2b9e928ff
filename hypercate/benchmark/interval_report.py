"""The tables and the picture of a benchmark of intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypercate.benchmark import tables
from hypercate.benchmark.intervals import LEVELS, REJECTED, SCORED
from hypercate.benchmark.panel import OURS
from hypercate.benchmark.report import OUR_COLOUR
from hypercate.benchmark.tables import NO_SPREAD, numbers, with_error

_COLOURS = ("#2563eb", "#059669", "#7c3aed", "#64748b", "#a16207", "#db2777", "#0891b2")
_MARKERS = "osD^vP*X"
_DODGE = 0.5


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row a learner, the lowest mean interval score first.

    Parameters
    ----------
    results : DataFrame
        Rows of one data set, as `hypercate.benchmark.harness.run` returns them for the protocol
        `hypercate.benchmark.intervals.INTERVALS`.

    Returns
    -------
    DataFrame
        Indexed by learner: mean and lowest coverage of each level; mean width over the `spread`;
        mean, standard error and median of the interval score, and its mean over the `spread`; share
        of replications in which its score was below HyperCATE's; mean sqrt-PEHE without each share
        of rows, and the mean over replications of its ratio to that of all rows; median seconds;
        and how many ran and failed. Statistics are over the replications in which the learner did
        not fail; what is not known is NaN.
    """
    tables.study_of(results)
    sd = results[spread(results)].mean()
    rows = {}
    for learner, runs in results.groupby("learner", sort=False):
        ran = runs[runs["interval_score"].notna()]
        everyone = ran["pehe_without_0"].where(ran["pehe_without_0"] > 0)
        rows[learner] = {
            **{f"coverage {level} mean": ran[f"coverage_{level}"].mean() for level in LEVELS},
            **{f"coverage {level} lowest": ran[f"coverage_{level}"].min() for level in LEVELS},
            **{f"width {level} over sd": ran[f"width_{level}"].mean() / sd for level in LEVELS},
            "score mean": ran["interval_score"].mean(),
            "score s.e.": ran["interval_score"].sem(),
            "score median": ran["interval_score"].median(),
            "score over sd": ran["interval_score"].mean() / sd,
            "won against us": tables.wins(results, str(learner), "interval_score"),
            **{f"pehe {share} mean": ran[f"pehe_without_{share}"].mean() for share in REJECTED},
            **{
                f"pehe {share} ratio": (ran[f"pehe_without_{share}"] / everyone).mean()
                for share in REJECTED
            },
            "fit s": ran["fit_seconds"].median(),
            "interval ms": 1e3 * ran["interval_seconds"].median(),
            "n": len(ran),
            "failed": len(runs) - len(ran),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("score mean")


def spread(results: pd.DataFrame) -> str:
    """The column that widths are compared with: effects' spread, or where that is 0 outcomes'."""
    return "outcome_sd" if results["effect_sd"].mean() < NO_SPREAD else "effect_sd"


def to_markdown(results: pd.DataFrame) -> str:
    """A table of the intervals, one of abstaining, and a line for each learner that failed."""
    summary = summarise(results)
    sd = {"effect_sd": "sd", "outcome_sd": "outcome sd"}[spread(results)]
    decimals = tables.study_of(results).decimals
    intervals = {
        **{
            f"covered at {level} %": _in_brackets(
                tables.shares(summary[f"coverage {level} mean"]),
                tables.shares(summary[f"coverage {level} lowest"]),
            )
            for level in LEVELS
        },
        f"width / {sd}": numbers(summary[f"width {SCORED} over sd"], 2),
        "score: mean ± s.e.": with_error(summary["score mean"], summary["score s.e."], decimals),
        "median": numbers(summary["score median"], decimals),
        f"score / {sd}": numbers(summary["score over sd"], 2),
        "won against us": tables.shares(summary["won against us"]),
        "fit s": numbers(summary["fit s"], 2),
        "interval ms": numbers(summary["interval ms"], 1),
        "n": numbers(summary["n"], 0),
    }
    abstaining = {
        "all rows": numbers(summary["pehe 0 mean"], decimals),
        **{
            f"{share} % rejected": _in_brackets(
                numbers(summary[f"pehe {share} mean"], decimals),
                summary[f"pehe {share} ratio"].map(
                    lambda ratio: "" if np.isnan(ratio) else f"{ratio - 1:+.0%}"
                ),
            )
            for share in REJECTED[1:]
        },
    }
    constant = (
        " True effects do not vary: widths and scores are over the outcome's sd."
        if sd == "outcome sd"
        else ""
    )
    return "\n\n".join(
        [
            "Share of true effects of the test rows inside their intervals: mean, and in brackets "
            "the lowest of a replication. Width and interval score (lower is better) are those at "
            f"{SCORED} %.{constant}",
            tables.to_markdown(intervals),
            f"sqrt-PEHE of the test rows without those with the widest intervals at {SCORED} %: "
            "mean, and in brackets the mean change from all rows; rejecting at random changes "
            "nothing.",
            tables.to_markdown(abstaining) + tables.failures(results, "interval_score"),
        ]
    )


def _in_brackets(first: pd.Series, second: pd.Series) -> pd.Series:
    """Such as ``91% (72%)``; without what is not known."""
    return (first + " (" + second + ")").str.removesuffix(" ()")


def draw(results: pd.DataFrame, title: str, path: Path) -> None:
    """Save a picture: coverage against the nominal level, and error against rejection."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    summary = summarise(results).dropna(subset="score mean")
    figure = Figure(figsize=(11, 5.8), layout="constrained")
    FigureCanvasAgg(figure)
    coverage, rejection = figure.subplots(1, 2)
    coverage.plot([0, 100], [0, 100], color="#94a3b8", lw=1, ls="--", zorder=1)
    rejection.axhline(1, color="#94a3b8", lw=1, ls="--", zorder=1)
    peers = [learner for learner in summary.index if learner != OURS]
    for place, learner in enumerate(summary.index):
        ours = learner == OURS
        order = 0 if ours else 1 + peers.index(learner)
        style = {
            "color": OUR_COLOUR if ours else _COLOURS[(order - 1) % len(_COLOURS)],
            "marker": _MARKERS[order % len(_MARKERS)],
            "lw": 2.4 if ours else 1.3,
            "ms": 5,
            "zorder": 4 if ours else 3,
        }
        row = summary.loc[learner]
        runs = results[results["learner"] == learner]
        nominal = np.array(LEVELS) + _DODGE * (place - (len(summary) - 1) / 2)
        ends = [
            [100 * getattr(runs[f"coverage_{level}"], end)() for level in LEVELS]
            for end in ("min", "max")
        ]
        coverage.vlines(nominal, *ends, color=style["color"], lw=1, alpha=0.5, zorder=2)
        means = [100 * row[f"coverage {level} mean"] for level in LEVELS]
        coverage.plot(nominal, means, label=learner, **style)
        rejection.plot(REJECTED, [row[f"pehe {share} ratio"] for share in REJECTED], **style)
    coverage.set(xlim=(45, 100), ylim=(0, 102), xticks=LEVELS)
    coverage.set_xlabel("nominal level, % (line: mean, bar: lowest to highest replication)")
    coverage.set_ylabel("coverage: true effects inside their intervals, %")
    rejection.set(xticks=REJECTED, xlabel=f"widest intervals (at {SCORED} %) rejected, % of rows")
    rejection.set_ylabel("sqrt-PEHE of the rows kept, over that of all rows")
    coverage.set_title(title, loc="left")
    rejection.set_title("Error without the least certain rows", loc="left")
    if len(summary):
        figure.legend(frameon=False, loc="outside lower center", ncols=4)
    for axes in (coverage, rejection):
        axes.grid(color="#e2e8f0", lw=0.6, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
