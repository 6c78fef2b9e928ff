"""The generated networks of all models and arms, a batch of matrices a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit, ndtr

from hypercate.generator.outcome_net import (
    ACTIVATIONS,
    OutcomeNet,
    WeighedNets,
    centred_softplus,
)

Function = Callable[[np.ndarray], np.ndarray]

_IN_NUMPY: dict[Callable, Function] = {
    F.silu: lambda z: z * expit(z),
    F.gelu: lambda z: z * ndtr(z),
    F.elu: lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    F.relu: lambda z: np.maximum(z, 0),
    torch.tanh: np.tanh,
    centred_softplus: lambda z: np.logaddexp(0, z) - np.float32(math.log(2)),
}
"""What the activations are without torch, whose calls take longer than one row's arithmetic."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of m models' networks, K each.

    Attributes
    ----------
    weight : ndarray of float32, shape (m, K, n_in, n_out)
    bias : ndarray of float32, shape (m, K, 1, n_out)
    """

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Nets:
    """Networks of one shape, with the width of the activation folded into the weights.

    Attributes
    ----------
    activation : str
        A key of `ACTIVATIONS`.
    shared : ndarray of float32, shape (n_first, m * K * n_out)
        What the first layer makes of the inputs that all networks read.
    own : ndarray of float32, shape (m, n_last, K * n_out)
        And of those that only a model's own networks read.
    layers : tuple of Layer
    """

    activation: str
    shared: np.ndarray
    own: np.ndarray
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, net: OutcomeNet, theta: np.ndarray, n_first: int) -> Nets:
        """From flat weights.

        Parameters
        ----------
        net : OutcomeNet
            Of one output.
        theta : ndarray of float32, shape (m, K, n_weights)
        n_first : int
            Inputs that all networks read, the first ones.
        """
        width = np.float32(ACTIVATIONS[net.activation].width)
        layers = []
        for depth, part in enumerate(net.layers):
            weight = theta[..., part.start : part.bias_start]
            weight = weight.reshape(*theta.shape[:2], part.n_in, part.n_out)
            bias = theta[..., None, part.bias_start : part.stop]
            if depth == 0:
                weight = weight / width
            if depth == len(net.hidden):
                weight = weight * width
            else:
                bias = bias / width
            layers.append(Layer(np.ascontiguousarray(weight), np.ascontiguousarray(bias)))
        first = layers[0].weight.transpose(0, 2, 1, 3)
        return cls(
            net.activation,
            first[:, :n_first].transpose(1, 0, 2, 3).reshape(n_first, -1),
            first[:, n_first:].reshape(len(first), net.n_inputs - n_first, first[0, 0].size),
            tuple(layers),
        )

    def __call__(self, x: np.ndarray, view: np.ndarray | None) -> np.ndarray:
        """Outputs (m, K, n) at rows (n, n_first), of which each model reads a view (m, n, n_last).

        Outcomes are on the networks' own scales.
        """
        function = _IN_NUMPY[ACTIVATIONS[self.activation].function]
        first, *others = self.layers
        m, k, _, n_out = first.bias.shape
        h = (x @ self.shared).reshape(len(x), m, k, n_out).transpose(1, 2, 0, 3)
        if view is not None:
            h = h + (view @ self.own).reshape(m, len(x), k, n_out).transpose(0, 2, 1, 3)
        h = h + first.bias
        for layer in others:
            h = function(h) @ layer.weight + layer.bias
        return h[..., 0]


def nets_of(net: OutcomeNet | WeighedNets, theta: np.ndarray, n_first: int) -> tuple[Nets, ...]:
    """Networks whose outputs are added, of weights (m, K, n_weights)."""
    if isinstance(net, OutcomeNet):
        return (Nets.of(net, theta, n_first),)
    parts = np.split(theta, [net.first.n_weights], axis=2)
    return tuple(
        Nets.of(own, part, n_first)
        for own, part in zip((net.first, net.second), parts, strict=True)
    )
