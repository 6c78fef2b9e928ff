"""Intervals of a person's own effect if the noise of both potential outcomes is independent.

Guesses mu_m(i)(x) - R_i and mu_m(i)(x) + R_i of the outcome under an arm, each with half the weight
of row i, and the new person's own unknown error, half at minus and half at plus infinity, are a
distribution of the outcome: the ends of CV+ intervals of level 1 - a are its quantiles a / 2 and
1 - a / 2 (but where members disagree by more than they err), as in the cross-conformal distribution
of Vovk et al. (2018). If noise is independent, the effect is distributed as the difference of
independent draws for both arms, whose quantiles alpha / 2 and 1 - alpha / 2 are the bounds.

They lie within the bounds that hold whatever the dependence: a difference passes that of two ends
only if either outcome passes its own, and each does with probability alpha / 4. The nearer bound is
taken all the same, for what is computed exceeds those quantiles by rounding, for normal noise by
half a percent:

The difference of a guess by member m and one by member l is mu_m(x) - mu_l(x) plus an error of
either arm, of either sign. Errors' sums are the same for everyone. They are convolved once for
every two members, on a lattice to whose points errors are rounded up, and a person's bound is the
first point at which all pairs of members together leave no more than alpha / 2 above.

Assumptions beyond those of `hypercate.inference.conformal`:

* The noise of both outcomes is independent given the covariates. No data can check this, because
  nobody's two outcomes are both seen. If one outcome's noise is minus the other's, as when
  treatment helps most those who would do worst without it, coverage is too low.
* Errors have the same distribution at every x. Where outcomes under both arms vary more for some
  people, large errors come together, and coverage at the highest levels is a little lower.
* Errors of one of the arms are symmetric, because only their size enters. If the noise is
  exponential in both arms, 90 % intervals have a coverage of 88 %.

References
----------
Vovk, Nouretdinov, Manokhin & Gammerman (2018), "Cross-conformal predictive distributions", PMLR
91:37-51.
Sidak (1967), "Rectangular confidence regions for the means of multivariate normal distributions",
JASA 62:626-633.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hypercate.inference import conformal
from hypercate.inference.conformal import HeldOutErrors
from hypercate.inference.effects import check_alpha

_POINTS = 2**12  # of the lattice of an error, on either side of 0
_SPAN = 8  # how far it reaches, in errors of a size that nine in ten do not exceed
_TABLE_ELEMENTS = 2**22  # of the sums of two errors, for all pairs of members
_FARTHEST = 2.0**52  # steps by which members may differ: more are lost to rounding


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
    """Intervals that contain a new person's own effect if both outcomes' noise is independent.

    Parameters and results are those of the function of this name in
    `hypercate.inference.conformal`, whose intervals are never narrower.

    A binary outcome's are the differences of the classes that cannot be excluded under each arm, at
    the level 1 - sqrt(1 - alpha) in place of alpha / 2: then neither true class is excluded with
    probability sqrt(1 - alpha) ** 2 (Sidak, 1967). It gains little. To exclude all that alpha / 2
    does takes alpha - alpha ** 2 / 4 under independence, so no such rule gains more than the rest.

    Raises
    ------
    ValueError
        If alpha is not a number strictly between 0 and 1.
    """
    check_alpha(alpha)
    asked = (errors, control, treated, outcomes, propensity)
    if binary:
        level = -np.expm1(np.log1p(-alpha) / 2)
        return conformal.differences(*asked, level, binary, n_predicting)
    lower, upper = conformal.differences(*asked, alpha / 2, binary, n_predicting, support)
    control, treated = (np.broadcast_to(arms, lower.shape) for arms in (control, treated))
    predicted = outcomes[:n_predicting].mean(axis=0)
    total = np.bincount(errors.arm, errors.weight, minlength=errors.n_arms)
    unknown = 1 / (1 + total * propensity / errors.together)
    pair = np.minimum(control, treated) * errors.n_arms + np.maximum(control, treated)
    for code in np.unique(pair[control != treated]):
        first, second = divmod(code, errors.n_arms)
        if not (total[first] and total[second]):
            continue
        sums = _Sums.of(errors, first, second, len(outcomes))
        cells = np.argwhere(pair == code)
        size = conformal.BLOCK_ELEMENTS // len(sums.above) + 1
        for start in range(0, len(cells), size):
            cell = tuple(cells[start : start + size].T)
            rows, swapped = cell[0], control[cell] == second
            effect = predicted[rows, second] - predicted[rows, first]
            apart = outcomes[:, None, rows, second] - outcomes[None, :, rows, first] - effect
            share = _share_above(unknown[rows, first], unknown[rows, second], alpha)
            up, down = sums.bound(apart, share), sums.bound(-apart, share)
            effect = np.where(swapped, -effect, effect)
            upper[cell] = np.minimum(upper[cell], effect + np.where(swapped, down, up))
            lower[cell] = np.maximum(lower[cell], effect - np.where(swapped, up, down))
    return lower, upper


def _share_above(first: np.ndarray, second: np.ndarray, alpha: float) -> np.ndarray:
    """Share of known differences that may lie above a bound, with the shares of unknown outcomes.

    Half of an arm's unknown outcomes lie beyond all others on the side that makes the effect large.
    """
    infinite = 1 - (1 - first / 2) * (1 - second / 2)
    known = (1 - first) * (1 - second)
    with np.errstate(divide="ignore"):
        return (alpha / 2 - infinite) / known


class _Sums(NamedTuple):
    """How errors of two arms, of either sign, add up.

    Attributes
    ----------
    step : float
        Between points of the lattice.
    above : ndarray of float64, shape (n_members ** 2, n_points)
        For each member of the second arm and each of the first: the weight, of all pairs of errors,
        of their sums above the points, of which the first is below all sums.
    """

    step: float
    above: np.ndarray

    @classmethod
    def of(cls, errors: HeldOutErrors, first: int, second: int, n_members: int) -> _Sums:
        """Of held-out errors of both arms, rounded up."""
        n_points = min(_POINTS, _TABLE_ELEMENTS // (4 * n_members**2) + 1)
        arms = np.array([first, second])
        size = conformal.error_quantile(errors, arms, np.array([0.9, 0.9])).sum()
        size = size or errors.error[np.isin(errors.arm, arms)].max()
        step = max(_SPAN * size / n_points, np.finfo(float).tiny)
        shares, transformed = [], []
        for arm in (second, first):
            mine = errors.arm == arm
            weight = errors.weight[mine] / errors.weight[mine].sum()
            shares.append(np.bincount(errors.member[mine], weight, minlength=n_members))
            counts = np.zeros((n_members, 2 * n_points))
            for signed in (errors.error[mine], -errors.error[mine]):
                at = np.maximum(np.ceil(signed / step), -n_points) + n_points
                on = at < 2 * n_points  # what is farther stays above every point
                place = (errors.member[mine][on], at[on].astype(int))
                np.add.at(counts, place, weight[on] / 2)
            transformed.append(np.fft.rfft(counts, 4 * n_points))
        product = transformed[0][:, None] * transformed[1][None]
        weight = np.fft.irfft(product, 4 * n_points).clip(0).reshape(n_members**2, -1)
        everything = np.multiply.outer(*shares).reshape(-1, 1)
        return cls(step, everything - np.cumsum(np.pad(weight, ((0, 0), (1, 0))), axis=1))

    def bound(self, apart: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Least multiple of the step, from 0, above which lies no more than the share of all.

        Parameters
        ----------
        apart : ndarray, shape (n_members, n_members, n)
            What is added to the sums of each pair of members.
        share : ndarray, shape (n,)

        Returns
        -------
        ndarray, shape (n,)
            Infinite where the lattice does not reach.
        """
        last = self.above.shape[1] - 1
        with np.errstate(over="ignore"):
            steps_back = np.floor(-apart / self.step).clip(-_FARTHEST, _FARTHEST)
        point = steps_back.reshape(-1, len(share)).astype(np.int64) + last // 2 + 1
        pair = np.arange(len(point))[:, None]

        def enough(steps: np.ndarray) -> np.ndarray:
            above = self.above[pair, np.clip(point + steps, 0, last)]
            return above.sum(axis=0) <= share + conformal.ROUNDING

        low, high = np.zeros_like(point[0]), np.maximum(last - point.min(axis=0), 0)
        reached = enough(high) & (high < _FARTHEST)
        while (low < high).any():
            middle = (low + high) // 2
            fits = enough(middle)
            low, high = np.where(fits, low, middle + 1), np.where(fits, middle, high)
        return np.where(reached, high * self.step, np.inf)
