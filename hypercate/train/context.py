"""What a generator is told of each arm's rows: a summary of those that its model may see.

The summary is of fixed moments, which no order of the rows changes, so that it is computed once and
kept beside the generator's tensors: whoever predicts needs no row. A trained matrix reads it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.folds import Rows
from hypercate.generator.conditioning import unit_rms
from hypercate.generator.hypernetwork import HyperNet
from hypercate.train.data import Data


def n_moments(n_inputs: int, n_outputs: int = 1) -> int:
    """Numbers by which the rows of an arm are summarised."""
    return n_inputs * (1 + n_outputs) + n_outputs + 1


def context_of(hypernet: HyperNet, data: Data, rows: Rows, input_scale: Tensor) -> Tensor | None:
    """Summaries of every arm's rows, as each network is told them.

    Of an arm: the mean of each input and its covariance with each target, both in the network's own
    scale of that input, the mean targets, and the standard error of a mean, 1 over the root of the
    number of rows (Kish's effective number with weights). Less their mean over the arms, for what
    all arms have in common the generator's biases say, and of root mean square 1, as embeddings
    are.

    Parameters
    ----------
    hypernet : HyperNet
    data : Data
    rows : Rows
        That each model may see.
    input_scale : Tensor, shape (nets, n_inputs)
        Factor of each input; networks model by model.

    Returns
    -------
    Tensor of float32, shape (nets, n_arms, n_context), on the CPU, or None
        0 for arms without rows, and where there is no other arm; None if the generator is told
        nothing of rows.
    """
    if not hypernet.n_context:
        return None
    index = torch.as_tensor(rows.index, device=data.x.device)
    model = torch.arange(len(index), device=index.device)
    x = data.inputs(model, index)
    y = data.y[model[:, None], index].reshape(*index.shape, -1)
    products = (y[..., None] * x[:, :, None]).flatten(2)
    weight = data.weight[index] * torch.as_tensor(rows.real, device=index.device)
    share = weight[..., None] * _membership(data, rows, index, hypernet.n_arms)
    total = share.sum(1)
    received = total > 0
    share = (share / total.clamp(min=torch.finfo(total.dtype).tiny)[:, None]).transpose(1, 2)
    mean_x, mean_y = share @ x, share @ y
    covariance = share @ products - (mean_y[..., None] * mean_x[:, :, None]).flatten(2)
    error = share.square().sum(2, keepdim=True).sqrt()
    moments = torch.cat([mean_x, covariance, mean_y, error], 2) * received[..., None]
    mean = moments.sum(1, keepdim=True) / received.sum(1).clamp(min=1)[:, None, None]
    moments = ((moments - mean) * received[..., None]).cpu()
    n_outputs = y.shape[2]
    factor = F.pad(input_scale.repeat(1, 1 + n_outputs), (0, 1 + n_outputs), value=1.0)
    each = moments.repeat_interleave(len(input_scale) // len(moments), dim=0)
    return unit_rms(each * factor[:, None])


def _membership(data: Data, rows: Rows, index: Tensor, n_arms: int) -> Tensor:
    """How much each place counts as of each arm: (1, width, n_arms), or for doses (m, ...)."""
    counts = torch.as_tensor(rows.counts, device=index.device)
    condition = torch.arange(len(counts), device=index.device).repeat_interleave(counts)
    if data.blend is None or data.blended is None:
        return F.one_hot(condition, n_arms).float()[None]
    blend = data.blend[index]
    which = data.blended[condition].expand(blend.shape)
    return blend.new_zeros(*index.shape, n_arms).scatter_add_(2, which, blend)
