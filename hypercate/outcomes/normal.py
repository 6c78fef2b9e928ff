"""A continuous outcome: squared error, in units of its standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hypercate.encoding.scaling import moments
from hypercate.outcomes.outliers import pulled_in
from hypercate.outcomes.reading import read_numbers

FURTHEST = 1e15  # of a target in size, so that squares are finite


@dataclass(frozen=True)
class Normal:
    """Any real numbers. See `hypercate.outcomes.Family`."""

    @property
    def kind(self) -> str:
        return "continuous"

    @property
    def classes(self) -> None:
        return None

    @property
    def support(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def encode(self, y: Any) -> np.ndarray:
        return read_numbers(y, self.kind)

    def without_outliers(self, y: np.ndarray, used: np.ndarray) -> np.ndarray:
        return pulled_in(y, used)

    def unit(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        """Weighted mean and standard deviation; the scale of a constant is 1."""
        location, spread = moments(y, weight)
        return location, spread or 1.0

    def target(self, y: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            standard = (y - location) / scale
        return np.clip(standard, -FURTHEST, FURTHEST).astype(np.float32)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square()

    def mean(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        return output.double() * scale + location

    def bounds(self, location: np.ndarray, scale: np.ndarray) -> tuple[float, float]:
        return self.support

    def unit_of_deviations(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)
