"""Generated networks evaluated on rows, a block of rows at a time.

Networks run in float32 on their device; outcomes are computed from their outputs in float64 on the
CPU, for some devices have no float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet, WeighedNets

_BLOCK_ELEMENTS = 2**18  # of the widest hidden layer: small enough to stay in a core's cache


@torch.no_grad()
def potential_outcomes(
    net: OutcomeNet | WeighedNets,
    theta: Tensor,
    x: np.ndarray,
    view: np.ndarray | None,
    finish: Callable[[Tensor, slice], Tensor],
    weight: Tensor | None = None,
) -> np.ndarray:
    """Evaluate every network on every row.

    Parameters
    ----------
    net : OutcomeNet or WeighedNets
    theta : Tensor, shape (m, n_networks, n_weights)
        Weights of m times as many networks, one per arm at least.
    x : ndarray of float32, shape (n, n_first)
        Inputs that all networks share.
    view : ndarray of float32, shape (m, n, n_last), or None
        Inputs of the m networks' own.
    finish : callable
        From outputs of shape (m, n_networks, rows), on the CPU, and which rows these are, to
        potential outcomes (m, n_arms, rows).
    weight : Tensor, shape (m,), optional
        On the CPU: weights of an average over the m networks; by default each is returned.

    Returns
    -------
    ndarray of float64, shape (m, n, n_arms), or (n, n_arms) with `weight`
    """
    m, n_networks = theta.shape[:2]
    flat = theta.flatten(0, 1)
    n_rows = max(1, _BLOCK_ELEMENTS // (m * n_networks * net.width))
    result = np.empty(0)
    for start in range(0, max(len(x), 1), n_rows):
        rows = slice(start, start + n_rows)
        block = torch.as_tensor(x[rows], device=theta.device)
        own = None
        if view is not None:
            own = torch.as_tensor(view[:, rows], device=theta.device)
            own = own.repeat_interleave(n_networks, dim=0)
        output = net(flat, block, own).cpu()
        outcomes = finish(output.unflatten(0, (m, n_networks)), rows).transpose(1, 2)
        if weight is not None:
            outcomes = torch.einsum("m,mnk->nk", weight, outcomes)
        if not start:
            result = np.empty((*outcomes.shape[:-2], len(x), outcomes.shape[-1]))
        result[..., rows, :] = outcomes.numpy()
    return result


@torch.no_grad()
def outcomes_at_own_rows(
    net: OutcomeNet | WeighedNets,
    theta: Tensor,
    inputs: Callable[[Tensor], Tensor],
    rows: np.ndarray,
    finish: Callable[[Tensor, slice], Tensor],
) -> np.ndarray:
    """Evaluate each network on rows of its own.

    Parameters
    ----------
    net : OutcomeNet or WeighedNets
    theta : Tensor, shape (m, n_networks, n_weights)
    inputs : callable
        From rows of shape (m, b) to their inputs (m, b, n_inputs).
    rows : ndarray of int, shape (m, n)
    finish : callable
        From outputs of shape (m, n_networks, b), on the CPU, and which of the rows these are, to
        potential outcomes (m, n_arms, b).

    Returns
    -------
    ndarray of float64, shape (m, n, n_arms)
    """
    m, n_networks = theta.shape[:2]
    size = max(1, _BLOCK_ELEMENTS // (m * n_networks * net.width))
    parts = []
    for start in range(0, max(rows.shape[1], 1), size):
        which = slice(start, start + size)
        block = torch.as_tensor(rows[:, which], device=theta.device)
        output = net(theta.flatten(0, 1), inputs(block).repeat_interleave(n_networks, dim=0)).cpu()
        parts.append(finish(output.unflatten(0, (m, n_networks)), which).transpose(1, 2))
    return torch.cat(parts, dim=1).numpy()
