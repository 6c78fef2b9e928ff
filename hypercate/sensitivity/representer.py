"""What bounds on the bias of an average are made of: the outcome's noise, and Riesz representers.

With g(a, x) the mean outcome of arm a, an average effect is a mean of ``g(k, x) - g(0, x)`` with
some weights w, and equals ``E[alpha y]`` for its Riesz representer alpha:

    ATE:  alpha = [A = k] / e_k - [A = 0] / e_0
    ATT:  alpha = ([A = k] - [A = 0] e_k / e_0) / P(A = k)

A confounder that was left out moves g and alpha, and the average by the mean product of the two
movements (Chernozhukov, Cinelli, Newey, Sharma & Syrgkanis, 2022, "Long story short: omitted
variable bias in causal machine learning", NBER 30302, theorem 2). Rows of other arms than k and 0
have an alpha of 0 with or without it, so that only the noise of rows of these two counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.evidence import Evidence
from hypercate.inference.groups import Groups, everyone_of

ESTIMANDS = ("ate", "att")


@dataclass(frozen=True, eq=False)
class Elements:
    """The average effect of each other arm, and the quantities that bound its bias.

    Attributes
    ----------
    everyone : Groups
        The rows, whose clusters are independent.
    estimate, noise, representer : ndarray, shape (n_arms - 1,)
        The average; mean squared residual of the rows of the two arms; mean square of alpha.
    of_estimate, of_noise, of_representer : ndarray, shape (n_cells, n_arms - 1)
        The clusters' influences on them.
    variance : ndarray, shape (n_arms - 1,)
        Mean squared deviation of the outcome, from its mean, among the rows of the two arms.
    """

    everyone: Groups
    estimate: np.ndarray
    noise: np.ndarray
    representer: np.ndarray
    of_estimate: np.ndarray
    of_noise: np.ndarray
    of_representer: np.ndarray
    variance: np.ndarray

    @property
    def largest_bias(self) -> np.ndarray:
        """The bias at a strength of confounding of 1, shape (n_arms - 1,)."""
        return np.sqrt(self.noise * self.representer)

    @property
    def of_largest_bias(self) -> np.ndarray:
        """The clusters' influences on it, shape (n_cells, n_arms - 1)."""
        relative = self.of_noise / self.noise + self.of_representer / self.representer
        return self.largest_bias / 2 * relative

    @property
    def explained(self) -> np.ndarray:
        """Share of the outcome's variance that is explained, R2, shape (n_arms - 1,)."""
        return 1 - self.noise / self.variance


def elements(evidence: Evidence, estimand: str, control: int, arms: list) -> Elements:
    """Elements of the average effect of every other arm against `control`.

    Parameters
    ----------
    evidence : Evidence
    estimand : {"ate", "att"}
    control : int
        Position of the arm compared against.
    arms : list
        Labels of the arms.

    Returns
    -------
    Elements
    """
    everyone = everyone_of(evidence, arms)
    others = np.delete(np.arange(evidence.n_arms), control)
    had = evidence.arm[:, None] == others
    had_control = (evidence.arm == control)[:, None]
    e, e_control = evidence.propensity[:, others], evidence.propensity[:, [control]]
    weight = evidence.weight[:, None]
    if estimand == "ate":
        estimate, of_estimate = everyone.effects(control)
        alpha = had / e - had_control / e_control
        square = 2 * (1 / e + 1 / e_control) - alpha**2
    else:
        estimate, of_estimate = everyone.effects_on_treated(control)
        share = everyone.mean(weight, had.astype(float))[0]
        alpha = (had - had_control * e / e_control) / share
        square = 2 * had * (e / share**2) * (1 / e + 1 / e_control) - alpha**2
    of_pair = had | had_control
    residual = evidence.y - evidence.mean_outcomes[np.arange(len(evidence.y)), evidence.arm]
    noise, of_noise = everyone.mean(weight, of_pair * residual[:, None] ** 2)
    representer, of_representer = everyone.mean(weight, square)
    y = evidence.y[:, None]
    mean = (weight * of_pair * y).sum(axis=0) / (weight * of_pair).sum(axis=0)
    variance = everyone.mean(weight, of_pair * (y - mean) ** 2)[0]
    return Elements(
        everyone,
        estimate[0],
        noise[0],
        np.maximum(representer[0], np.finfo(float).tiny),
        of_estimate,
        of_noise,
        of_representer,
        variance[0],
    )
