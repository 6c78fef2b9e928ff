"""The R-learner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.learners.effects import ARM, OTHER, EffectLearner, of_pair


@dataclass(frozen=True)
class RLearner(EffectLearner):
    """Residuals of the outcome regressed on residuals of the treatment.

    Nie & Wager (2021, "Quasi-oracle estimation of heterogeneous treatment effects", Biometrika
    108:299-319, equation 4), among rows of the arm and the reference: with e the probability of the
    arm there, T its indicator and m the mean outcome given x, the pseudo-outcome is
    ``(y - m) / (T - e)`` and the weight ``(T - e)^2``.
    """

    def weight(self, received: np.ndarray, propensity: np.ndarray) -> np.ndarray:
        return np.where(received == OTHER, 0.0, ((received == ARM) - of_pair(propensity)) ** 2)

    def target(
        self, y: np.ndarray, received: np.ndarray, propensity: np.ndarray, outcomes: np.ndarray
    ) -> np.ndarray:
        e = of_pair(propensity)
        mean = (1 - e) * outcomes[..., 0] + e * outcomes[..., 1]
        return (y - mean) / ((received == ARM) - e)
