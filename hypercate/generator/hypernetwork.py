"""The hypernetwork: from arm embeddings to the weights of every arm's potential-outcome network.

    theta[k] = scale * common + departure * emitted(arm k)

``scale`` is how strongly a network sees each input (1 for all but the first layer's weights), and
is contained in ``departure``, how far the arms may depart from one another. A network whose arms
share nothing has ``theta[k] = apart * own[k]`` instead; without a generator, arms own the weights
that may depart, and share the others.

Every tensor has a leading axis of independent networks (ensemble members by degrees of sharing),
so that all of them are one batched product. A `HyperNet` is only a shape; its tensors travel in
plain dicts: `params` (trained), `buffers` (not trained), and `drawn`, what a draw of the generator
is perturbed by: nothing for the point prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hypercate.generator import spectral
from hypercate.generator.architectures import matrix_shapes, over_pieces
from hypercate.generator.conditioning import unit_rms
from hypercate.generator.generation import LowRankPieces, Pieces, cut
from hypercate.generator.initialization import scales_of, start_scale
from hypercate.generator.noise import spread
from hypercate.generator.outcome_net import ALL_OUTPUTS, OutcomeNet
from hypercate.generator.profiles import Profile
from hypercate.generator.sizes import masks_of

Tensors = dict[str, Tensor]

PERTURBATIONS = ("dropout", "noise")
"""What a draw of the generator can be perturbed by."""

OWN_DEPARTURE = 0.1  # of a described arm's own embedding from what its description says

_CPU: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever the process's defaults are


@dataclass(frozen=True)
class HyperNet:
    """Shape of a hypernetwork.

    Parameters
    ----------
    net : OutcomeNet
        The network whose weights are generated.
    n_arms : int
    generation : {"chunk", "component", "low_rank", "once", "none"}
        ``"none"`` has no generator: each arm owns the weights that may depart.
    n_chunks, n_heads, embedding_dim, rank : int
        A head emits its own segment of a piece from its own share of the last hidden layer. The
        rank is of layers' matrices with ``"low_rank"``.
    hidden : tuple of int
        Widths of the generator's tanh layers.
    dropout : float
        Rate at which units of the last hidden layer are dropped.
    spectral_norm : bool
        Keep every generator matrix at spectral norm 1.
    noise : float
        Standard deviation of noise.
    noise_kind : {"input", "weights"}
        Whether noise conditions the generator beside the arm's embedding, of root mean square 1,
        or is added to what is emitted; see `hypercate.generator.noise`.
    arm_codes : tuple of tuple of float, one per arm
        Of the arms' descriptions, of root mean square 1; empty where arms are mere labels. An arm's
        embedding is then told by its description, but for what it learns of its own, which starts
        at 0 and stays there if no row received it.
    own_departure : float
        How much an arm's own embedding counts beside its description.
    architecture : {"mlp", "rnn", "cnn", "attention"}
        How pieces of the weights hear of one another; see `hypercate.generator.architectures`.
    n_context : int
        Numbers that a generator is told of each arm's rows, of root mean square 1; 0 for none.
    widths, depths : tuple of float
        Of the networks that are generated, as shares of the hidden units and layers of `net`: the
        buffers ``"width"`` and ``"depth"`` say which; see `hypercate.generator.sizes`.
    output : int
        The one of the net's outputs whose network `generate` returns; by default all in one.
    """

    net: OutcomeNet
    n_arms: int
    generation: str
    n_chunks: int
    n_heads: int
    embedding_dim: int
    hidden: tuple[int, ...]
    dropout: float
    spectral_norm: bool
    noise: float = 0.0
    arm_codes: tuple[tuple[float, ...], ...] = ()
    own_departure: float = OWN_DEPARTURE
    architecture: str = "mlp"
    n_context: int = 0
    noise_kind: str = "input"
    rank: int = 4
    widths: tuple[float, ...] = (1.0,)
    depths: tuple[float, ...] = (1.0,)
    output: int = ALL_OUTPUTS

    @cached_property
    def pieces(self) -> Pieces | LowRankPieces:
        return cut(self.net, self.generation, self.n_chunks, self.rank)

    @cached_property
    def masks(self) -> Tensors:
        """Factors of the weights at each ``"width"`` and ``"depth"``, where there are several."""
        return masks_of(self.net, self.widths, self.depths)

    @property
    def _matrices(self) -> list[str]:
        names = ["arm_matrix", *(f"matrix{i}" for i in range(1, len(self.hidden))), "heads"]
        if self.pieces.n_pieces > 1:
            names.insert(1, "piece_matrix")
        if self.noise and self.noise_kind == "input":
            names.append("noise_matrix")
        if self.arm_codes:
            names.append("code_matrix")
        if self.n_context:
            names.append("context_matrix")
        return names + list(self._over_pieces)

    @property
    def _over_pieces(self) -> dict[str, tuple[int, int]]:
        return matrix_shapes(self.architecture, self.hidden[0])

    def init(
        self,
        sharing: Sequence[Profile],
        input_scale: Tensor,
        generator: torch.Generator,
        context: Tensor | None = None,
    ) -> tuple[Tensors, Tensors]:
        """Draw the tensors of independent networks.

        Parameters
        ----------
        sharing : sequence of Profile, length nets
            How far each network lets its arms depart from one another. With
            ``generation="none"`` arms own what may depart, however far.
        input_scale : Tensor, shape (nets, n_inputs)
            Factor of each input; 0 hides it.
        generator : torch.Generator
        context : Tensor, shape (nets, n_arms, n_context), optional
            What is told of the arms' rows; needed, on the CPU, if `n_context` is not 0.

        Returns
        -------
        params, buffers : dict of Tensor
        """
        n, net = len(sharing), self.net

        def normal(*shape: int, std: float | Tensor = 1.0) -> Tensor:
            return torch.randn(n, *shape, generator=generator, **_CPU) * std

        scale, departure, apart, owned = scales_of(net, sharing, input_scale)
        size = {name: torch.full((n,), len(m) - 1, device="cpu") for name, m in self.masks.items()}
        if self.generation == "none":
            own = {"own": normal(self.n_arms, net.n_weights, std=start_scale(net))}
            departs = owned | (departure > 0)
            if departs.all():
                return own, {"apart": apart, **size}
            own["common"] = normal(net.n_weights, std=start_scale(net))
            return own, {"apart": departs * apart, "scale": ~departs * scale, **size}

        told = (self.embedding_dim, self.hidden[0])
        params = {
            "common": normal(net.n_weights, std=start_scale(net)),
            "arms": normal(self.n_arms, self.embedding_dim),
            "arm_matrix": normal(*told, std=told[0] ** -0.5),
            "bias0": torch.zeros(n, self.hidden[0], **_CPU),
        }
        if self.pieces.n_pieces > 1:
            params["pieces"] = normal(self.pieces.n_pieces, self.embedding_dim)
            params["piece_matrix"] = normal(*told, std=told[0] ** -0.5)
        for i in range(1, len(self.hidden)):
            params[f"matrix{i}"] = normal(
                *self.hidden[i - 1 : i + 1], std=self.hidden[i - 1] ** -0.5
            )
            params[f"bias{i}"] = torch.zeros(n, self.hidden[i], **_CPU)
        share = self.hidden[-1] // self.n_heads
        segment = -(-self.pieces.piece_size // self.n_heads)
        params["heads"] = normal(self.n_heads, share, segment, std=share**-0.5)
        buffers = {"departure": scale * departure, "scale": ~owned * scale, **size}
        if self.noise and self.noise_kind == "weights":
            params["log_spread"] = torch.zeros(n, net.n_weights, **_CPU)
        elif self.noise:
            params["noise_matrix"] = normal(*told, std=told[0] ** -0.5)
        if self.arm_codes:
            n_codes = len(self.arm_codes[0])
            params["code_matrix"] = normal(n_codes, self.embedding_dim, std=n_codes**-0.5)
            params["arms"].zero_()
            codes = torch.tensor(self.arm_codes, **_CPU)
            buffers["codes"] = codes.expand(n, *codes.shape).clone()
        if context is not None:
            params["context_matrix"] = normal(
                self.n_context, self.embedding_dim, std=self.n_context**-0.5
            )
            buffers["context"] = context
        for name, shape in self._over_pieces.items():
            params[name] = normal(*shape, std=shape[0] ** -0.5)
        if self.spectral_norm:
            for name in self._matrices:
                u = torch.randn(params[name].shape[:-1], generator=generator, **_CPU)
                buffers[f"u_{name}"] = spectral.power_iteration(params[name], u, n_steps=10)
        if owned.any():  # drawn last: whether any network owns must not move the others' start
            params["own"] = normal(self.n_arms, net.n_weights, std=start_scale(net))
            buffers["apart"] = owned * apart
        return params, buffers

    def advance_spectral(self, params: Tensors, buffers: Tensors, n_steps: int = 1) -> None:
        """Power iterations on every generator matrix, in place; a training step does one."""
        if self.spectral_norm and self.generation != "none":
            for name in self._matrices:
                u = buffers[f"u_{name}"]
                u.copy_(spectral.power_iteration(params[name], u, n_steps))

    def matrix(self, params: Tensors, buffers: Tensors, name: str) -> Tensor:
        """A generator matrix as it is used: divided by its norm with ``spectral_norm``."""
        if not self.spectral_norm:
            return params[name]
        return spectral.normalize(params[name], buffers[f"u_{name}"])

    def conditioning(self, params: Tensors, buffers: Tensors) -> Tensor:
        """What a generator is told of every arm, (nets, n_arms, embedding_dim); not with "none"."""
        arms = params["arms"]
        if self.arm_codes:
            described = buffers["codes"] @ self.matrix(params, buffers, "code_matrix")
            arms = described + self.own_departure * arms
        if self.n_context:
            arms = arms + buffers["context"] @ self.matrix(params, buffers, "context_matrix")
        return unit_rms(arms)

    def generate(self, params: Tensors, buffers: Tensors, drawn: Tensors | None = None) -> Tensor:
        """Weights of every arm's network, of the width and depth that are drawn or else taken.

        Parameters
        ----------
        params, buffers : dict of Tensor
            As `init` gives them, with nets on the leading axis.
        drawn : dict of Tensor, optional
            What each network's generator is perturbed by, as `perturb` gives it; by default
            nothing.

        Returns
        -------
        Tensor, shape (nets, n_arms, n_weights)
        """
        theta = self._largest(params, buffers, drawn or {})
        for name, masks in self.masks.items():
            size = (drawn or {}).get(name, buffers[name])
            theta = theta * masks.to(theta.device)[size][:, None]
        return self.net.of_output(theta, self.output)

    def _largest(self, params: Tensors, buffers: Tensors, drawn: Tensors) -> Tensor:
        """Weights of every arm's largest network."""
        if self.generation == "none":
            own = params["own"] * buffers["apart"][:, None]
            if "common" in params:
                own = own + (buffers["scale"] * params["common"])[:, None]
            return own
        told = self.conditioning(params, buffers)
        hidden = told @ self.matrix(params, buffers, "arm_matrix")
        if "noise" in drawn and self.noise_kind == "input":
            noise = drawn["noise"][:, None] @ self.matrix(params, buffers, "noise_matrix")
            hidden = hidden + self.noise * noise
        hidden = hidden[:, :, None]
        if "pieces" in params:
            piece = unit_rms(params["pieces"]) @ self.matrix(params, buffers, "piece_matrix")
            hidden = hidden + piece[:, None]
        hidden = torch.tanh(hidden + params["bias0"][:, None, None])
        hidden = over_pieces(
            self.architecture, hidden, lambda name: self.matrix(params, buffers, name)
        ).flatten(1, 2)
        for i in range(1, len(self.hidden)):
            matrix = self.matrix(params, buffers, f"matrix{i}")
            hidden = torch.tanh(torch.baddbmm(params[f"bias{i}"][:, None], hidden, matrix))
        if "dropout" in drawn:
            hidden = hidden * drawn["dropout"][:, None]
        hidden = hidden.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        heads = self.matrix(params, buffers, "heads")
        emitted = (hidden @ heads).transpose(1, 2).flatten(2)[..., : self.pieces.piece_size]
        if self.spectral_norm:
            emitted = emitted * (1 + (heads.shape[-1] / heads.shape[-2]) ** 0.5)
        emitted = emitted.unflatten(1, (self.n_arms, -1)).flatten(2)
        emitted = self.pieces.assemble(emitted)
        if "noise" in drawn and self.noise_kind == "weights":
            emitted = emitted + self.noise * spread(params["log_spread"])[:, None] * drawn["noise"]
        common = (buffers["scale"] * params["common"])[:, None]
        theta = torch.addcmul(common, buffers["departure"][:, None], emitted)
        if "own" in params:
            theta = torch.addcmul(theta, buffers["apart"][:, None], params["own"])
        return theta
