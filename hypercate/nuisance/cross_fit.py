"""Nuisances fitted inside each model of the ensemble, so that its judged rows stay unseen.

A model that is judged on part m reads, at a row of part j, the prediction of a nuisance that was
fitted without parts j and m; at the rows of part m, and at new rows, that of one fitted without
part m alone. Both parts are interchangeable, so K parts need K (K + 1) / 2 fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from hypercate.folds import Folds
from hypercate.study import Study
from hypercate.threads import mapped


class Nuisance(Protocol):
    """A fitted nuisance."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, c) at encoded covariates."""


N = TypeVar("N", bound=Nuisance)
Pair: TypeAlias = tuple[int, int, int]


def cross_fit(
    fit: Callable[[Study, np.ndarray], N], study: Study, folds: Folds, n_jobs: int, name: str
) -> tuple[list[N], np.ndarray]:
    """Fit a nuisance for every model, and predict each row by one that did not see it.

    Parameters
    ----------
    fit : callable
        From a study and the positions of some rows to a nuisance fitted on them.
    study : Study
    folds : Folds
    n_jobs : int
        Threads.
    name : str
        Of the stage, as it is logged and shown.

    Returns
    -------
    nuisances : list
        Of each model, fitted on all rows that it is not judged on.
    predicted : ndarray of float64, shape (n_models, n, c)
    """
    pairs = pairs_of(folds)

    def fit_one(pair: Pair) -> tuple[N, np.ndarray]:
        nuisance = fit(study.without(pair), np.flatnonzero(~in_pair(folds, pair)))
        return nuisance, nuisance.predict(study.x[in_pair(folds, pair)])

    fitted = dict(zip(pairs, mapped(fit_one, pairs, n_jobs, name), strict=True))
    nuisances = [fitted[partition, part, part][0] for partition, part in _judged(folds)]
    return nuisances, of_models(folds, {pair: values for pair, (_, values) in fitted.items()})


def pairs_of(folds: Folds) -> list[Pair]:
    """Partition and parts that one nuisance is fitted without, for all that models read."""
    pairs = {
        (partition, min(part, other), max(part, other)): None
        for partition, part in _judged(folds)
        for other in range(folds.n_parts)
    }
    return list(pairs)


def in_pair(folds: Folds, pair: Pair) -> np.ndarray:
    """Rows that are in either part: bool, shape (n,)."""
    partition, part, other = pair
    of_row = folds.part[partition]
    return (of_row == part) | (of_row == other)


def of_models(folds: Folds, by_pair: dict[Pair, np.ndarray]) -> np.ndarray:
    """What each model reads, from what nuisances predict at the rows of their pair.

    Parameters
    ----------
    folds : Folds
    by_pair : dict of ndarray, shape (n_in_pair, c)

    Returns
    -------
    ndarray of float64, shape (n_models, n, c)
    """
    some = next(iter(by_pair.values()))
    predicted = np.empty((folds.n_models, len(folds.condition), some.shape[1]))
    for m, (partition, part) in enumerate(_judged(folds)):
        for other in range(folds.n_parts):
            pair = partition, min(part, other), max(part, other)
            there = folds.part[partition] == other
            predicted[m, there] = by_pair[pair][there[in_pair(folds, pair)]]
    return predicted


def _judged(folds: Folds) -> list[tuple[int, int]]:
    """Partition of each model, and the part that it is judged on."""
    return [divmod(m, folds.n_parts) for m in range(folds.n_models)]
