"""TARNet: a trunk for all arms, and one head per arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hypercate.learners.t import TLearner


@dataclass(frozen=True)
class TARNet(TLearner):
    """Arms share the first half of the layers; in the other half each arm departs on its own.

    After Shalit, Johansson & Sontag (2017, ICML, "Estimating individual treatment effect:
    generalization bounds and algorithms", section 5).
    """

    degree: ClassVar[str | None] = "tarnet"
