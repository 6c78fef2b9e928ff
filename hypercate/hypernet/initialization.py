"""Scales at which networks start and arms depart from one another, layer by layer.

All scales are in units of ``1 / sqrt(fan_in)``, so that they mean the same in a narrow and in a
wide layer (hyperfan-in: Chang, Flokas & Lipson, 2020; bias-hyperinit: Beck et al., 2022).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hypercate.outcome_net import OutcomeNet

START_SCALE = 0.3
FIRST_DEPARTURE, LAST_DEPARTURE = 0.03, 1.0  # at the first and the last layer, degree 1
INTERCEPT_DEPARTURE = 3.0

DEGREES = {
    "intercept": 0.0,
    "strong": 0.1,
    "moderate": 1.0,
    "weak": 3.0,
    "independent": float("inf"),
}
"""Degrees of sharing, as factors of every departure but the intercept's; infinite: arms own all."""


def start_scale(net: OutcomeNet) -> Tensor:
    """Standard deviation of each weight common to all arms, shape (n_weights,); biases start at 0.

    A third of the usual scale: a deep network that starts small learns few, low-rank features.
    """
    scale = torch.zeros(net.n_weights, dtype=torch.float32, device="cpu")
    for layer in net.layers:
        scale[layer.start : layer.bias_start] = START_SCALE / layer.n_in**0.5
    return scale


def departure_scale(net: OutcomeNet) -> Tensor:
    """Scale of an arm's departure from the common weights, shape (n_weights,), at degree 1.

    Grows geometrically with depth: arms share early layers and part late.
    """
    by_layer = np.geomspace(FIRST_DEPARTURE, LAST_DEPARTURE, len(net.layers))
    scale = torch.empty(net.n_weights, dtype=torch.float32, device="cpu")
    for layer, departure in zip(net.layers, by_layer, strict=True):
        scale[layer.start : layer.stop] = departure / layer.n_in**0.5
    return scale
