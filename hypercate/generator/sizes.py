"""Networks of several sizes from one generator: a smaller one is a part of the largest.

As in slimmable networks (Yu, Yang, Xu, Yang & Huang, 2019, "Slimmable neural networks", ICLR), a
network of a share of the hidden units has the first of each layer's. Its weights are those of the
widest network, rescaled so that a unit that reads fewer others hears them as loudly; the others are
0, and so are the units that they lead to, for every activation maps 0 to 0.

A network of a share of the hidden layers has the first ones, and the output reads the last of
these, as at an early exit (Teerapittayanon, McDanel & Kung, 2016, "BranchyNet: fast inference via
early exiting from deep neural networks", ICPR), but for the output's weights, which are the same at
every depth. Weights of the other layers are 0, by which the network leaves them out; that some are
left out in every training step is stochastic depth (Huang, Sun, Liu, Sedra & Weinberger, 2016,
"Deep networks with stochastic depth", ECCV).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet


def masks_of(
    net: OutcomeNet, widths: tuple[float, ...], depths: tuple[float, ...]
) -> dict[str, Tensor]:
    """What makes a network smaller: `of_widths`, `of_depths`, where there are several of these."""
    every = {"width": (of_widths, widths), "depth": (of_depths, depths)}
    return {name: of(net, shares) for name, (of, shares) in every.items() if len(shares) > 1}


def of_widths(net: OutcomeNet, widths: tuple[float, ...]) -> Tensor:
    """Factors of the weights by which a network is narrowed, shape (len(widths), n_weights).

    Parameters
    ----------
    net : OutcomeNet
        The widest.
    widths : tuple of float
        Shares of the units of each hidden layer, above 0, up to 1; at least one unit is kept.
    """
    factors = []
    for share in widths:
        kept = [
            net.n_inputs,
            *(max(1, round(share * width)) for width in net.hidden),
            net.n_outputs,
        ]
        for layer, n_in, n_out in zip(net.layers, kept[:-1], kept[1:], strict=True):
            reads = (torch.arange(layer.n_in, device="cpu") < n_in) * (layer.n_in / n_in) ** 0.5
            leads = (torch.arange(layer.n_out, device="cpu") < n_out).float()
            factors += [torch.outer(reads, leads).flatten(), leads]
    return torch.cat(factors).view(len(widths), net.n_weights)


def of_depths(net: OutcomeNet, depths: tuple[float, ...]) -> Tensor:
    """Factors of the weights by which a network is made shallower, (len(depths), n_weights).

    Parameters
    ----------
    net : OutcomeNet
        The deepest, which leaves out layers without weights.
    depths : tuple of float
        Shares of the hidden layers, above 0, up to 1; at least one layer is kept.
    """
    factors = torch.ones((len(depths), net.n_weights), device="cpu", dtype=torch.float32)
    for of_depth, share in zip(factors, depths, strict=True):
        n_kept = max(1, round(share * len(net.hidden)))
        of_depth[net.layers[n_kept].start : net.layers[-1].start] = 0
    return factors
