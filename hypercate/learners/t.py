"""The T-learner: one hypernetwork generates the networks of all arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hypercate.outcomes import Family


@dataclass(frozen=True)
class TLearner:
    """One potential-outcome network per arm, trained on the rows of its arm (factual loss).

    The name is Künzel et al.'s (2019, PNAS, "Metalearners for estimating heterogeneous treatment
    effects using machine learning"); here the arms' networks come from one hypernetwork, so that
    every arm teaches every other (Chauhan et al., 2024, AISTATS, "Dynamic inter-treatment
    information sharing for individualized treatment effects estimation").

    Parameters
    ----------
    family : Family
        Family of the outcome.

    Attributes
    ----------
    degree : str or None
        The degree of sharing that the learner fixes; None if all can be tried.
    """

    family: Family

    degree: ClassVar[str | None] = None

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Factual loss, elementwise."""
        return self.family.loss(output, target)

    def potential_outcome(self, output: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """Potential outcome in the outcome's own units, float64, from a network's output."""
        return self.family.mean(output, location, scale)
