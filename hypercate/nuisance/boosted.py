"""What boosted trees see in the outcome: which inputs matter, and the mean of every arm.

Trees find steps, and the few columns that matter among many; a smooth network finds neither
quickly. Their view is offered to the network as inputs, and taken where it helps (Wolpert, 1992,
"Stacked generalization", Neural Networks 5:241-259).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.encoding.scaling import moments
from hypercate.folds import Folds
from hypercate.nuisance import lightgbm
from hypercate.nuisance.cross_fit import cross_fit
from hypercate.nuisance.tree_text import TreeText
from hypercate.study import Study

MOST_ROWS = 20_000  # of an arm, to grow trees on
ROWS_A_TREE = 1_000
N_TREES = 100
LEAST_LEAF = 1e-3  # weight of a leaf, in rows of average weight
LEAST_SCALE = 1e-6  # of predictions of a standardised outcome; below are rounding errors


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble of boosted trees for each arm.

    Attributes
    ----------
    models : tuple of str, length n_conditions
        LightGBM's text.
    gains : ndarray of float64, shape (n_conditions, n_inputs)
        Share of the trees' gain that each input has.
    location, scale : float
        Of the outcomes that they were grown on, by which their targets were standardised.
    """

    models: tuple[TreeText, ...]
    gains: np.ndarray
    location: float
    scale: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Mean outcome of every arm: float64, shape (n, n_conditions)."""
        standard = np.stack([lightgbm.predict(model, x) for model in self.models], axis=1)
        return standard * self.scale + self.location


@dataclass(frozen=True, eq=False)
class BoostedView:
    """What one model of the ensemble reads of trees.

    Attributes
    ----------
    trees : Trees
        Grown on all rows that the model is not judged on.
    location, scale : ndarray of float64, shape (n_conditions,)
        By which their predictions are standardised; the scale of a constant is infinite.
    relevance : ndarray of float32, shape (n_inputs,)
        Root of each input's share of the variation that the trees explain, 1 for the largest.
    """

    trees: Trees
    location: np.ndarray
    scale: np.ndarray
    relevance: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Standardised mean outcome of every arm: float32, shape (n, n_conditions)."""
        return self.standardise(self.trees.predict(x))

    def standardise(self, outcomes: np.ndarray) -> np.ndarray:
        return ((outcomes - self.location) / self.scale).astype(np.float32)

    def mean_outcomes(self, inputs: np.ndarray) -> np.ndarray:
        """What was standardised, in float32's precision."""
        return inputs * np.where(np.isfinite(self.scale), self.scale, 0.0) + self.location


def boosted_views(
    study: Study, folds: Folds, seed: int, n_jobs: int
) -> tuple[tuple[BoostedView, ...], np.ndarray]:
    """Grow the trees that each model of the ensemble reads, inside that model.

    Parameters
    ----------
    study : Study
    folds : Folds
    seed : int
        Of the rows that each tree is grown on.
    n_jobs : int
        Threads.

    Returns
    -------
    views : tuple of BoostedView, length n_models
    inputs : ndarray of float32, shape (n_models, n, n_conditions)
        `BoostedView.predict` at the rows, but where the model learns from a row by trees that were
        grown without the row's part, too.
    """

    def fit(study: Study, rows: np.ndarray) -> Trees:
        rows = folds.sample(rows, MOST_ROWS)
        location, spread = moments(study.y[rows], study.weight[rows])
        scale = spread or 1.0
        y = (study.y - location) / scale
        grown = [_grow(study, y, own, seed) for own in study.by_condition(rows)]
        models, gains = zip(*grown, strict=True)
        return Trees(models, np.stack(gains), location, scale)

    trees, predicted = cross_fit(fit, study, folds, n_jobs, "boosted trees")
    views = tuple(
        _view(study.of_model(m), own, values, folds.learns[m])
        for m, (own, values) in enumerate(zip(trees, predicted, strict=True))
    )
    inputs = [view.standardise(values) for view, values in zip(views, predicted, strict=True)]
    return views, np.stack(inputs)


def _grow(study: Study, y: np.ndarray, rows: np.ndarray, seed: int) -> tuple[TreeText, np.ndarray]:
    return lightgbm.grow(
        study.x[rows],
        y[rows],
        study.weight[rows],
        N_TREES,
        objective="regression",
        learning_rate=0.1,
        max_depth=3,
        num_leaves=8,
        min_data_in_leaf=1,
        min_sum_hessian_in_leaf=LEAST_LEAF,
        bagging_fraction=min(1.0, ROWS_A_TREE / len(rows)),
        bagging_freq=1,
        seed=seed,
        n_codes=study.n_codes,
    )


def _view(study: Study, trees: Trees, predicted: np.ndarray, learned: np.ndarray) -> BoostedView:
    """The view of a model that learns from some rows."""
    values, condition = predicted[learned], study.condition[learned]
    spread = moments(study.y[learned], study.weight[learned])[1] or 1.0
    of_own_arm = [values[condition == k, k] for k in range(study.n_conditions)]
    variation = np.array([len(own) * (moments(own)[1] / spread) ** 2 for own in of_own_arm])
    explained = variation @ np.where(study.n_codes > 0, 0.0, trees.gains)
    largest = explained.max()
    relevance = np.sqrt(explained / largest) if largest > 0 else np.ones(study.x.shape[1])
    location, scale = np.array([moments(of_arm) for of_arm in values.T]).T
    return BoostedView(
        trees,
        location,
        np.where(scale > LEAST_SCALE * spread, scale, np.inf),
        relevance.astype(np.float32),
    )
