"""The table and the picture of a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypercate.benchmark.panel import OURS
from hypercate.benchmark.studies import STUDIES, Study

_NO_SPREAD = 1e-9
_LEAST_SHOWN = 1e-4


def study_of(results: pd.DataFrame) -> Study:
    """The one study that all rows are of.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    names = results["dataset"].unique()
    if len(names) != 1:
        raise ValueError(f"a report is of one data set, got {', '.join(names) or 'none'}")
    return STUDIES[names[0]]


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
        learner's out-of-sample headline figure was below HyperCATE's; and how many ran and failed.
        Statistics are over the replications in which the learner did not fail; what is not
        measured is NaN.
    """
    study = study_of(results)
    outside, inside = f"{study.headline}_out", f"{study.headline}_in"
    ours = results[results["learner"] == OURS].set_index("replication")[outside]
    rows = {}
    for learner, runs in results.groupby("learner", sort=False):
        ran = runs[runs[outside].notna()]
        paired = ran.set_index("replication")[outside]
        theirs, reference = paired.align(ours.dropna(), join="inner")
        spread = ran["effect_sd"].mean()
        rows[learner] = {
            "out mean": ran[outside].mean(),
            "out s.e.": ran[outside].sem(),
            "out median": ran[outside].median(),
            "in mean": ran[inside].mean(),
            "in s.e.": ran[inside].sem(),
            "in median": ran[inside].median(),
            **{heading: ran[figure].mean() for heading, figure in study.further.items()},
            "over sd": ran[outside].mean() / spread if spread > _NO_SPREAD else np.nan,
            "fit s": ran["fit_seconds"].median(),
            "predict ms": 1e3 * ran["predict_seconds"].median(),
            "won against us": np.nan
            if learner == OURS or not len(theirs)
            else (theirs < reference).mean(),
            "n": len(ran),
            "failed": len(runs) - len(ran),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("out mean")


def to_markdown(results: pd.DataFrame) -> str:
    """The summary as a markdown table, with a line for each learner that failed."""
    study = study_of(results)
    summary = summarise(results)

    def column(name: str, decimals: int) -> pd.Series:
        return summary[name].map(lambda value: "" if np.isnan(value) else f"{value:.{decimals}f}")

    def mean(part: str) -> pd.Series:
        shown = (
            column(f"{part} mean", study.decimals) + " ± " + column(f"{part} s.e.", study.decimals)
        )
        return shown.str.removesuffix(" ± ")

    table = {
        "learner": summary.index.to_series().replace(OURS, f"**{OURS}**"),
        "out: mean ± s.e.": mean("out"),
        "median": column("out median", study.decimals),
        "in: mean ± s.e.": mean("in"),
        "median ": column("in median", study.decimals),
        **{heading: column(heading, study.decimals) for heading in study.further},
        "out / sd": column("over sd", 3),
        "fit s": column("fit s", 2),
        "predict ms": column("predict ms", 1),
        "won against us": summary["won against us"].map(
            lambda share: "" if np.isnan(share) else f"{share:.0%}"
        ),
        "n": column("n", 0),
    }
    measured = {heading: cells for heading, cells in table.items() if (cells != "").any()}
    lines = [
        f"| {' | '.join(map(str.strip, measured))} |",
        "|" + " --- |" * len(measured),
        *(f"| {' | '.join(cells)} |" for cells in zip(*measured.values(), strict=True)),
    ]
    failures = results[results[f"{study.headline}_out"].isna()]
    for learner, runs in failures.groupby("learner", sort=False):
        total = (results["learner"] == learner).sum()
        lines.append(f"\n{learner} failed {len(runs)} of {total}: {runs['error'].iloc[0]}")
    return "\n".join(lines)


def draw(results: pd.DataFrame, title: str, path: Path) -> None:
    """Save a picture: the headline figure of each replication's test rows, a line a learner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    study = study_of(results)
    figure_name = f"{study.headline}_out"
    summary = summarise(results).dropna(subset="out mean")
    least = _LEAST_SHOWN * results[figure_name].max() if study.log_scale else -np.inf
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(summary)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    jitter = np.random.default_rng(0)
    for place, learner in enumerate(summary.index[::-1]):
        values = results.loc[results["learner"] == learner, figure_name].dropna().clip(lower=least)
        colour = "#c2410c" if learner == OURS else "#64748b"
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
    axes.set_xscale("log" if study.log_scale else "linear")
    axes.set_xlabel(
        f"out-of-sample {study.label}{', log scale' if study.log_scale else ''} "
        "(dot: replication, bar: median, diamond: mean)"
    )
    axes.set_title(title, loc="left")
    axes.grid(axis="x", which="both", color="#e2e8f0", lw=0.6, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150)
