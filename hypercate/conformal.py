"""What a person's own outcome and effect may be: weighted conformal intervals from held-out rows.

A row of arm k that was held out says by its error how far a prediction of arm k can be from a
person's outcome. Rows of arm k are not a sample of the population, so each counts 1 / e_k(x),
e_k the probability of arm k, and the new person, whose error is unknown, counts as well, with an
infinite error. The interval's half-width is the errors' quantile of level 1 - alpha under these
weights (Tibshirani et al., 2019, Corollary 1; Lei & Candes, 2021, Algorithm 1 with w = 1 / e), so
it grows where arm k is rare, and is infinite where the held-out rows weigh too little against the
person to say anything.

It holds a new person's outcome under arm k with probability 1 - alpha or more, on average over the
population (not at each x) were all of it given arm k, however arms were assigned in the data, if

* there is no unmeasured confounding,
* the propensities are right, or the errors are distributed alike at every x (the double robustness
  of Lei & Candes, 2021, section 3, for this width),
* the model that predicts the new outcome saw none of the held-out rows.

An ensemble whose members held out different rows breaks the last: its interval is that of
cross-validation, near its level where predictions change little with a few other training rows, a
stability that the CV+ of Barber et al. (2021), of certain level 1 - 2 alpha, does without at the
price of every fold's own prediction. An ensemble is rather more accurate than the few of its
members that held a row out, so the errors are rather too large than too small.

References
----------
Tibshirani, Barber, Candes & Ramdas (2019), "Conformal prediction under covariate shift", NeurIPS.
Lei & Candes (2021), "Conformal inference of counterfactuals and individual treatment effects",
JRSS-B 83:911-938.
Barber, Candes, Ramdas & Tibshirani (2021), "Predictive inference with the jackknife+", Annals of
Statistics 49:486-507.
"""

from __future__ import annotations

import numpy as np

from hypercate.crossfit import CrossFit
from hypercate.effects import check_alpha

_ROUNDING = 1e-12  # a level reached but for the rounding of the weights' sum counts as reached


def outcome_interval(
    fit: CrossFit,
    arm: int | np.ndarray,
    outcomes: np.ndarray,
    propensity: np.ndarray,
    alpha: float,
    binary: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that hold a new person's outcome under an arm.

    Parameters
    ----------
    fit : CrossFit
        The held-out rows. With sample weights the population is the weighted one.
    arm : int or ndarray of int, shape (...)
        Position of the arm of each outcome; broadcast to the outcomes' shape.
    outcomes : ndarray, shape (...)
        Predicted outcome under that arm; a probability if binary.
    propensity : ndarray, shape (...)
        Probability of that arm given the person's covariates; 0 gives an infinite interval.
    alpha : float in (0, 1)
        Share of persons whose outcome may lie outside.
    binary : bool
        Whether the outcome is 0 or 1.

    Returns
    -------
    lower, upper : ndarray, shape (...)
        In units of the outcome; minus and plus infinity where nothing is known, as with fewer than
        ``1 / alpha - 1`` held-out rows of the arm. A binary outcome's are 0, 0 or 1, 1 or, if
        neither class can be excluded, 0, 1; the likelier class is never excluded.

    Raises
    ------
    ValueError
        If alpha is not a number strictly between 0 and 1.
    """
    check_alpha(alpha)
    radius = _error_quantile(fit.covered(), np.broadcast_to(arm, outcomes.shape), propensity, alpha)
    if binary:
        likely = outcomes >= 0.5
        excludes_0 = likely & (outcomes > radius)
        excludes_1 = ~likely & (1 - outcomes > radius)
        return excludes_0.astype(float), 1.0 - excludes_1
    return outcomes - radius, outcomes + radius


def individual_effect_interval(
    fit: CrossFit,
    control: int | np.ndarray,
    treated: int | np.ndarray,
    outcomes: np.ndarray,
    propensity: np.ndarray,
    alpha: float,
    binary: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that hold a new person's own effect, the difference of two potential outcomes.

    Every difference between values of the two arms' outcome intervals of level 1 - alpha / 2
    (Bonferroni; Lei & Candes, 2021, section 4): valid however a person's two outcomes depend on
    each other, which no data show, and so above its level where they are independent or alike.
    There is a dependence that needs the width if the errors of both arms have one bell shape. With
    errors as scores the exact nested interval of the same section is no tighter: it adds the same
    two quantiles, each from a half of the rows. The inexact one can fall short of its level.

    Parameters
    ----------
    fit : CrossFit
        The held-out rows.
    control, treated : int or ndarray of int
        Positions of the arms compared, that broadcast to shape (n, n_effects). An arm's effect
        against itself is exactly 0.
    outcomes : ndarray, shape (n, n_arms)
        Predicted potential outcomes; probabilities if binary.
    propensity : ndarray, shape (n, n_arms)
        Probability of each arm given the row's covariates.
    alpha : float in (0, 1)
        Share of persons whose effect may lie outside.
    binary : bool
        Whether the outcome is 0 or 1.

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
    every_arm = np.arange(fit.n_arms)
    low, high = outcome_interval(fit, every_arm, outcomes, propensity, alpha / 2, binary)
    rows = np.arange(len(outcomes))[:, None]
    same = np.equal(control, treated)
    lower = np.where(same, 0.0, low[rows, treated] - high[rows, control])
    upper = np.where(same, 0.0, high[rows, treated] - low[rows, control])
    return lower, upper


def _error_quantile(
    fit: CrossFit, arm: np.ndarray, propensity: np.ndarray, alpha: float
) -> np.ndarray:
    """Weighted quantile of the held-out errors of each new outcome's arm; infinite if not reached.

    Rows are sorted by arm, then error, and weigh a share of their arm's weight, so the running sum
    of shares passes through one unit for each arm, and one search finds every quantile.
    """
    n, n_arms = fit.outcomes.shape
    error = np.abs(fit.y - fit.outcomes[np.arange(n), fit.arm])
    weight = fit.weight / fit.propensity[np.arange(n), fit.arm]
    total = np.bincount(fit.arm, weight, minlength=n_arms)
    order = np.lexsort((error, fit.arm))
    reached = np.cumsum((weight / total[fit.arm])[order])
    end = np.cumsum(np.bincount(fit.arm, minlength=n_arms))
    start = np.concatenate([[0], end[:-1]])
    with np.errstate(divide="ignore", over="ignore"):
        needed = (1 - alpha) * (1 + 1 / (propensity * total[arm]))
    before = np.concatenate([[0.0], reached])[start[arm]]
    position = np.searchsorted(reached, before + needed - _ROUNDING)
    known = needed <= 1 + _ROUNDING
    position = np.clip(
        position, start[arm], end[arm] - 1, where=known, out=np.full_like(position, n)
    )
    return np.append(error[order], np.inf)[position]
