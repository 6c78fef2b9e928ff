"""Networks of every model: searched for, chosen, and trained from two random starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hypercate.checkpoints import Checkpoint
from hypercate.folds import Folds
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.generator.profiles import Profile
from hypercate.train.context import context_of
from hypercate.train.data import Data
from hypercate.train.final import train
from hypercate.train.processes import Share
from hypercate.train.run import Loss, Schedule
from hypercate.train.search import Found, search

_LONGER = 2  # times as many epochs as its longest search, at most, until a model fits as closely


@dataclass(frozen=True)
class Trained:
    """Trained networks, on the CPU but for what the search left.

    Attributes
    ----------
    hypernet : HyperNet
    found : Found
    chosen : ndarray of int, shape (n_models,)
        The candidate that each model took.
    searched : Tensor, shape (n_models, n_arms, n_weights)
        Weights of its networks when they did best on the stop rows, on the device.
    params, buffers : dict of Tensor
        Of the models' hypernetworks.
    theta : Tensor, shape (n_models, n_arms, n_weights)
    second : Tensor, shape (n_models, n_arms, n_weights)
        From another random start; the same where the search's networks stay.
    """

    hypernet: HyperNet
    found: Found
    chosen: np.ndarray
    searched: Tensor
    params: Tensors
    buffers: Tensors
    theta: Tensor
    second: Tensor

    def of_output(self, output: int) -> Trained:
        """The networks of one of the outputs."""
        net = self.hypernet.net
        theta, second, searched = (
            net.of_output(weights, output) for weights in (self.theta, self.second, self.searched)
        )
        return replace(
            self,
            hypernet=replace(self.hypernet, output=output),
            searched=searched,
            theta=theta,
            second=second,
        )


def fit_networks(
    share: Share,
    hypernet: HyperNet,
    data: Data,
    folds: Folds,
    sharing: list[Profile],
    input_scale: Tensor,
    loss: Loss,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    stages: str,
) -> Trained:
    """Try every candidate of every model on its fit rows, and train the chosen one on all.

    It is called by `Processes.run`, which gives every process its share.

    Parameters
    ----------
    share : Share
        The networks that this process trains.
    hypernet : HyperNet
    data : Data
    folds : Folds
    sharing : list of Profile, length n_candidates
    input_scale : Tensor, shape (n_models * n_candidates, n_inputs)
    loss : callable
        Of the networks' outputs and the targets: a value a row. Picklable where processes are
        started.
    schedule : Schedule
        Which says whether the chosen ones are trained again, or stay as the search left them.
    seed : int
    checkpoint : Checkpoint
    stages : str
        What names of its stages begin with.
    """
    data = data.to(share.device)
    n_models = folds.n_models
    found = search(
        hypernet,
        data,
        sharing * n_models,
        input_scale,
        folds.fit,
        folds.stop,
        loss,
        schedule,
        seed,
        share,
        checkpoint,
        f"{stages}-search",
    )
    chosen = found.loss.argmin(axis=1)
    nets = np.arange(n_models) * len(sharing) + chosen
    params, buffers = (
        {name: tensor[nets] for name, tensor in part.items()}
        for part in (found.params, found.buffers)
    )
    with torch.no_grad():
        searched = hypernet.generate(params, buffers)
    if not schedule.again:
        params, buffers = (
            {name: tensor.cpu() for name, tensor in part.items()} for part in (params, buffers)
        )
        theta = searched.cpu()
        return Trained(hypernet, found, chosen, searched, params, buffers, theta, theta)
    context = context_of(hypernet, data, folds.train, input_scale)
    starts = [
        hypernet.init(
            sharing * n_models, input_scale, torch.Generator("cpu").manual_seed(start), context
        )
        for start in (seed, seed + 1)  # the first is the search's
    ]
    of_params, of_buffers = (
        {name: torch.cat([tensors[name][nets] for tensors in part]) for name in part[0]}
        for part in zip(*starts, strict=True)
    )
    of_buffers |= {name: buffers[name].cpu().repeat(2) for name in hypernet.masks}
    params, buffers = train(
        hypernet,
        data,
        np.tile(np.arange(n_models), 2),
        (of_params, of_buffers),
        np.tile(found.target[np.arange(n_models), chosen], 2),
        np.tile(_LONGER * found.n_epochs.max(axis=1), 2),
        folds.train,
        loss,
        schedule,
        seed + 1,
        share,
        checkpoint,
        f"{stages}-fit",
    )
    hypernet.advance_spectral(params, buffers, n_steps=100)
    with torch.no_grad():
        theta = hypernet.generate(params, buffers)
    params, buffers = (
        {name: tensor[:n_models] for name, tensor in part.items()} for part in (params, buffers)
    )
    return Trained(
        hypernet, found, chosen, searched, params, buffers, theta[:n_models], theta[n_models:]
    )
