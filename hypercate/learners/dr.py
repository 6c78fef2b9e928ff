"""The DR-learner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.learners.effects import ARM, REFERENCE, EffectLearner


@dataclass(frozen=True)
class DRLearner(EffectLearner):
    """Differences of the arms' doubly robust scores, regressed on the covariates.

    Kennedy (2023, "Towards optimal doubly robust estimation of heterogeneous causal effects",
    Electronic Journal of Statistics 17:3008-3049, equation 2): with mu the mean outcomes and e the
    propensities, ``mu_k - mu_0 + 1{k} (y - mu_k) / e_k - 1{0} (y - mu_0) / e_0``, over all rows.
    """

    def weight(self, received: np.ndarray, propensity: np.ndarray) -> np.ndarray:
        return np.ones(len(received))

    def target(
        self, y: np.ndarray, received: np.ndarray, propensity: np.ndarray, outcomes: np.ndarray
    ) -> np.ndarray:
        reference, arm = (
            outcomes[..., k] + (received == code) * (y - outcomes[..., k]) / propensity[:, k]
            for k, code in enumerate((REFERENCE, ARM))
        )
        return arm - reference
