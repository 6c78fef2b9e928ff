"""What a few rows say of a new arm's coefficients: a normal posterior, averaged over its priors.

The model is a generalized linear one whose coefficients have normal priors of mean 0. How wide the
prior of the arm's own slopes is, and how noisy the rows are, is not known: both are averaged over a
grid, each point weighed by its marginal likelihood (Hoeting, Madigan, Raftery & Volinsky, 1999,
"Bayesian model averaging", Statistical Science 14:382-401), so that what the rows do not tell
leaves the posterior wide. Outcomes with a link are fitted by Fisher scoring on working
responses (Breslow & Clayton, 1993, "Approximate inference in generalized linear mixed models", JASA
88:9-25, section 2.2), with the posterior of the last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from hypercate.added.links import Link

OWN_VARIANCES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Of the arm's own slopes together, in units of the outcome's variance or on the link's scale."""
LEVEL_VARIANCE = 10.0  # of its level, which is all but free
_DISPERSIONS = tuple(2.0 ** np.arange(-5, 1.5, 0.5))
"""Of the rows about the new arm, in units of their dispersion about the mean of the others."""
_MOST_STEPS, _TOLERANCE = 50, 1e-6
_LEAST_SHARE = 1e-6  # of a point of the grid that counts


def fit_posterior(
    features: np.ndarray,
    n_mixed: int,
    offset: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    link: Link,
    dispersed: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of the coefficients of ``offset + features @ coef``.

    Parameters
    ----------
    features : ndarray, shape (n, n_coef)
        Those of the first coefficients, which mix other arms; 1, of the level; those of the slopes.
    n_mixed : int
        How many coefficients mix, of prior variance 1.
    offset : ndarray, shape (n,)
        Known part, on the scale of the link.
    y : ndarray, shape (n,)
        Outcomes, in the unit of the means.
    weight : ndarray, shape (n,)
        How many rows each counts as.
    link : Link
    dispersed : bool
        Whether the rows' variance over the link's is unknown, rather than 1.

    Returns
    -------
    mean : ndarray, shape (n_coef,)
    covariance : ndarray, shape (n_coef, n_coef)
    gain : ndarray, shape (n_coef, n)
        Derivative of the mean by the rows' responses on the scale of the link.
    """
    each = [n_mixed, 1, features.shape[1] - n_mixed - 1]
    grid = list(product(OWN_VARIANCES, _DISPERSIONS if dispersed else (1.0,)))
    spreads = [np.sqrt(np.repeat([1.0, LEVEL_VARIANCE, own], each)) for own, _ in grid]
    value = offset + _shift(offset, y, weight, link)
    unit = _dispersion(value, y, weight, link) if dispersed else 1.0
    dispersions = [unit * dispersion for _, dispersion in grid]
    for _ in range(_MOST_STEPS):
        mean = link.back(value)
        information = weight * link.information(mean)
        response = value - offset + (y - mean) / link.slope(mean)
        problem = _Problem.of(features, response, information)
        points = list(map(problem.solve, spreads, dispersions))
        means = np.stack([coef for coef, _ in points])
        shares = softmax([evidence for _, evidence in points])
        coef = shares @ means
        before, value = value, offset + features @ coef
        if np.abs(value - before).max() < _TOLERANCE:
            break
    covariance = (shares * (means - coef).T) @ (means - coef)
    gain = np.zeros_like(features.T)
    for share, spread, dispersion in zip(shares, spreads, dispersions, strict=True):
        if share > _LEAST_SHARE:
            within = share * problem.covariance(spread, dispersion)
            covariance += within
            gain += within @ (features.T * information) / dispersion
    return coef, covariance, gain


@dataclass(frozen=True)
class _Problem:
    """Least squares with normal priors, by sufficient statistics.

    Attributes
    ----------
    gram : ndarray, shape (p, p)
        Features times information times features.
    moment : ndarray, shape (p,)
        Features times information times response.
    square : float
        Response times information times response.
    n : int
        Rows.
    """

    gram: np.ndarray
    moment: np.ndarray
    square: float
    n: int

    @classmethod
    def of(cls, features: np.ndarray, response: np.ndarray, information: np.ndarray) -> _Problem:
        informed = features * information[:, None]
        square = float((information * response**2).sum())
        return cls(informed.T @ features, informed.T @ response, square, len(response))

    def _precision(self, spread: np.ndarray, dispersion: float) -> np.ndarray:
        """Of the coefficients over their prior's standard deviations."""
        return np.eye(len(spread)) + spread[:, None] * self.gram * spread / dispersion

    def solve(self, spread: np.ndarray, dispersion: float) -> tuple[np.ndarray, float]:
        """Posterior mean of the coefficients (p,), and the logarithm of the marginal likelihood.

        Parameters
        ----------
        spread : ndarray, shape (p,)
            Standard deviations of the prior.
        dispersion : float
            Variance of a row of information 1.
        """
        factor = cho_factor(self._precision(spread, dispersion))
        moment = spread * self.moment / dispersion
        solution = cho_solve(factor, moment)
        of_determinant = 2 * np.log(np.diag(factor[0])).sum() + self.n * np.log(dispersion)
        explained = self.square / dispersion - moment @ solution
        return spread * solution, -(of_determinant + explained) / 2

    def covariance(self, spread: np.ndarray, dispersion: float) -> np.ndarray:
        """Posterior covariance of the coefficients, (p, p)."""
        factor = cho_factor(self._precision(spread, dispersion))
        return spread[:, None] * cho_solve(factor, np.diag(spread))


def _shift(offset: np.ndarray, y: np.ndarray, weight: np.ndarray, link: Link) -> float:
    """What the offset lacks to have the outcomes' mean, of which half a row is its own."""
    expected = np.average(link.back(offset), weights=weight)
    n = weight.sum()
    found = (weight @ y + expected / 2) / (n + 0.5)
    return float(link.forth(found) - link.forth(expected))


def _dispersion(value: np.ndarray, y: np.ndarray, weight: np.ndarray, link: Link) -> float:
    """Pearson's estimate of the rows' variance over the link's; 1 where they are met exactly."""
    mean = link.back(value)
    missed = (y - mean) / link.slope(mean)
    return float(np.average(link.information(mean) * missed**2, weights=weight)) or 1.0
