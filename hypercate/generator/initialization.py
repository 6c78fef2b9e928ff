"""The scale at which networks start, layer by layer, and at which they depart and see inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import Profile

START_SCALE = 0.3


def start_scale(net: OutcomeNet) -> Tensor:
    """Standard deviation of each weight common to all arms, shape (n_weights,); biases start at 0.

    A third of the usual scale: a deep network that starts small learns few, low-rank features.
    """
    scale = torch.zeros(net.n_weights, dtype=torch.float32, device="cpu")
    for layer in net.layers:
        scale[layer.start : layer.bias_start] = START_SCALE / layer.n_in**0.5
    return scale


def scales_of(
    net: OutcomeNet, sharing: Sequence[Profile], input_scale: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scales of each weight of independent networks.

    Parameters
    ----------
    net : OutcomeNet
    sharing : sequence of Profile, length nets
    input_scale : Tensor, shape (nets, n_inputs)

    Returns
    -------
    scale : Tensor, shape (nets, n_weights)
        Factor of an input for the weights that read it, 1 for others.
    departure : Tensor, shape (nets, n_weights)
        Without that factor.
    apart : Tensor, shape (nets, n_weights)
        Scale of weights that arms own.
    owned : Tensor of bool, shape (nets, 1)
    """
    first = net.layers[0]
    scale = torch.ones(len(sharing), net.n_weights, dtype=torch.float32, device="cpu")
    scale[:, : first.bias_start] = input_scale.repeat_interleave(first.n_out, dim=1)
    departure = torch.stack([profile.departure(net) for profile in sharing])
    intercept = [profile.intercept for profile in sharing]
    apart = scale.clone()
    of_last = apart[:, net.layers[-1].bias_start :]
    of_last *= torch.tensor(intercept, dtype=torch.float32, device="cpu")[:, None]
    owned = torch.tensor([profile.owned for profile in sharing], device="cpu")[:, None]
    return scale, departure, apart, owned
