"""The scale at which networks start, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet

START_SCALE = 0.3


def start_scale(net: OutcomeNet) -> Tensor:
    """Standard deviation of each weight common to all arms, shape (n_weights,); biases start at 0.

    A third of the usual scale: a deep network that starts small learns few, low-rank features.
    """
    scale = torch.zeros(net.n_weights, dtype=torch.float32, device="cpu")
    for layer in net.layers:
        scale[layer.start : layer.bias_start] = START_SCALE / layer.n_in**0.5
    return scale
