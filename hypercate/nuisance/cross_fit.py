"""Nuisances fitted inside each model of the ensemble, so that its judged rows stay unseen.

A model that is judged on part m reads, at a row of part j, the prediction of a nuisance that was
fitted without parts j and m; at the rows of part m, and at new rows, that of one fitted without
part m alone. Both parts are interchangeable, so K parts need K (K + 1) / 2 fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from hypercate.folds import Folds
from hypercate.threads import mapped


class Nuisance(Protocol):
    """A fitted nuisance."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, c) at encoded covariates."""


N = TypeVar("N", bound=Nuisance)


def cross_fit(
    fit: Callable[[np.ndarray], N], x: np.ndarray, folds: Folds, n_jobs: int
) -> tuple[list[N], np.ndarray]:
    """Fit a nuisance for every model, and predict each row by one that did not see it.

    Parameters
    ----------
    fit : callable
        From the positions of some rows to a nuisance fitted on them.
    x : ndarray of float32, shape (n, n_inputs)
    folds : Folds
    n_jobs : int
        Threads.

    Returns
    -------
    nuisances : list
        Of each model, fitted on all rows that it is not judged on.
    predicted : ndarray of float64, shape (n_models, n, c)
    """
    whole = [divmod(m, folds.n_parts) for m in range(folds.n_models)]
    pairs = {
        (partition, min(part, other), max(part, other)): None
        for partition, part in whole
        for other in range(folds.n_parts)
    }

    def fit_one(pair: tuple[int, int, int]) -> tuple[N, np.ndarray, np.ndarray]:
        partition, part, other = pair
        of_row = folds.part[partition]
        nuisance = fit(np.flatnonzero((of_row != part) & (of_row != other)))
        rows = np.flatnonzero((of_row == part) | (of_row == other))
        return nuisance, rows, nuisance.predict(x[rows])

    fitted = mapped(fit_one, pairs, n_jobs)
    by_pair = dict(zip(pairs, fitted, strict=True))
    n_outputs = fitted[0][2].shape[1]
    predicted = np.empty((folds.n_models, len(x), n_outputs))
    for m, (partition, part) in enumerate(whole):
        for other in range(folds.n_parts):
            _, rows, values = by_pair[partition, min(part, other), max(part, other)]
            there = folds.part[partition, rows] == other
            predicted[m, rows[there]] = values[there]
    return [by_pair[partition, part, part][0] for partition, part in whole], predicted
