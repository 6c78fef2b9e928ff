"""One page about a fitted model, for those who decide on its use: data, effects and limits.

A report consists of sections with sentences, tables and pictures; `Report` writes them as one HTML
file that needs no network, or as JSON.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hypercate.compat import num_samples, rows_of
from hypercate.encoding import as_pandas
from hypercate.inference.effects import check_alpha
from hypercate.inspection.trained import fitted_of
from hypercate.reporting.page import to_html
from hypercate.reporting.section import Section
from hypercate.reporting.sections import sections_of
from hypercate.several.fitted import FittedOutcomes
from hypercate.whole import replacing

SUFFIXES = (".html", ".json")
MOST_ROWS = 5000
"""Of X that are looked at, at even distances: pictures of more look the same."""


@dataclass(frozen=True, repr=False)
class Report:
    """A summary of a fitted model; `print` shows it without its pictures.

    Attributes
    ----------
    title : str
    sections : tuple of Section

    Examples
    --------
    >>> from hypercate import report
    >>> page = report(est, title="A trial")
    >>> page.save("trial.html")
    >>> page.to_html().startswith("<!DOCTYPE html>"), page.to_json().splitlines()[1]
    (True, '  "title": "A trial",')
    """

    title: str
    sections: tuple[Section, ...]

    def to_html(self) -> str:
        """The report as one HTML page with embedded pictures, which loads no other files."""
        return to_html(self.title, self.sections)

    def to_json(self) -> str:
        """The sentences and tables as JSON, with null for numbers that do not exist."""
        found = {"title": self.title, "sections": [part.to_dict() for part in self.sections]}
        return json.dumps(found, indent=2, allow_nan=False)

    def save(self, path: str | Path) -> None:
        """Write the report to a file, completely or not at all.

        Parameters
        ----------
        path : str or Path
            File name; its ending, ``.html`` or ``.json``, sets the format.

        Raises
        ------
        ValueError
            If the path has another ending.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(f"path={str(path)!r} must end in {' or '.join(SUFFIXES)}")
        text = self.to_html() if suffix == ".html" else self.to_json()
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        rule = "=" * len(self.title)
        return "\n\n".join([f"{self.title}\n{rule}", *map(str, self.sections)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style stays there."""
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:80vh;border:0"></iframe>'


def report(
    est: Any, X: Any = None, *, title: str = "Treatment effects", alpha: float = 0.05
) -> Report:
    """Summarise a fitted model on one page.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file. If it was saved without evidence, results that need the
        training rows are not available, and the report says so.
    X : DataFrame or array-like, shape (n, n_features), optional
        Rows whose effects are shown, and explained by their columns; without them these sections
        are left out. If there are more than 5000 rows, 5000 evenly spaced ones are used.
    title : str, default="Treatment effects"
    alpha : float in (0, 1), default=0.05
        All intervals have level 1 - alpha.

    Returns
    -------
    Report
        Sections on the data and their overlap, averages, heterogeneity, the effects at the rows of
        X and who benefits, unmeasured confounding, what the models chose, and limits, with a model
        card. Save it as ``.html`` or ``.json``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        Before a fit.
    TypeError, ValueError
        If est is not a HyperCATE, or has several outcomes, of which one has to be chosen; if title
        is not a string; if alpha is not between 0 and 1; or if ``predict`` would refuse X.

    Examples
    --------
    >>> import numpy as np
    >>> from hypercate import HyperCATE, report
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> arm = rng.integers(2, size=200)
    >>> y = X[:, 0] + arm + rng.normal(size=200)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> [section.name for section in report(est).sections]
    ['summary', 'data', 'averages', 'heterogeneity', 'confounding', 'choices', 'limits', 'card']
    """
    fitted = fitted_of(est)
    if isinstance(fitted, FittedOutcomes):
        raise ValueError(
            f"this model has the outcomes {list(fitted.names)}, but a report is about one: pass "
            f"est.of({fitted.names[0]!r})"
        )
    if not isinstance(title, str):
        raise TypeError(f"title={title!r} must be a string")
    check_alpha(alpha)
    rows = None
    if X is not None:
        fitted.features.transform(X)  # refuses what predict refuses, in all its rows
        rows = as_pandas(X, "X")
        n = num_samples(rows)
        if n > MOST_ROWS:
            rows = rows_of(rows, np.linspace(0, n - 1, MOST_ROWS).astype(int))
    return Report(title, sections_of(est, rows, alpha))
