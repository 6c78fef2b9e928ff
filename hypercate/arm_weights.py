"""How much weight each arm has in training, apart from the weights of its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hypercate.study import Study


def with_arms_alike(study: Study, propensity: np.ndarray) -> tuple[Study, np.ndarray]:
    """Rows whose weights have mean 1 in each arm, and their propensities by these weights.

    What an outcome is under an arm, given the covariates, does not depend on how much the arm's
    rows weigh beside those of others: only on how much they weigh beside one another. Where all
    rows of an arm stand for many, as in a sample in which another arm is whole, training by their
    weights would see hardly anything else. Averages are over all rows, and keep the weights.

    Parameters
    ----------
    study : Study
    propensity : ndarray, shape (n, n_conditions)
        Probability of each arm among rows that are weighed as they are given.

    Returns
    -------
    study : Study
    propensity : ndarray, shape (n, n_conditions)
        ``e_k(x) r_k`` over its sum, where ``r_k`` is by how much less arm k weighs (Elkan, 2001,
        "The foundations of cost-sensitive learning", IJCAI, theorem 2).
    """
    counts = np.bincount(study.condition)
    mean = np.bincount(study.condition, study.weight) / counts
    if np.ptp(mean) <= 1e-12 * mean.max():
        return study, propensity
    tilted = propensity / mean
    return (
        replace(study, weight=study.weight / mean[study.condition]),
        tilted / tilted.sum(axis=1, keepdims=True),
    )
