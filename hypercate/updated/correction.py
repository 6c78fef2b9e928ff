"""What is added to each model's outcomes, once it has learned from further rows.

On the scale of the outcome's link it is linear in a constant, the covariates, and waves in random
directions of these, which are to smooth functions what a Gaussian process of squared exponential
covariance is (Rahimi & Recht, 2007, "Random features for large-scale kernel machines", NeurIPS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hypercate.added.links import link_of
from hypercate.outcomes import Family

N_WAVES = 100
SHARES = (0.2, 0.4, 0.4)  # of the variance: of the level, the slopes and the waves


@dataclass(frozen=True, eq=False)
class Correction:
    """Coefficients of every model and arm; those of an arm without further rows are 0.

    Attributes
    ----------
    family : Family
        Of the outcome.
    shift, factor : float
        Means, less a shift and over a factor, are in the unit of the link.
    numbers : ndarray of int64, shape (n_numbers,)
        Encoded covariates that are numbers, rather than codes of levels.
    directions : ndarray of float64, shape (n_numbers, N_WAVES)
    phases : ndarray of float64, shape (N_WAVES,)
    coef : ndarray of float64, shape (n_models, n_arms, n_features)
    bounds : ndarray of float64, shape (n_models, 2)
        The least and the greatest that a mean outcome can be.
    """

    family: Family
    shift: float
    factor: float
    numbers: np.ndarray
    directions: np.ndarray
    phases: np.ndarray
    coef: np.ndarray
    bounds: np.ndarray

    @classmethod
    def none(
        cls,
        family: Family,
        location: np.ndarray,
        scale: np.ndarray,
        n_codes: np.ndarray,
        n_arms: int,
        seed: int,
    ) -> Correction:
        """Before the first further row.

        Parameters
        ----------
        family : Family
        location, scale : ndarray, shape (n_models,)
            Unit of each model's target.
        n_codes : ndarray of int, shape (n_inputs,)
            Of covariates that are codes of levels; 0 for numbers.
        n_arms, seed : int
        """
        numbers = np.flatnonzero(n_codes == 0)
        rng = np.random.default_rng(seed)
        directions = rng.standard_normal((len(numbers), N_WAVES)) / max(len(numbers), 1) ** 0.5
        phases = rng.uniform(0, 2 * np.pi, N_WAVES)
        shift, factor = link_of(family).unit(float(location.mean()), float(scale.mean()))
        bounds = np.column_stack(np.broadcast_arrays(*family.bounds(location, scale), location)[:2])
        coef = np.zeros((len(location), n_arms, 1 + len(numbers) + N_WAVES))
        return cls(family, shift, factor, numbers, directions, phases, coef, bounds)

    def features(self, x: np.ndarray) -> np.ndarray:
        """Features (..., n, n_features) at encoded covariates (..., n, n_inputs)."""
        numbers = x[..., self.numbers].astype(np.float64)
        level, slopes, waves = np.sqrt(SHARES) / np.sqrt(
            [1, max(len(self.numbers), 1), N_WAVES / 2]
        )
        parts = (
            np.full((*x.shape[:-1], 1), level),
            slopes * numbers,
            waves * np.cos(numbers @ self.directions + self.phases),
        )
        return np.concatenate(parts, axis=-1)

    def forth(self, outcomes: np.ndarray) -> np.ndarray:
        """Outcomes on the scale of the link."""
        return link_of(self.family).forth((outcomes - self.shift) / self.factor)

    def moved(self, outcomes: np.ndarray, model: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Outcomes (m, n_arms, n) of some models (m,), corrected.

        Parameters
        ----------
        x : ndarray, shape (n, n_inputs) or (m, n, n_inputs)
        """
        step = self.coef[model] @ self.features(x).swapaxes(-1, -2)
        means = self.shift + self.factor * link_of(self.family).back(self.forth(outcomes) + step)
        least, greatest = self.bounds[model].T[..., None, None]
        return np.where(step == 0, outcomes, means.clip(least, greatest))

    def plus(self, coef: np.ndarray, y: np.ndarray, learns: np.ndarray) -> Correction:
        """With more added to the coefficients, and bounds that hold further outcomes.

        Parameters
        ----------
        coef : ndarray, shape (n_models, n_arms, n_features)
        y : ndarray, shape (n,)
        learns : ndarray of bool, shape (n_models, n)
            Which of them each model may see.
        """
        least, greatest = self.bounds.T
        least = np.minimum(least, np.where(learns, y, np.inf).min(axis=1))
        greatest = np.maximum(greatest, np.where(learns, y, -np.inf).max(axis=1))
        return replace(self, coef=self.coef + coef, bounds=np.column_stack([least, greatest]))
