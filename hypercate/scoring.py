"""A causal score that needs no true effect."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np

from hypercate.encoding.scaling import moments
from hypercate.folds import Folds
from hypercate.nuisance import lightgbm
from hypercate.threads import mapped

_FOLDS = 5
_ROUNDS = 100
_TREES: dict[str, Any] = {
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "learning_rate": 0.1,
    "max_bin": 127,
}
_MOST_KEPT, _MOST_BYTES = 32, 2**27

Residuals = tuple[np.ndarray, np.ndarray]


def r_score(
    effects: np.ndarray,
    features: np.ndarray,
    n_codes: np.ndarray,
    y: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    seed: int,
    n_jobs: int = 1,
) -> float:
    """Share of the variation of effects that the estimate explains, by the R-loss.

    It is one minus the R-loss of `effects` divided by that of the best constant effects: 0 for an
    estimate no better than a constant, negative for a worse one. The nuisance models, of the mean
    outcome and the propensities, are boosted trees, cross-fitted on the rows that are scored (loss:
    Nie & Wager, 2021, Biometrika, eq. 4; as a score: Schuler et al., 2018, "A comparison of methods
    for model selection when estimating individual treatment effects"). The nuisances of the last
    data sets are kept in memory, so that all candidates of a search are scored with the same ones,
    which are fitted once.

    Parameters
    ----------
    effects : ndarray, shape (n, n_arms - 1)
        Effect of every other arm against arm 0.
    features : ndarray, shape (n, n_features)
    n_codes : ndarray of int64, shape (n_features,)
        Of features that are codes of levels; 0 for numbers.
    y : ndarray, shape (n,)
    arm : ndarray of int, shape (n,)
    weight : ndarray, shape (n,)
    seed : int
        Of the folds.
    n_jobs : int, default=1
        Threads.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If fewer than two arms are present, or an arm has fewer than two rows.
    """
    n_arms = effects.shape[1] + 1
    counts = np.bincount(arm, minlength=n_arms)
    present = counts[counts > 0]
    if len(present) < 2 or present.min() < 2:
        raise ValueError(
            "the score needs at least two arms with two rows each, but the arms (in the order of "
            f"arms_) have {counts.tolist()} rows"
        )
    weight = weight / weight.mean()
    residual, propensity = _kept.residuals(features, n_codes, y, arm, weight, seed, n_jobs)
    received = arm[:, None] == np.arange(n_arms)
    surprise = received.astype(np.float64)
    surprise[:, counts > 0] -= propensity
    surprise = surprise[:, 1:]
    root = np.sqrt(weight)
    constant = np.linalg.lstsq(root[:, None] * surprise, root * residual, rcond=None)[0]

    def loss(effect: np.ndarray) -> float:
        return float(np.average((residual - (surprise * effect).sum(axis=1)) ** 2, weights=weight))

    of_constant = loss(constant)
    return 1 - loss(effects) / of_constant if of_constant > 0 else 0.0


class _Kept:
    """Residuals of the outcome and propensities of the data sets that were scored last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_digest: OrderedDict[bytes, Residuals] = OrderedDict()

    def residuals(
        self,
        features: np.ndarray,
        n_codes: np.ndarray,
        y: np.ndarray,
        arm: np.ndarray,
        weight: np.ndarray,
        seed: int,
        n_jobs: int,
    ) -> Residuals:
        digest = _digest(features, n_codes, y, arm, weight, np.array(seed))
        with self._lock:
            if digest in self._by_digest:
                self._by_digest.move_to_end(digest)
                return self._by_digest[digest]
        found = _residuals(features, n_codes, y, arm, weight, seed, n_jobs)
        with self._lock:
            self._by_digest[digest] = found
            while len(self._by_digest) > _MOST_KEPT or self._n_bytes > _MOST_BYTES:
                self._by_digest.popitem(last=False)
        return found

    @property
    def _n_bytes(self) -> int:
        return sum(part.nbytes for parts in self._by_digest.values() for part in parts)


_kept = _Kept()


def _digest(*arrays: np.ndarray) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _residuals(
    features: np.ndarray,
    n_codes: np.ndarray,
    y: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    seed: int,
    n_jobs: int,
) -> Residuals:
    """Outcomes less their cross-fitted mean (n,), and propensities of the arms that are there."""
    code = np.unique(arm, return_inverse=True)[1]
    n_arms = int(code.max()) + 1
    location, spread = moments(y, weight)
    standard = (y - location) / (spread or 1.0)
    part = Folds.of(code, min(_FOLDS, np.bincount(code).min()), 1, seed).part[0]

    def cross_fitted(target: np.ndarray, **objective: Any) -> np.ndarray:
        def held_out(fold: int) -> np.ndarray:
            rows = part != fold
            trees, _ = lightgbm.grow(
                features[rows], target[rows], weight[rows], _ROUNDS, n_codes, **objective, **_TREES
            )
            return lightgbm.predict(trees, features[~rows])

        by_fold = mapped(held_out, range(part.max() + 1), n_jobs, "residuals")
        predicted = np.empty((len(part), *by_fold[0].shape[1:]))
        for fold, values in enumerate(by_fold):
            predicted[part == fold] = values
        return predicted

    residual = (standard - cross_fitted(standard, objective="regression")) * (spread or 1.0)
    if n_arms > 2:
        return residual, cross_fitted(code, objective="multiclass", num_class=n_arms)
    second = cross_fitted(code, objective="binary")
    return residual, np.column_stack([1 - second, second])
