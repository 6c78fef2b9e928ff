"""Arms that a fitted model learned after the fit: their outcomes, and the uncertainty of these.

A new arm is assumed to relate to the arms of the fit as these relate to one another. With g the
link of the outcome, m(x) the mean of ``g(mu_k(x))`` over the K arms of the fit, and z(x) the
encoded covariates divided by the square root of their number,

    g(mu_new(x)) = m(x) + sum_k w_k (g(mu_k(x)) - m(x)) / sqrt(K - 1) + b + c'z(x)

with w_k ~ N(0, 1). So the new arm has the same covariance with the arms of the fit as these have
among themselves (the best linear predictor of a new group: Robinson, 1991, "That BLUP is a good
thing", Statistical Science 6:15-32). The level b is almost unrestricted, and the rows decide how
far the slopes c, which belong to the new arm alone, may depart from the other arms; see
`hypercate.added.posterior`. Nothing that was fitted before changes.

Errors of the arms of the fit enter those of a new arm in the same way as their outcomes: errors
that both have in common cancel in their difference, and errors at the new arm's rows change its
coefficients, which correct them as far as these rows show. The posterior uncertainty of w, b and c
is added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hypercate.added.links import link_of
from hypercate.added.posterior import fit_posterior
from hypercate.outcomes import Family


@dataclass(frozen=True, eq=False)
class AddedArms:
    """Coefficients of new arms on the arms of the fit, a level, and the covariates.

    Attributes
    ----------
    family : Family
        Of the outcome.
    shift, factor : float
        Means, less a shift and over a factor, are in the unit of the link.
    numbers : ndarray of int64, shape (n_numbers,)
        Encoded covariates that are numbers, rather than codes of levels.
    coef : ndarray of float64, shape (n_added, n_coef)
        Of w, b and c, ``n_coef = n_arms + 1 + n_numbers``; n_arms are those that rows of the fit
        received, the first ones.
    root : ndarray of float64, shape (n_added, n_coef, n_coef)
        Root of their posterior covariance: its columns are independent deviations.
    carried : ndarray of float64, shape (n_added, n_deviations, n_coef)
        How each calibrated deviation of the arms of the fit moves the coefficients.
    bounds : ndarray of float64, shape (n_added, 2)
        The least and the greatest that a mean outcome can be.
    """

    family: Family
    shift: float
    factor: float
    numbers: np.ndarray
    coef: np.ndarray
    root: np.ndarray
    carried: np.ndarray
    bounds: np.ndarray

    @classmethod
    def none(
        cls,
        family: Family,
        location: float,
        scale: float,
        n_arms: int,
        n_deviations: int,
        n_codes: np.ndarray,
    ) -> AddedArms:
        """Before the first.

        Parameters
        ----------
        family : Family
        location, scale : float
            Unit of the networks' target.
        n_arms : int
            That rows of the fit received.
        n_deviations : int
            Calibrated deviations of these.
        n_codes : ndarray of int, shape (n_inputs,)
            Of covariates that are codes of levels; 0 for numbers.
        """
        numbers = np.flatnonzero(n_codes == 0)
        n_coef = n_arms + 1 + len(numbers)
        shift, factor = link_of(family).unit(location, scale)
        shapes = ((0, n_coef), (0, n_coef, n_coef), (0, n_deviations, n_coef), (0, 2))
        return cls(family, shift, factor, numbers, *map(np.empty, shapes))

    def and_arm(
        self,
        outcomes: np.ndarray,
        deviations: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        bounds: tuple[float, float],
    ) -> AddedArms:
        """With one more.

        Parameters
        ----------
        outcomes : ndarray, shape (n, n_arms or more)
            Of the arms of the fit, at the rows of the new one.
        deviations : ndarray, shape (n_deviations, n, n_arms or more)
            From these, calibrated.
        x : ndarray, shape (n, n_inputs)
            Encoded covariates.
        y : ndarray, shape (n,)
            Encoded outcomes.
        weight : ndarray, shape (n,)
            Above 0.
        bounds : (float, float)
            Of a mean outcome of the arms of the fit, which the rows' outcomes extend.
        """
        mixing, offset = self._mixing(outcomes)
        mean, covariance, gain = fit_posterior(
            np.hstack([mixing, self._own(x)]),
            mixing.shape[1],
            offset,
            (y - self.shift) / self.factor,
            weight * weight.sum() / np.square(weight).sum(),
            link_of(self.family),
            dispersed=self.family.classes is None,
        )
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(values.clip(0))
        wider = min(bounds[0], y.min()), max(bounds[1], y.max())
        moved = replace(self, coef=mean[None])._moved(outcomes, deviations, x)[..., 0]
        return replace(
            self,
            coef=np.vstack([self.coef, mean]),
            root=np.concatenate([self.root, root[None]]),
            carried=np.concatenate([self.carried, -(moved @ gain.T)[None]]),
            bounds=np.vstack([self.bounds, wider]),
        )

    def outcomes(self, outcomes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Mean outcomes of the new arms.

        Parameters
        ----------
        outcomes : ndarray, shape (..., n, n_arms or more)
            Of the arms of the fit.
        x : ndarray, shape (n, n_inputs)

        Returns
        -------
        ndarray of float64, shape (..., n, n_added)
        """
        return self._means(self._values(outcomes, x))

    def deviations(self, outcomes: np.ndarray, deviations: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Deviations from these, by those of the arms of the fit and then by the coefficients'.

        A deviation on the scale of the link is half the difference of the means on its two sides,
        so that it stays within what the outcome can be.

        Parameters
        ----------
        outcomes : ndarray, shape (n, n_arms or more)
            Of the arms of the fit.
        deviations : ndarray, shape (n_deviations, n, n_arms or more)
            From these, calibrated.
        x : ndarray, shape (n, n_inputs)

        Returns
        -------
        ndarray of float64, shape (n_deviations + n_added * n_coef, n, n_added)
        """
        value = self._values(outcomes, x)
        features = np.hstack([self._mixing(outcomes)[0], self._own(x)])
        n_added, n_coef = self.coef.shape
        own = np.zeros((n_added, n_coef, len(x), n_added))
        for arm, root in enumerate(self.root):
            own[arm, ..., arm] = (features @ root).T
        carried = np.einsum("np,abp->bna", features, self.carried)
        steps = [self._moved(outcomes, deviations, x) + carried, own.reshape(-1, len(x), n_added)]
        step = np.concatenate(steps)
        return (self._means(value + step) - self._means(value - step)) / 2

    def _moved(self, outcomes: np.ndarray, deviations: np.ndarray, x: np.ndarray) -> np.ndarray:
        """How deviations move the values, (n_deviations, n, n_added), by the same coefficients."""
        above, below = (self._values(outcomes + side * deviations, x) for side in (1, -1))
        return (above - below) / 2

    def _values(self, outcomes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values (..., n, n_added) on the scale of the link."""
        mixing, offset = self._mixing(outcomes)
        of_mixing, of_own = np.split(self.coef.T, [mixing.shape[-1]])
        return offset[..., None] + mixing @ of_mixing + self._own(x) @ of_own

    def _mixing(self, outcomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What w stands for (..., n, n_arms), and the mean of the arms (..., n)."""
        n_arms = self.coef.shape[1] - 1 - len(self.numbers)
        value = link_of(self.family).forth((outcomes[..., :n_arms] - self.shift) / self.factor)
        offset = value.mean(axis=-1)
        return (value - offset[..., None]) / (n_arms - 1) ** 0.5, offset

    def _own(self, x: np.ndarray) -> np.ndarray:
        """What b and c stand for, (n, 1 + n_numbers)."""
        slopes = x[:, self.numbers] / max(len(self.numbers), 1) ** 0.5
        return np.hstack([np.ones((len(x), 1)), slopes])

    def _means(self, value: np.ndarray) -> np.ndarray:
        """Mean outcomes (..., n_added), within their bounds, of values on the link's scale."""
        means = self.shift + self.factor * link_of(self.family).back(value)
        return means.clip(*self.bounds.T)
