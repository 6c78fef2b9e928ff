"""Times to an event, of which the mean up to a horizon or the survival beyond it is learned.

Some times are censored, so that networks are fitted to pseudo-outcomes in place of them; see
`hypercate.nuisance.censoring`. These have the same mean and may lie outside of its bounds.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hypercate.encoding.checks import rows_where
from hypercate.outcomes.normal import Normal
from hypercate.outcomes.reading import read_numbers

_INSIDE = 1e-6  # share of the range by which means keep off its ends, so that they have ratios


@dataclass(frozen=True)
class Censored(Normal):
    """Times above 0, followed up to a horizon. See `hypercate.outcomes.Family`.

    Attributes
    ----------
    horizon : float
        In the unit of the times.
    """

    horizon: float

    @abstractmethod
    def known(self, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        """Outcomes of rows whose event was seen, or that were followed up to the horizon."""

    def encode(self, y: Any) -> np.ndarray:
        """Times as they are."""
        times = read_numbers(y, self.kind)
        if (times <= 0).any():
            raise ValueError(
                f"y is 0 or negative in {rows_where(times <= 0)}: with outcome={self.kind!r} it "
                "holds the time until the event, or until the row was last seen: correct or drop "
                "these rows"
            )
        return times

    def without_outliers(self, y: np.ndarray, used: np.ndarray) -> np.ndarray:
        """No time counts beyond the horizon."""
        return y

    def mean(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        return super().mean(output, location, scale).clamp(*self.bounds(None, None))

    def bounds(self, location: Any, scale: Any) -> tuple[float, float]:
        least, greatest = self.support
        return least + _INSIDE * greatest, (1 - _INSIDE) * greatest


class RestrictedTime(Censored):
    """Its mean is the restricted mean survival time: of the time, or the horizon if it is less."""

    @property
    def kind(self) -> str:
        return "time"

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, self.horizon

    def known(self, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        return np.minimum(time, self.horizon)


class Survival(Censored):
    """Its mean is the probability of surviving beyond the horizon."""

    @property
    def kind(self) -> str:
        return "survival"

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, 1.0

    def known(self, time: np.ndarray, event: np.ndarray) -> np.ndarray:
        return np.where(event, time > self.horizon, time >= self.horizon).astype(np.float64)
