"""The training loop: all networks at once, each stopping on its own held-out fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hypercate.batching import Layout, lay_out, stratified_folds
from hypercate.device import threads_for
from hypercate.families import Family, by_family, families_of
from hypercate.hypernet.hypernetwork import HyperNet, Tensors
from hypercate.outcome_net import OutcomeNet

Loss = Callable[[Tensor, Tensor], Tensor]

_STEPS_AN_EPOCH = 32
_MOST_VALIDATED = 8192
_HEAD_START = 10.0
_LEAST_GAIN = 0.01
_BLOW_UP, _LEAST_LOSS = 1e4, 1e-4


@dataclass(frozen=True)
class Data:
    """Encoded rows on the training device.

    Attributes
    ----------
    x : Tensor of float32, shape (n, n_inputs)
    y : Tensor of float32, shape (n,)
    weight : Tensor of float32, shape (n,)
    arm : ndarray of int64, shape (n,)
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    arm: np.ndarray


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; see `hypercate.HyperCATE` for the parameters."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    validation_fraction: float
    patience: int


@dataclass(frozen=True)
class Trained:
    """Best weights of every network and how it got there.

    Attributes
    ----------
    params, buffers : dict of Tensor
        Networks on the leading axis, member by member.
    validation_loss : ndarray, shape (n_members, n_candidates)
        Best factual loss on the member's held-out fold; infinite for a network that diverged.
    best_epoch : ndarray of int, shape (n_members, n_candidates)
    history : ndarray, shape (records, 4)
        Network, epoch, training loss, validation loss.
    held_rows : ndarray of int64, shape (n_members, n_held)
        Rows of each member's held-out fold.
    """

    params: Tensors
    buffers: Tensors
    validation_loss: np.ndarray
    best_epoch: np.ndarray
    history: np.ndarray
    held_rows: np.ndarray


@torch.inference_mode(False)
@torch.enable_grad()
def train(
    hypernet: HyperNet,
    data: Data,
    degrees: Tensor,
    input_scale: Tensor,
    n_members: int,
    loss: Loss,
    schedule: Schedule,
    seed: int,
    verbose: bool = False,
) -> Trained:
    """Train ``n_members * len(degrees)`` networks in one batched product.

    A candidate is a degree of sharing and a factor for each input, as in `HyperNet.init`. All
    candidates of a member see the same held-out fold and the same minibatches. Each network keeps
    the moving average of its weights that does best on its fold, and leaves the product once its
    loss there has not fallen by 1 % for `schedule.patience` epochs, or is after so many epochs more
    than 1 + 10 / epochs times that of its member's best candidate. Degree 0 does not race: it is
    slow to start, and the one that the others have to beat. Nor do others race against arms that
    share nothing, which are quick to start. An epoch is a pass over the data, or 32 minibatches
    where the pass is longer; a fold of more than 8192 rows is judged by so many of them, of every
    arm its share.

    Parameters
    ----------
    hypernet : HyperNet
    data : Data
    degrees : Tensor, shape (n_candidates,)
    input_scale : Tensor, shape (n_candidates, n_inputs)
    n_members : int
    loss : callable
        Elementwise, of the networks' output and y.
    schedule : Schedule
    seed : int
    verbose : bool

    Raises
    ------
    FloatingPointError
        If every network of a member diverges.
    """
    device = data.x.device
    rng = np.random.default_rng(seed)
    shuffler = torch.Generator(device).manual_seed(seed)
    train_rows, held_rows = stratified_folds(data.arm, n_members, schedule.validation_fraction, rng)
    n_steps = max(1, round(train_rows.shape[1] / schedule.batch_size))
    layout = lay_out(_counts(data.arm, train_rows), n_steps, device)
    held_layout = lay_out(
        _counts(data.arm, held_rows), -(-held_rows.shape[1] // _MOST_VALIDATED), device
    )
    held = torch.as_tensor(held_rows, device=device)[:, held_layout.slots[0]]
    minibatches = _minibatches(data, train_rows, layout, shuffler)

    n_nets = n_members * len(degrees)
    params, buffers = hypernet.init(
        degrees.repeat(n_members),
        input_scale.repeat(n_members, 1),
        torch.Generator("cpu").manual_seed(seed),
    )
    params = {name: tensor.to(device) for name, tensor in params.items()}
    buffers = {name: tensor.to(device) for name, tensor in buffers.items()}
    best = _Best(params, buffers, n_members, degrees.repeat(n_members).to(device))
    optimizer = partial(
        torch.optim.AdamW,
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    families = families_of(hypernet, params, buffers, optimizer)
    history = []
    epochs = tqdm(range(schedule.max_epochs), "HyperCATE", unit="epoch", disable=not verbose)
    with threads_for(n_nets * layout.slots.shape[1] * max(hypernet.net.hidden)):
        for epoch in epochs:
            nets = torch.cat([family.nets for family in families])
            member = nets // len(degrees)
            train_loss = torch.zeros(len(nets), dtype=torch.float32, device=device)
            n_epoch_steps = min(n_steps, _STEPS_AN_EPOCH)
            for step in range(n_epoch_steps):
                rows, filled = next(minibatches)
                losses = _step(families, data, loss, rows[member], filled, layout, shuffler)
                if epoch == step == 0:
                    best.first_loss[nets] = losses
                train_loss += losses
            train_loss /= n_epoch_steps
            with torch.no_grad():
                theta = torch.cat([family.weights(family.average) for family in families])
                held_loss = factual_loss(
                    hypernet.net,
                    theta,
                    data,
                    loss,
                    held[member],
                    held_layout.filled[0],
                    held_layout,
                )
            history.append(
                torch.stack([nets, torch.full_like(train_loss, epoch), train_loss, held_loss], 1)
            )
            going = best.update(epoch, train_loss, held_loss, families, schedule.patience)
            epochs.set_postfix(
                networks=int(going.sum()), validation=f"{best.loss.mean().item():.4f}"
            )
            if not going.all():
                for family, of_family in by_family(families, going):
                    family.keep(of_family)
                families = [family for family in families if len(family.nets)]
            if not families:
                break
    epochs.close()
    validation_loss = best.loss.view(n_members, -1).cpu().numpy()
    if np.isinf(validation_loss).all(axis=1).any():
        raise FloatingPointError(
            f"training diverged by epoch {epoch + 1}: the loss is not finite or grew "
            f"{_BLOW_UP:g} times. Try a smaller learning_rate (now {schedule.learning_rate:g}), "
            "or look for extreme values in y and sample_weight"
        )
    return Trained(
        best.params,
        best.buffers,
        validation_loss,
        best.epoch.view(n_members, -1).cpu().numpy(),
        torch.cat(history).cpu().numpy(),
        held_rows,
    )


def factual_loss(
    net: OutcomeNet,
    theta: Tensor,
    data: Data,
    loss: Loss,
    rows: Tensor,
    filled: Tensor,
    layout: Layout,
) -> Tensor:
    """Mean loss of each network on its own rows.

    Parameters
    ----------
    net : OutcomeNet
    theta : Tensor, shape (nets, n_arms, n_weights)
    data : Data
    loss : callable
        Elementwise, of the networks' output and y.
    rows : Tensor of int64, shape (nets, n_slots)
    filled : Tensor, shape (n_slots,)
        0 for a slot that is empty.
    layout : Layout
        Of which it is one step.

    Returns
    -------
    Tensor, shape (nets,)
    """
    if layout.order is not None:
        theta = theta.index_select(1, layout.order)
    by_group = theta.split([n_arms for n_arms, _ in layout.groups], dim=1)
    parts = rows.split([n_arms * width for n_arms, width in layout.groups], dim=1)
    outputs = [
        net(weights.flatten(0, 1), data.x[part].view(-1, width, data.x.shape[1])).view_as(part)
        for weights, part, (_, width) in zip(by_group, parts, layout.groups, strict=True)
    ]
    losses = loss(torch.cat(outputs, 1), data.y[rows])
    weight = data.weight[rows] * filled
    return (losses * weight).sum(1) / weight.sum(1)


def _step(
    families: list[Family],
    data: Data,
    loss: Loss,
    rows: Tensor,
    filled: Tensor,
    layout: Layout,
    generator: torch.Generator,
) -> Tensor:
    """One step of every network on its minibatch; its loss before the step."""
    for family in families:
        family.hypernet.advance_spectral(family.params, family.buffers)
        family.optimizer.zero_grad()
    theta = torch.cat([family.weights(family.params, generator) for family in families])
    losses = factual_loss(families[0].hypernet.net, theta, data, loss, rows, filled, layout)
    losses.sum().backward()
    for family in families:
        family.advance()
    return losses.detach()


class _Best:
    """The best weights of every network so far, and which of them improved or lost the race."""

    def __init__(self, params: Tensors, buffers: Tensors, n_members: int, degrees: Tensor) -> None:
        device, n_nets = degrees.device, len(degrees)
        self.params = {name: tensor.clone() for name, tensor in params.items()}
        self.buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        self.loss = torch.full((n_nets,), torch.inf, dtype=torch.float32, device=device)
        self.epoch = torch.zeros(n_nets, dtype=torch.int64, device=device)
        self.gain_loss, self.gain_epoch = self.loss.clone(), self.epoch.clone()
        self.first_loss = self.loss.clone()
        self.n_members = n_members
        self.apart = torch.isinf(degrees).view(n_members, -1)
        self.constant = degrees == 0

    def update(
        self,
        epoch: int,
        train_loss: Tensor,
        held_loss: Tensor,
        families: list[Family],
        patience: int,
    ) -> Tensor:
        """Keep what improved; the networks, in the families' order, that go on: bool, (n,)."""
        nets = torch.cat([family.nets for family in families])
        alive = torch.isfinite(held_loss) & (
            train_loss < _BLOW_UP * self.first_loss[nets].clamp(min=_LEAST_LOSS)
        )
        self.loss[nets[~alive]] = torch.inf
        improved = alive & (held_loss < self.loss[nets])
        where = nets[improved]
        self.loss[where] = held_loss[improved]
        self.epoch[where] = epoch
        for family, of_family in by_family(families, improved):
            where = family.nets[of_family]
            for kept, current in (
                (self.params, family.average),
                (self.buffers, family.buffers),
            ):
                for name, tensor in current.items():
                    kept[name][where] = tensor[of_family]
        gained = alive & (held_loss < (1 - _LEAST_GAIN) * self.gain_loss[nets])
        where = nets[gained]
        self.gain_loss[where] = held_loss[gained]
        self.gain_epoch[where] = epoch
        going = alive & (epoch - self.gain_epoch[nets] < patience)
        by_member = self.loss.view(self.n_members, -1)
        shared = by_member.masked_fill(self.apart, torch.inf).amin(1, keepdim=True)
        least = torch.where(self.apart, by_member.amin(1, keepdim=True), shared).flatten()
        in_race = self.loss <= (1 + _HEAD_START / (epoch + 1)) * least
        return going & (in_race | self.constant)[nets]


def _counts(arm: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.bincount(arm[rows[0]], minlength=int(arm.max()) + 1)


def _minibatches(
    data: Data, train_rows: np.ndarray, layout: Layout, shuffler: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless passes over each member's rows, shuffled within arms before every pass."""
    rows = torch.as_tensor(train_rows, device=data.x.device)
    arm = torch.as_tensor(data.arm[train_rows[0]], dtype=torch.float32, device=rows.device)
    while True:
        noise = torch.rand(rows.shape, generator=shuffler, device=rows.device, dtype=torch.float32)
        order = rows.gather(1, torch.argsort(noise + 2 * arm, dim=1))
        for slots, filled in zip(layout.slots, layout.filled, strict=True):
            yield order[:, slots], filled
