"""Potential outcomes by a fitted model, on which every other answer rests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from hypercate.boosting import BoostedTrees
from hypercate.crossfit import CrossFit, HeldOutErrors
from hypercate.device import resolve_device
from hypercate.effects import potential_outcomes
from hypercate.encoding import ArmEncoder, FeatureEncoder, OutcomeEncoder, check_rows
from hypercate.hypernet.hypernetwork import HyperNet, Tensors
from hypercate.learners import TLearner
from hypercate.propensity import Propensity
from hypercate.uncertainty import Calibration


class Outcomes:
    """What ``fit`` leaves, and the outcomes that it predicts."""

    device: str | torch.device
    arms_: np.ndarray
    outcome_: str
    sharing_: pd.DataFrame
    calibration_: Calibration
    _arms: ArmEncoder
    _buffers: Tensors
    _crossfit: CrossFit
    _errors: HeldOutErrors
    _features: FeatureEncoder
    _hypernet: HyperNet
    _learner: TLearner
    _outcome: OutcomeEncoder
    _params: Tensors
    _propensity: Propensity
    _rank: np.ndarray
    _seed: int
    _source: str
    _trees: BoostedTrees | None
    _used: np.ndarray

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_arms)
            In the units of y, or probabilities of ``classes_[1]``; columns in the order of arms_.
        """
        return self._outcomes_of(self._encode(X))

    def _encode(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._features.transform(X)

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        """Inputs of the networks, from encoded covariates; what no network looks at is 0."""
        if self._trees is not None:
            return np.hstack([x, self._trees.predict(x)])
        n_unseen = self._hypernet.net.n_inputs - x.shape[1]
        return np.pad(x, ((0, 0), (0, n_unseen))) if n_unseen else x

    def _tensors(self) -> tuple[Tensors, Tensors]:
        device = resolve_device(self.device)
        params = {name: tensor.to(device) for name, tensor in self._params.items()}
        buffers = {name: tensor.to(device) for name, tensor in self._buffers.items()}
        return params, buffers

    def _theta(self) -> Tensor:
        """Weights of every member's networks, shape (n_members, n_arms, n_weights)."""
        return self._hypernet.generate(*self._tensors())[:, self._rank]

    def _outcomes_of(self, x: np.ndarray) -> np.ndarray:
        """Potential outcomes (n, n_arms) at encoded covariates."""
        theta = self._theta()
        weight = torch.full((len(theta),), 1 / len(theta), dtype=torch.float64, device=theta.device)
        return self._evaluate(theta, x, weight)

    def _evaluate(self, theta: Tensor, x: np.ndarray, weight: Tensor | None = None) -> np.ndarray:
        """Outcomes by given networks at encoded covariates; see `potential_outcomes`."""
        return potential_outcomes(
            self._hypernet.net, theta, self._inputs(x), self._learner.potential_outcome, weight
        )

    def _codes(self, name: str, label: Any, n: int) -> np.ndarray:
        if label is None or np.ndim(label) == 0:
            return np.full(n, 0 if label is None else self._arms.code(label))
        check_rows(n, **{name: label})
        return self._arms.transform(label, name)

    def _control(self, T0: Any) -> int:
        check_is_fitted(self)
        return 0 if T0 is None else self._arms.code(T0)
