"""Intervals of a person's own outcome and effect: weighted CV+ intervals from held-out rows.

The errors of members at rows of arm k that they held out show how far they can be from a person's
outcome. Let R_i be the absolute error at row i of the member m(i) that held it out, and mu_m(x) a
member's prediction. Then mu_m(i)(x) + R_i is one guess of how high a new person's outcome can be.
Rows of arm k are not a sample of the population, so each guess has weight 1 / e_k(x_i), with e_k
the probability of arm k. The new person, whose error is unknown, has weight 1 / e_k(x), and an
infinite error. The upper bound is the quantile of level 1 - alpha of the guesses with these
weights; the lower bound is the same quantile, from above, of the guesses mu_m(i)(x) - R_i. This is
the CV+ of Barber et al. (2021, section 3), with the weights of Tibshirani et al. (2019, Corollary
1) for w = 1 / e (Lei & Candes, 2021).

If several members held out a row, its weight is divided among their errors. The members' mean,
which is the prediction, is never outside the interval; where members agree, the bounds are their
mean minus and plus the quantile of the errors. The interval is wider where arm k is rare and where
members disagree, and infinite where the held-out rows have too little weight compared with that of
the person.

The interval is meant to contain a new person's outcome under arm k with probability 1 - alpha, on
average over the population (not at each x) if all of it were given arm k, however arms were
assigned in the data, provided that

* there is no unmeasured confounding,
* the propensities are right, or the errors have the same distribution at every x (the double
  robustness of Lei & Candes, 2021, section 3).

No theorem proves this for our members. For members that did not see the rows that they held out,
as ours did not, and n rows in the arm, CV+ guarantees a coverage of at least
1 - 2 alpha - sqrt(2 / n) (Barber et al., Theorem 4; with weights, for members that each hold out
one row, 1 - 2 alpha: Prinster et al., 2022, Theorem 1). In practice coverage is about 1 - alpha.

Rows of one cluster have similar errors, so a new person gets the weight of as many rows as the
cluster of an average row has: if every row occurs twice, the bounds are those of the single rows.

References
----------
Tibshirani, Barber, Candes & Ramdas (2019), "Conformal prediction under covariate shift", NeurIPS.
Lei & Candes (2021), "Conformal inference of counterfactuals and individual treatment effects",
JRSS-B 83:911-938.
Barber, Candes, Ramdas & Tibshirani (2021), "Predictive inference with the jackknife+", Annals of
Statistics 49:486-507.
Prinster, Liu & Saria (2022), "JAWS: auditing predictive uncertainty under covariate shift",
NeurIPS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from hypercate.evidence import Evidence
from hypercate.inference.effects import check_alpha

ROUNDING = 1e-12  # a level reached but for the rounding of the weights' sum counts as reached
BLOCK_ELEMENTS = 2**16  # new outcomes times members: few enough to stay in a core's cache


@dataclass(frozen=True, eq=False)
class HeldOutErrors:
    """How far models were from the outcomes of the rows that they were judged on.

    Attributes
    ----------
    n_arms : int
    arm : ndarray of int, shape (n_errors,)
        The row's own arm, whose outcome was predicted.
    member : ndarray of int, shape (n_errors,)
        The model.
    error : ndarray of float64, shape (n_errors,)
        Absolute, in units of the outcome.
    weight : ndarray of float64, shape (n_errors,)
        Sample weight over the probability of the row's arm, a share of it for each of the row's
        errors: under these weights the rows of an arm stand for the population.
    together : ndarray of float64, shape (n_arms,)
        Rows of the arm in a row's cluster, on the mean of the arm's rows.
    """

    n_arms: int
    arm: np.ndarray
    member: np.ndarray
    error: np.ndarray
    weight: np.ndarray
    together: np.ndarray

    @classmethod
    def of(cls, evidence: Evidence) -> HeldOutErrors:
        """An error for each judgement."""
        row, n_arms = evidence.row, evidence.n_arms
        arm = evidence.arm[row]
        own = evidence.outcomes[np.arange(len(row)), arm]
        times = np.bincount(row)
        in_cell = np.unique(evidence.cluster * n_arms + evidence.arm, return_counts=True)
        squares = np.bincount(in_cell[0] % n_arms, in_cell[1] ** 2.0, minlength=n_arms)
        return cls(
            n_arms=n_arms,
            arm=arm,
            member=evidence.model,
            error=np.abs(evidence.y[row] - own),
            weight=evidence.weight[row] / evidence.propensity[row, arm] / times[row],
            together=squares / np.bincount(evidence.arm, minlength=n_arms),
        )


def outcome_interval(
    errors: HeldOutErrors,
    arm: int | np.ndarray,
    outcomes: np.ndarray,
    propensity: np.ndarray,
    alpha: float,
    binary: bool = False,
    n_predicting: int | None = None,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that contain a new person's outcome under an arm.

    Parameters
    ----------
    errors : HeldOutErrors
        Of the members. With sample weights the population is the weighted one.
    arm : int or ndarray of int, shape (...)
        Position of the arm of each outcome; broadcast to the shape of a member's outcomes.
    outcomes : ndarray, shape (n_members, ...)
        Predicted outcome under that arm by every member; a probability if binary.
    propensity : ndarray, shape (...)
        Probability of that arm given the person's covariates; 0 gives an infinite interval.
    alpha : float in (0, 1)
        Share of persons whose outcome may lie outside.
    binary : bool
        Whether the outcome is 0 or 1.
    n_predicting : int, optional
        Members, the first ones, whose mean is the prediction; all by default.
    support : (float, float)
        The least and the greatest value that an outcome can have, at which intervals end.

    Returns
    -------
    lower, upper : ndarray, shape (...)
        In units of the outcome; minus and plus infinity where the data say nothing, as with fewer
        than ``1 / alpha - 1`` held-out rows of the arm. For a binary outcome they are 0, 0 or 1, 1
        or, if neither class can be excluded, 0, 1; the more likely class is never excluded.

    Raises
    ------
    ValueError
        If alpha is not a number strictly between 0 and 1.
    """
    check_alpha(alpha)
    n_members, shape = len(outcomes), outcomes.shape[1:]
    outcomes = outcomes.reshape(n_members, -1)
    arm = np.broadcast_to(arm, shape).ravel()
    needed = _needed(errors, arm, propensity.ravel(), alpha)
    radius = None if binary else error_quantile(errors, arm, needed)
    ranked = _ranked(errors, errors.member, n_members)
    lower, upper = np.empty(len(arm)), np.empty(len(arm))
    size = BLOCK_ELEMENTS // n_members + 1
    for start in range(0, len(arm), size):
        rows = slice(start, start + size)
        segment = arm[rows] * n_members + np.arange(n_members)[:, None]
        block = (ranked, segment, outcomes[:, rows], needed[rows], n_predicting)
        if radius is None:
            lower[rows], upper[rows] = _classes(*block)
        else:
            lower[rows], upper[rows] = _values(*block, radius[rows])
    return lower.reshape(shape).clip(*support), upper.reshape(shape).clip(*support)


def individual_effect_interval(
    errors: HeldOutErrors,
    control: int | np.ndarray,
    treated: int | np.ndarray,
    outcomes: np.ndarray,
    propensity: np.ndarray,
    alpha: float,
    binary: bool = False,
    n_predicting: int | None = None,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that contain a new person's own effect, the difference of two potential outcomes.

    They contain every difference between values of the two arms' outcome intervals of level
    1 - alpha / 2 (Bonferroni; Lei & Candes, 2021, section 4). This is valid however a person's two
    outcomes depend on each other, which no data show, so coverage is above the level if they are
    independent or similar. If the errors of both arms have the same bell-shaped
    distribution, there is a dependence that needs this width. With
    errors as scores the exact nested interval of the same section is no tighter: it adds the same
    two quantiles, each from a half of the rows. The inexact one can fall short of its level.

    Parameters
    ----------
    errors : HeldOutErrors
        Of the members.
    control, treated : int or ndarray of int
        Positions of the arms compared, that broadcast to shape (n, n_effects). An arm's effect
        against itself is exactly 0.
    outcomes : ndarray, shape (n_members, n, n_arms)
        Potential outcomes predicted by every member; probabilities if binary.
    propensity : ndarray, shape (n, n_arms)
        Probability of each arm given the row's covariates.
    alpha : float in (0, 1)
        Share of persons whose effect may lie outside.
    binary : bool
        Whether the outcome is 0 or 1.
    n_predicting, support
        As in `outcome_interval`.

    Returns
    -------
    lower, upper : ndarray, shape (n, n_effects)
        In units of the outcome; minus and plus infinity where either outcome's interval is. With a
        binary outcome -1, 0 or 1.

    Raises
    ------
    ValueError
        If alpha is not a number strictly between 0 and 1.
    """
    check_alpha(alpha)
    return differences(
        errors, control, treated, outcomes, propensity, alpha / 2, binary, n_predicting, support
    )


def differences(
    errors: HeldOutErrors,
    control: int | np.ndarray,
    treated: int | np.ndarray,
    outcomes: np.ndarray,
    propensity: np.ndarray,
    alpha: float,
    binary: bool,
    n_predicting: int | None,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[np.ndarray, np.ndarray]:
    """Range of differences within both arms' outcome intervals, each of level 1 - alpha.

    Parameters and results are those of `individual_effect_interval`.
    """
    every_arm = np.arange(errors.n_arms)
    low, high = outcome_interval(
        errors, every_arm, outcomes, propensity, alpha, binary, n_predicting, support
    )
    rows = np.arange(len(propensity))[:, None]
    same = np.equal(control, treated)
    lower = np.where(same, 0.0, low[rows, treated] - high[rows, control])
    upper = np.where(same, 0.0, high[rows, treated] - low[rows, control])
    return lower, upper


def _needed(
    errors: HeldOutErrors, arm: np.ndarray, propensity: np.ndarray, alpha: float
) -> np.ndarray:
    """Share of an arm's weight that a new person's bounds need, above 0; infinite beyond all."""
    total = np.bincount(errors.arm, errors.weight, minlength=errors.n_arms)
    with np.errstate(divide="ignore", over="ignore"):
        person = errors.together[arm] / propensity
        needed = (1 - alpha) * (1 + person / total[arm]) - ROUNDING
    return np.where(needed <= 1, np.maximum(needed, np.finfo(float).tiny), np.inf)


class _Ranked(NamedTuple):
    """Errors by size in segments, one for each arm and member, arm by arm.

    Attributes
    ----------
    key : ndarray of complex128, shape (n_errors,)
        Segment and error, real and imaginary, for which numpy's order is that of the errors here.
    error : ndarray of float64, shape (n_errors + 1,)
        Infinity follows the last.
    share : ndarray of float64, shape (n_errors + 1,)
        Running sum, from 0, of each error's weight as a share of its arm's.
    first : ndarray of int, shape (n_segments + 1,)
        Position of each segment's first error, and after the last.
    """

    key: np.ndarray
    error: np.ndarray
    share: np.ndarray
    first: np.ndarray

    def position(
        self, segment: np.ndarray, value: np.ndarray, side: Literal["left", "right"]
    ) -> np.ndarray:
        """Of the segment's first error of at least (left) or above (right) the value."""
        return self.key.searchsorted(_key(segment, value), side)

    def reached(self, segment: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Share of an arm's weight before the positions in its members' segments (n_members, n)."""
        return (self.share[position] - self.share[self.first[segment]]).sum(axis=0)


def _ranked(errors: HeldOutErrors, member: int | np.ndarray, n_members: int) -> _Ranked:
    segment = errors.arm * n_members + member
    order = np.lexsort((errors.error, segment))
    total = np.bincount(errors.arm, errors.weight, minlength=errors.n_arms)
    count = np.bincount(segment, minlength=errors.n_arms * n_members)
    return _Ranked(
        key=_key(segment[order], errors.error[order]),
        error=np.append(errors.error[order], np.inf),
        share=np.append(0.0, np.cumsum((errors.weight / total[errors.arm])[order])),
        first=np.append(0, np.cumsum(count)),
    )


def error_quantile(errors: HeldOutErrors, arm: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Smallest error of the arm that, with all smaller ones of any member, has the share needed."""
    pooled = _ranked(errors, 0, 1)
    first, end = pooled.first[arm], pooled.first[arm + 1]
    position = np.searchsorted(pooled.share[1:], pooled.share[first] + needed)
    known = np.isfinite(needed)
    return pooled.error[np.where(known, np.clip(position, first, end - 1), -1)]


def _key(segment: np.ndarray, error: np.ndarray) -> np.ndarray:
    key = np.empty(error.shape, dtype=complex)
    key.real, key.imag = segment, error
    return key


def _classes(
    ranked: _Ranked,
    segment: np.ndarray,
    outcomes: np.ndarray,
    needed: np.ndarray,
    n_predicting: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest class that cannot be excluded, of outcomes (n_members, n)."""
    likely = outcomes[:n_predicting].mean(axis=0) >= 0.5
    distance = np.where(likely, outcomes, 1 - outcomes)  # from the unlikelier class
    smaller = ranked.position(segment, distance, "left")
    excluded = ranked.reached(segment, smaller) >= needed
    return excluded & likely, ~(excluded & ~likely)


def _values(
    ranked: _Ranked,
    segment: np.ndarray,
    outcomes: np.ndarray,
    needed: np.ndarray,
    n_predicting: int | None,
    radius: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of outcomes (n_members, n), widened to hold the prediction."""
    mean = outcomes[:n_predicting].mean(axis=0)
    lower = -_least_reaching(ranked, segment, -outcomes, needed, radius)
    upper = _least_reaching(ranked, segment, outcomes, needed, radius)
    return np.minimum(lower, mean), np.maximum(upper, mean)


def _least_reaching(
    ranked: _Ranked,
    segment: np.ndarray,
    outcomes: np.ndarray,
    needed: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    """Smallest sum of a member's outcome and error that, with all smaller, has the share needed.

    It lies between the errors' quantile (the radius) plus the least and plus the greatest of the
    outcomes (n_members, n): below, only errors below the quantile count, of any member, and they
    are too few; at the upper end all errors up to the quantile count. That bracket is bisected: a
    middle that has the share gives way to the greatest sum up to it, one that has not to the least
    sum above it, until the ends meet.
    """
    rows = np.arange(len(needed))
    found = np.empty(len(needed))
    low, high = radius + outcomes.min(axis=0), radius + outcomes.max(axis=0)
    while len(rows):
        found[rows] = high
        apart = low < high
        rows, segment, outcomes, needed, low, high = (
            values[..., apart] for values in (rows, segment, outcomes, needed, low, high)
        )
        middle = np.minimum(low + (high - low) / 2, np.nextafter(high, -np.inf))
        after = ranked.position(segment, middle - outcomes, "right")
        enough = ranked.reached(segment, after) >= needed
        first, end = ranked.first[segment], ranked.first[segment + 1]
        up_to = np.where(after > first, outcomes + ranked.error[after - 1], -np.inf)
        above = np.where(after < end, outcomes + ranked.error[after], np.inf)
        high = np.where(enough, np.minimum(up_to.max(axis=0), middle), high)
        low = np.where(enough, low, np.maximum(above.min(axis=0), np.nextafter(middle, np.inf)))
    return found
