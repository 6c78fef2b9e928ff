"""Which covariates alone part an arm from the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from hypercate.encoding import FeatureEncoder
from hypercate.encoding.columns import CategoryColumn, NumberColumn
from hypercate.folds import Folds
from hypercate.nuisance.levels import shrunken_means

MOST_ROWS = 5000
_DEPTH = 3
_LEAST_LEAF = 0.02  # of the rows


def parting_columns(
    features: FeatureEncoder,
    x: np.ndarray,
    received: np.ndarray,
    weight: np.ndarray,
    limit: float,
    most_outside: float,
) -> list[str]:
    """Columns by which alone many rows of other arms are seen to be outside an arm's support.

    A shallow tree on what a column is encoded to, cross-fitted, is the propensity; of a column of
    many levels it sees the share of the arm at the row's level.

    Parameters
    ----------
    features : FeatureEncoder
        Of the columns.
    x : ndarray of float32, shape (n, n_outputs)
        Encoded covariates.
    received : ndarray of bool, shape (n,)
        Whether a row received the arm.
    weight : ndarray of float64, shape (n,)
        Rows of weight 0 do not count.
    limit : float
        Propensity below which a row is outside the arm's support.
    most_outside : float
        A column is named if a larger share of the other arms' rows are outside.

    Returns
    -------
    list of str
        Names of columns, the one that parts most rows first; with the level, such as "site=A",
        where rows of some levels hardly ever receive the arm.
    """
    rows, weight = _some(received, weight)
    x, received = x[rows], received[rows]
    n_folds = min(3, received.sum(), (~received).sum())
    if n_folds < 2:
        return []
    part = Folds.of(received.astype(np.int64), int(n_folds), 1, seed=0).part[0]
    tree = DecisionTreeClassifier(
        max_depth=_DEPTH, min_samples_leaf=max(1, int(_LEAST_LEAF * len(x))), random_state=0
    )
    found: list[tuple[float, str]] = []
    for column, outputs in _outputs(features):
        seen = x[:, outputs]
        if isinstance(column, CategoryColumn) and column.coded:
            level = seen[:, 0].astype(np.int64)
            beyond = received - np.average(received, weights=weight)
            seen = shrunken_means(level, beyond, weight, column.n_codes + 1)[level][:, None]
        probability = np.empty(len(x))
        for held_out in (part == fold for fold in range(n_folds)):
            tree.fit(seen[~held_out], received[~held_out], weight[~held_out])
            probability[held_out] = tree.predict_proba(seen[held_out])[:, 1]
        outside = np.average(probability[~received] < limit, weights=weight[~received])
        if outside > most_outside:
            levels = _levels(column.output_names, seen, received, weight, limit)
            found.append((outside, ", ".join(levels) or column.name))
    return [name for _, name in sorted(found, key=lambda pair: -pair[0])]


def _some(received: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most so many rows of positive weight, half of them the arm's, and what each stands for."""
    some, stands_for = [], []
    for of_arm in (True, False):
        rows = np.flatnonzero((received == of_arm) & (weight > 0))
        every = max(1, -(-2 * len(rows) // MOST_ROWS))
        some.append(rows[::every])
        stands_for.append(
            weight[rows[::every]] * (weight[rows].sum() / weight[rows[::every]].sum())
        )
    return np.concatenate(some), np.concatenate(stands_for)


def _outputs(features: FeatureEncoder) -> Iterator[tuple[NumberColumn | CategoryColumn, slice]]:
    """Each column, and where among the outputs it is."""
    end = 0
    for column in features.columns:
        start, end = end, end + len(column.output_names)
        yield column, slice(start, end)


def _levels(
    names: list[str], x: np.ndarray, received: np.ndarray, weight: np.ndarray, limit: float
) -> list[str]:
    """Indicators among a column's outputs at which rows hardly ever receive the arm."""
    found = []
    for name, values in zip(names, x.T, strict=True):
        distinct = np.unique(values)
        on = values == distinct[-1]
        is_indicator = len(distinct) == 2 and len(names) > 1 and on.mean() >= _LEAST_LEAF
        if is_indicator and np.average(received[on], weights=weight[on]) < limit:
            found.append(name)
    return found
