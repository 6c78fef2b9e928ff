"""Tables for papers and notebooks: each estimate with its interval, as Markdown, LaTeX or HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable

import numpy as np
import pandas as pd

_LEAST_P = 0.001
_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "&%$#_{}"})


class ForPapers:
    """Results with a `summary_frame`, as a table for a paper."""

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        raise NotImplementedError

    def to_markdown(self, alpha: float = 0.05) -> str:
        """All estimates as a Markdown table: each with its interval and, if it has one, p-value.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            The intervals have level 1 - alpha.

        Examples
        --------
        >>> print(est.ate_inference().to_markdown())
        | arm | estimate (95 % CI) | p |
        | --- | --- | --- |
        | drug | ... (... to ...) | < 0.001 |
        """
        return markdown(for_paper(self.summary_frame(alpha), alpha))

    def to_latex(self, alpha: float = 0.05) -> str:
        """All estimates as a LaTeX tabular, which needs the package booktabs.

        Examples
        --------
        >>> "tabular" in est.ate_inference().to_latex()
        True
        """
        return latex(for_paper(self.summary_frame(alpha), alpha))


class ShownAsText:
    """An estimator that a notebook shows by its text, once it is fitted, not by its parameters."""

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def for_paper(frame: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Cells of text, from a `summary_frame`: estimate with interval, and p-value.

    Parameters
    ----------
    frame : DataFrame
        With columns ``point_estimate, ci_lower, ci_upper`` and, if there are any, ``pvalue``.
    alpha : float
        Of the intervals in it.

    Returns
    -------
    DataFrame
        The index as columns, then ``estimate (95 % CI)`` and, if there is any, ``p``.
    """
    names = [str(name) if name is not None else "" for name in frame.index.names]
    labels = [frame.index.get_level_values(depth).astype(str) for depth in range(len(names))]
    table = {name or "row": list(values) for name, values in zip(names, labels, strict=True)}
    ends = frame[["point_estimate", "ci_lower", "ci_upper"]].to_numpy(dtype=float)
    table[f"estimate ({100 * (1 - alpha):g} % CI)"] = [_interval(*row) for row in ends]
    if "pvalue" in frame:
        table["p"] = [short_pvalue(value) for value in frame["pvalue"]]
    return pd.DataFrame(table)


def markdown(table: pd.DataFrame) -> str:
    """Cells of text as a Markdown table."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def latex(table: pd.DataFrame) -> str:
    """Cells of text as a tabular of the package booktabs."""

    def line(cells: Iterable[str]) -> str:
        return f"{' & '.join(cell.translate(_SPECIAL) for cell in cells)} \\\\"

    numbers = 1 + ("p" in table)
    columns = "l" * (table.shape[1] - numbers) + "r" * numbers
    body = [line(row) for row in table.to_numpy().tolist()]
    return "\n".join(
        [
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            line(table.columns),
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
        ]
    )


def _interval(estimate: float, lower: float, upper: float) -> str:
    if np.isnan(lower):
        return f"{estimate:.3g}"
    return f"{estimate:.3g} ({lower:.3g} to {upper:.3g})"


def short_pvalue(value: float) -> str:
    if np.isnan(value):
        return "not available"
    return f"< {_LEAST_P}" if value < _LEAST_P else f"{value:.3f}"
