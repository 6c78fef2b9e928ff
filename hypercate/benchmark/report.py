"""The table and the picture of a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypercate.benchmark.panel import OURS


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row a learner, best first.

    Parameters
    ----------
    results : DataFrame
        As `hypercate.benchmark.harness.run` returns it.

    Returns
    -------
    DataFrame
        Indexed by learner: mean, standard error and median of sqrt-PEHE out of sample, mean in
        sample, mean error of the ATE out of sample, mean sqrt-PEHE over mean standard deviation
        of the true effect (test rows), median seconds, share of replications in which the
        learner's out-of-sample sqrt-PEHE was below HyperCATE's, and how many ran and failed.
        Statistics are over the replications in which the learner did not fail.
    """
    ours = results[results["learner"] == OURS].set_index("replication")["pehe_out"]
    rows = {}
    for learner, runs in results.groupby("learner", sort=False):
        ran = runs[runs["pehe_out"].notna()]
        paired = ran.set_index("replication")["pehe_out"]
        theirs, reference = paired.align(ours.dropna(), join="inner")
        rows[learner] = {
            "out mean": ran["pehe_out"].mean(),
            "out s.e.": ran["pehe_out"].sem(),
            "out median": ran["pehe_out"].median(),
            "in mean": ran["pehe_in"].mean(),
            "in s.e.": ran["pehe_in"].sem(),
            "in median": ran["pehe_in"].median(),
            "ATE error": ran["ate_error_out"].mean(),
            "over sd": ran["pehe_out"].mean() / ran["effect_sd"].mean(),
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
    header = (
        "| learner | out: mean ± s.e. | median | in: mean ± s.e. | median | ATE error | out / sd "
        "| fit s | predict ms | won against us | n |\n|" + " --- |" * 11
    )
    lines = [header]
    for learner, row in summarise(results).iterrows():
        name = f"**{learner}**" if learner == OURS else learner
        won = "" if np.isnan(row["won against us"]) else f"{row['won against us']:.0%}"
        lines.append(
            f"| {name} | {row['out mean']:.3f} ± {row['out s.e.']:.3f} | {row['out median']:.3f} "
            f"| {row['in mean']:.3f} ± {row['in s.e.']:.3f} | {row['in median']:.3f} "
            f"| {row['ATE error']:.3f} | {row['over sd']:.3f} "
            f"| {row['fit s']:.2f} | {row['predict ms']:.1f} | {won} | {row['n']:.0f} |"
        )
    for learner, runs in results[results["pehe_out"].isna()].groupby("learner", sort=False):
        total = (results["learner"] == learner).sum()
        lines.append(f"\n{learner} failed {len(runs)} of {total}: {runs['error'].iloc[0]}")
    return "\n".join(lines)


def draw(results: pd.DataFrame, title: str, path: Path) -> None:
    """Save a picture: each replication's out-of-sample sqrt-PEHE, a line of dots a learner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    summary = summarise(results).dropna(subset="out mean")
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(summary)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    jitter = np.random.default_rng(0)
    for place, learner in enumerate(summary.index[::-1]):
        values = results.loc[results["learner"] == learner, "pehe_out"].dropna().to_numpy()
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
    axes.set_xscale("log")
    axes.set_xlabel(
        "out-of-sample sqrt-PEHE, log scale (dot: replication, bar: median, diamond: mean)"
    )
    axes.set_title(title, loc="left")
    axes.grid(axis="x", which="both", color="#e2e8f0", lw=0.6, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150)
