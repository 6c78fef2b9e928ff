"""Bayesian additive regression trees, by stochtree at its defaults: draws of their posterior.

Categories are one-hot for them, and a binary outcome is the number it is, as for EconML's learners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypercate.benchmark.peers import one_hot
from hypercate.datasets import CausalSample


@dataclass(frozen=True)
class Posterior:
    """Effects as the means of their draws, and credible intervals as the draws' quantiles.

    Attributes
    ----------
    draws : callable
        From a frame to draws of its effects against control, shape (n_draws, n, n_arms - 1).
    """

    draws: Callable[[pd.DataFrame], np.ndarray]

    def effect(self, X: pd.DataFrame) -> np.ndarray:
        """Effects against control, (n,) or (n, n_arms - 1)."""
        return _of_arms(self.draws(X).mean(axis=0))

    def interval(self, X: pd.DataFrame, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the effects' intervals of level 1 - alpha, each of the effects' shape."""
        lower, upper = np.quantile(self.draws(X), [alpha / 2, 1 - alpha / 2], axis=0)
        return _of_arms(lower), _of_arms(upper)


def _of_arms(effects: np.ndarray) -> np.ndarray:
    return effects[:, 0] if effects.shape[1] == 1 else effects


def bart(train: CausalSample, seed: int) -> Posterior:
    """One BART of the covariates and the indicators of the treatments (Hill, 2011, JCGS 20(1))."""
    from stochtree import BARTModel

    encoded = one_hot(train.X)
    arms = np.eye(int(train.treatment.max()) + 1)[:, 1:]
    model = BARTModel()
    model.sample(
        X_train=np.column_stack([encoded, arms[train.treatment]]),
        y_train=train.y,
        general_params={"random_seed": seed},
    )

    def draws(X: pd.DataFrame) -> np.ndarray:
        rows = one_hot(X, encoded.columns).to_numpy()
        control, *treated = (
            model.predict(np.column_stack([rows, np.tile(arm, (len(rows), 1))]), terms="y_hat").T
            for arm in arms
        )
        return np.stack([outcome - control for outcome in treated], axis=2)

    return Posterior(draws)


def bcf(train: CausalSample, seed: int) -> Posterior:
    """Bayesian causal forests (Hahn, Murray & Carvalho, 2020, Bayesian Analysis 15(3)).

    The propensity is estimated by stochtree. Each treatment is fitted with the controls alone: a
    forest a pair.
    """
    from stochtree import BCFModel

    encoded = one_hot(train.X)
    models = []
    for arm in range(1, int(train.treatment.max()) + 1):
        rows = np.isin(train.treatment, [0, arm])
        model = BCFModel()
        model.sample(
            X_train=encoded[rows].to_numpy(),
            Z_train=(train.treatment[rows] == arm).astype(float),
            y_train=train.y[rows],
            general_params={"random_seed": seed},
        )
        models.append(model)

    def draws(X: pd.DataFrame) -> np.ndarray:
        rows = one_hot(X, encoded.columns).to_numpy()
        treated = np.ones(len(rows))
        return np.stack([model.predict(rows, treated, terms="cate").T for model in models], axis=2)

    return Posterior(draws)
