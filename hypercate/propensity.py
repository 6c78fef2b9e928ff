"""How probable each arm was for a row, by models that did not see it.

Two candidates are cross-fitted: a linear and a tree view of the treatment. Their out-of-fold log
odds are pooled by a multinomial logistic regression with a free intercept an arm and one slope a
candidate that may not be negative: it calibrates (Platt, 1999, "Probabilistic outputs for support
vector machines", with several arms and scores) and weighs the candidates by their cross-fitted log
loss (Genest, 1984, the logarithmic opinion pool). The arms' shares are preferred, all slopes 0,
unless the pool's log loss is better by more than one standard error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hypercate.device import WORK_FOR_THREADS

N_FOLDS = 5
FLOOR = 0.02  # of an arm's share: no row weighs more than 50 times what it would at random
MOST_ROWS = 20_000  # of an arm, to grow candidates on; they stand for the arm's other rows
N_TREES = 80  # over all arms
LEAST_ROUNDS = 5  # of boosting, however many arms
N_BINS = 64  # of an input, for the trees
RIDGE = 0.03  # prior variance of the linear candidate's coefficients, per standardised input
STEEPEST = 4.0  # slope of the pool: bounded where a candidate parts the arms without error
LEAST_PROBABILITY = 1e-9  # of a candidate, before the pool


@dataclass(frozen=True)
class Propensity:
    """A model of the arms' probabilities, for new rows.

    Attributes
    ----------
    log_loss : float
        Weighted mean of minus the log of the cross-fitted probability of the row's own arm.
    share : ndarray of float64, shape (n_arms,)
        Weighted share of each arm: the probabilities where nothing predicts the treatment.
    slopes : ndarray of float64, shape (2,)
        Of the linear candidate and of the trees in the pool; 0 for one that does not predict.
    """

    log_loss: float
    share: np.ndarray
    slopes: np.ndarray
    _intercepts: np.ndarray
    _edges: np.ndarray
    _candidates: tuple[Any, Any]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probability of each arm for new rows.

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_inputs)

        Returns
        -------
        ndarray of float64, shape (n, n_arms)
            Rows sum to 1. No probability is below about `FLOOR` times the arm's share (below it
            by the rescaling alone, at most one part in fifty).
        """
        log_odds = _log_odds(self._candidates, x, _binned(x, self._edges), self.share)
        return _floored(_pooled(log_odds, self._intercepts, self.slopes), self.share)


def fit_propensity(
    x: np.ndarray, arm: np.ndarray, weight: np.ndarray, seed: int, n_jobs: int = 1
) -> tuple[Propensity, np.ndarray]:
    """Fit the probability of each arm given the covariates.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)
        Encoded covariates: standardised, without missing values.
    arm : ndarray of int, shape (n,)
        Position of each row's arm, 0 to n_arms - 1; at least two rows of each.
    weight : ndarray of float64, shape (n,)
        Positive weights.
    seed : int
        Of the folds, and of the rows to grow on where an arm has more than `MOST_ROWS`.
    n_jobs : int
        Threads of the trees; one grows them where there is little to do.

    Returns
    -------
    model : Propensity
    cross_fitted : ndarray of float64, shape (n, n_arms)
        Probability of each arm for the rows, by candidates that did not see the row. Only the
        pool's few numbers, an intercept an arm and two slopes, are fitted on all rows.

    Raises
    ------
    ValueError
        If there is one arm only, or an arm has fewer than two rows.
    """
    counts = np.bincount(arm)
    if len(counts) < 2 or counts.min() < 2:
        raise ValueError(
            "propensities need at least two arms with two rows each, but the arms have "
            f"{counts.tolist()} rows"
        )
    rng = np.random.default_rng(seed)
    by_arm = np.split(np.argsort(arm, kind="stable"), np.cumsum(counts)[:-1])
    shuffled = [rng.permutation(rows) for rows in by_arm]
    fold = np.empty(len(arm), dtype=np.int64)
    fold[np.concatenate(shuffled)] = np.arange(len(arm)) % N_FOLDS
    total = np.bincount(arm, weights=weight)
    share = total / total.sum()
    grown = np.sort(np.concatenate([rows[:MOST_ROWS] for rows in shuffled]))
    stands_for = weight * (total / np.bincount(arm[grown], weights=weight[grown]))[arm]
    stands_for /= stands_for[grown].mean()

    edges = np.quantile(x[grown], np.linspace(0, 1, N_BINS + 1)[1:-1], axis=0)
    bins = _binned(x, edges)
    log_odds = np.empty((2, len(arm), len(counts)))
    n_threads = n_jobs if len(grown) * x.shape[1] >= WORK_FOR_THREADS else 1
    with warnings.catch_warnings(), threadpool_limits(n_threads, "openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for held in np.unique(fold):
            rows = grown[fold[grown] != held]
            models = _grow(x[rows], bins[rows], arm[rows], stands_for[rows])
            rows = fold == held
            log_odds[:, rows] = _log_odds(models, x[rows], bins[rows], share)
        candidates = _grow(x[grown], bins[grown], arm[grown], stands_for[grown])
    intercepts, slopes = _pool(log_odds[:, grown], arm[grown], stands_for[grown], share)
    cross_fitted = _floored(_pooled(log_odds, intercepts, slopes), share)
    rows = np.arange(len(arm))
    gain = weight / weight.sum() * np.log(cross_fitted[rows, arm] / share[arm])
    if gain.sum() <= np.sqrt(len(arm)) * gain.std():
        intercepts, slopes = np.log(share), np.zeros_like(slopes)
        cross_fitted = np.tile(share, (len(arm), 1))
    log_loss = -np.average(np.log(cross_fitted[rows, arm]), weights=weight)
    model = Propensity(float(log_loss), share, slopes, intercepts, edges, candidates)
    return model, cross_fitted


def _binned(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each value, by `edges` of each column: weighted trees would be slow to find bins."""
    columns = [np.searchsorted(*column) for column in zip(edges.T, x.T, strict=True)]
    return np.stack(columns, axis=1).astype(np.uint8)


def _grow(
    x: np.ndarray, bins: np.ndarray, arm: np.ndarray, weight: np.ndarray
) -> tuple[LogisticRegression, HistGradientBoostingClassifier]:
    n_arms = int(arm.max()) + 1
    linear = LogisticRegression(C=RIDGE, max_iter=300)
    trees = HistGradientBoostingClassifier(
        max_iter=max(LEAST_ROUNDS, N_TREES // n_arms),
        max_leaf_nodes=5,
        l2_regularization=10.0,
        learning_rate=0.15 if n_arms == 2 else 0.3,
        early_stopping=False,
        random_state=0,
    )
    return linear.fit(x, arm, weight), trees.fit(bins, arm, weight)


def _log_odds(
    candidates: tuple[Any, Any], x: np.ndarray, bins: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Log of each candidate's probabilities over the arms' shares: (n_candidates, n, n_arms)."""
    linear, trees = candidates
    probability = np.stack([linear.predict_proba(x), trees.predict_proba(bins)])
    return np.log(np.maximum(probability, LEAST_PROBABILITY)) - np.log(share)


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


def _floored(probability: np.ndarray, share: np.ndarray) -> np.ndarray:
    raised = np.maximum(probability, FLOOR * share)
    return raised / raised.sum(axis=1, keepdims=True)
