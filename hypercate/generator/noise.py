"""Noise of the generated weights, with a size that is learned for each weight.

A weight in which arm k departs is drawn around the weight that is generated for it,

    z_k = emitted_k + noise * spread * epsilon_k        epsilon_k ~ N(0, 1), one per weight

so that its distribution has full rank, unlike with noise in the generator's input. This is
variational inference (Graves, 2011, "Practical variational inference for neural networks", NIPS;
Blundell et al., 2015, "Weight uncertainty in neural networks", ICML) with a Gaussian of independent
weights around the generated mean. The prior is N(emitted_k, noise^2), so that noise stays large
where the rows do not show that it does harm.
"""

from __future__ import annotations

import torch
from torch import Tensor

NOISE_KINDS = ("input", "weights")
_PACE = 4.0  # of the logarithm of the spread, in learning rates


def spread(log_spread: Tensor) -> Tensor:
    """Standard deviation of each weight's noise, over the prior's; 1 at a parameter of 0."""
    return (_PACE * log_spread).exp()


def divergence(log_spread: Tensor, departure: Tensor, n_arms: int) -> Tensor:
    """Kullback-Leibler divergence of all arms' weights from the prior, shape (nets,).

    Parameters
    ----------
    log_spread : Tensor, shape (nets, n_weights)
    departure : Tensor, shape (nets, n_weights)
        Of weights; those that do not depart have no noise.
    n_arms : int
    """
    log = _PACE * log_spread
    each = ((2 * log).exp() - 1) / 2 - log
    return n_arms * torch.where(departure > 0, each, 0.0).sum(1)
