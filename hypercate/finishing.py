"""From what networks put out to potential outcomes: units, effects of their own, second stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypercate.effect_networks import EffectUnits
from hypercate.learners import TLearner
from hypercate.second_stage import SecondStage, moved


@dataclass(frozen=True, eq=False)
class Finish:
    """What becomes of the outputs of m networks, on the CPU and in float64.

    Attributes
    ----------
    learner : TLearner
    model : ndarray of int64, shape (m,)
        Model of the ensemble that a network is of.
    location, scale : Tensor of float64, shape (m, 1, 1)
        Unit of its target.
    share : ndarray of float64, shape (m, n_arms), or None
        Of each arm in the mean that second stages keep; None without second stages.
    kept : ndarray of float64, shape (m, n_arms, 1), or None
        Weight of the networks' own effects in them.
    bounds : (ndarray or float, ndarray or float)
        The least and the greatest that a mean outcome can be.
    effects : EffectUnits or None
        Of the effects' networks, where these have networks of their own.
    """

    learner: TLearner
    model: np.ndarray
    location: Tensor
    scale: Tensor
    share: np.ndarray | None
    kept: np.ndarray | None
    bounds: tuple[Any, Any]
    effects: EffectUnits | None

    @classmethod
    def of(
        cls,
        learner: TLearner,
        model: np.ndarray,
        location: np.ndarray,
        scale: np.ndarray,
        stages: tuple[SecondStage, ...],
        effects: EffectUnits | None,
    ) -> Finish:
        """From units and second stages of every model of the ensemble; no stages, if empty."""
        share = kept = None
        if stages:
            share = np.array([stages[m].share for m in model])
            kept = np.array([stages[m].kept for m in model])[:, None]
            kept = np.where(share > 0, kept, 1.0)[..., None]
        location, scale = (part[model][:, None, None] for part in (location, scale))
        return cls(
            learner,
            model,
            torch.as_tensor(location, device="cpu"),
            torch.as_tensor(scale, device="cpu"),
            share,
            kept,
            learner.family.bounds(location, scale),
            effects,
        )

    def __call__(self, output: Tensor, shift: np.ndarray | float = 0.0) -> Tensor:
        """Potential outcomes (m, n_arms, rows).

        Parameters
        ----------
        output : Tensor, shape (m, n_arms + n_effects, rows)
        shift : ndarray, shape (m, n_arms, rows), optional
            What second stages add.
        """
        if self.share is None or self.kept is None:
            return self.in_units(output)
        n_arms = self.share.shape[1]
        outcomes = self.in_units(output[:, :n_arms]).numpy()
        effects = outcomes
        if self.effects is not None:
            effects = self.effects.effects(output[:, n_arms:].numpy(), self.model)
        finished = moved(outcomes, effects, self.share, self.kept, shift)
        return torch.from_numpy(finished.clip(*self.bounds))

    def blended(self, output: Tensor, blend: Tensor) -> Tensor:
        """Outcomes (m, n_doses, rows) of doses.

        Parameters
        ----------
        output : Tensor, shape (m, n_arms, rows)
        blend : Tensor of float64, shape (1 or m, 1 or rows, n_doses, n_arms)
            How much each arm's network counts.
        """
        mixed = (output.double().transpose(1, 2)[:, :, None] * blend).sum(3)
        return self.in_units(mixed.transpose(1, 2))

    def in_units(self, output: Tensor) -> Tensor:
        """Potential outcomes of each output alone."""
        return self.learner.potential_outcome(output, self.location, self.scale)
