"""The search: every candidate of every model, trained until it no longer gains on its stop rows.

It says how closely each candidate fitted the model's fit rows when it did best on the stop rows. No
row that a model is judged on is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.checkpoints import NOWHERE, Checkpoint, Stage, State
from hypercate.folds import Rows
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.generator.profiles import Profile
from hypercate.progress import stage
from hypercate.train.context import context_of
from hypercate.train.data import Data
from hypercate.train.device import threads_for
from hypercate.train.final import COOLING
from hypercate.train.processes import WHOLE, Share
from hypercate.train.run import Loss, Run, Schedule, diverged, steps_an_epoch
from hypercate.train.stopping import Best, Judge, at_best_size


@dataclass(frozen=True)
class Found:
    """What a search says of every candidate of every model.

    Attributes
    ----------
    loss : ndarray, shape (n_models, n_candidates)
        Least mean loss on the model's stop rows; infinite for a network that diverged.
    n_epochs : ndarray of int, shape (n_models, n_candidates)
        After which it was met.
    target : ndarray, shape (n_models, n_candidates)
        Training loss that was reached a quarter of those epochs earlier, from where `train`, whose
        learning rate falls over half as many, comes to as close a fit.
    params, buffers : dict of Tensor
        Of the networks at that epoch, model by model, on the device.
    rows : ndarray of int64, shape (n_models, n_places)
        Which row that is.
    real : ndarray of bool, shape (n_models, n_places)
        Places that hold a row.
    history : ndarray, shape (records, 4)
        Network, epoch from 0, training loss, loss on the stop rows.
    """

    loss: np.ndarray
    n_epochs: np.ndarray
    target: np.ndarray
    params: Tensors
    buffers: Tensors
    rows: np.ndarray
    real: np.ndarray
    history: np.ndarray


@torch.inference_mode(False)
@torch.enable_grad()
def search(
    hypernet: HyperNet,
    data: Data,
    sharing: Sequence[Profile],
    input_scale: Tensor,
    fit: Rows,
    stop: Rows,
    loss: Loss,
    schedule: Schedule,
    seed: int,
    share: Share = WHOLE,
    checkpoint: Checkpoint = NOWHERE,
    name: str = "search",
) -> Found:
    """Train every candidate of every model until it no longer gains on the model's stop rows.

    A candidate is a profile of sharing and a factor for each input, as in `HyperNet.init`. All
    candidates of a model see the same rows and minibatches. What is judged of a network is the
    moving average of its weights. It leaves once its loss has not fallen by 1 % for
    `schedule.patience` epochs, however others fare: the best are often slow to start. An epoch is a
    pass over the rows, or 32 minibatches where the pass is longer;
    more than 8192 stop rows are represented by so many of them, of every arm its share.

    Parameters
    ----------
    hypernet : HyperNet
    data : Data
    sharing : sequence of Profile, length n_models * n_candidates
        Model by model.
    input_scale : Tensor, shape (n_models * n_candidates, n_inputs)
    fit, stop : Rows
        Of each model.
    loss : callable
        Of the networks' outputs and the targets: a value a row.
    schedule : Schedule
    seed : int
    share : Share, optional
        The networks that this process trains.
    checkpoint : Checkpoint, optional
        Where the search is kept, and from where it goes on.
    name : str, optional
        Under which it is kept.

    Raises
    ------
    FloatingPointError
        If every network of a model diverges.
    """
    n_models = len(fit.index)
    model = torch.arange(n_models, device="cpu").repeat_interleave(len(sharing) // n_models)
    context = context_of(hypernet, data, fit, input_scale)
    start = hypernet.init(sharing, input_scale, torch.Generator("cpu").manual_seed(seed), context)
    n_steps = steps_an_epoch((fit.real.sum(axis=1) + stop.real.sum(axis=1)).max(), schedule)
    run = Run(hypernet, data, model, start, fit, n_steps, loss, schedule, seed)
    own = share.of(len(model)).to(data.x.device)
    run.keep(own)
    judge = Judge(hypernet.net, data, stop, loss, len(sharing) // n_models)
    best = Best(start, data.x.device)
    kept = checkpoint.stage(
        share.named(name), [*vars(data).values(), *start[0].values(), *start[1].values()]
    )

    each = share.joined(
        lambda: {"history": _search_own(run, own, judge, best, kept, schedule)} | best.of(own)
    )
    loss_of, history = each["loss"].view(n_models, -1).cpu().numpy(), each["history"]
    if np.isinf(loss_of).all(axis=1).any():
        raise diverged(schedule, 1 + int(history[:, 1].max()))
    return Found(
        loss_of,
        1 + each["epoch"].view(n_models, -1).cpu().numpy(),
        _target(history, each["epoch"]).view(n_models, -1).cpu().numpy(),
        each["params"],
        each["buffers"],
        judge.rows.cpu().numpy(),
        judge.real.cpu().numpy() > 0,
        history.cpu().numpy(),
    )


def _search_own(
    run: Run, own: Tensor, judge: Judge, best: Best, kept: Stage, schedule: Schedule
) -> Tensor:
    """Train this process's networks until none of them gains; what `Found.history` has of them."""
    device = own.device
    history = [torch.empty((0, 4), dtype=torch.float32, device=device)]
    epoch = 0

    def state() -> State:
        return {"run": run.state(), "best": best.state(), "history": torch.cat(history)}

    if (before := kept.restore(device)) is not None:
        run.restore(before["run"])
        best.restore(before["best"])
        history = [before["history"]]
        epoch = int(history[0][-1, 1]) + 1
    with stage("search", schedule.max_epochs, "epoch") as bar, threads_for(run.work):
        bar.update(epoch)
        while epoch < schedule.max_epochs and len(run.nets):
            train_loss = run.epoch()
            stop_loss = at_best_size(run, judge) / judge.total[run.nets]
            history.append(
                torch.stack(
                    [run.nets, torch.full_like(train_loss, epoch), train_loss, stop_loss], 1
                )
            )
            going = best.update(epoch, run, train_loss, stop_loss, schedule.patience)
            bar.update()
            bar.set_postfix(networks=int(going.sum()), loss=f"{best.loss[own].mean().item():.4f}")
            run.keep(going)
            epoch += 1
            kept.save(state, final=epoch == schedule.max_epochs or not len(run.nets))
    return torch.cat(history)


def _target(history: Tensor, best: Tensor) -> Tensor:
    """Least training loss up to a quarter of the epochs before the best one, (nets,)."""
    net, epoch, train_loss, _ = history.unbind(1)
    shape = (len(best), int(epoch.max()) + 1)
    curve = torch.full(shape, torch.inf, dtype=torch.float32, device=best.device)
    curve[net.long(), epoch.long()] = train_loss.float()
    before = (best - COOLING / 2 * (best + 1)).long().clamp(min=0)
    return curve.cummin(dim=1).values.gather(1, before[:, None])[:, 0]
