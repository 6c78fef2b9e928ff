"""Rows sorted by arm, so that each row meets only its own arm's network.

Arms of about the same size are a group: one batched matrix product with an entry for each of its
arms, at the price of a few empty slots, whose weight is zero. Few groups hold arms of any
imbalance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_ENTRY_COST = 16  # an entry of a product costs as much as about this many rows, besides its own
_LEAST_FULL = 0.5  # cost of the smallest arm of a group over that of its largest


@dataclass(frozen=True)
class Layout:
    """Where each of an epoch's rows goes, for rows sorted by arm.

    Attributes
    ----------
    slots : Tensor of int64, shape (steps, n_slots)
        Position among the sorted rows; an empty slot repeats a row of the same arm.
    filled : Tensor of float32, same shape
        1 for a row, 0 for an empty slot.
    groups : tuple of (n_arms, width)
        Consecutive arms, with as many consecutive slots each.
    order : Tensor of int64, shape (n_arms,), or None
        The arms, as their slots follow one another; None if they are in their own order.
    """

    slots: Tensor
    filled: Tensor
    groups: tuple[tuple[int, int], ...]
    order: Tensor | None

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
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    as_they_are, by_size = np.arange(len(counts)), np.argsort(-quotas, kind="stable")
    order = min(as_they_are, by_size, key=lambda arms: len(_groups(quotas[arms])))
    groups = _groups(quotas[order])
    widths = np.concatenate([np.full(n_arms, width) for n_arms, width in groups])
    slots, filled = [], []
    for start, count, width in zip(starts[order], counts[order], widths, strict=True):
        turn = (np.arange(n_steps) - start) % n_steps  # an arm goes on at the step where one ended
        position = np.arange(width)[None] * n_steps + turn[:, None]
        slots.append(start + position % count)
        filled.append(position < count)
    return Layout(
        slots=torch.as_tensor(np.concatenate(slots, axis=1), device=device),
        filled=torch.as_tensor(np.concatenate(filled, axis=1), dtype=torch.float32, device=device),
        groups=groups,
        order=None if order is as_they_are else torch.as_tensor(order, device=device),
    )


def _groups(quotas: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Consecutive arms of about the same size, as pairs of their number and the largest size."""
    groups: list[list[int]] = []
    for quota in quotas + _ENTRY_COST:
        if groups and min(*groups[-1], quota) >= _LEAST_FULL * max(*groups[-1], quota):
            groups[-1].append(quota)
        else:
            groups.append([quota])
    return tuple((len(sizes), int(max(sizes)) - _ENTRY_COST) for sizes in groups)
