"""Rows in blocks of a single arm, so that each row meets only its own arm's network.

A minibatch is a list of blocks of equal size; every block belongs to one arm and is one entry of a
batched matrix product. Arms of any imbalance fit, at the price of a few empty slots, whose weight
is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BLOCK_SIZES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
_BLOCK_COST = 16  # a block's copy of the weights costs as much as about this many rows


@dataclass(frozen=True)
class Layout:
    """Where each of an epoch's rows goes, for rows sorted by arm.

    Attributes
    ----------
    slots : Tensor of int64, shape (steps, blocks * block_size)
        Position among the sorted rows; an empty slot repeats a row of the same arm.
    filled : Tensor of float32, same shape
        1 for a row, 0 for an empty slot.
    arms : Tensor of float32, shape (blocks, n_arms)
        Indicator of each block's arm.
    """

    slots: Tensor
    filled: Tensor
    arms: Tensor

    @property
    def n_steps(self) -> int:
        return self.slots.shape[0]


def lay_out(counts: np.ndarray, n_steps: int, device: torch.device) -> Layout:
    """Spread each arm's rows evenly over the steps of an epoch.

    Parameters
    ----------
    counts : ndarray of int, shape (n_arms,)
        Rows of each arm, all at least 1.
    n_steps : int
        Minibatches an epoch.
    device : torch.device
    """
    quotas = -(-counts // n_steps)
    padded = [np.sum(-(-quotas // size) * (size + _BLOCK_COST)) for size in _BLOCK_SIZES]
    size = _BLOCK_SIZES[int(np.argmin(padded))]
    n_blocks = -(-quotas // size)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    slots, filled = [], []
    for start, count, width in zip(starts, counts, n_blocks * size, strict=True):
        turn = (np.arange(n_steps) - start) % n_steps  # an arm goes on at the step where one ended
        position = np.arange(width)[None] * n_steps + turn[:, None]
        slots.append(start + position % count)
        filled.append(position < count)
    return Layout(
        slots=torch.as_tensor(np.concatenate(slots, axis=1), device=device),
        filled=torch.as_tensor(np.concatenate(filled, axis=1), dtype=torch.float32, device=device),
        arms=torch.as_tensor(
            np.repeat(np.eye(len(counts), dtype=np.float32), n_blocks, axis=0), device=device
        ),
    )


def stratified_folds(
    arms: np.ndarray, n_members: int, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Each member's training and held-out rows, both sorted by arm.

    Consecutive members hold out consecutive parts of one shuffled order of each arm, so that every
    row is held out about equally often.

    Parameters
    ----------
    arms : ndarray of int, shape (n,)
    n_members : int
    fraction : float
        Share of each arm's rows that is held out, at least one row.
    rng : numpy.random.Generator

    Returns
    -------
    train, held_out : ndarray of int64, shapes (n_members, n_train) and (n_members, n_held_out)
    """
    train, held_out = [], []
    for arm in range(arms.max() + 1):
        rows = rng.permutation(np.flatnonzero(arms == arm))
        n_held = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        turned = (np.arange(len(rows)) + np.arange(n_members)[:, None] * n_held) % len(rows)
        held_out.append(rows[turned[:, :n_held]])
        train.append(rows[turned[:, n_held:]])
    return np.concatenate(train, axis=1), np.concatenate(held_out, axis=1)
