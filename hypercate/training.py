"""The training loop: all networks at once, each stopping on its own held-out fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hypercate.batching import Layout, lay_out, stratified_folds
from hypercate.device import threads_for
from hypercate.hypernet.hypernetwork import HyperNet, Tensors

Loss = Callable[[Tensor, Tensor], Tensor]

_STEPS_AN_EPOCH = 32
_MOST_VALIDATED = 8192
_AVERAGING = 0.98
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
    member = torch.arange(n_nets, device=device) // len(degrees)
    params, buffers = hypernet.init(
        degrees.repeat(n_members),
        input_scale.repeat(n_members, 1),
        torch.Generator("cpu").manual_seed(seed),
    )
    params = {name: tensor.to(device) for name, tensor in params.items()}
    buffers = {name: tensor.to(device) for name, tensor in buffers.items()}
    best = _Best(params, buffers, n_members, degrees.repeat(n_members).to(device))
    nets = _Nets(hypernet, params, buffers, schedule)
    history = []
    epochs = tqdm(range(schedule.max_epochs), "HyperCATE", unit="epoch", disable=not verbose)
    with threads_for(n_nets * layout.slots.shape[1] * max(hypernet.net.hidden)):
        for epoch in epochs:
            train_loss = torch.zeros(len(member), dtype=torch.float32, device=device)
            n_epoch_steps = min(n_steps, _STEPS_AN_EPOCH)
            for _ in range(n_epoch_steps):
                rows, filled = next(minibatches)
                losses = nets.step(data, loss, rows[member], filled, layout.arms, shuffler)
                if nets.n_steps == 1:
                    best.first_loss = losses
                train_loss += losses
            train_loss /= n_epoch_steps
            with torch.no_grad():
                held_loss = nets.factual_loss(
                    nets.average, data, loss, held[member], held_layout.filled[0], held_layout.arms
                )
            history.append(
                torch.stack(
                    [best.active, torch.full_like(train_loss, epoch), train_loss, held_loss], 1
                )
            )
            going = best.update(epoch, train_loss, held_loss, nets, schedule.patience)
            epochs.set_postfix(
                networks=int(going.sum()), validation=f"{best.loss.mean().item():.4f}"
            )
            if not going.all():
                nets.keep(going)
                member = member[going]
            if not going.any():
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


class _Nets:
    """Networks still in training, with their optimiser and moving averages."""

    def __init__(
        self, hypernet: HyperNet, params: Tensors, buffers: Tensors, schedule: Schedule
    ) -> None:
        self.hypernet = hypernet
        self.schedule = schedule
        self.params = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
        self.average = {name: tensor.clone() for name, tensor in params.items()}
        self.buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        self.optimizer = self._new_optimizer()
        self.n_steps = 0

    def _new_optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            list(self.params.values()),
            lr=self.schedule.learning_rate,
            weight_decay=self.schedule.weight_decay,
            fused=True,
        )

    def factual_loss(
        self,
        params: Tensors,
        data: Data,
        loss: Loss,
        rows: Tensor,
        filled: Tensor,
        arms: Tensor,
        drawn: Tensors | None = None,
    ) -> Tensor:
        """Mean loss of each network on its own rows, shape (nets,).

        ``rows``, of shape (nets, slots), lies in blocks of the arms that ``arms`` indicates. A
        block's weights are copied by a product with the indicators: its gradient is a sum in a
        fixed order on any device, which that of an index is not.
        """
        n = len(rows)
        theta = (arms @ self.hypernet.generate(params, self.buffers, drawn)).flatten(0, 1)
        x = data.x[rows].view(n * len(arms), -1, data.x.shape[1])
        losses = loss(self.hypernet.net(theta, x).view(n, -1), data.y[rows])
        weight = data.weight[rows] * filled
        return (losses * weight).sum(1) / weight.sum(1)

    def step(
        self,
        data: Data,
        loss: Loss,
        rows: Tensor,
        filled: Tensor,
        arms: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """One step of every network on its minibatch; its loss before the step."""
        self.hypernet.advance_spectral(self.params, self.buffers)
        drawn = self.hypernet.draw(len(rows), generator)
        losses = self.factual_loss(self.params, data, loss, rows, filled, arms, drawn)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        self.n_steps += 1
        follow = max(1 - _AVERAGING, 9 / (self.n_steps + 9))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), [p.detach() for p in self.params.values()], follow
            )
        return losses.detach()

    def keep(self, going: Tensor) -> None:
        """Go on with some of the networks, their optimiser state included."""
        state = self.optimizer.state
        kept = {name: p.detach()[going].requires_grad_() for name, p in self.params.items()}
        moments = {
            name: {
                key: value if key == "step" else value[going]
                for key, value in state[self.params[name]].items()
            }
            for name in kept
        }
        self.params = kept
        self.average = {name: tensor[going] for name, tensor in self.average.items()}
        self.buffers = {name: tensor[going] for name, tensor in self.buffers.items()}
        self.optimizer = self._new_optimizer()
        for name, p in kept.items():
            self.optimizer.state[p] = moments[name]


class _Best:
    """The best weights of every network so far, and which networks are still in training."""

    def __init__(self, params: Tensors, buffers: Tensors, n_members: int, degrees: Tensor) -> None:
        device, n_nets = degrees.device, len(degrees)
        self.params = {name: tensor.clone() for name, tensor in params.items()}
        self.buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        self.loss = torch.full((n_nets,), torch.inf, dtype=torch.float32, device=device)
        self.epoch = torch.zeros(n_nets, dtype=torch.int64, device=device)
        self.gain_loss, self.gain_epoch = self.loss.clone(), self.epoch.clone()
        self.active = torch.arange(n_nets, device=device)
        self.first_loss = self.loss
        self.n_members = n_members
        self.apart = torch.isinf(degrees).view(n_members, -1)
        self.constant = degrees == 0

    def update(
        self, epoch: int, train_loss: Tensor, held_loss: Tensor, nets: _Nets, patience: int
    ) -> Tensor:
        """Keep what improved; the networks, among the active, that go on: bool, shape (active,)."""
        alive = torch.isfinite(held_loss) & (
            train_loss < _BLOW_UP * self.first_loss.clamp(min=_LEAST_LOSS)
        )
        self.loss[self.active[~alive]] = torch.inf
        improved = alive & (held_loss < self.loss[self.active])
        where = self.active[improved]
        self.loss[where] = held_loss[improved]
        self.epoch[where] = epoch
        for kept, current in ((self.params, nets.average), (self.buffers, nets.buffers)):
            for name, tensor in kept.items():
                tensor[where] = current[name][improved]
        gained = alive & (held_loss < (1 - _LEAST_GAIN) * self.gain_loss[self.active])
        where = self.active[gained]
        self.gain_loss[where] = held_loss[gained]
        self.gain_epoch[where] = epoch
        going = alive & (epoch - self.gain_epoch[self.active] < patience)
        by_member = self.loss.view(self.n_members, -1)
        shared = by_member.masked_fill(self.apart, torch.inf).amin(1, keepdim=True)
        least = torch.where(self.apart, by_member.amin(1, keepdim=True), shared).flatten()
        in_race = self.loss <= (1 + _HEAD_START / (epoch + 1)) * least
        going &= (in_race | self.constant)[self.active]
        self.active, self.first_loss = self.active[going], self.first_loss[going]
        return going


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
