"""AdamW on dicts of tensors with networks on the leading axis.

The step is torch's own fused one. `torch.optim` is left aside: its first import in a process takes
longer than a small fit, and its state cannot lose networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypercate.checkpoints import State
from hypercate.generator.hypernetwork import Tensors

_BETAS = (0.9, 0.999)
_EPS = 1e-8


@dataclass
class AdamW:
    """Loshchilov & Hutter (2019, "Decoupled weight decay regularization", ICLR, algorithm 2).

    Attributes
    ----------
    learning_rate, weight_decay : float
    params : dict of Tensor
        Moved in place; their ``grad`` is read.
    """

    learning_rate: float
    weight_decay: float
    params: Tensors

    def __post_init__(self) -> None:
        tensors = self.params.values()
        self._mean = [torch.zeros_like(p, requires_grad=False) for p in tensors]
        self._square = [torch.zeros_like(p, requires_grad=False) for p in tensors]
        self._step = [torch.zeros((), dtype=torch.float32, device=p.device) for p in tensors]

    @torch.no_grad()
    def step(self) -> None:
        """Follow the gradient once, and forget it."""
        params = list(self.params.values())
        gradients = [p.grad for p in params if p.grad is not None]
        for step in self._step:
            step += 1
        torch._fused_adamw_(
            params,
            gradients,
            self._mean,
            self._square,
            [],
            self._step,
            lr=self.learning_rate,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            weight_decay=self.weight_decay,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
        )
        for p in params:
            p.grad = None

    def state(self) -> State:
        """What it knows beside the parameters, by their names."""
        each = {"mean": self._mean, "square": self._square, "step": self._step}
        return {of: dict(zip(self.params, values, strict=True)) for of, values in each.items()}

    def restore(self, state: State, params: Tensors) -> None:
        """Go on from a state, with parameters of the names that there were."""
        self.params = params
        self._mean, self._square, self._step = (
            [state[of][name] for name in params] for of in ("mean", "square", "step")
        )

    def keep(self, going: Tensor, params: Tensors) -> None:
        """Go on with some of the networks, whose parameters are given anew."""
        self.params = params
        self._mean = [mean[going] for mean in self._mean]
        self._square = [square[going] for square in self._square]
