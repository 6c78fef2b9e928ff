"""A fitted model of several outcomes: a fitted model for each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hypercate.encoding import ArmDoses, Conditions, Doses, FeatureEncoder
from hypercate.encoding.checks import listed
from hypercate.fitted import Fitted
from hypercate.nuisance.assignment import Assignment

_OF_ONE = {*(field.name for field in fields(Fitted)), "of_conditions", "outcomes"}


class SeveralOutcomesError(ValueError, AttributeError):
    """Raised if a method needs a model of one outcome, and the model has several."""


@dataclass(frozen=True, repr=False, eq=False)
class FittedOutcomes:
    """All that a fit of several outcomes leaves.

    Attributes
    ----------
    names : tuple of str
    each : tuple of Fitted, one per outcome
        Which share their encoders, arms, propensities and rows.
    """

    names: tuple[str, ...]
    each: tuple[Fitted, ...]

    @property
    def features(self) -> FeatureEncoder:
        return self.each[0].features

    @property
    def conditions(self) -> Conditions:
        return self.each[0].conditions

    @property
    def propensity(self) -> Assignment:
        return self.each[0].propensity

    @property
    def seed(self) -> int:
        return self.each[0].seed

    @property
    def doses(self) -> Doses | ArmDoses | None:
        return self.each[0].doses

    def of(self, name: str) -> Fitted:
        """The fitted model of an outcome, or a ValueError."""
        if name not in self.names:
            raise ValueError(
                f"{name!r} is not an outcome of this model: its outcomes are "
                f"{listed(map(repr, self.names))}"
            )
        return self.each[self.names.index(name)]

    def without_evidence(self) -> FittedOutcomes:
        """The same, of which the training rows are not known."""
        return FittedOutcomes(self.names, tuple(one.without_evidence() for one in self.each))

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE:
            raise SeveralOutcomesError(
                f"this needs a model of one outcome, but the model has several, "
                f"{listed(map(repr, self.names))}: use that of one, such as est.of"
                f"({self.names[0]!r})"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
