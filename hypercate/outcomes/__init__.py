"""Families of outcomes, one file each, and the one that y belongs to.

A new family is a class with the attributes and methods of `Family`, and one line in `family_of`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor

from hypercate.outcomes.bernoulli import Bernoulli
from hypercate.outcomes.censored import Censored, RestrictedTime, Survival
from hypercate.outcomes.count import Count
from hypercate.outcomes.normal import Normal
from hypercate.outcomes.positive import Positive
from hypercate.outcomes.reading import listed_classes, looks_binary, read_outcome

LOG_LINKED = ("count", "positive")
CENSORED = ("time", "survival")
OUTCOMES = ("auto", "continuous", "binary", *LOG_LINKED, *CENSORED)


class Family(Protocol):
    """How an outcome is encoded, what its network is trained on, and how its output is read.

    Attributes
    ----------
    kind : str
        What users call it.
    classes : ndarray or None
        Labels of a discrete outcome; the mean is the probability of the second.
    support : (float, float)
        The least and the greatest value that an outcome can have.
    """

    @property
    def kind(self) -> str: ...
    @property
    def classes(self) -> np.ndarray | None: ...
    @property
    def support(self) -> tuple[float, float]: ...

    def encode(self, y: Any) -> np.ndarray:
        """Outcomes as numbers, float64 of shape (n,), or a ValueError that names the rows."""

    def without_outliers(self, y: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Encoded outcomes of the used ones among the rows given, gross outliers moved, with a
        warning that names them."""

    def unit(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        """Location and scale of the target that a network is trained on, from encoded outcomes."""

    def target(self, y: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Encoded outcomes in those units, float32."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Of the networks' output, elementwise."""

    def mean(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """Potential outcome that an output stands for, float64."""

    def bounds(self, location: np.ndarray, scale: np.ndarray) -> tuple[Any, Any]:
        """The least and the greatest that a mean outcome can be, in those units."""

    def unit_of_deviations(self, mean: np.ndarray) -> np.ndarray:
        """In which errors of predicted means are alike among rows."""


_NUMBERS: dict[str, Family] = {family.kind: family for family in (Normal(), Count(), Positive())}


def family_of(y: Any, outcome: str, weight: np.ndarray, horizon: float | None = None) -> Family:
    """The family that y belongs to.

    With ``"auto"`` the outcome is binary if it holds two distinct strings, or only 0 and 1 (as
    numbers or booleans), both present; else it is continuous. The others have to be asked for.

    Parameters
    ----------
    y : array-like, shape (n,)
        Numbers, booleans or, if binary, strings.
    outcome : {"auto", "continuous", "binary", "count", "positive", "time", "survival"}
    weight : ndarray, shape (n,)
        Rows of weight 0 do not count.
    horizon : float, optional
        Of a time and of survival.

    Raises
    ------
    TypeError
        If values are of mixed types or neither numbers nor strings.
    ValueError
        If y is empty or not one-dimensional, a value is missing or infinite, outcome is unknown,
        or y has not the two values of a binary outcome, or a value that a count, a positive
        outcome or a time cannot have.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {OUTCOMES}, got {outcome!r}")
    labels = read_outcome(y)
    if not len(labels):
        raise ValueError("y is empty: it has 0 rows")
    counted = labels[weight > 0]
    if outcome == "auto":
        outcome = "binary" if looks_binary(counted) else "continuous"
    numbers = _NUMBERS | {family.kind: family for family in _of_times(horizon)}
    if outcome in numbers:
        strings = labels.dtype.kind == "U"
        numbers[outcome].encode(counted if strings else np.where(weight > 0, labels, 1))
        return numbers[outcome]
    classes = np.unique(counted)
    if len(classes) != 2:
        raise ValueError(
            f"a binary outcome needs two distinct values, but y has {listed_classes(classes)}"
            + ("; labels of arms belong in treatment" if counted.dtype.kind == "U" else "")
        )
    return Bernoulli(classes)


def _of_times(horizon: float | None) -> tuple[Family, ...]:
    return () if horizon is None else (RestrictedTime(horizon), Survival(horizon))


__all__ = [
    "CENSORED",
    "LOG_LINKED",
    "OUTCOMES",
    "Bernoulli",
    "Censored",
    "Count",
    "Family",
    "Normal",
    "Positive",
    "RestrictedTime",
    "Survival",
    "family_of",
]
