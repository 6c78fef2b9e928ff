"""Probability of each arm for a row, by models that did not see the row.

Two candidates are cross-fitted: a linear model and boosted trees. Their out-of-fold log odds are
pooled by a multinomial logistic regression with a free intercept per arm and one non-negative slope
per candidate: it calibrates (Platt, 1999, "Probabilistic outputs for support vector machines", with
several arms and scores) and weights the candidates by their cross-fitted log loss (Genest, 1984,
the logarithmic opinion pool). The arms' shares, with all slopes 0, are used instead unless the
pool's log loss is better by more than one standard error.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hypercate.folds import Folds
from hypercate.nuisance import lightgbm
from hypercate.nuisance.tree_text import TreeText
from hypercate.progress import LOG
from hypercate.threads import Shared, mapped

FLOOR = 0.02  # of an arm's share: no row weighs more than 50 times what it would at random
MOST_ROWS = 20_000  # of an arm, to grow candidates on; they stand for the arm's other rows
N_TREES = 80  # over all arms
LEAST_ROUNDS = 5  # of boosting, however many arms
RIDGE = 0.03  # prior variance of the linear candidate's coefficients, per standardised input
STEEPEST = 4.0  # slope of the pool: bounded where a candidate parts the arms without error
LEVEL = 5.0  # of a level's indicator: with the ridge, its log odds have a prior sd of .87
LEAST_PROBABILITY = 1e-9  # of a candidate, before the pool


@dataclass(frozen=True, eq=False)
class Views:
    """A linear and a tree view of the treatment: the candidates that are pooled.

    Attributes
    ----------
    n_codes : ndarray of int64, shape (n_inputs,)
        Of inputs that are codes of levels; 0 for numbers.
    coefficients : ndarray of float64, shape (n_conditions, n_numbers + n_levels)
    intercepts : ndarray of float64, shape (n_conditions,)
        Of the multinomial logistic regression.
    trees : TreeText
        LightGBM's text.
    """

    n_codes: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    trees: TreeText

    def log_odds(self, x: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Log of the probabilities over the arms' shares: (n_candidates, n, n_conditions)."""
        score = _numbers_and_levels(x, self.n_codes) @ self.coefficients.T
        linear = softmax(score + self.intercepts, axis=1)
        trees = lightgbm.predict(self.trees, x)
        if trees.ndim == 1:
            trees = np.column_stack([1 - trees, trees])
        probability = np.stack([linear, trees])
        return np.log(np.maximum(probability, LEAST_PROBABILITY)) - np.log(share)


@dataclass(frozen=True, eq=False)
class Propensity:
    """A model of the arms' probabilities, for new rows.

    Attributes
    ----------
    log_loss : float
        Weighted mean of minus the log of the cross-fitted probability of the row's own arm.
    share : ndarray of float64, shape (n_conditions,)
        Weighted share of each arm: the probabilities where nothing predicts the treatment.
    intercepts : ndarray of float64, shape (n_conditions,)
    slopes : ndarray of float64, shape (2,)
        Of the linear candidate and of the trees in the pool; 0 for one that does not predict.
    """

    log_loss: float
    share: np.ndarray
    intercepts: np.ndarray
    slopes: np.ndarray
    views: Views

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probability of each arm for new rows.

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_inputs)

        Returns
        -------
        ndarray of float64, shape (n, n_conditions)
            Rows sum to 1. No probability is below about `FLOOR` times the arm's share (below it
            by the rescaling alone, at most one part in fifty).
        """
        log_odds = self.views.log_odds(x, self.share)
        return floored(_pooled(log_odds, self.intercepts, self.slopes), self.share)


def fit_propensity(
    x: np.ndarray, n_codes: np.ndarray, weight: np.ndarray, folds: Folds, n_jobs: int = 1
) -> tuple[Propensity, np.ndarray]:
    """Fit the probability of each arm given the covariates.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)
        Encoded covariates: standardised, without missing values.
    n_codes : ndarray of int64, shape (n_inputs,)
        Of inputs that are codes of levels; 0 for numbers.
    weight : ndarray of float64, shape (n,)
        Positive weights.
    folds : Folds
        Whose first partition cross-fits; where an arm has more than `MOST_ROWS` rows, those that
        come first in its random order are grown on.
    n_jobs : int
        Threads.

    Returns
    -------
    model : Propensity
    cross_fitted : ndarray of float64, shape (n, n_conditions)
        Probability of each arm for the rows, by candidates that did not see the row. Only the
        pool's few numbers, one intercept per arm and two slopes, are fitted on all rows.
    """
    arm, part = folds.condition, folds.part[0]
    total = np.bincount(arm, weights=weight)
    share = total / total.sum()
    grown, stands_for = folds.standing(np.arange(len(arm)), MOST_ROWS, weight)
    stands_for /= stands_for.mean()

    def fit(held: int | None) -> Views:
        some = part[grown] != held
        rows = grown[some]
        return _grow(x[rows], n_codes, arm[rows], stands_for[some], len(total))

    parts = range(folds.n_parts)
    with _GROWING:
        *apart, candidates = mapped(fit, (*parts, None), n_jobs, "propensities")
    log_odds = np.empty((2, len(arm), len(total)))
    for held, models in zip(parts, apart, strict=True):
        rows = part == held
        log_odds[:, rows] = models.log_odds(x[rows], share)
    intercepts, slopes = _pool(log_odds[:, grown], arm[grown], stands_for, share)
    cross_fitted = floored(_pooled(log_odds, intercepts, slopes), share)
    own = cross_fitted[np.arange(len(arm)), arm]
    gain = np.bincount(folds.cluster, weight / weight.sum() * np.log(own / share[arm]))
    if gain.sum() <= np.sqrt(len(gain)) * gain.std():
        intercepts, slopes = np.log(share), np.zeros_like(slopes)
        cross_fitted = np.tile(share, (len(arm), 1))
        own = share[arm]
    log_loss = -np.average(np.log(own), weights=weight)
    LOG.info(
        "propensities: %s, cross-fitted log loss %.4g",
        "of linear and boosted models" if slopes.any() else "the shares of the arms",
        log_loss,
    )
    LOG.debug("propensities: slopes of the linear and the boosted model %s", slopes)
    return Propensity(float(log_loss), share, intercepts, slopes, candidates), cross_fitted


def _numbers_and_levels(x: np.ndarray, n_codes: np.ndarray) -> Any:
    """The inputs, with an indicator of each level in place of a code; sparse where there are any.

    A level that was not met has no indicator.
    """
    coded = np.flatnonzero(n_codes)
    if not len(coded):
        return x
    rows = np.arange(len(x))
    levels = []
    for code, n in zip(x[:, coded].astype(np.int64).T, n_codes[coded], strict=True):
        size = np.full(len(x), LEVEL, dtype=np.float32)
        levels.append(sparse.csr_array((size, (rows, code)), shape=(len(x), n + 1))[:, :n])
    return sparse.hstack([x[:, n_codes == 0], *levels], format="csr")


@contextmanager
def _quietly_on_one_thread() -> Iterator[None]:
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


_GROWING = Shared(_quietly_on_one_thread)


def _grow(
    x: np.ndarray, n_codes: np.ndarray, arm: np.ndarray, weight: np.ndarray, n_arms: int
) -> Views:
    inputs = _numbers_and_levels(x, n_codes)
    linear = LogisticRegression(C=RIDGE, max_iter=300).fit(inputs, arm, weight)
    coefficients, intercepts = linear.coef_, linear.intercept_
    if n_arms == 2:  # scikit-learn keeps the second arm's log odds alone
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.append(0.0, intercepts)
    trees, _ = lightgbm.grow(
        x,
        arm,
        weight,
        max(LEAST_ROUNDS, N_TREES // n_arms),
        n_codes,
        **({"objective": "binary"} if n_arms == 2 else {"objective": "multiclass"}),
        **({} if n_arms == 2 else {"num_class": n_arms}),
        num_leaves=5,
        lambda_l2=10.0,
        learning_rate=0.15 if n_arms == 2 else 0.3,
        max_bin=63,
    )
    return Views(n_codes, coefficients.astype(np.float64), intercepts.astype(np.float64), trees)


def _pool(
    log_odds: np.ndarray, arm: np.ndarray, weight: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts (n_arms,) and slopes (n_candidates,) of least weighted log loss."""
    n_candidates, _, n_arms = log_odds.shape
    own = np.eye(n_arms)[arm]
    weight = weight / weight.sum()

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        intercepts, slopes = np.log(share) + parameters[:n_arms], parameters[n_arms:]
        log_probability = log_softmax(intercepts + np.tensordot(slopes, log_odds, 1), axis=1)
        error = weight[:, None] * (np.exp(log_probability) - own)
        gradient = np.append(error.sum(axis=0), np.tensordot(log_odds, error, 2))
        return -float(weight @ (log_probability * own).sum(axis=1)), gradient

    fitted = minimize(
        loss,
        np.append(np.zeros(n_arms), np.full(n_candidates, 0.5)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None)] * n_arms + [(0.0, STEEPEST)] * n_candidates,
    )
    return np.log(share) + fitted.x[:n_arms], fitted.x[n_arms:]


def _pooled(log_odds: np.ndarray, intercepts: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    return softmax(intercepts + np.tensordot(slopes, log_odds, 1), axis=1)


def floored(probability: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Probabilities (n, n_conditions), none below about `FLOOR` times the arm's share."""
    raised = np.maximum(probability, FLOOR * share)
    return raised / raised.sum(axis=1, keepdims=True)
