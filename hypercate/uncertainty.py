"""Draws of whole functions: ensemble members crossed with dropout of the hypernetwork."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hypercate.hypernet.hypernetwork import HyperNet, Tensors

_DRAWS_AT_ONCE = 64


@torch.no_grad()
def draw_weights(
    hypernet: HyperNet, params: Tensors, buffers: Tensors, n_samples: int, seed: int
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Draw sets of arms' networks, a bounded number at a time.

    Members take equal turns in shuffled order. With dropout each draw has its own generator, a
    member's with some hidden units dropped (in the manner of Gal & Ghahramani, 2016, "Dropout as
    a Bayesian approximation", for the generator in place of the network).

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        Members on the leading axis.
    n_samples, seed : int

    Yields
    ------
    theta : Tensor, shape (m, n_arms, n_weights)
        Distinct weights.
    which : ndarray of int, shape (draws,)
        Which of the m each of the next draws uses.
    """
    n_members = len(buffers["departure"])
    rng = np.random.default_rng(seed)
    member = rng.permutation(rng.permutation(n_members)[np.arange(n_samples) % n_members])
    if not hypernet.dropout:
        yield hypernet.generate(params, buffers), member
        return
    device = buffers["departure"].device
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n_samples, _DRAWS_AT_ONCE):
        chosen = torch.as_tensor(member[start : start + _DRAWS_AT_ONCE], device=device)
        mask = hypernet.draw_masks(len(chosen), generator).to(device)
        theta = hypernet.generate(
            {name: tensor[chosen] for name, tensor in params.items()},
            {name: tensor[chosen] for name, tensor in buffers.items()},
            mask,
        )
        yield theta, np.arange(len(chosen))
