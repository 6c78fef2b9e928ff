"""The potential-outcome network: an MLP that owns no weights and is evaluated with given ones.

Or two of them side by side, whose outputs are added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


def centred_softplus(z: Tensor) -> Tensor:
    """Softplus shifted so that 0 maps to 0."""
    return F.softplus(z) - math.log(2)


ALL_OUTPUTS = -1


@dataclass(frozen=True)
class Activation:
    """``width * function(z / width)``: a wide bend is blunt, nearly linear until z is large."""

    function: Callable[[Tensor], Tensor]
    width: float = 1.0


ACTIVATIONS = {
    "blunt_silu": Activation(F.silu, 4.0),
    "blunt_softplus": Activation(centred_softplus, 2.0),
    "silu": Activation(F.silu),
    "gelu": Activation(F.gelu),
    "elu": Activation(F.elu),
    "tanh": Activation(torch.tanh),
    "relu": Activation(F.relu),
}


@dataclass(frozen=True)
class Layer:
    """Where one layer lies in the flat weight vector: its matrix, then its bias."""

    n_in: int
    n_out: int
    start: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of weights of the matrix and of the bias."""
        return self.n_in * self.n_out, self.n_out

    @property
    def bias_start(self) -> int:
        return self.start + self.n_in * self.n_out

    @property
    def stop(self) -> int:
        return self.bias_start + self.n_out


@dataclass(frozen=True)
class OutcomeNet:
    """Shape of the generated network.

    Parameters
    ----------
    n_inputs : int
        Encoded features.
    hidden : tuple of int
        Width of each hidden layer.
    activation : str
        A key of `ACTIVATIONS`.
    n_outputs : int, default 1
        Outcomes, which share the hidden layers; each has an output of its own.
    skips : bool, default False
        Whether hidden layers after the first are left out of networks in which all of their weights
        are 0: such a layer passes its input on. They are all of one width.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    activation: str
    n_outputs: int = 1
    skips: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        start = 0
        for n_in, n_out in pairwise((self.n_inputs, *self.hidden, self.n_outputs)):
            layers.append(Layer(n_in, n_out, start))
            start = layers[-1].stop
        return tuple(layers)

    @property
    def n_weights(self) -> int:
        return self.layers[-1].stop

    @property
    def width(self) -> int:
        """Of the widest layer, inputs included."""
        return max(self.n_inputs, *self.hidden)

    def scaled(self, theta: Tensor, factor: Tensor) -> Tensor:
        """Weights (..., n_weights) of networks whose output is multiplied by a factor (...)."""
        last = self.layers[-1].start
        return torch.cat([theta[..., :last], theta[..., last:] * factor[..., None]], dim=-1)

    def of(self, output: int) -> OutcomeNet:
        """Shape of the network of one of the outputs, or of `ALL_OUTPUTS`."""
        return self if output == ALL_OUTPUTS else replace(self, n_outputs=1)

    def of_output(self, theta: Tensor, output: int) -> Tensor:
        """Weights of the networks `of` an output, among those (..., n_weights) of all outputs."""
        if output == ALL_OUTPUTS:
            return theta
        last = self.layers[-1]
        matrix = theta[..., last.start : last.bias_start].unflatten(-1, (last.n_in, last.n_out))
        bias = theta[..., last.bias_start + output, None]
        return torch.cat([theta[..., : last.start], matrix[..., output], bias], dim=-1)

    def __call__(self, theta: Tensor, x: Tensor, view: Tensor | None = None) -> Tensor:
        """Evaluate a batch of networks, each on its own rows.

        The width of the activation is folded into the weights, which are fewer than the rows.

        Parameters
        ----------
        theta : Tensor, shape (b, n_weights)
            One flat weight vector a network.
        x : Tensor, shape (b, rows, n_inputs) or (rows, n_inputs)
            Rows of each network; two dimensions are the same rows for all.
        view : Tensor, shape (b, rows, n_last), optional
            The last inputs, where they differ between networks though the rows are the same.

        Returns
        -------
        Tensor, shape (b, rows), or (b, rows, n_outputs) with several outputs
            Outcome on the network's own scale (a logit for a binary outcome).
        """
        activation = ACTIVATIONS[self.activation]
        width = activation.width
        parts = iter(theta.split([size for layer in self.layers for size in layer.sizes], dim=1))
        h = x
        for depth, layer in enumerate(self.layers):
            before = h
            weight = next(parts).unflatten(1, (layer.n_in, layer.n_out))
            bias = next(parts)[:, None]
            is_last = depth == len(self.hidden)
            if depth == 0:
                weight = weight / width
            if is_last:
                weight = weight * width
            else:
                bias = bias / width
            if h.ndim == 2:
                wide = h @ weight[:, : h.shape[1]].transpose(0, 1).flatten(1)
                h = wide.unflatten(1, (len(theta), -1)).transpose(0, 1) + bias
                if view is not None:
                    h = torch.baddbmm(h, view, weight[:, x.shape[1] :])
            elif is_last and layer.n_out == 1:  # a product with one column would go one by one
                h = (h * weight.transpose(1, 2)).sum(2, keepdim=True) + bias
            else:
                h = torch.baddbmm(bias, h, weight)
            if not is_last:
                h = activation.function(h)
                if self.skips and depth:
                    there = theta[:, layer.start : layer.stop].any(1)[:, None, None]
                    h = torch.where(there, h, before)
        return h.squeeze(-1) if self.n_outputs == 1 else h


@dataclass(frozen=True)
class WeighedNets:
    """Two networks of the same inputs, whose outputs are averaged by weights within their own.

    Parameters
    ----------
    first, second : OutcomeNet
    """

    first: OutcomeNet
    second: OutcomeNet

    @property
    def n_inputs(self) -> int:
        return self.first.n_inputs

    @property
    def n_weights(self) -> int:
        return self.first.n_weights + self.second.n_weights

    @property
    def width(self) -> int:
        """Of the widest layer of either, inputs included."""
        return max(self.first.width, self.second.width)

    def weighed(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        """Weights (..., n_weights) of both, the second's output counting by a share (...)."""
        return torch.cat(
            [self.first.scaled(first, 1 - share), self.second.scaled(second, share)], dim=-1
        )

    def __call__(self, theta: Tensor, x: Tensor, view: Tensor | None = None) -> Tensor:
        """Evaluate a batch of pairs, as `OutcomeNet` does of networks."""
        first, second = theta.split([self.first.n_weights, self.second.n_weights], dim=1)
        return self.first(first, x, view) + self.second(second, x, view)
