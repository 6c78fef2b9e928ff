"""The S-learner: one network for all arms, with the arm among its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hypercate.learners.t import TLearner


@dataclass(frozen=True)
class SLearner(TLearner):
    """Arms share all weights except the bias of the first hidden layer.

    This is a single network that reads an indicator of each arm in addition to the covariates
    (Künzel et al., 2019, PNAS, equation 3).
    """

    degree: ClassVar[str | None] = "s"
