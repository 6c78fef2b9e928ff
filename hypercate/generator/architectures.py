"""Ways in which the pieces of a network's weights hear of one another while they are generated.

A generator emits weights in pieces: chunks, or layers. With ``"mlp"`` every piece is emitted from
its own embedding and the arm's alone. The others pass over the sequence of pieces, from the first
layers to the last, once the first hidden layer has read the embeddings, and add what they find to
it: a recurrent network, a convolution, or attention. The vocabulary (MLP, CNN, RNN, attention) is
that of Chauhan et al. (2024), "A brief review of hypernetworks in deep learning".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ARCHITECTURES = ("mlp", "rnn", "cnn", "attention")
_REACH = 1  # pieces on either side that a convolution sees

Matrix = Callable[[str], Tensor]


def matrix_shapes(architecture: str, width: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of the matrices that pass over the pieces, by name."""
    match architecture:
        case "rnn":
            return {"gates": (width, 3 * width), "recurrent": (width, 3 * width)}
        case "cnn":
            return {"kernel": ((2 * _REACH + 1) * width, width)}
        case "attention":
            return dict.fromkeys(("query", "key", "value"), (width, width))
    return {}


def over_pieces(architecture: str, hidden: Tensor, matrix: Matrix) -> Tensor:
    """The hidden units of every piece, having heard of the others.

    Parameters
    ----------
    architecture : {"mlp", "rnn", "cnn", "attention"}
    hidden : Tensor, shape (nets, n_arms, n_pieces, width)
    matrix : callable
        From a name to a matrix of every net, as `matrix_shapes` says.

    Returns
    -------
    Tensor, shape (nets, n_arms, n_pieces, width)
    """
    match architecture:
        case "rnn":
            return hidden + _recurrent(hidden, matrix("gates"), matrix("recurrent"))
        case "cnn":
            padded = F.pad(hidden, (0, 0, _REACH, _REACH))
            seen = padded.unfold(2, 2 * _REACH + 1, 1).transpose(3, 4).flatten(3)
            return hidden + torch.tanh(seen @ matrix("kernel")[:, None])
        case "attention":
            query, key, value = (
                hidden @ matrix(name)[:, None] for name in ("query", "key", "value")
            )
            return hidden + F.scaled_dot_product_attention(query, key, value)
    return hidden


def _recurrent(hidden: Tensor, gates: Tensor, recurrent: Tensor) -> Tensor:
    """States of a gated recurrent unit that reads the pieces one after another.

    Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", EMNLP, equations 5 to 8.
    """
    state = torch.zeros_like(hidden[:, :, 0])
    states = []
    for read in (hidden @ gates[:, None]).unbind(2):
        update, reset, new = read.chunk(3, dim=2)
        of_update, of_reset, of_new = (state @ recurrent).chunk(3, dim=2)
        kept = torch.sigmoid(update + of_update)
        found = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
        state = kept * state + (1 - kept) * found
        states.append(state)
    return torch.stack(states, 2)
