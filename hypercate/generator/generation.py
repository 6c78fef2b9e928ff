"""How the flat weight vector is cut into the pieces that the hypernetwork emits.

Every way is the same product: a generator emits ``n_pieces`` vectors of ``piece_size`` values, and
`Pieces.assemble` picks the weights among them. Padding at the end of a piece is never picked.

The vocabulary (once, component-wise, chunk-wise) is that of Chauhan et al. (2024), "A brief review
of hypernetworks in deep learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.generator.outcome_net import OutcomeNet

GENERATIONS = ("chunk", "component", "once", "none")


@dataclass(frozen=True)
class Pieces:
    """Pieces of the weight vector.

    Attributes
    ----------
    n_pieces, piece_size : int
        The generator emits an array of shape (n_pieces, piece_size) for an arm.
    n_weights : int
    index : Tensor of int64, shape (n_weights,), or None
        Place of each weight in that array, flattened; None if the weights are its first values.
    """

    n_pieces: int
    piece_size: int
    n_weights: int
    index: Tensor | None = None

    def assemble(self, emitted: Tensor) -> Tensor:
        """Weights of shape (..., n_weights) from values of shape (..., n_pieces * piece_size)."""
        if self.index is None:
            return emitted[..., : self.n_weights]
        return emitted.index_select(-1, self.index.to(emitted.device))


def cut(net: OutcomeNet, generation: str, n_chunks: int) -> Pieces:
    """Cut the weights of `net` into pieces: the whole, a layer each, or equal chunks."""
    if generation == "once":
        return Pieces(1, net.n_weights, net.n_weights)
    if generation == "component":
        sizes = [layer.stop - layer.start for layer in net.layers]
        widest = max(sizes)
        index = [torch.arange(size, device="cpu") + i * widest for i, size in enumerate(sizes)]
        return Pieces(len(sizes), widest, net.n_weights, torch.cat(index))
    if generation == "chunk":
        size = -(-net.n_weights // n_chunks)
        return Pieces(-(-net.n_weights // size), size, net.n_weights)
    raise ValueError(
        f"generation={generation!r} emits no pieces; expected one of {GENERATIONS[:3]}"
    )
