"""What outcomes with a log link have in common: ``mean = location * exp(output)``.

Effects on such outcomes are often ratios, and a network need not bend to give them. Deviances are
of the outcome in units of its mean, at least 0, and 0 where it is met (McCullagh & Nelder, 1989,
"Generalized linear models", section 2.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor

from hypercate.encoding.checks import rows_where
from hypercate.encoding.scaling import moments
from hypercate.outcomes.outliers import pulled_in
from hypercate.outcomes.reading import read_numbers

LEAST_LOG = -10.0  # of a mean outcome, in units of the mean over the rows
_STEEPEST = 20.0  # from where exponentials in a loss go on as straight lines
_FURTHEST = 1e15  # of a target


class LogLink(ABC):
    """Outcomes of at least 0 with a log link. See `hypercate.outcomes.Family`."""

    @property
    def classes(self) -> None:
        return None

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, np.inf

    def encode(self, y: Any) -> np.ndarray:
        values = read_numbers(y, self.kind)
        wrong = ~self._possible(values)
        if wrong.any():
            raise ValueError(f"y is {self._refused} in {rows_where(wrong)}: {self._advice}")
        return values

    def without_outliers(self, y: np.ndarray, used: np.ndarray) -> np.ndarray:
        """As of a continuous outcome: means on the log scale are means all the same, and a slip of
        the decimal point would decide them."""
        return pulled_in(y, used)

    def unit(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        """Weighted mean, 1 if all are 0; and how many times as large the largest outcome is."""
        seen = y[weight > 0]
        location = moments(y, weight)[0] or 1.0
        with np.errstate(over="ignore"):
            return location, float(np.clip(seen.max() / location, 1.0, _FURTHEST))

    def target(self, y: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.minimum(y / location, _FURTHEST).astype(np.float32)

    def mean(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """No mean is above the largest outcome, or below a part of the mean over the rows."""
        return location * output.double().clamp(min=LEAST_LOG).exp().minimum(scale)

    def bounds(self, location: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return location * np.exp(LEAST_LOG), location * scale

    def unit_of_deviations(self, mean: np.ndarray) -> np.ndarray:
        """The mean: errors grow with it, as noise does, and are alike on the log scale."""
        return mean

    @property
    @abstractmethod
    def kind(self) -> str: ...

    @property
    @abstractmethod
    def _refused(self) -> str:
        """What an outcome that is refused is, in words."""

    @property
    @abstractmethod
    def _advice(self) -> str:
        """What to do with it."""

    @abstractmethod
    def _possible(self, y: np.ndarray) -> np.ndarray:
        """Whether numbers are such outcomes."""


def exp(output: Tensor) -> Tensor:
    """Exponentials that go on as straight lines, and so never overflow nor lose their slope."""
    return output.clamp(max=_STEEPEST).exp() * (1 + (output - _STEEPEST).clamp(min=0))
