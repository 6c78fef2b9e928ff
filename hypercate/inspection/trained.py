"""The trained generators of a fitted model's members, as this package reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from hypercate.fitted import Fitted
from hypercate.generator.hypernetwork import HyperNet, Tensors


@dataclass(frozen=True, eq=False)
class TrainedMembers:
    """Generators of the arms' networks, of the members whose mean is the prediction.

    Attributes
    ----------
    hypernet : HyperNet
        Their shape.
    params, buffers : dict of Tensor
        On the CPU; members on the leading axis, arms in their canonical order.
    member : ndarray of int64, shape (m,)
    place : ndarray of int64, shape (n_arms,)
        Where each of the estimator's arms stands in the canonical order; those that were added
        after the fit have no network.
    """

    hypernet: HyperNet
    params: Tensors
    buffers: Tensors
    member: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, fitted: Fitted) -> TrainedMembers:
        """Those of a fitted model.

        Raises
        ------
        ValueError
            If nothing was trained.
        """
        require_trained(fitted)
        generator, n = fitted.generators[0], fitted.networks.n_members
        params, buffers = (
            {name: torch.tensor(array[:n], device="cpu") for name, array in part.items()}
            for part in (generator.params, generator.buffers)
        )
        place = fitted.conditions.place[: generator.hypernet.n_arms]
        return cls(generator.hypernet, params, buffers, np.arange(n), place)

    def sharing(self) -> TrainedMembers:
        """Those whose arms share an embedding space, without weights that arms own."""
        shares = np.zeros(len(self.member), dtype=bool)
        if self.hypernet.generation != "none":
            shares = self.buffers["scale"].any(dim=1).numpy()
        kept = torch.tensor(np.flatnonzero(shares), device="cpu")
        params, buffers = (
            {name: tensor[kept] for name, tensor in part.items() if name not in ("own", "apart")}
            for part in (self.params, self.buffers)
        )
        return replace(self, params=params, buffers=buffers, member=self.member[shares])

    @torch.no_grad()
    def conditioning(self) -> Tensor:
        """What the generators are told of the estimator's arms, (m, n_arms, embedding_dim)."""
        return self.hypernet.conditioning(self.params, self.buffers)[:, self.place]

    @torch.no_grad()
    def theta(self) -> Tensor:
        """Weights of the networks of the estimator's arms, (m, n_arms, n_weights)."""
        return self.hypernet.generate(self.params, self.buffers)[:, self.place]


def fitted_of(est: Any) -> Fitted:
    """What a fit left, or a NotFittedError."""
    check_is_fitted(est, "fitted_")
    return est.fitted_


def fitted_of_arms(est: Any) -> Fitted:
    """The same for a model whose treatments are arms, or a ValueError."""
    fitted = fitted_of(est)
    if fitted.doses is not None:
        raise ValueError(
            "this looks at arms, and the treatments of this model are doses: see its curves by "
            "dose_response"
        )
    return fitted


def require_trained(fitted: Fitted) -> None:
    """Refuse a model of which no generator was trained."""
    if not fitted.generators:
        raise ValueError(
            'this model was fitted with effort="instant", which trains nothing: its networks are '
            "emitted by the pre-trained generator, so there is no generator of its own to look "
            "into. Fit it with another effort"
        )
