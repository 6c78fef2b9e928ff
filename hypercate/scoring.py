"""A causal score that needs no true effect."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from hypercate.folds import Folds

_FOLDS = 5


def r_score(
    effects: np.ndarray,
    features: np.ndarray,
    y: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    seed: int,
) -> float:
    """Share of the variation of effects that the estimate explains, by the R-loss.

    One minus the R-loss of `effects` over that of the best constant effects: 0 for an estimate no
    better than a constant, negative for a worse one. The nuisances, outcome mean and propensities,
    are boosted trees cross-fitted on the rows scored (loss: Nie & Wager, 2021, Biometrika, eq. 4;
    as a score: Schuler et al., 2018, "A comparison of methods for model selection when estimating
    individual treatment effects").

    Parameters
    ----------
    effects : ndarray, shape (n, n_arms - 1)
        Effect of every other arm against arm 0.
    features : ndarray, shape (n, n_features)
    y : ndarray, shape (n,)
    arm : ndarray of int, shape (n,)
    weight : ndarray, shape (n,)
    seed : int
        Of the folds.

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
    mean, propensity = np.empty(len(y)), np.zeros((len(y), n_arms))
    code = np.unique(arm, return_inverse=True)[1]
    part = Folds.of(code, min(_FOLDS, present.min()), 1, seed).part[0]
    for k in range(part.max() + 1):
        train, held = part != k, part == k
        outcome = HistGradientBoostingRegressor(random_state=seed, early_stopping=False)
        outcome.fit(features[train], y[train], sample_weight=weight[train])
        mean[held] = outcome.predict(features[held])
        treatment = HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
        treatment.fit(features[train], arm[train], sample_weight=weight[train])
        propensity[np.ix_(held, treatment.classes_)] = treatment.predict_proba(features[held])
    surprise = ((arm[:, None] == np.arange(n_arms)) - propensity)[:, 1:]
    residual = y - mean
    root = np.sqrt(weight)
    constant = np.linalg.lstsq(root[:, None] * surprise, root * residual, rcond=None)[0]

    def loss(effect: np.ndarray) -> float:
        return float(np.average((residual - (surprise * effect).sum(axis=1)) ** 2, weights=weight))

    of_constant = loss(constant)
    return 1 - loss(effects) / of_constant if of_constant > 0 else 0.0
