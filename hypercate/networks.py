"""The generated networks of a fitted model, kept as weights, and what they predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from hypercate.effect_networks import EffectUnits
from hypercate.finishing import Finish
from hypercate.generator.evaluate import outcomes_at_own_rows, potential_outcomes
from hypercate.generator.outcome_net import OutcomeNet, WeighedNets
from hypercate.learners import TLearner
from hypercate.nuisance.views import JointView, View
from hypercate.second_stage import SecondStage
from hypercate.updated.correction import Correction

Finished = Callable[[torch.Tensor, slice], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Networks:
    """Every arm's network of every model, and those drawn from a perturbed generator.

    Attributes
    ----------
    net : OutcomeNet or WeighedNets
        Their shape.
    learner : TLearner
    theta : ndarray of float32, shape (n_networks, n_arms + n_effects, n_weights)
        The models come first, arms in the order of the estimator's; the effects' networks, if there
        are any, follow the arms'.
    model : ndarray of int64, shape (n_networks,)
        Model whose inputs and unit a network has.
    location, scale : ndarray of float64, shape (n_models,)
        Unit of each model's target.
    views : tuple of View or JointView, length n_models
        What each model reads beside the covariates.
    stages : tuple of SecondStage, length n_models, or empty
        What becomes of each model's outcomes; empty if they are the arms' networks'.
    effects : EffectUnits or None
        Of the effects' networks, where these have networks of their own.
    n_members : int
        Models, the first ones, whose mean is the prediction.
    mixture : ndarray of float64, shape (n_deviations, n_networks)
        Combinations of the networks that are deviations from the prediction.
    blend : ndarray of float64, shape (1 or m, 1 or n, n_doses, n_arms), or None
        How much each arm's network counts in an outcome, where these are of doses: for each model
        and row. Such outcomes take the place of the arms'. None if each arm has its own.
    correction : Correction or None
        What the models learned from rows that came after the fit: the last that becomes of their
        outcomes.
    """

    net: OutcomeNet | WeighedNets
    learner: TLearner
    theta: np.ndarray
    model: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    views: tuple[View | JointView, ...]
    stages: tuple[SecondStage, ...]
    effects: EffectUnits | None
    n_members: int
    mixture: np.ndarray
    blend: np.ndarray | None = None
    correction: Correction | None = None

    def at_doses(self, splines: np.ndarray) -> Networks:
        """Whose outcomes are those of some doses.

        Parameters
        ----------
        splines : ndarray, shape (..., n_doses, n_arms)
            For all rows, or with axes before: for each row, or each model and row.
        """
        return replace(self, blend=splines.reshape(*[1] * (4 - splines.ndim), *splines.shape))

    @property
    def n_generated(self) -> int:
        """Weights of an arm's network, without an emitted one that is averaged with it."""
        net = self.net
        return net.first.n_weights if isinstance(net, WeighedNets) else net.n_weights

    @property
    def n_models(self) -> int:
        return len(self.views)

    def predict(self, x: np.ndarray, device: torch.device) -> np.ndarray:
        """Mean of the members' potential outcomes, (n, n_arms), at encoded covariates."""
        n = self.n_members
        weight = torch.full((n,), 1 / n, dtype=torch.float64, device="cpu")
        return self._evaluate(x, slice(n), device, weight)

    def by_model(self, x: np.ndarray, device: torch.device) -> np.ndarray:
        """Potential outcomes by each model: (n_models, n, n_arms)."""
        return self._evaluate(x, slice(self.n_models), device)

    def deviations(self, x: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
        """Predictions (n, n_arms), and deviations from them (n_deviations, n, n_arms)."""
        outcomes = self._evaluate(x, slice(None), device)
        prediction = outcomes[: self.n_members].mean(axis=0)
        return prediction, np.tensordot(self.mixture, outcomes, 1)

    def at_own_rows(
        self, x: np.ndarray, view: np.ndarray | None, rows: np.ndarray, device: torch.device
    ) -> np.ndarray:
        """Potential outcomes by each model at rows of its own.

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_first)
        view : ndarray of float32, shape (n_models, n, n_last), or None
            What each model reads beside them there.
        rows : ndarray of int, shape (n_models, b)
        device : torch.device

        Returns
        -------
        ndarray of float64, shape (n_models, b, n_arms)
        """
        shared = torch.as_tensor(x, device=device)
        own = None if view is None else torch.as_tensor(view, device=device)
        models = torch.arange(self.n_models, device=device)[:, None]

        def inputs(block: torch.Tensor) -> torch.Tensor:
            return (
                shared[block]
                if own is None
                else torch.cat([shared[block], own[models, block]], dim=2)
            )

        return outcomes_at_own_rows(
            self.net,
            torch.as_tensor(self.theta[: self.n_models], device=device),
            inputs,
            rows,
            self._finish(
                np.arange(self.n_models), x[rows] if self.stages or self.correction else x
            ),
        )

    def _finish(self, model: np.ndarray, x: np.ndarray) -> Finished:
        """From outputs (m, n_arms, rows) of networks of some models to potential outcomes.

        Parameters
        ----------
        model : ndarray of int, shape (m,)
        x : ndarray, shape (n, n_inputs) or (n_models, n, n_inputs)
            Covariates of the rows, or of each model's; read if there is a second stage or a
            correction.
        """
        finish, correction = self._finish_fitted(model, x), self.correction
        if correction is None:
            return finish

        def corrected(output: torch.Tensor, rows: slice) -> torch.Tensor:
            own = x[rows] if x.ndim == 2 else x[model, rows]
            outcomes = finish(output, rows).numpy()
            return torch.from_numpy(correction.moved(outcomes, model, own))

        return corrected

    def _finish_fitted(self, model: np.ndarray, x: np.ndarray) -> Finished:
        """The same as the fit left it."""
        finish = self.finish(model)
        if self.blend is not None:
            shares = torch.as_tensor(self.blend, dtype=torch.float64, device="cpu")
            return lambda output, rows: finish.blended(
                output, shares[:, rows] if shares.shape[1] > 1 else shares
            )
        if not self.stages:
            return lambda output, _: finish(output)
        which = np.unique(model)
        shift = np.stack([self.stages[m].shift(x if x.ndim == 2 else x[m]).T for m in which])
        place = np.searchsorted(which, model)
        return lambda output, rows: finish(output, shift[..., rows][place])

    def finish(self, model: np.ndarray) -> Finish:
        """What becomes of the outputs of networks of some models (m,)."""
        return Finish.of(self.learner, model, self.location, self.scale, self.stages, self.effects)

    def _evaluate(
        self,
        x: np.ndarray,
        which: slice,
        device: torch.device,
        weight: torch.Tensor | None = None,
    ) -> np.ndarray:
        model = self.model[which]
        return potential_outcomes(
            self.net,
            torch.as_tensor(self.theta[which], device=device),
            x,
            self._view(x, model),
            self._finish(model, x),
            weight,
        )

    def _view(self, x: np.ndarray, model: np.ndarray) -> np.ndarray | None:
        """What the networks read beside x (m, n, n_last); None if none of them reads anything."""
        read = {m: self.views[m].predict(x) for m in np.unique(model).tolist()}
        if not any(values.shape[1] for values in read.values()):
            return None
        view = np.zeros((len(model), len(x), self.net.n_inputs - x.shape[1]), dtype=np.float32)
        for network, m in enumerate(model.tolist()):
            view[network, :, : read[m].shape[1]] = read[m]
        return view
