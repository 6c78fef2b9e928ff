"""Probabilities of the arms: estimated, by a model that is supplied, or known by design."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from hypercate.folds import Folds
from hypercate.nuisance.propensity import Propensity, fit_propensity
from hypercate.nuisance.supplied import SuppliedPropensity, supplied_propensity
from hypercate.study import Study

Assignment: TypeAlias = Propensity | SuppliedPropensity


def fit_assignment(
    study: Study, folds: Folds, model: Any, known: np.ndarray | None, n_jobs: int
) -> tuple[Assignment, np.ndarray]:
    """Fit the probabilities of the arms.

    Parameters
    ----------
    study : Study
    folds : Folds
    model : estimator or None
        A classifier in place of our own.
    known : ndarray, shape (n, n_conditions), or None
        Probabilities of the rows, where they are known. A model is fitted for new rows all the
        same, unless the probabilities are the same in all rows.
    n_jobs : int
        Threads.

    Returns
    -------
    assignment : Propensity or SuppliedPropensity
        For new rows.
    of_rows : ndarray of float64, shape (n, n_conditions)
        Known, or by models that did not see the row.
    """
    constant = known is not None and not np.ptp(known, axis=0).any()
    if model is not None and not constant:
        supplied, of_rows = supplied_propensity(model, study.x, study.weight, folds, n_jobs)
        return supplied, of_rows if known is None else known
    fitted, of_rows = fit_propensity(study.x, study.n_codes, study.weight, folds, n_jobs)
    if known is None:
        return fitted, of_rows
    if constant:
        own = known[np.arange(len(known)), study.condition]
        fitted = replace(
            fitted,
            log_loss=-float(np.average(np.log(own), weights=study.weight)),
            share=known[0],
            intercepts=np.log(known[0]),
            slopes=np.zeros_like(fitted.slopes),
        )
    return fitted, known
