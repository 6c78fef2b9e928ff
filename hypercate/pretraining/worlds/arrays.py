"""Rows of tensors: standardised, taken by number, chosen among alternatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_VARIATION = 1e-4


def standardised(values: Tensor) -> Tensor:
    """Values of mean 0 and sd 1 over the last axis; 0 where they hardly vary."""
    mean = values.mean(-1, keepdim=True)
    centred = values - mean
    sd = centred.square().mean(-1, keepdim=True).sqrt()
    varies = sd > LEAST_VARIATION * mean.abs().clamp(min=LEAST_VARIATION)
    return centred * (varies / sd.clamp(min=LEAST_VARIATION**2))


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of the second axis: values (b, p, n) at index (b, k), shape (b, k, n)."""
    b, p, n = values.shape
    start = torch.arange(b, device=values.device)[:, None] * p
    return values.reshape(b * p, n).index_select(0, (start + index).flatten()).view(b, -1, n)


def choose(alternatives: Sequence[Tensor], code: Tensor) -> Tensor:
    """Each row, along the last axis, of the alternative that its code names, shape (*code, n).

    The alternatives are finite: those not chosen are multiplied by 0.
    """
    chosen = torch.zeros_like(alternatives[0])
    for number, rows in enumerate(alternatives):
        chosen.addcmul_(rows, (code == number)[..., None].to(rows.dtype))
    return chosen
