"""The X-learner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.learners.effects import ARM, OTHER, EffectLearner, imputed, of_pair


@dataclass(frozen=True)
class XLearner(EffectLearner):
    """Effects imputed in the arm and in the reference, weighted by the propensity.

    Künzel et al. (2019, PNAS, equations 7 to 9) regress ``y - mu_0`` among rows of the arm and
    ``mu_k - y`` among those of the reference, and average both regressions with weights 1 - e and
    e, so that the effects of the smaller group, which are imputed from the outcomes of the larger
    group, get the most weight. Here one network is fitted to both, with weights ``(1 - e) / e`` and
    ``e / (1 - e)``, with which its mean at x is that average.
    """

    def weight(self, received: np.ndarray, propensity: np.ndarray) -> np.ndarray:
        e = of_pair(propensity)
        return np.where(received == OTHER, 0.0, np.where(received == ARM, (1 - e) / e, e / (1 - e)))

    def target(
        self, y: np.ndarray, received: np.ndarray, propensity: np.ndarray, outcomes: np.ndarray
    ) -> np.ndarray:
        return imputed(y, received, outcomes)
