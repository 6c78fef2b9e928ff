"""The training that stays: the chosen candidate of every model, on its fit and stop rows together.

It lasts until the candidate fits as closely as the search found best.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hypercate.checkpoints import NOWHERE, Checkpoint, Stage, State
from hypercate.folds import Rows
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.progress import stage
from hypercate.train.data import Data
from hypercate.train.device import threads_for
from hypercate.train.processes import WHOLE, Share
from hypercate.train.run import Loss, Run, Schedule, diverged, sound, steps_an_epoch

COOLING = 0.5
"""Epochs in which the learning rate falls to zero, over those of the training before."""

_LEAST_COOLING = 20


@torch.inference_mode(False)
@torch.enable_grad()
def train(
    hypernet: HyperNet,
    data: Data,
    model: np.ndarray,
    start: tuple[Tensors, Tensors],
    target: np.ndarray,
    most_epochs: np.ndarray,
    rows: Rows,
    loss: Loss,
    schedule: Schedule,
    seed: int,
    share: Share = WHOLE,
    checkpoint: Checkpoint = NOWHERE,
    name: str = "fit",
) -> tuple[Tensors, Tensors]:
    """Train networks until they fit their rows as closely as a search found best.

    They train until their training loss is what the search had met a little before, however many
    rows there are and however lucky the start is (after Goodfellow, Bengio & Courville, 2016, "Deep
    learning", algorithm 7.3). Then the learning rate falls to zero over half as many epochs again,
    at least 20: no stop rows are left that could tell the epoch in which the weights happen to be
    good, so they have to settle.

    Parameters
    ----------
    hypernet : HyperNet
    data : Data
    model : ndarray of int, shape (nets,)
        Whose rows each network is trained on.
    start : params, buffers
        As `HyperNet.init` gives them.
    target : ndarray, shape (nets,)
        Training loss at which a network's learning rate begins to fall.
    most_epochs : ndarray of int, shape (nets,)
        After which the learning rate falls in any case.
    rows : Rows
        Of each model.
    loss : callable
        Of the networks' outputs and the targets: a value a row.
    schedule : Schedule
    seed : int
        Of the minibatches.
    share : Share, optional
        The networks that this process trains.
    checkpoint : Checkpoint, optional
        Where the training is kept, and from where it goes on.
    name : str, optional
        Under which it is kept.

    Returns
    -------
    params, buffers : dict of Tensor
        The moving averages of the weights, on the CPU.

    Raises
    ------
    FloatingPointError
        If a network diverges.
    """
    nets = torch.as_tensor(model, device="cpu")
    n_steps = steps_an_epoch(rows.real.sum(axis=1).max(), schedule)
    run = Run(hypernet, data, nets, start, rows, n_steps, loss, schedule, seed)
    device = data.x.device
    own = share.of(len(model)).to(data.x.device)
    run.keep(own)
    # what no family uses stays as it was drawn
    params, buffers = ({n: t.to(device, copy=True) for n, t in part.items()} for part in start)
    enough = torch.as_tensor(target, dtype=torch.float32, device=device)
    most = np.broadcast_to(most_epochs, np.shape(target)).astype(np.float32)
    close_after = torch.as_tensor(most, device=device)
    inputs = [*vars(data).values(), *start[0].values(), *start[1].values(), enough, close_after]
    kept = checkpoint.stage(share.named(name), inputs)

    def trained() -> State:
        _train_own(run, params, buffers, enough, close_after, kept, schedule)
        return {
            of: {name: tensor[own] for name, tensor in part.items()}
            for of, part in (("params", params), ("buffers", buffers))
        }

    each = share.joined(trained)
    return (
        {name: tensor.cpu() for name, tensor in each["params"].items()},
        {name: tensor.cpu() for name, tensor in each["buffers"].items()},
    )


def _train_own(
    run: Run,
    params: Tensors,
    buffers: Tensors,
    enough: Tensor,
    close_after: Tensor,
    kept: Stage,
    schedule: Schedule,
) -> None:
    """Train this process's networks until they fit, and put their averages where they belong."""
    device = enough.device
    longest, epoch = int((close_after + _cooling(close_after)).max()), 0

    def state() -> State:
        return {
            "run": run.state(),
            "params": params,
            "buffers": buffers,
            "close_after": close_after,
            "epoch": torch.tensor(epoch, device="cpu"),
        }

    if (before := kept.restore(device)) is not None:
        run.restore(before["run"])
        for of, part in (("params", params), ("buffers", buffers)):
            part.update({name: before[of][name] for name in part})
        close_after, epoch = before["close_after"], int(before["epoch"])
    with stage("fit", longest, "epoch") as bar, threads_for(run.work):
        bar.update(epoch)
        while epoch < longest and len(run.nets):
            nets = run.nets
            cooling = _cooling(close_after[nets])
            left = close_after[nets] + cooling - epoch
            train_loss = run.epoch((left / (cooling + 1)).clamp(max=1))
            if not sound(train_loss, run.first_loss[nets]).all():
                raise diverged(schedule, epoch + 1)
            close = (train_loss <= enough[nets]) & (close_after[nets] > epoch + 1)
            close_after[nets[close]] = epoch + 1
            done = ~close & (left <= 1)
            run.save(done, params, buffers)
            run.keep(~done)
            bar.update()
            epoch += 1
            kept.save(state, final=epoch == longest or not len(run.nets))
    if not all(torch.isfinite(tensor).all() for tensor in params.values()):
        raise diverged(schedule, epoch)


def _cooling(n_epochs: Tensor) -> Tensor:
    """Epochs in which the learning rate falls, after so many."""
    return (COOLING * n_epochs).ceil().clamp(min=_LEAST_COOLING)
