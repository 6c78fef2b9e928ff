"""What the tables of all reports are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hypercate.benchmark.panel import OURS
from hypercate.benchmark.studies import STUDIES, Study

NO_SPREAD = 1e-9
"""Effects with a smaller standard deviation are all the same."""


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


def wins(results: pd.DataFrame, learner: str, figure: str) -> float:
    """Share of replications in which a learner's figure is below HyperCATE's.

    Of those in which both have one; NaN if there are none, or the learner is HyperCATE.
    """
    if learner == OURS:
        return np.nan
    theirs, ours = (
        results[results["learner"] == name].set_index("replication")[figure].dropna()
        for name in (learner, OURS)
    )
    theirs, ours = theirs.align(ours, join="inner")
    return (theirs < ours).mean() if len(theirs) else np.nan


def numbers(column: pd.Series, decimals: int) -> pd.Series:
    """Rounded, as text; what is not known is empty."""
    return column.map(lambda value: "" if np.isnan(value) else f"{value:.{decimals}f}")


def shares(column: pd.Series) -> pd.Series:
    """As whole per cent; what is not known is empty."""
    return column.map(lambda value: "" if np.isnan(value) else f"{value:.0%}")


def with_error(mean: pd.Series, error: pd.Series, decimals: int) -> pd.Series:
    """Such as ``0.51 ± 0.03``; without what is not known."""
    return (numbers(mean, decimals) + " ± " + numbers(error, decimals)).str.removesuffix(" ± ")


def to_markdown(cells: Mapping[str, pd.Series]) -> str:
    """A table with a row for each learner, ours in bold, and without columns that are empty.

    Parameters
    ----------
    cells : dict of Series
        Texts by heading, all on the same index of learners; headings are stripped, so that two
        columns may have the same.
    """
    names = next(iter(cells.values())).index.to_series().replace(OURS, f"**{OURS}**")
    shown = {"learner": names} | {
        heading: column for heading, column in cells.items() if (column != "").any()
    }
    return "\n".join(
        [
            f"| {' | '.join(map(str.strip, shown))} |",
            "|" + " --- |" * len(shown),
            *(f"| {' | '.join(row)} |" for row in zip(*shown.values(), strict=True)),
        ]
    )


def failures(results: pd.DataFrame, figure: str) -> str:
    """A line for each learner without the figure in some replication, after an empty one."""
    failed = results[results[figure].isna()]
    lines = [
        f"\n\n{learner} failed {len(runs)} of {(results['learner'] == learner).sum()}: "
        f"{runs['error'].iloc[0]}"
        for learner, runs in failed.groupby("learner", sort=False)
    ]
    return "".join(lines)
