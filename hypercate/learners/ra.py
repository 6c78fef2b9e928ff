"""The RA-learner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.learners.effects import EffectLearner, imputed


@dataclass(frozen=True)
class RALearner(EffectLearner):
    """Observed outcomes minus the predicted outcome under the other arm, regressed on covariates.

    Regression adjustment, after Curth & van der Schaar (2021, "Nonparametric estimation of
    heterogeneous treatment effects: from theory to learning algorithms", AISTATS, section 3.2):
    ``y - mu_0`` in the arm, ``mu_k - y`` in the reference, ``mu_k - mu_0`` in others. All rows have
    equal weight.
    """

    def weight(self, received: np.ndarray, propensity: np.ndarray) -> np.ndarray:
        return np.ones(len(received))

    def target(
        self, y: np.ndarray, received: np.ndarray, propensity: np.ndarray, outcomes: np.ndarray
    ) -> np.ndarray:
        return imputed(y, received, outcomes)
