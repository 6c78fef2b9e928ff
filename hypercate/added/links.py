"""The scale on which arms are mixed: outcomes, or logits or logarithms of their means."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit, logit

from hypercate.outcomes import Family

LEAST_PROBABILITY = 1e-6
LEAST_MEAN = 1e-6  # of a count or a positive outcome, in units of the mean
_LARGEST_LOG = 30.0


class Link(Protocol):
    """A link, of means in a unit of their own."""

    def unit(self, location: float, scale: float) -> tuple[float, float]:
        """Shift and factor of that unit, from those of the networks' target."""

    def forth(self, mean: np.ndarray) -> np.ndarray:
        """The scale's value of a mean."""

    def back(self, value: np.ndarray) -> np.ndarray:
        """The mean of a value."""

    def slope(self, mean: np.ndarray) -> np.ndarray:
        """Derivative of the mean by the value."""

    def information(self, mean: np.ndarray) -> np.ndarray:
        """Of a row on the value: the slope's square over the outcome's variance."""


class Identity:
    """Of a continuous outcome."""

    def unit(self, location: float, scale: float) -> tuple[float, float]:
        return location, scale

    def forth(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def back(self, value: np.ndarray) -> np.ndarray:
        return value

    def slope(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)

    def information(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)


class Logit:
    """Of a binary outcome."""

    def unit(self, location: float, scale: float) -> tuple[float, float]:
        return 0.0, 1.0

    def forth(self, mean: np.ndarray) -> np.ndarray:
        return logit(mean.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))

    def back(self, value: np.ndarray) -> np.ndarray:
        return expit(value)

    def slope(self, mean: np.ndarray) -> np.ndarray:
        inside = mean.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return inside * (1 - inside)

    def information(self, mean: np.ndarray) -> np.ndarray:
        return self.slope(mean)


class Log:
    """Of a count, whose variance is proportional to its mean."""

    def unit(self, location: float, scale: float) -> tuple[float, float]:
        return 0.0, location

    def forth(self, mean: np.ndarray) -> np.ndarray:
        return np.log(mean.clip(LEAST_MEAN))

    def back(self, value: np.ndarray) -> np.ndarray:
        return np.exp(value.clip(-_LARGEST_LOG, _LARGEST_LOG))

    def slope(self, mean: np.ndarray) -> np.ndarray:
        return mean.clip(LEAST_MEAN)

    def information(self, mean: np.ndarray) -> np.ndarray:
        return mean.clip(LEAST_MEAN)


class LogOfPositive(Log):
    """Of a positive outcome, whose standard deviation is proportional to its mean."""

    def information(self, mean: np.ndarray) -> np.ndarray:
        return np.ones_like(mean)


_OF: dict[str, Link] = {
    "continuous": Identity(),
    "binary": Logit(),
    "count": Log(),
    "positive": LogOfPositive(),
}


def link_of(family: Family) -> Link:
    """The link of a family of outcomes, or a ValueError where arms of it cannot be mixed."""
    if family.kind not in _OF:
        raise ValueError(
            f"arms cannot be added to a model of a {family.kind} outcome: fit again with their rows"
        )
    return _OF[family.kind]
