"""Bounds on an average effect if confounders of some strength were left out."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from hypercate.answers.arguments import check_choice
from hypercate.inference.effects import Inference, check_alpha
from hypercate.inference.groups import other_arms
from hypercate.sensitivity.representer import ESTIMANDS, Elements, elements

STRENGTH = 0.03  # of a confounder, as DoubleML has it
_TITLES = {
    "ate": "Average treatment effect (ATE) if confounders were left out",
    "att": "Average effect on the treated (ATT) if confounders were left out",
}
_MEANING = (
    "cf_y: share of the outcome's remaining variance that the confounder explains; cf_d: share of "
    "the variance of the inverse probability weights that it adds. Bounds: where the average may "
    "lie then; ci: the same with sampling error. Robustness value: the cf_y = cf_d at which the "
    "bound, or with ci the end of its interval, reaches the null."
)


@dataclass(frozen=True, repr=False, eq=False)
class Sensitivity(Inference):
    """Averages and how far confounding could move them; `print` shows them as a table.

    Attributes
    ----------
    parts : Elements
    index : Index, shape (n_arms - 1,)
        The arm of each average.
    estimand : {"ate", "att"}
    null : float
        The average that a bound has to reach for a robustness value.
    n_rows : int

    Examples
    --------
    >>> from hypercate.sensitivity import sensitivity
    >>> found = sensitivity(est)
    >>> lower, upper = found.bounds(cf_y=0.1, cf_d=0.1)
    >>> wider = found.bounds_interval(cf_y=0.1, cf_d=0.1)
    >>> bool(wider[0][0] < lower[0] < upper[0] < wider[1][0])
    True
    >>> bool(found.robustness_value_interval()[0] < found.robustness_value()[0])
    True
    >>> found.summary_frame().index.tolist()
    ['drug']
    """

    parts: Elements
    index: pd.Index
    estimand: str
    null: float
    n_rows: int
    notes: tuple[str, ...] = (_MEANING,)

    @property
    def point_estimate(self) -> np.ndarray:  # type: ignore[override]
        """The averages without confounding, shape (n_arms - 1,)."""
        return self.parts.estimate

    @property
    def stderr(self) -> np.ndarray:  # type: ignore[override]
        return self._spread(0.0)[0]

    @property
    def dof(self) -> np.ndarray:  # type: ignore[override]
        return self._spread(0.0)[1]

    def bounds(
        self, cf_y: float = STRENGTH, cf_d: float = STRENGTH, rho: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds between which the averages may lie.

        Parameters
        ----------
        cf_y : float in [0, 1)
            Share of the variance of the outcome, given arm and covariates, that the confounders
            explain (a partial R2).
        cf_d : float in [0, 1)
            Share of the variance of the Riesz representer, the signed inverse probability weight,
            that is due to the confounders.
        rho : float in [-1, 1], default=1
            Correlation between their effects on the outcome and on the weight; 1 is the worst case.

        Returns
        -------
        lower, upper : ndarray, shape (n_arms - 1,)
            ``estimate -+ |rho| sqrt(cf_y cf_d / (1 - cf_d)) sqrt(E[noise^2] E[alpha^2])``
            (Chernozhukov et al., 2022, theorem 2 and corollary 2).

        Raises
        ------
        ValueError
            If a share is not in [0, 1), or if rho is not in [-1, 1].
        """
        bias = strength(cf_y, cf_d, rho) * self.parts.largest_bias
        return self.point_estimate - bias, self.point_estimate + bias

    def bounds_interval(
        self,
        cf_y: float = STRENGTH,
        cf_d: float = STRENGTH,
        rho: float = 1.0,
        *,
        alpha: float = 0.05,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The bounds with their sampling error: an interval of level at least 1 - alpha.

        Each end leaves out ``alpha / 2``, so that without confounding this is the confidence
        interval of the average.

        Parameters
        ----------
        cf_y, cf_d, rho
            As in `bounds`, with the same errors raised.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : ndarray, shape (n_arms - 1,)
        """
        check_alpha(alpha)
        c = strength(cf_y, cf_d, rho)
        return self._end(-c, alpha), self._end(c, alpha)

    def robustness_value(self) -> np.ndarray:
        """The strength ``cf_y = cf_d`` at which a bound reaches the null, shape (n_arms - 1,).

        Confounders for which both shares are smaller cannot explain the average away. With r the
        distance to the null in units of the largest bias, it solves ``v^2 / (1 - v) = r^2``
        (Cinelli & Hazlett, 2020, "Making sense of sensitivity", JRSS-B 82:39-67, section 4.3).
        """
        square = ((self.point_estimate - self.null) / self.parts.largest_bias) ** 2
        return _value(square)

    def robustness_value_interval(self, alpha: float = 0.05) -> np.ndarray:
        """Robustness value of `bounds_interval`; 0 if it contains the null without confounding."""
        check_alpha(alpha)
        found = np.zeros(len(self.index))
        for k, (estimate, bias) in enumerate(
            zip(self.point_estimate, self.parts.largest_bias, strict=True)
        ):
            side = -1.0 if estimate > self.null else 1.0

            def beyond(c: float, k: int = k, side: float = side) -> float:
                return side * (self.null - self._end(side * c, alpha)[k])

            furthest = abs(estimate - self.null) / bias
            if beyond(0.0) > 0:
                found[k] = _value(brentq(beyond, 0.0, furthest) ** 2)
        return found

    def summary_frame(
        self,
        alpha: float = 0.05,
        cf_y: float = STRENGTH,
        cf_d: float = STRENGTH,
        rho: float = 1.0,
    ) -> pd.DataFrame:
        """Table of the averages, their bounds and robustness values.

        Parameters
        ----------
        alpha, cf_y, cf_d, rho
            As in `bounds_interval`.

        Returns
        -------
        DataFrame
            Columns ``point_estimate, stderr, lower_bound, upper_bound, ci_lower, ci_upper,
            robustness_value, robustness_value_ci``.
        """
        lower, upper = self.bounds(cf_y, cf_d, rho)
        ci_lower, ci_upper = self.bounds_interval(cf_y, cf_d, rho, alpha=alpha)
        columns = {
            "point_estimate": self.point_estimate,
            "stderr": self.stderr,
            "lower_bound": lower,
            "upper_bound": upper,
            "ci_lower": ci_lower,
            "ci_upper": ci_upper,
            "robustness_value": self.robustness_value(),
            "robustness_value_ci": self.robustness_value_interval(alpha),
        }
        return pd.DataFrame(columns, index=self.index)

    def _heading(self, alpha: float) -> tuple[str, str]:
        return _TITLES[self.estimand], (
            f"{self.n_rows} rows, cf_y = cf_d = {STRENGTH:.4g}, null {self.null:.4g}, intervals at "
            f"{1 - alpha:.4g}"
        )

    def _end(self, c: float, alpha: float) -> np.ndarray:
        """The end of the interval on the side of the sign of c, a strength."""
        stderr, dof = self._spread(c)
        side = 1.0 if c > 0 or (c == 0 and np.copysign(1.0, c) > 0) else -1.0
        half = side * stats.t.isf(alpha / 2, dof) * stderr
        return self.point_estimate + c * self.parts.largest_bias + half

    def _spread(self, c: float) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors and degrees of freedom of the bound at strength c, with its sign."""
        influence = self.parts.of_estimate + c * self.parts.of_largest_bias
        stderr, dof = self.parts.everyone.spread(influence)
        return stderr[0], dof[0]


def sensitivity(
    est: Any, *, estimand: str = "ate", T0: Any = None, null: float = 0.0
) -> Sensitivity:
    """How far confounders that were not measured could move an average effect.

    These are the omitted-variable bounds of Chernozhukov, Cinelli, Newey, Sharma & Syrgkanis (2022,
    "Long story short: omitted variable bias in causal machine learning", NBER 30302), from the
    model's own cross-fitted outcomes and propensities.

    Parameters
    ----------
    est : HyperCATE
        Fitted, with evidence.
    estimand : {"ate", "att"}, default="ate"
    T0 : label, optional
        The arm compared with; control by default.
    null : float, default=0
        The average, in units of the outcome, that would change the conclusion.

    Returns
    -------
    Sensitivity
        One row for each other arm: the bounds for a confounder of any given strength, and the
        robustness values. `plot_sensitivity` draws it, and `leave_out` measures how strong the
        covariates are.

    Raises
    ------
    NotFittedError
        Before a fit.
    ValueError
        If the model was saved without evidence, if treatments are doses, if an arm has fewer than
        two rows, or if an argument has a value that is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from hypercate import HyperCATE
    >>> from hypercate.sensitivity import sensitivity
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> arm = rng.integers(2, size=200)
    >>> y = X[:, 0] + arm + rng.normal(size=200)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> table = sensitivity(est).summary_frame(cf_y=0.1, cf_d=0.1)
    >>> bool(table["lower_bound"].iloc[0] < table["upper_bound"].iloc[0])
    True
    """
    check_choice("estimand", estimand, ESTIMANDS)
    if isinstance(null, bool) or not isinstance(null, Real) or not np.isfinite(null):
        raise ValueError(f"null={null!r} must be a finite number, in units of the outcome")
    est._require_arms("sensitivity", "average_dose_response(doses)")
    control, evidence, arms = est._control_received(T0), est._evidence(), est._received
    parts = elements(evidence, estimand, control, arms)
    index = other_arms(evidence, control, arms)
    return Sensitivity(parts, index, estimand, float(null), len(evidence.y))


def strength(cf_y: float, cf_d: float, rho: float) -> float:
    """Share of the largest bias that confounders of the given strength cause."""
    for name, value in (("cf_y", cf_y), ("cf_d", cf_d)):
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
            raise ValueError(f"{name}={value!r} must be a number of at least 0 and below 1")
    if isinstance(rho, bool) or not isinstance(rho, Real) or not -1 <= rho <= 1:
        raise ValueError(f"rho={rho!r} must be a number from -1 to 1")
    return float(abs(rho) * np.sqrt(cf_y * cf_d / (1 - cf_d)))


def _value(square: Any) -> Any:
    """The v in [0, 1) with ``v^2 / (1 - v)`` as given."""
    square = np.asarray(square, dtype=np.float64)
    return 2 * square / (square + np.sqrt(square**2 + 4 * square) + (square == 0))
