"""Spectral normalisation of stacked matrices, one norm a member.

Miyato, Kataoka, Koyama & Yoshida (2018), "Spectral normalization for generative adversarial
networks", ICLR, algorithm 1, over any leading axes. The state is one plain tensor (the left
singular vector), advanced only by `power_iteration`: evaluation never moves it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def power_iteration(weight: Tensor, u: Tensor, n_steps: int = 1) -> Tensor:
    """Advance the left singular vectors.

    Parameters
    ----------
    weight : Tensor, shape (..., rows, columns)
    u : Tensor, shape (..., rows)
        Unit vectors; the result of the last call.
    n_steps : int

    Returns
    -------
    Tensor, shape (..., rows)
    """
    for _ in range(n_steps):
        v = F.normalize(torch.einsum("...r,...rc->...c", u, weight), dim=-1)
        u = F.normalize(torch.einsum("...rc,...c->...r", weight, v), dim=-1)
    return u


def normalize(weight: Tensor, u: Tensor) -> Tensor:
    """Divide each matrix by its largest singular value, as `u` knows it; differentiable."""
    norm = torch.einsum("...r,...rc->...c", u, weight).norm(dim=-1)
    return weight / norm[..., None, None].clamp_min(torch.finfo(weight.dtype).tiny)
