"""A positive outcome, such as a cost or a duration: gamma deviance of its mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hypercate.outcomes.log_link import LogLink, exp

_LEAST = 1e-30  # of a target, so that it has a logarithm


@dataclass(frozen=True)
class Positive(LogLink):
    """Real numbers above 0. See `hypercate.outcomes.Family`.

    Errors count by their share of the mean, as where the standard deviation grows with the mean;
    the mean is right whatever the distribution (Gourieroux, Monfort & Trognon, 1984, "Pseudo
    maximum likelihood methods: theory", Econometrica 52:681-700).
    """

    @property
    def kind(self) -> str:
        return "positive"

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Deviance: ``2 (y / mean - 1 - log(y / mean))``."""
        apart = target.clamp(min=_LEAST).log() - output
        return 2 * (exp(apart) - 1 - apart).clamp(min=0)

    @property
    def _refused(self) -> str:
        return "not above 0"

    @property
    def _advice(self) -> str:
        return (
            "correct or drop these rows, or pass outcome='continuous', or outcome='count' if y is "
            "a count, for which 0 is possible"
        )

    def _possible(self, y: np.ndarray) -> np.ndarray:
        return y > 0
