"""How far the arms' networks may depart from one another, layer by layer: degrees of sharing.

Departures are in units of ``1 / sqrt(fan_in)``, so that they mean the same in a narrow and in a
wide layer (hyperfan-in: Chang, Flokas & Lipson, 2020; bias-hyperinit: Beck et al., 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet

FIRST_DEPARTURE, LAST_DEPARTURE = 0.03, 1.0  # at the first and the last layer, degree 1
INTERCEPT_DEPARTURE = 3.0


@dataclass(frozen=True)
class Profile:
    """How far the arms of one network may depart from what they have in common.

    Attributes
    ----------
    matrix, bias : tuple of float, one a layer
        Scale of the departure of the layer's matrix and of its bias, over ``1 / sqrt(fan_in)``.
    intercept : float
        Scale of the departure of the last biases, one per outcome, as it is.
    owned : bool
        Whether arms have nothing in common: each owns its weights, and only the intercept's scale
        counts.
    """

    matrix: tuple[float, ...] = field(default=())
    bias: tuple[float, ...] = field(default=())
    intercept: float = field(default_factory=lambda: INTERCEPT_DEPARTURE)
    owned: bool = False

    @property
    def constant(self) -> bool:
        """Whether arms can differ by a constant only."""
        return not self.owned and not any((*self.matrix, *self.bias))

    def departure(self, net: OutcomeNet) -> Tensor:
        """Scale of each weight's departure, shape (n_weights,); 0 where arms own their weights."""
        scale = torch.zeros(net.n_weights, dtype=torch.float32, device="cpu")
        if not self.owned:
            for layer, matrix, bias in zip(net.layers, self.matrix, self.bias, strict=True):
                scale[layer.start : layer.bias_start] = matrix / layer.n_in**0.5
                scale[layer.bias_start : layer.stop] = bias / layer.n_in**0.5
            scale[net.layers[-1].bias_start :] = self.intercept
        return scale


def _by_degree(degree: float) -> Callable[[int], Profile]:
    """Every layer departs, geometrically more with depth: arms share early and part late."""

    def profile(n_layers: int) -> Profile:
        by_layer = degree * np.geomspace(FIRST_DEPARTURE, LAST_DEPARTURE, n_layers)
        return Profile(tuple(by_layer.tolist()), tuple(by_layer.tolist()))

    return profile


def _s_learner(n_layers: int) -> Profile:
    """The arm shifts the first hidden layer, as an indicator among its inputs would."""
    nothing = (0.0,) * n_layers
    return Profile(nothing, (1.0, *nothing[1:]), intercept=0.0)


def _tarnet(n_layers: int) -> Profile:
    """The first half of the layers is common, the others part as far as in "weak"."""
    n_common = n_layers // 2
    by_layer = (0.0,) * n_common + (3.0 * LAST_DEPARTURE,) * (n_layers - n_common)
    return Profile(by_layer, by_layer)


def _independent(n_layers: int) -> Profile:
    return Profile(owned=True)


PROFILES: dict[str, Callable[[int], Profile]] = {
    "intercept": _by_degree(0.0),
    "strong": _by_degree(0.1),
    "moderate": _by_degree(1.0),
    "weak": _by_degree(3.0),
    "s": _s_learner,
    "tarnet": _tarnet,
    "independent": _independent,
}
"""Degrees of sharing by name, from the number of layers to their profile."""


def profiles(names: Sequence[str], net: OutcomeNet) -> list[Profile]:
    """The profiles of some degrees of sharing, for a network."""
    return [PROFILES[name](len(net.layers)) for name in names]
