"""What the hypernetwork is told: which arm, and which piece of the weights to emit.

Learned embeddings of constant norm (Ortiz, Guttag & Dalca, 2024, "Magnitude invariant
parametrizations improve hypernetwork learning"): only an embedding's direction carries meaning, so
that no arm or piece is louder than another.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def unit_rms(embeddings: Tensor) -> Tensor:
    """Rescale each embedding to a root mean square of 1."""
    return F.normalize(embeddings, dim=-1) * embeddings.shape[-1] ** 0.5
