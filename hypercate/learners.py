"""Learners: what is generated, the loss it is trained on, and how its output is read.

A learner is one class here and one entry of `LEARNERS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TLearner:
    """One potential-outcome network an arm, each trained on its own arm's rows (factual loss).

    The name is Künzel et al.'s (2019, PNAS, "Metalearners for estimating heterogeneous treatment
    effects using machine learning"); here the arms' networks come from one hypernetwork, so that
    every arm teaches every other (Chauhan et al., 2024, AISTATS, "Dynamic inter-treatment
    information sharing for individualized treatment effects estimation").

    Parameters
    ----------
    kind : {"continuous", "binary"}
        Outcome: squared error on the standardised outcome, or cross-entropy on its logit.
    location, scale : float
        Units of a continuous outcome.
    """

    kind: str
    location: float
    scale: float

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Factual loss, elementwise."""
        if self.kind == "binary":
            return F.binary_cross_entropy_with_logits(output, y, reduction="none")
        return (output - y).square()

    def potential_outcome(self, output: Tensor) -> Tensor:
        """Potential outcome in its own units, float64; a probability for a binary outcome."""
        output = output.double()
        if self.kind == "binary":
            return torch.sigmoid(output)
        return output * self.scale + self.location


LEARNERS = {"t": TLearner}
