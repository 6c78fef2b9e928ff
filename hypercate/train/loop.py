"""The training loop: all networks at once, in a search that chooses and in a fit that stays.

A search trains every candidate of every model on the model's fit rows, and says how closely each
fitted them when it did best on its stop rows. Then the chosen candidate alone is trained on both
kinds of rows until it fits as closely. No row that a model is judged on is touched by either.
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
from hypercate.train.processes import Share
from hypercate.train.run import Loss, Run, Schedule, diverged, sound, steps_an_epoch
from hypercate.train.stopping import Best, Judge, at_best_size

_COOLING, _LEAST_COOLING = 0.5, 20  # epochs, over those of the training before and at least


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
    row_loss : ndarray of float32, shape (n_models, n_candidates, n_places)
        Weighted loss at each stop row at that epoch.
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
    row_loss: np.ndarray
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
    share: Share,
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
    share : Share
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
    own = share.of(len(model))
    run.keep(own)
    judge = Judge(hypernet.net, data, stop, loss, len(sharing) // n_models)
    best = Best(judge.n_places, start, data.x.device)
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
        each["row_loss"].view(n_models, -1, judge.n_places).cpu().numpy(),
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
            row_loss = at_best_size(run, judge)
            stop_loss = row_loss.sum(1) / judge.total[run.nets]
            history.append(
                torch.stack(
                    [run.nets, torch.full_like(train_loss, epoch), train_loss, stop_loss], 1
                )
            )
            going = best.update(epoch, run, train_loss, stop_loss, row_loss, schedule.patience)
            bar.update()
            bar.set_postfix(networks=int(going.sum()), loss=f"{best.loss[own].mean().item():.4f}")
            run.keep(going)
            epoch += 1
            kept.save(state, final=epoch == schedule.max_epochs or not len(run.nets))
    return torch.cat(history)


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
    share: Share,
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
    share : Share
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
    own = share.of(len(model))
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
    return (_COOLING * n_epochs).ceil().clamp(min=_LEAST_COOLING)


def _target(history: Tensor, best: Tensor) -> Tensor:
    """Least training loss up to a quarter of the epochs before the best one, (nets,)."""
    net, epoch, train_loss, _ = history.unbind(1)
    shape = (len(best), int(epoch.max()) + 1)
    curve = torch.full(shape, torch.inf, dtype=torch.float32, device=best.device)
    curve[net.long(), epoch.long()] = train_loss.float()
    before = (best - _COOLING / 2 * (best + 1)).long().clamp(min=0)
    return curve.cummin(dim=1).values.gather(1, before[:, None])[:, 0]
