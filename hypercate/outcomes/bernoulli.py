"""A binary outcome: cross-entropy of the probability of its second class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.encoding.checks import codes_of
from hypercate.outcomes.reading import read_outcome


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Two classes, coded 0 and 1. See `hypercate.outcomes.Family`.

    Attributes
    ----------
    classes : ndarray, shape (2,)
    """

    classes: np.ndarray

    @property
    def kind(self) -> str:
        return "binary"

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, 1.0

    def encode(self, y: Any) -> np.ndarray:
        codes = {label: code for code, label in enumerate(self.classes.tolist())}
        return codes_of(read_outcome(y), codes, "y").astype(np.float64)

    def without_outliers(self, y: np.ndarray, used: np.ndarray) -> np.ndarray:
        return y

    def unit(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        """Codes are taken as they are."""
        return 0.0, 1.0

    def target(self, y: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.broadcast_to(y, np.broadcast_shapes(y.shape, location.shape)).astype(np.float32)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")

    def mean(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        return torch.sigmoid(output.double())

    def bounds(self, location: np.ndarray, scale: np.ndarray) -> tuple[float, float]:
        return self.support

    def unit_of_deviations(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)
