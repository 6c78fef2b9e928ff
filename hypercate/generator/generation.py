"""How the flat weight vector is cut into the pieces that the hypernetwork emits.

Every way is the same product: a generator emits ``n_pieces`` vectors of ``piece_size`` values, and
`Pieces.assemble` picks the weights among them. Padding at the end of a piece is never picked. With
``"low_rank"`` a layer's matrix is not picked but multiplied from two thin ones.

The vocabulary (once, component-wise, chunk-wise) is that of Chauhan et al. (2024), "A brief review
of hypernetworks in deep learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.generator.outcome_net import Layer, OutcomeNet

GENERATIONS = ("chunk", "component", "low_rank", "once", "none")
LAYERWISE = ("component", "low_rank")  # a piece is a layer


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


@dataclass(frozen=True)
class LowRankPieces:
    """Layers whose matrices are products of two thin ones, as in low-rank adaptation.

    The matrix of a layer of n_in inputs and n_out outputs is ``A @ B / sqrt(rank)``, with A
    (n_in, rank) and B (rank, n_out) emitted, whose entries have variance 1 if those of A and B do
    (Hu et al., 2022, "LoRA: Low-rank adaptation of large language models", ICLR; for departures
    from what arms have in common in place of those from what was pre-trained). A matrix that has no
    more entries than the two is emitted as it is.

    Attributes
    ----------
    layers : tuple of Layer
    rank : int
    """

    layers: tuple[Layer, ...]
    rank: int

    @property
    def n_pieces(self) -> int:
        return len(self.layers)

    @property
    def piece_size(self) -> int:
        return max(self._of_matrix(layer) + layer.n_out for layer in self.layers)

    def assemble(self, emitted: Tensor) -> Tensor:
        """Weights of shape (..., n_weights) from values of shape (..., n_pieces * piece_size)."""
        weights = []
        pieces = emitted.unflatten(-1, (self.n_pieces, -1)).unbind(-2)
        for layer, piece in zip(self.layers, pieces, strict=True):
            size = self._of_matrix(layer)
            matrix, bias = piece[..., :size], piece[..., size : size + layer.n_out]
            if size < layer.sizes[0]:
                first, second = matrix.split([layer.n_in * self.rank, layer.n_out * self.rank], -1)
                product = first.unflatten(-1, (-1, self.rank)) @ second.unflatten(
                    -1, (self.rank, -1)
                )
                matrix = product.flatten(-2) / self.rank**0.5
            weights += [matrix, bias]
        return torch.cat(weights, dim=-1)

    def _of_matrix(self, layer: Layer) -> int:
        """Values that are emitted for a layer's matrix."""
        return min(layer.sizes[0], self.rank * (layer.n_in + layer.n_out))


def cut(net: OutcomeNet, generation: str, n_chunks: int, rank: int = 1) -> Pieces | LowRankPieces:
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
    if generation == "low_rank":
        return LowRankPieces(net.layers, rank)
    raise ValueError(
        f"generation={generation!r} emits no pieces; expected one of {GENERATIONS[:-1]}"
    )
