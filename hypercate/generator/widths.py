"""Networks of several widths from one generator: a narrower one is a part of the widest.

As in slimmable networks (Yu, Yang, Xu, Yang & Huang, 2019, "Slimmable neural networks", ICLR), a
network of a share of the hidden units has the first of each layer's. Its weights are those of the
widest network, rescaled so that a unit that reads fewer others hears them as loudly; the others are
0, and so are the units that they lead to, for every activation maps 0 to 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet


def masks(net: OutcomeNet, widths: tuple[float, ...]) -> Tensor:
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
