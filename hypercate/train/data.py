"""The encoded rows on the training device, as each model of the ensemble sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.outcomes import Family
from hypercate.study import Study


@dataclass(frozen=True)
class Data:
    """Encoded rows.

    Attributes
    ----------
    x : Tensor of float32, shape (n, n_first)
        Inputs that all models share.
    view : Tensor of float32, shape (n_models, n, n_last), or None
        Inputs of the models' own.
    y : Tensor of float32, shape (n_models, n)
        Target, in each model's own unit.
    weight : Tensor of float32, shape (n,)
    """

    x: Tensor
    view: Tensor | None
    y: Tensor
    weight: Tensor

    def inputs(self, model: Tensor, rows: Tensor) -> Tensor:
        """Inputs (b, w, n_inputs) of some models at rows (b, w)."""
        if self.view is None:
            return self.x[rows]
        return torch.cat([self.x[rows], self.view[model[:, None], rows]], dim=2)


def units(study: Study, seen: np.ndarray, family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale of each model's target, from the rows that it has seen.

    Parameters
    ----------
    study : Study
    seen : ndarray of bool, shape (n_models, n)
    family : Family

    Returns
    -------
    location, scale : ndarray of float64, shape (n_models,)
    """
    each = [family.unit(study.y[some], study.weight[some]) for some in seen]
    location, scale = np.array(each, dtype=np.float64).T
    return location, scale
