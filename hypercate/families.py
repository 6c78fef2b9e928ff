"""Networks in training: what they learn, their optimiser and their moving averages.

Networks are batched by how they generate, so that none carries weights that it does not use: those
whose arms share a generator, and those whose arms own their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from hypercate.hypernet.hypernetwork import HyperNet, Tensors

NewOptimizer = Callable[[list[Tensor]], torch.optim.Optimizer]

_AVERAGING = 0.98


class Family:
    """Networks still in training that generate alike, with their optimiser and moving averages.

    Attributes
    ----------
    nets : Tensor of int64, shape (n,)
        Which of all networks these are.
    """

    def __init__(
        self,
        hypernet: HyperNet,
        nets: Tensor,
        params: Tensors,
        buffers: Tensors,
        new_optimizer: NewOptimizer,
    ) -> None:
        self.hypernet = hypernet
        self.nets = nets
        self.params = {name: tensor[nets].requires_grad_() for name, tensor in params.items()}
        self.average = {name: tensor[nets] for name, tensor in params.items()}
        self.buffers = {name: tensor[nets] for name, tensor in buffers.items()}
        self._new_optimizer = new_optimizer
        self.optimizer = new_optimizer(list(self.params.values()))
        self.n_steps = 0

    def weights(self, params: Tensors, generator: torch.Generator | None = None) -> Tensor:
        """Weights of every arm's network, perturbed as in a training step with a generator."""
        drawn = self.hypernet.draw(len(self.nets), generator) if generator else None
        return self.hypernet.generate(params, self.buffers, drawn)

    def advance(self) -> None:
        """Follow the gradient, and the moving average the parameters."""
        self.optimizer.step()
        self.n_steps += 1
        follow = max(1 - _AVERAGING, 9 / (self.n_steps + 9))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), [p.detach() for p in self.params.values()], follow
            )

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
        self.nets = self.nets[going]
        self.params = kept
        self.average = {name: tensor[going] for name, tensor in self.average.items()}
        self.buffers = {name: tensor[going] for name, tensor in self.buffers.items()}
        self.optimizer = self._new_optimizer(list(kept.values()))
        for name, p in kept.items():
            self.optimizer.state[p] = moments[name]


def families_of(
    hypernet: HyperNet, params: Tensors, buffers: Tensors, new_optimizer: NewOptimizer
) -> list[Family]:
    """Networks whose arms share, and those whose arms own their weights and need no generator.

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        As `HyperNet.init` gives them.
    new_optimizer : callable
        From a list of parameters to their optimiser.

    Returns
    -------
    list of Family
        One or both; together they have every network once.
    """
    some = next(iter(params.values()))
    apart = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    if "apart" in buffers:
        apart = buffers["apart"].any(1)
    owned = replace(hypernet, generation="none")
    families = []
    for of_family, its_hypernet, owns in ((~apart, hypernet, False), (apart, owned, True)):
        if of_family.any():
            nets = of_family.nonzero().flatten()
            its_params = {name: t for name, t in params.items() if (name == "own") == owns}
            its_buffers = {name: t for name, t in buffers.items() if (name == "apart") == owns}
            families.append(Family(its_hypernet, nets, its_params, its_buffers, new_optimizer))
    return families


def by_family(families: list[Family], values: Tensor) -> Iterator[tuple[Family, Tensor]]:
    """Values of all networks, in the order of the families, each with its own."""
    return zip(families, values.split([len(family.nets) for family in families]), strict=True)
