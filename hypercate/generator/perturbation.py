"""What a generator is perturbed by, in a training step and in a draw of networks."""

from __future__ import annotations

from typing import Any

import torch

from hypercate.generator.hypernetwork import HyperNet, Tensors


def perturb(hypernet: HyperNet, n_draws: int, generator: torch.Generator) -> Tensors:
    """What each of some draws is perturbed by, so that a draw is one coherent network an arm.

    Parameters
    ----------
    hypernet : HyperNet
    n_draws : int
    generator : torch.Generator

    Returns
    -------
    dict of Tensor
        ``"dropout"``, shape (n_draws, hidden[-1]): inverted masks of the last hidden layer.
        ``"noise"``, shape (n_draws, embedding_dim), or of weights (n_draws, n_arms, n_weights):
        standard normal. Neither without a generator. ``"width"`` and ``"depth"`` of int64, shape
        (n_draws,): which of these. Each only if it is on.
    """
    how: Any = {"generator": generator, "device": generator.device}
    drawn: Tensors = {}
    if hypernet.generation != "none":
        if hypernet.dropout:
            kept = torch.rand(n_draws, hypernet.hidden[-1], dtype=torch.float32, **how)
            drawn["dropout"] = (kept >= hypernet.dropout).float() / (1 - hypernet.dropout)
        if hypernet.noise:
            of_weights = (hypernet.n_arms, hypernet.net.n_weights)
            shape = of_weights if hypernet.noise_kind == "weights" else (hypernet.embedding_dim,)
            drawn["noise"] = torch.randn(n_draws, *shape, dtype=torch.float32, **how)
    for name, masks in hypernet.masks.items():
        drawn[name] = torch.randint(len(masks), (n_draws,), **how)
    return drawn
