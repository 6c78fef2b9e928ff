"""Networks in training: what they learn, their optimiser and their moving averages.

Networks are batched by how they generate, so that none carries weights that it does not use: those
whose arms share a generator, and those whose arms own their weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from hypercate.checkpoints import State
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.generator.noise import divergence
from hypercate.generator.perturbation import perturb
from hypercate.train.optimiser import AdamW

Size = dict[str, int]
"""Which width and depth, of those of which the generator has several."""

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
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        self.hypernet = hypernet
        self.nets = nets
        self.n_all = len(next(iter(params.values())))
        self.params = {name: tensor[nets].requires_grad_() for name, tensor in params.items()}
        self.average = {name: tensor[nets] for name, tensor in params.items()}
        self.buffers = {name: tensor[nets] for name, tensor in buffers.items()}
        self.optimizer = AdamW(learning_rate, weight_decay, self.params)
        self.n_steps = 0

    def weights(self, params: Tensors, generator: torch.Generator | None = None) -> Tensor:
        """Weights of every arm's network, perturbed as in a training step with a generator.

        It draws for all networks, so that no network's draws depend on which others still train.
        """
        drawn = perturb(self.hypernet, self.n_all, generator) if generator else {}
        own = {name: values[self.nets] for name, values in drawn.items()}
        return self.hypernet.generate(params, self.buffers, own)

    def of_size(self, size: Size) -> Tensor:
        """Averaged weights of every arm's network, of one size or, by default, of that taken."""
        every = {name: torch.full_like(self.nets, index) for name, index in size.items()}
        return self.hypernet.generate(self.average, self.buffers, every)

    @property
    def divergence(self) -> Tensor:
        """Of the noise of weights from its prior, (n,); 0 without such."""
        if "log_spread" not in self.params:
            return torch.zeros(len(self.nets), dtype=torch.float32, device=self.nets.device)
        return divergence(
            self.params["log_spread"], self.buffers["departure"], self.hypernet.n_arms
        )

    def advance(self, speed: Tensor | None = None) -> None:
        """Follow the gradient, and the moving average the parameters.

        Parameters
        ----------
        speed : Tensor, shape (n,), optional
            Share of the learning rate at which each network moves.
        """
        if speed is None:
            self.optimizer.step()
        else:
            before = [p.detach().clone() for p in self.params.values()]
            self.optimizer.step()
            with torch.no_grad():
                for p, old in zip(self.params.values(), before, strict=True):
                    p.copy_(torch.lerp(old, p, speed.view(-1, *[1] * (p.ndim - 1))))
        self.n_steps += 1
        follow = max(1 - _AVERAGING, 9 / (self.n_steps + 9))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), [p.detach() for p in self.params.values()], follow
            )

    def keep(self, going: Tensor) -> None:
        """Go on with some of the networks, their optimiser state included."""
        self.nets = self.nets[going]
        self.params = {n: p.detach()[going].requires_grad_() for n, p in self.params.items()}
        self.average = {name: tensor[going] for name, tensor in self.average.items()}
        self.buffers = {name: tensor[going] for name, tensor in self.buffers.items()}
        self.optimizer.keep(going, self.params)

    def state(self) -> State:
        """All that training has changed."""
        return {
            "nets": self.nets,
            "params": self.params,
            "average": self.average,
            "buffers": self.buffers,
            "optimizer": self.optimizer.state(),
            "n_steps": torch.tensor(self.n_steps, device="cpu"),
        }

    def restore(self, state: State) -> None:
        """Go on from a state of the same networks, or of those of them that were left."""
        self.nets = state["nets"]
        self.params = {name: state["params"][name].requires_grad_() for name in self.params}
        self.average = {name: state["average"][name] for name in self.average}
        self.buffers = {name: state["buffers"][name] for name in self.buffers}
        self.optimizer.restore(state["optimizer"], self.params)
        self.n_steps = int(state["n_steps"])


def families_of(
    hypernet: HyperNet,
    params: Tensors,
    buffers: Tensors,
    learning_rate: float,
    weight_decay: float,
) -> list[Family]:
    """Networks whose arms share, and those whose arms own their weights and need no generator.

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        As `HyperNet.init` gives them.
    learning_rate, weight_decay : float
        Of their optimiser.

    Returns
    -------
    list of Family
        One or both; together they have every network once.
    """
    some = next(iter(params.values()))
    if hypernet.generation == "none":
        every = torch.arange(len(some), device=some.device)
        return [Family(hypernet, every, params, buffers, learning_rate, weight_decay)]
    apart = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    if "apart" in buffers:
        apart = buffers["apart"].any(1)
    owned = replace(hypernet, generation="none")
    families = []
    for of_family, its_hypernet, owns in ((~apart, hypernet, False), (apart, owned, True)):
        if of_family.any():
            nets = of_family.nonzero().flatten()
            its_params = {name: t for name, t in params.items() if (name == "own") == owns}
            its_buffers = {
                name: t
                for name, t in buffers.items()
                if name in hypernet.masks or (name == "apart") == owns
            }
            families.append(
                Family(its_hypernet, nets, its_params, its_buffers, learning_rate, weight_decay)
            )
    return families


def by_family(families: list[Family], values: Tensor) -> Iterator[tuple[Family, Tensor]]:
    """Values of all networks, in the order of the families, each with its own."""
    return zip(families, values.split([len(family.nets) for family in families]), strict=True)
