"""Random numbers in float32 from one generator, on its device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOAT = torch.float32


class Chance:
    """Draws from a generator; neither global random state nor the default dtype plays a part.

    Parameters
    ----------
    generator : torch.Generator
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=FLOAT)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers uniform between low and high."""
        unit = torch.rand(shape, generator=self.generator, device=self.device, dtype=FLOAT)
        return low + (high - low) * unit

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Numbers whose logarithm is uniform between those of low and high."""
        return self.uniform(*shape, low=math.log(low), high=math.log(high)).exp()

    def happens(self, share: float | Tensor, *shape: int) -> Tensor:
        """Whether an event of probability `share` happens, bool."""
        return self.uniform(*shape) < share

    def integers(self, *shape: int, low: int, high: int) -> Tensor:
        """Integers from low to high, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator, device=self.device)

    def signs(self, *shape: int) -> Tensor:
        """-1 or 1, equally often."""
        return 2.0 * self.integers(*shape, low=0, high=1).to(FLOAT) - 1.0

    def weights(self, *shape: int, concentration: float) -> Tensor:
        """Positive weights that add up to 1 over the last axis.

        They are proportional to ``E * U ** (1 / concentration)``, E exponential and U uniform,
        which for a small concentration is close to a Dirichlet distribution: one weight dominates.
        """
        size = self.uniform(*shape).clamp(min=1e-6).pow(1 / concentration)
        size = size * -self.uniform(*shape).clamp(min=1e-6).log() + 1e-9
        return size / size.sum(-1, keepdim=True)

    def choice(self, shares: Tensor, count: int) -> Tensor:
        """Indices into the last axis of shares, drawn with replacement, (..., count)."""
        reached = shares.cumsum(-1)
        at = self.uniform(*shares.shape[:-1], count, high=1 - 1e-6) * reached[..., -1:]
        return (at[..., None] >= reached[..., None, :]).sum(-1)
