"""Scales on which two mean outcomes are compared: their difference, their ratio, or that of odds.

A ratio is the exponential of a difference of links of the means, log or logit, so its standard
error and interval are taken there: with deviations d_k of the means mu_k, those of the link are
``link'(mu_k) d_k`` (the delta method; for ratios of risks Katz, Baptista, Azen & Pike, 1978,
"Obtaining confidence intervals for the risk ratio in cohort studies", Biometrics 34:469-474; for
odds Woolf, 1955, Annals of Human Genetics 19:251-253). Bounds are above 0, and the arms exchanged
give their reciprocals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_PROBABILITY = 1e-6  # in a ratio of predicted ones
_FURTHEST = 700.0  # of a logarithm, so that it has an exponential


@dataclass(frozen=True)
class Scale:
    """Differences.

    Attributes
    ----------
    name : str
    outcomes : tuple of str
        Kinds that can be compared so.
    """

    name: str
    outcomes: tuple[str, ...]

    @property
    def is_ratio(self) -> bool:
        return False

    def link(self, mean: np.ndarray) -> np.ndarray:
        """What differences are taken of; NaN of a mean that is out of range."""
        return mean

    def slope(self, mean: np.ndarray) -> np.ndarray:
        """Its derivative."""
        return np.ones_like(mean)

    def back(self, difference: np.ndarray) -> np.ndarray:
        """From differences of links to the scale."""
        return difference

    def forth(self, value: np.ndarray) -> np.ndarray:
        """From the scale to differences of links."""
        return value


@dataclass(frozen=True)
class Ratio(Scale):
    """Ratios of means."""

    @property
    def is_ratio(self) -> bool:
        return True

    def link(self, mean: np.ndarray) -> np.ndarray:
        return np.log(mean, where=mean > 0, out=np.full(mean.shape, np.nan))

    def slope(self, mean: np.ndarray) -> np.ndarray:
        return np.divide(1.0, mean, where=mean > 0, out=np.full(mean.shape, np.nan))

    def back(self, difference: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(difference, -_FURTHEST, _FURTHEST))

    def forth(self, value: np.ndarray) -> np.ndarray:
        return np.log(value)


@dataclass(frozen=True)
class OddsRatio(Ratio):
    """Ratios of the odds ``p / (1 - p)`` of probabilities p."""

    def link(self, mean: np.ndarray) -> np.ndarray:
        return super().link(mean) - super().link(1 - mean)

    def slope(self, mean: np.ndarray) -> np.ndarray:
        return super().slope(mean) + super().slope(1 - mean)


DIFFERENCE = Scale("difference", ("continuous", "binary", "count", "positive", "time", "survival"))
SCALES = (
    DIFFERENCE,
    Ratio("ratio", ("binary", "count", "positive", "time", "survival")),
    OddsRatio("odds", ("binary", "survival")),
)


def scale_of(name: str, kind: str) -> Scale:
    """The scale of that name, if outcomes of that kind can be compared on it.

    Raises
    ------
    ValueError
        If there is no such scale, or not for the outcome.
    """
    for scale in SCALES:
        if scale.name == name:
            if kind in scale.outcomes:
                return scale
            raise ValueError(
                f"scale={name!r} is for outcomes of kind {' or '.join(scale.outcomes)}, but this "
                f"one is {kind}: use scale='difference'"
                + (
                    ", or fit with outcome='count' or 'positive' if all of y is at least or above 0"
                    if kind == "continuous" and name == "ratio"
                    else ""
                )
            )
    raise ValueError(f"scale={name!r} must be one of {tuple(scale.name for scale in SCALES)}")
