"""Fits whose answer is known: passing does not prove a model right, failing proves it wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from hypercate.answers.arguments import draw_seed
from hypercate.encoding import as_pandas, check_rows, index_of
from hypercate.encoding.checks import as_series, listed
from hypercate.threads import at_once

SUBSET = 0.8  # of the rows
EXTRA = "random common cause"  # name of the column


@dataclass(frozen=True)
class Rows:
    """The data of a fit, with rows in the order of X.

    Attributes
    ----------
    X : DataFrame
    y, treatment : Series
    of_rows : dict
        Sample weights, groups and the like.
    """

    X: pd.DataFrame
    y: pd.Series
    treatment: pd.Series
    of_rows: dict[str, pd.Series]

    def take(self, rows: np.ndarray) -> Rows:
        return Rows(
            self.X.iloc[rows],
            self.y.iloc[rows],
            self.treatment.iloc[rows],
            {name: values.iloc[rows] for name, values in self.of_rows.items()},
        )


def _placebo(rows: Rows, rng: np.random.Generator) -> Rows:
    """Treatments handed out anew, whoever the rows are."""
    shuffled = rows.treatment.iloc[rng.permutation(len(rows.treatment))]
    return Rows(rows.X, rows.y, shuffled.set_axis(rows.treatment.index), rows.of_rows)


def _dummy_outcome(rows: Rows, rng: np.random.Generator) -> Rows:
    """Outcomes handed out anew; of a time, with whether the event was seen."""
    order = rng.permutation(len(rows.y))
    of_rows = dict(rows.of_rows)
    if "event" in of_rows:
        of_rows["event"] = of_rows["event"].iloc[order].set_axis(rows.y.index)
    return Rows(rows.X, rows.y.iloc[order].set_axis(rows.y.index), rows.treatment, of_rows)


def _common_cause(rows: Rows, rng: np.random.Generator) -> Rows:
    """One more covariate, of noise."""
    name: Any = EXTRA if all(isinstance(column, str) for column in rows.X) else rows.X.shape[1]
    extra = pd.DataFrame({name: rng.normal(size=len(rows.X))}, index=rows.X.index)
    return Rows(pd.concat([rows.X, extra], axis=1), rows.y, rows.treatment, rows.of_rows)


def _subset(rows: Rows, rng: np.random.Generator) -> Rows:
    """Some of the rows of every arm; whole clusters where there are such."""
    unit = rows.of_rows.get("groups", rows.treatment).reset_index(drop=True)
    if "groups" in rows.of_rows:
        names = unit.unique()
        chosen = rng.permutation(len(names))[: max(2, round(SUBSET * len(names)))]
        return rows.take(np.flatnonzero(unit.isin(names[chosen])))
    kept = [
        rng.permutation(np.flatnonzero(unit == arm))[: max(2, round(SUBSET * (unit == arm).sum()))]
        for arm in unit.unique()
    ]
    return rows.take(np.sort(np.concatenate(kept)))


REFUTERS: dict[str, tuple[Callable[[Rows, np.random.Generator], Rows], bool]] = {
    "placebo treatment": (_placebo, True),
    "dummy outcome": (_dummy_outcome, True),
    "random common cause": (_common_cause, False),
    "subset": (_subset, False),
}
"""How rows are changed, and whether the average effect is 0 then."""


def refute(
    est: Any,
    X: Any,
    y: Any,
    treatment: Any,
    *,
    refuters: Sequence[str] | None = None,
    effort: str = "fast",
    random_state: Any = 0,
    n_jobs: int | None = None,
    **fit_params: Any,
) -> pd.DataFrame:
    """Fit again to data for which the average effect is known, and compare.

    Parameters
    ----------
    est : HyperCATE
        The estimator whose parameters the fits use; it need not be fitted.
    X : DataFrame or array-like, shape (n, n_features)
    y, treatment : array-like, shape (n,)
    refuters : sequence, optional
        Any of the following, all by default. ``"placebo treatment"`` and ``"dummy outcome"``:
        treatments or outcomes are randomly reassigned, so that no effect is left. ``"random common
        cause"``: a covariate of pure noise is added; and ``"subset"``: only 80 % of the rows of
        each arm, or of the clusters, are kept; these two leave the effect unchanged.
    effort : str, default="fast"
        Effort of the fits; an estimator with ``effort="instant"`` keeps it.
    random_state : int, RandomState instance or None, default=0
        Seeds the random changes.
    n_jobs : int, optional
        Number of fits at once, by the joblib backend in use; if several, each runs on one thread
        unless the estimator's own n_jobs is set. By default the number set by
        `joblib.parallel_config`, or else 1. The random changes do not depend on it.
    **fit_params
        Other arguments of `fit` with one value per row: sample_weight, groups, event.

    Returns
    -------
    DataFrame
        One row for each refuter and each arm except control, with the average effect (AIPW):
        columns ``expected``, ``point_estimate, stderr, ci_lower, ci_upper`` (95 %), ``holds``,
        whether the interval contains the expected value, and ``effect_sd``, the standard deviation
        of the rows' effects, which is small if there are no effects. For the last two refuters, the
        expected value is the average effect with the same effort on the unchanged rows, which is
        the first row of the table. One in twenty intervals misses by chance.

    Raises
    ------
    ValueError
        If a refuter is unknown, or if an argument with one value per row has another length or
        order than X.

    Examples
    --------
    >>> import numpy as np
    >>> from hypercate import HyperCATE
    >>> from hypercate.sensitivity import refute
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> arm = rng.integers(2, size=200)
    >>> y = X[:, 0] + arm + rng.normal(size=200)
    >>> table = refute(HyperCATE(effort="instant"), X, y, arm, refuters=["placebo treatment"])
    >>> table["holds"].tolist()
    [True, True]
    """
    names = list(REFUTERS) if refuters is None else list(refuters)
    unknown = [name for name in names if name not in REFUTERS]
    if unknown or isinstance(refuters, str):
        raise ValueError(
            f"refuters={refuters!r} must be a sequence of some of {listed(map(repr, REFUTERS))}"
        )
    frame = as_pandas(X, "X")
    frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(np.asarray(frame))
    given = {"y": y, "treatment": treatment, **fit_params}
    check_rows(len(frame), index_of(X), **given)
    values = {name: as_series(each, name).set_axis(frame.index) for name, each in given.items()}
    rows = Rows(frame, values.pop("y"), values.pop("treatment"), values)
    model = clone(est)
    if model.effort != "instant":
        model.set_params(effort=effort)
    seed = draw_seed(random_state)
    changed = [rows, *(REFUTERS[name][0](rows, _draws(seed, name)) for name in names)]
    tables = at_once(partial(_averages, model), changed, n_jobs)
    original = tables[0]["point_estimate"]
    for name, table in zip(["as they are", *names], tables, strict=True):
        zero = name in REFUTERS and REFUTERS[name][1]
        table.insert(0, "expected", 0.0 if zero else original)
        held = table["expected"].between(table["ci_lower"], table["ci_upper"])
        table.insert(5, "holds", held)
    return pd.concat(tables, keys=["as they are", *names], names=["rows"])


def _draws(seed: int, name: str) -> np.random.Generator:
    """Of one refuter, whichever others there are."""
    return np.random.default_rng([seed, list(REFUTERS).index(name)])


def _averages(model: Any, rows: Rows) -> pd.DataFrame:
    fitted = clone(model).fit(rows.X, rows.y, rows.treatment, **rows.of_rows)
    table = fitted.ate_inference().summary_frame()
    columns = ["point_estimate", "stderr", "ci_lower", "ci_upper"]
    effects = fitted.predict(rows.X).reshape(len(rows.X), -1)
    return table[columns].assign(effect_sd=effects.std(axis=0))
