"""When networks stop: their losses at the stop rows, and which of them go on."""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.checkpoints import State
from hypercate.folds import Rows
from hypercate.generator.hypernetwork import Tensors
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.train.batching import lay_out
from hypercate.train.data import Data
from hypercate.train.run import Loss, Run, row_outputs, sound

_MOST_VALIDATED = 8192
_BLOCK_ELEMENTS = 2**23  # of the inputs of the networks in a block of validation
_LEAST_GAIN = 0.01


class Judge:
    """Losses of networks at the stop rows of their models."""

    def __init__(
        self, net: OutcomeNet, data: Data, stop: Rows, loss: Loss, n_candidates: int
    ) -> None:
        device = data.x.device
        self.net, self.data, self.loss = net, data, loss
        n_models, width = stop.index.shape
        self.model = torch.arange(n_models, device=device).repeat_interleave(n_candidates)
        whole = min(width, _MOST_VALIDATED)
        largest = max(1, _BLOCK_ELEMENTS // (len(self.model) * max(net.n_inputs, *net.hidden)))
        n_blocks = -(-whole // largest)
        self.layout = lay_out(stop.counts, max(1, round(n_blocks * width / whole)), device)
        index, real = (torch.as_tensor(part, device=device) for part in (stop.index, stop.real))
        slots, filled = self.layout.slots[:n_blocks], self.layout.filled[:n_blocks]
        self.rows = index[:, slots.flatten()]
        self.real = real[:, slots.flatten()] * filled.flatten()
        self._weight = data.weight[self.rows] * self.real
        self._target = data.y[torch.arange(n_models, device=device)[:, None], self.rows]
        self._blocks = self.rows.unflatten(1, slots.shape)
        self.total = self._weight.sum(1).repeat_interleave(n_candidates)

    @torch.no_grad()
    def __call__(self, theta: Tensor, nets: Tensor) -> Tensor:
        """Weighted losses (nets, n_places), evaluated a block of rows at a time."""
        model = self.model[nets]
        output = torch.cat(
            [
                row_outputs(
                    self.net, theta, self.data, model, self._blocks[model, block], self.layout
                )
                for block in range(self._blocks.shape[1])
            ],
            dim=1,
        )
        return self.loss(output, self._target[model]) * self._weight[model]


def at_best_size(run: Run, judge: Judge) -> Tensor:
    """Losses summed over the rows, (nets,), at the size where they are least, which nets take."""
    each = torch.stack([judge(run.theta(size), run.nets).sum(1) for size in run.sizes])
    least, best = each.min(0)
    run.take_sizes(best)
    return least


class Best:
    """Every network when its loss was least so far, and which of them still gain."""

    def __init__(self, start: tuple[Tensors, Tensors], device: torch.device) -> None:
        self.params, self.buffers = (
            {name: tensor.to(device, copy=True) for name, tensor in part.items()} for part in start
        )
        n_nets = len(next(iter(self.params.values())))
        self.loss = torch.full((n_nets,), torch.inf, dtype=torch.float32, device=device)
        self.epoch = torch.zeros(n_nets, dtype=torch.int64, device=device)
        self.gain_loss, self.gain_epoch = self.loss.clone(), self.epoch.clone()

    def state(self) -> State:
        """All that it knows."""
        return vars(self)

    def of(self, nets: Tensor) -> State:
        """What it knows of some of the networks."""
        return {
            "loss": self.loss[nets],
            "epoch": self.epoch[nets],
            "params": {name: tensor[nets] for name, tensor in self.params.items()},
            "buffers": {name: tensor[nets] for name, tensor in self.buffers.items()},
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        for name, value in vars(self).items():
            known = state[name]
            setattr(self, name, {n: known[n] for n in value} if isinstance(value, dict) else known)

    def update(
        self,
        epoch: int,
        run: Run,
        train_loss: Tensor,
        stop_loss: Tensor,
        patience: int,
    ) -> Tensor:
        """Note what improved; which of the run's networks go on: bool, (nets,)."""
        nets = run.nets
        alive = torch.isfinite(stop_loss) & sound(train_loss, run.first_loss[nets])
        self.loss[nets[~alive]] = torch.inf
        improved = alive & (stop_loss < self.loss[nets])
        where = nets[improved]
        self.loss[where] = stop_loss[improved]
        self.epoch[where] = epoch
        run.save(improved, self.params, self.buffers)
        gained = alive & (stop_loss < (1 - _LEAST_GAIN) * self.gain_loss[nets])
        where = nets[gained]
        self.gain_loss[where] = stop_loss[gained]
        self.gain_epoch[where] = epoch
        return alive & (epoch - self.gain_epoch[nets] < patience)
