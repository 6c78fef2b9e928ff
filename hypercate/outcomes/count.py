"""A count: Poisson deviance of its rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.outcomes.log_link import LogLink, exp


@dataclass(frozen=True)
class Count(LogLink):
    """Whole numbers of at least 0. See `hypercate.outcomes.Family`.

    The expected count is right whatever the counts' variance (Gourieroux, Monfort & Trognon, 1984,
    "Pseudo maximum likelihood methods: applications to Poisson models", Econometrica 52:701-720).
    """

    @property
    def kind(self) -> str:
        return "count"

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Deviance, in units of the mean: ``2 (y log(y / rate) - y + rate)``."""
        deviance = exp(output) - target - target * output + torch.xlogy(target, target)
        return 2 * deviance.clamp(min=0)

    @property
    def _refused(self) -> str:
        return "not a whole number of at least 0"

    @property
    def _advice(self) -> str:
        return "correct or drop these rows, or pass outcome='continuous' if y is not a count"

    def _possible(self, y: np.ndarray) -> np.ndarray:
        return (y >= 0) & (y == np.floor(y))
