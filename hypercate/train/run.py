"""Networks in training: an epoch of all of them at once, each on the rows of its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hypercate.checkpoints import State
from hypercate.folds import Rows
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.train.batching import Layout, lay_out
from hypercate.train.data import Data
from hypercate.train.families import Size, by_family, families_of

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of the networks' outputs and their targets: a value a row."""

_STEPS_AN_EPOCH = 32
_BLOW_UP, _LEAST_LOSS = 1e4, 1e-4


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; see `hypercate.HyperCATE` for the parameters."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    again: bool = True  # whether what a search chose is trained anew on all rows of a model


class Run:
    """Networks in training, each on the rows of its model."""

    def __init__(
        self,
        hypernet: HyperNet,
        data: Data,
        model: Tensor,
        start: tuple[Tensors, Tensors],
        rows: Rows,
        n_steps: int,
        loss: Loss,
        schedule: Schedule,
        seed: int,
    ) -> None:
        device = data.x.device
        self.net, self.data, self.loss = hypernet.net, data, loss
        indices = product(*(range(len(masks)) for masks in hypernet.masks.values()))
        self.sizes: list[Size] = [
            dict(zip(hypernet.masks, index, strict=True)) for index in indices
        ]
        self.model = model.to(device)
        params, buffers = ({n: t.to(device) for n, t in part.items()} for part in start)
        self.families = families_of(
            hypernet, params, buffers, schedule.learning_rate, schedule.weight_decay
        )
        self.n_rows = torch.as_tensor(rows.real.sum(axis=1), device=device)
        self.layout = lay_out(rows.counts, n_steps, device)
        self.perturber = torch.Generator(device).manual_seed(seed + 2**31)
        self.minibatches = Minibatches(rows, self.layout, torch.Generator(device).manual_seed(seed))
        self.first_loss = torch.full((len(model),), torch.inf, dtype=torch.float32, device=device)
        self.work = len(model) * self.layout.slots.shape[1] * max(hypernet.net.hidden)
        self.started = False

    @property
    def nets(self) -> Tensor:
        """Networks that are still trained, in the order of their losses and weights."""
        return torch.cat([family.nets for family in self.families] or [self.model[:0]])

    def theta(self, size: Size | None = None) -> Tensor:
        """Averaged weights of their arms' networks, (nets, n_arms, n_weights).

        Of one of the run's sizes, by default of the one that each has taken.
        """
        with torch.no_grad():
            return torch.cat([family.of_size(size or {}) for family in self.families])

    def take_sizes(self, which: Tensor) -> None:
        """Have each be of one of the sizes from now on, but for training steps, which try all."""
        for name in self.sizes[0]:
            taken = torch.tensor([size[name] for size in self.sizes], device=which.device)[which]
            for family, of_family in by_family(self.families, taken):
                family.buffers[name] = of_family

    def epoch(self, speed: Tensor | None = None) -> Tensor:
        """Train every network for an epoch; the mean of its losses before each step.

        `speed` is the share of the learning rate at which each moves; by default all of it.
        """
        nets, n_steps = self.nets, min(self.layout.n_steps, _STEPS_AN_EPOCH)
        model = self.model[nets]
        total = torch.zeros(len(nets), dtype=torch.float32, device=nets.device)
        for _ in range(n_steps):
            rows, real = next(self.minibatches)
            losses = self._step(model, rows[model], real[model], speed)
            if not self.started:
                self.first_loss[nets], self.started = losses, True
            total += losses
        return total / n_steps

    def save(self, some: Tensor, params: Tensors, buffers: Tensors) -> None:
        """Copy the averages of some networks to where they belong among all."""
        for family, of_family in by_family(self.families, some):
            where = family.nets[of_family]
            for kept, current in ((params, family.average), (buffers, family.buffers)):
                for name, tensor in current.items():
                    kept[name][where] = tensor[of_family]

    def keep(self, going: Tensor) -> None:
        """Go on with some of the networks."""
        if not going.all():
            for family, of_family in by_family(self.families, going):
                family.keep(of_family)
            self.families = [family for family in self.families if len(family.nets)]

    def state(self) -> State:
        """All that training has changed, after an epoch at least."""
        return {
            "families": {family.hypernet.generation: family.state() for family in self.families},
            "minibatches": self.minibatches.state(),
            "perturber": self.perturber.get_state(),
            "first_loss": self.first_loss,
        }

    def restore(self, state: State) -> None:
        """Go on from a state of a run of the same networks."""
        left = state.get("families", {})  # none, if all have stopped
        self.families = [f for f in self.families if f.hypernet.generation in left]
        for family in self.families:
            family.restore(left[family.hypernet.generation])
        self.minibatches.restore(state["minibatches"])
        self.perturber.set_state(state["perturber"].cpu())
        self.first_loss, self.started = state["first_loss"], True

    def _step(self, model: Tensor, rows: Tensor, real: Tensor, speed: Tensor | None) -> Tensor:
        for family in self.families:
            family.hypernet.advance_spectral(family.params, family.buffers)
        theta = torch.cat(
            [family.weights(family.params, self.perturber) for family in self.families]
        )
        output = row_outputs(self.net, theta, self.data, model, rows, self.layout)
        losses = self.loss(output, self.data.y[model[:, None], rows])
        weight = self.data.weight[rows] * real
        mean = (losses * weight).sum(1) / weight.sum(1).clamp(min=torch.finfo(weight.dtype).tiny)
        penalty = torch.cat([family.divergence for family in self.families])
        (mean + penalty / self.n_rows[model]).sum().backward()
        speeds = (
            [None] * len(self.families)
            if speed is None
            else speed.split([len(family.nets) for family in self.families])
        )
        for family, of_family in zip(self.families, speeds, strict=True):
            family.advance(of_family)
        return mean.detach()


def row_outputs(
    net: OutcomeNet,
    theta: Tensor,
    data: Data,
    model: Tensor,
    rows: Tensor,
    layout: Layout,
) -> Tensor:
    """Output of each network at its own rows, of the row's arm or blended for its dose.

    Parameters
    ----------
    net : OutcomeNet
    theta : Tensor, shape (nets, n_networks, n_weights)
        Arms that have no rows come last.
    data : Data
    model : Tensor of int64, shape (nets,)
    rows : Tensor of int64, shape (nets, n_slots)
    layout : Layout
        Of which it is one step.

    Returns
    -------
    Tensor, shape (nets, n_slots), or (nets, n_slots, n_outputs) with several outputs
    """
    n_conditions = sum(n_arms for n_arms, _ in layout.groups)
    if data.blend is None or data.blended is None:
        return _outputs_by_arm(net, theta[:, :n_conditions], data, model, rows, layout)
    share = data.blend[rows]
    each = [
        _outputs_by_arm(net, theta.index_select(1, own), data, model, rows, layout)
        for own in data.blended.T
    ]
    if net.n_outputs > 1:
        share = share[..., None]
    return (torch.stack(each, 2) * share).sum(2)


def _outputs_by_arm(
    net: OutcomeNet,
    theta: Tensor,
    data: Data,
    model: Tensor,
    rows: Tensor,
    layout: Layout,
) -> Tensor:
    """Outputs of the networks, one for each condition, at the rows of that condition."""
    if layout.order is not None:
        theta = theta.index_select(1, layout.order)
    by_group = theta.split([n_arms for n_arms, _ in layout.groups], dim=1)
    parts = rows.split([n_arms * width for n_arms, width in layout.groups], dim=1)
    outputs = [
        net(weights.flatten(0, 1), data.inputs(model, part).view(-1, width, net.n_inputs))
        for weights, part, (_, width) in zip(by_group, parts, layout.groups, strict=True)
    ]
    by_net = [
        output.view(*part.shape, *output.shape[2:])
        for output, part in zip(outputs, parts, strict=True)
    ]
    return torch.cat(by_net, 1)


def sound(train_loss: Tensor, first_loss: Tensor) -> Tensor:
    """Whether the loss is finite and has not blown up."""
    return train_loss < _BLOW_UP * first_loss.clamp(min=_LEAST_LOSS)


def steps_an_epoch(n_rows: int, schedule: Schedule) -> int:
    """Minibatches of a pass over so many rows."""
    return max(1, round(n_rows / schedule.batch_size))


def diverged(schedule: Schedule, epoch: int) -> FloatingPointError:
    return FloatingPointError(
        f"training diverged by epoch {epoch}: the loss is not finite or grew {_BLOW_UP:g} times. "
        f"Try a smaller learning_rate (now {schedule.learning_rate:g}), or look for extreme values "
        "in y and sample_weight"
    )


class Minibatches:
    """Endless passes over each model's rows, shuffled within arms before every pass.

    Each is of rows (n_models, n_slots), and 1 where a slot is filled and its row real, else 0.
    """

    def __init__(self, rows: Rows, layout: Layout, shuffler: torch.Generator) -> None:
        device = shuffler.device
        self.layout, self.shuffler = layout, shuffler
        self._index = torch.as_tensor(rows.index, device=device)
        self._real = torch.as_tensor(rows.real, dtype=torch.float32, device=device)
        arm = np.repeat(np.arange(len(rows.counts)), rows.counts)
        # places without a row come last in their arm, and no rounding brings two arms together
        self._last = torch.as_tensor(3 * arm + ~rows.real, dtype=torch.float32, device=device)
        self._step = layout.n_steps

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._step == self.layout.n_steps:
            self._shuffle()
        slots, filled = self.layout.slots[self._step], self.layout.filled[self._step]
        self._step += 1
        chosen = self._order[:, slots]
        return self._index.gather(1, chosen), self._real.gather(1, chosen) * filled

    def _shuffle(self) -> None:
        self._before = self.shuffler.get_state()
        noise = torch.rand(
            self._index.shape,
            generator=self.shuffler,
            device=self.shuffler.device,
            dtype=torch.float32,
        )
        self._order, self._step = torch.argsort(noise + self._last, dim=1), 0

    def state(self) -> State:
        """The place in the pass, and how its rows were shuffled."""
        return {"shuffler": self._before, "step": torch.tensor(self._step, device="cpu")}

    def restore(self, state: State) -> None:
        """Go on from a state, after one minibatch at least."""
        self.shuffler.set_state(state["shuffler"].cpu())
        self._shuffle()
        self._step = int(state["step"])
