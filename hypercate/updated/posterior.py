"""How far rows show a model to be off: the posterior mean of a small, smooth correction.

The correction is linear in features whose squares sum to about 1 at a row, on the scale of the
outcome's link. Its coefficients are normal with mean 0 and the same variance

    d * dispersion / (n_before * information)

with n_before the rows that the model has learned from before and the information that of a row: the
variance that d free coefficients fitted to those rows would leave in its predictions. So the more
rows the model knows, the more is needed to move it. How far it is off, d, is not known and is
averaged over a grid by marginal likelihood (Hoeting, Madigan, Raftery & Volinsky, 1999, "Bayesian
model averaging", Statistical Science 14:382-401): were the new rows not like the old ones, d is
large, and they count alone. Outcomes with a link are fitted by Fisher scoring on working responses
(Breslow & Clayton, 1993, "Approximate inference in generalized linear mixed models", JASA 88:9-25,
section 2.2).
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from hypercate.added.links import Link

FREE = np.array([0.0, 1, 3, 10, 30, 100, 300, 1000])
"""How many coefficients' worth of error a model may have."""
_PENALTY = 0.5  # power of 1 + d by which large errors are less expected
_MOST_STEPS, _TOLERANCE = 50, 1e-6


def posterior_mean(
    features: np.ndarray,
    offset: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    n_before: float,
    link: Link,
    dispersed: bool,
) -> np.ndarray:
    """Coefficients of ``offset + features @ coef`` for several models at once.

    Parameters
    ----------
    features : ndarray, shape (n, n_features)
    offset : ndarray, shape (n_models, n)
        What each model says, on the scale of the link.
    y : ndarray, shape (n,)
        Outcomes, in the unit of the means.
    weight : ndarray, shape (n_models, n)
        How many rows each counts as; 0 where a model may not see it.
    n_before : float
        Rows that the models have learned from before.
    link : Link
    dispersed : bool
        Whether the rows' variance over the link's is unknown, rather than 1.

    Returns
    -------
    ndarray, shape (n_models, n_features)
    """
    coef, value = np.zeros((len(offset), features.shape[1])), offset
    moves = np.ones((len(offset), 1), dtype=bool)  # each model stops by its own rows
    for _ in range(_MOST_STEPS):
        mean = link.back(value)
        information = weight * link.information(mean)
        response = value - offset + (y - mean) / link.slope(mean)
        solved = _solved(features, response, information, weight.sum(axis=1), n_before, dispersed)
        coef = np.where(moves, solved, coef)
        before, value = value, offset + coef @ features.T
        moves &= ((np.abs(value - before) > _TOLERANCE) & (weight > 0)).any(axis=1, keepdims=True)
        if not moves.any():
            break
    return coef


def _solved(
    features: np.ndarray,
    response: np.ndarray,
    information: np.ndarray,
    n: np.ndarray,
    n_before: float,
    dispersed: bool,
) -> np.ndarray:
    """Posterior means, averaged over `FREE`; in the directions of each model's rows."""
    gram = np.stack([(features.T * own) @ features for own in information])
    values, vectors = np.linalg.eigh(gram)
    moment = np.einsum("mqe,mq->me", vectors, (information * response) @ features)[:, None]
    square = (information * response**2).sum(axis=1)[:, None]
    n = n[:, None]
    variance = FREE / (n_before * information.sum(axis=1)[:, None] / n)
    growth = variance[..., None] * values.clip(0)[:, None]
    shrunk = variance[..., None] / (1 + growth) * moment
    explained = (shrunk * moment).sum(axis=2)
    of_determinant = np.log1p(growth).sum(axis=2)
    if dispersed:
        left = (square - explained).clip(np.finfo(np.float64).eps * square + 1e-300)
        evidence = -(of_determinant + n * np.log(left)) / 2
    else:
        evidence = -(of_determinant - explained) / 2
    shares = softmax(evidence - _PENALTY * np.log1p(FREE), axis=1)
    return np.einsum("mqe,md,mde->mq", vectors, shares, shrunk)
