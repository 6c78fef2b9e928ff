"""Curves over the share of rows treated, best rows first, as tables to print and to plot."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from hypercate.inference.effects import check_alpha

_SHOWN = np.arange(0, 11) / 10
_NUMBER = "{:.4g}".format


@dataclass(frozen=True, repr=False, eq=False)
class Curve:
    """One curve for each arm against control; `print` shows it at every tenth of the rows.

    Attributes
    ----------
    kind : {"qini", "uplift", "toc", "profit"}
    table : DataFrame
        ``arm``; ``share`` of the rows that is treated, from the largest predicted effect down;
        ``rows``, the total weight of these rows; ``value`` of the curve; ``random``, its value if
        rows were treated in random order; and ``stderr``, the standard error of the value, where it
        is known. Between the rows of the table the curve is linear.
    title, label : str
        The name of the curve, and its unit.

    Examples
    --------
    >>> from hypercate.metrics import qini_curve
    >>> curve = qini_curve([1, 0, 1, 0], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"])
    >>> curve.arms
    ['b']
    >>> curve.of("b")["value"].tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0]
    >>> curve.summary_frame().columns.tolist()
    ['arm', 'share', 'rows', 'value', 'random']
    """

    kind: str
    table: pd.DataFrame
    title: str
    label: str

    @property
    def arms(self) -> list:
        """Labels of the arms that have a curve."""
        return self.table["arm"].drop_duplicates().tolist()

    def of(self, arm: object) -> pd.DataFrame:
        """The part of the table for one arm."""
        return self.table[(self.table["arm"] == arm).to_numpy()].reset_index(drop=True)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The whole table, with pointwise intervals where there are standard errors.

        Parameters
        ----------
        alpha : float in (0, 1)
            Intervals have level 1 - alpha.
        """
        check_alpha(alpha)
        table = self.table
        if "stderr" in table:
            half = stats.norm.isf(alpha / 2) * table["stderr"]
            table = table.assign(ci_lower=table["value"] - half, ci_upper=table["value"] + half)
        return table

    def _shown(self) -> pd.DataFrame:
        table = self.summary_frame()
        parts = []
        for arm in self.arms:
            own = table[(table["arm"] == arm).to_numpy()]
            at = {
                name: np.interp(_SHOWN, own["share"], own[name])
                for name in own.columns
                if name not in ("arm", "share")
            }
            parts.append(pd.DataFrame({"arm": arm, "share": _SHOWN, **at}))
        shown = pd.concat(parts, ignore_index=True)
        return shown if len(self.arms) > 1 else shown.drop(columns="arm")

    def __str__(self) -> str:
        table = self._shown().to_string(index=False, float_format=_NUMBER)
        return f"{self.title} ({self.label})\n{table}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        table = self._shown().to_html(index=False, float_format=_NUMBER, border=0)
        return f"<p><b>{html.escape(self.title)}</b><br>{html.escape(self.label)}</p>\n{table}"
