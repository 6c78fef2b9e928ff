"""The encoded rows on the training device, as each model of the ensemble sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hypercate.outcomes import Family


@dataclass(frozen=True)
class Data:
    """Encoded rows.

    Attributes
    ----------
    x : Tensor of float32, shape (n, n_first)
        Inputs that all models share.
    view : Tensor of float32, shape (n_models, n, n_last), or None
        Inputs of the models' own.
    y : Tensor of float32, shape (n_models, n), or (n_models, n, n_outputs) with several outputs
        Target, in each model's own unit.
    weight : Tensor of float32, shape (n,)
    blend : Tensor of float32, shape (n, c), or None
        How much the networks of its condition count at a row; None where there is a network for
        each condition.
    blended : Tensor of int64, shape (n_conditions, c), or None
        Which networks these are.
    """

    x: Tensor
    view: Tensor | None
    y: Tensor
    weight: Tensor
    blend: Tensor | None = None
    blended: Tensor | None = None

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        view: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        device: torch.device,
        blend: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Data:
        """On a device; `view` (n_models, n, n_last) may have no columns.

        `blend` holds how much networks count, and which.
        """
        return cls(
            x=torch.as_tensor(x, device=device),
            view=torch.as_tensor(view, device=device) if view.shape[2] else None,
            y=torch.as_tensor(target, device=device),
            weight=torch.as_tensor(weight, dtype=torch.float32, device=device),
            blend=None if blend is None else torch.as_tensor(blend[0], device=device),
            blended=None if blend is None else torch.as_tensor(blend[1], device=device),
        )

    def to(self, device: torch.device) -> Data:
        """On another device."""
        parts = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return replace(self, **parts)

    def inputs(self, model: Tensor, rows: Tensor) -> Tensor:
        """Inputs (b, w, n_inputs) of some models at rows (b, w)."""
        if self.view is None:
            return self.x[rows]
        return torch.cat([self.x[rows], self.view[model[:, None], rows]], dim=2)


def units(
    y: np.ndarray, weight: np.ndarray, seen: np.ndarray, family: Family
) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale of each model's target, from the rows that it has seen.

    Parameters
    ----------
    y : ndarray, shape (n,) or (n_models, n)
        The same for all models, or each model's own.
    weight : ndarray, shape (n,)
    seen : ndarray of bool, shape (n_models, n)
    family : Family

    Returns
    -------
    location, scale : ndarray of float64, shape (n_models,)
    """
    own = np.broadcast_to(y, seen.shape)
    each = [family.unit(of[some], weight[some]) for of, some in zip(own, seen, strict=True)]
    location, scale = np.array(each, dtype=np.float64).T
    return location, scale
