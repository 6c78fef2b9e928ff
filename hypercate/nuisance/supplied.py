"""Nuisances by scikit-learn estimators that the user supplies, cross-fitted as our own are.

They read the encoded covariates: standardised numbers without missing values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.utils.validation import has_fit_parameter

from hypercate.folds import Folds
from hypercate.nuisance.cross_fit import cross_fit
from hypercate.nuisance.propensity import floored
from hypercate.study import Study
from hypercate.threads import mapped


@dataclass(frozen=True, eq=False)
class SuppliedPropensity:
    """Probabilities of the arms by a classifier.

    Attributes
    ----------
    share : ndarray of float64, shape (n_conditions,)
        Weighted share of each arm.
    model : object
        A fitted classifier.
    """

    share: np.ndarray
    model: Any

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probability of each arm: float64, shape (n, n_conditions); see `floored`."""
        return floored(_probabilities(self.model, x, len(self.share)), self.share)


def supplied_propensity(
    model: Any, x: np.ndarray, weight: np.ndarray, folds: Folds, n_jobs: int
) -> tuple[SuppliedPropensity, np.ndarray]:
    """Cross-fit a classifier of the arms on the first partition of the folds.

    Parameters
    ----------
    model : estimator
        With ``fit`` and ``predict_proba``; it is cloned.
    x : ndarray of float32, shape (n, n_inputs)
    weight : ndarray, shape (n,)
        Passed on if the model's fit has a ``sample_weight``.
    folds : Folds
    n_jobs : int
        Threads.

    Returns
    -------
    model : SuppliedPropensity
        Fitted on all rows.
    cross_fitted : ndarray of float64, shape (n, n_conditions)
    """
    arm, part = folds.condition, folds.part[0]
    total = np.bincount(arm, weights=weight)
    share = total / total.sum()
    of_parts = [part != held for held in range(folds.n_parts)]
    *apart, whole = mapped(
        lambda rows: _fitted(model, x[rows], arm[rows], weight[rows]),
        [*of_parts, np.ones(len(arm), dtype=bool)],
        n_jobs,
        "propensities",
    )
    cross_fitted = np.empty((len(arm), len(share)))
    for rows, of_others in zip(of_parts, apart, strict=True):
        cross_fitted[~rows] = SuppliedPropensity(share, of_others).predict(x[~rows])
    return SuppliedPropensity(share, whole), cross_fitted


@dataclass(frozen=True, eq=False)
class _OfArms:
    """A model of the outcome for each arm."""

    models: list[Any]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack([_mean(model, x) for model in self.models])


def supplied_means(model: Any, study: Study, folds: Folds, n_jobs: int) -> np.ndarray:
    """Mean outcomes of the arms by a regressor, or by a classifier of a binary outcome.

    Each arm's is fitted on the arm's rows, or on all where there are none.

    Parameters
    ----------
    model : estimator
        With ``fit`` and ``predict``, or ``predict_proba``; it is cloned.
    study : Study
    folds : Folds
    n_jobs : int
        Threads.

    Returns
    -------
    ndarray of float64, shape (n_models, n, n_arms)
        As `hypercate.nuisance.means` gives them.
    """

    def fit(study: Study, rows: np.ndarray) -> _OfArms:
        return _OfArms(
            [
                _fitted(
                    model if np.ptp(study.y[own]) > 0 else DummyRegressor(),
                    study.x[own],
                    study.y[own],
                    study.weight[own],
                )
                for own in study.by_condition(rows)
            ]
        )

    return cross_fit(fit, study, folds, n_jobs, "mean outcomes")[1]


def _fitted(model: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    """A clone of an estimator, fitted; weights that differ are passed on if it takes them."""
    weighs = has_fit_parameter(model, "sample_weight") and np.ptp(weight) > 0
    return clone(model).fit(x, y, **({"sample_weight": weight} if weighs else {}))


def _probabilities(model: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (n, n_classes) of codes, those that were not seen in fit being 0."""
    probability = np.zeros((len(x), n_classes))
    probability[:, np.asarray(model.classes_, dtype=np.int64)] = model.predict_proba(x)
    return probability


def _mean(model: Any, x: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return _probabilities(model, x, 2)[:, 1]
    return np.asarray(model.predict(x), dtype=np.float64)
