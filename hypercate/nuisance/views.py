"""What a model of the ensemble reads beside the covariates: means of levels, and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hypercate.folds import Folds
from hypercate.nuisance.boosted import BoostedView, boosted_views
from hypercate.nuisance.levels import LevelMeans, level_views
from hypercate.study import Study


@dataclass(frozen=True, eq=False)
class View:
    """Further inputs of one model, at any covariates.

    Attributes
    ----------
    levels : LevelMeans or None
        None where no covariate has many levels.
    boosted : BoostedView or None
        None for a model that reads no trees.
    """

    levels: LevelMeans | None
    boosted: BoostedView | None

    @property
    def without_trees(self) -> View:
        return replace(self, boosted=None)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Inputs at encoded covariates: float32, shape (n, n_last)."""
        return _side_by_side([self.levels, self.boosted], x)


@dataclass(frozen=True, eq=False)
class JointView:
    """Further inputs of a model of several outcomes.

    Attributes
    ----------
    each : tuple of View, one per outcome
    """

    each: tuple[View, ...]

    @property
    def without_trees(self) -> JointView:
        return JointView(tuple(view.without_trees for view in self.each))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Inputs as of `View`: the means of levels of all outcomes, then the trees of all."""
        levels = [view.levels for view in self.each]
        return _side_by_side([*levels, *(view.boosted for view in self.each)], x)


def _side_by_side(parts: list[Any], x: np.ndarray) -> np.ndarray:
    known = [part.predict(x) for part in parts if part is not None]
    return np.hstack([np.empty((len(x), 0)), *known]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Views:
    """The views of all models, and what they are at the training rows.

    Attributes
    ----------
    views : tuple of View or JointView, length n_models
    inputs : ndarray of float32, shape (n_models, n, n_last)
        `View.predict` at the rows, but where a model learns from a row by nuisances that were
        fitted without the row's part, too. Means of levels come first.
    n_boosted : int
        How many of the inputs, the last ones, are predictions of trees.
    relevance : ndarray of float32, shape (n_models, n_inputs)
        Of the covariates, as each model's trees see them; ones without trees.
    """

    views: tuple[View | JointView, ...]
    inputs: np.ndarray
    n_boosted: int
    relevance: np.ndarray

    @property
    def n_last(self) -> int:
        """Inputs beside the covariates."""
        return self.inputs.shape[2]

    @property
    def n_levels(self) -> int:
        """How many of them are means of levels."""
        return self.n_last - self.n_boosted


def model_views(study: Study, folds: Folds, need_trees: bool, seed: int, n_jobs: int) -> Views:
    """Fit what each model of the ensemble reads, inside that model.

    Parameters
    ----------
    study : Study
    folds : Folds
    need_trees : bool
    seed : int
        Of the rows that each tree is grown on.
    n_jobs : int
        Threads.
    """
    n_models, (n, n_inputs) = folds.n_models, study.x.shape
    levels: list = [None] * n_models
    boosted: tuple = (None,) * n_models
    inputs = [np.empty((n_models, n, 0), dtype=np.float32)]
    relevance = np.ones((n_models, n_inputs), dtype=np.float32)
    n_boosted = 0
    if study.n_codes.any():
        levels, values = level_views(study, folds, n_jobs)
        inputs.append(values.astype(np.float32))
    if need_trees:
        boosted, predicted = boosted_views(study, folds, seed, n_jobs)
        inputs.append(predicted)
        relevance = np.stack([view.relevance for view in boosted])
        n_boosted = study.n_conditions
    return Views(
        tuple(map(View, levels, boosted)), np.concatenate(inputs, axis=2), n_boosted, relevance
    )


def joint_views(each: Sequence[Views]) -> Views:
    """What models of several outcomes read: the views of every outcome, side by side.

    A covariate is as relevant as it is for the outcome for which it is most.

    Parameters
    ----------
    each : sequence of Views, one per outcome
        A single one is returned as it is.
    """
    if len(each) == 1:
        return each[0]
    levels = [views.inputs[..., : views.n_levels] for views in each]
    boosted = [views.inputs[..., views.n_levels :] for views in each]
    return Views(
        tuple(map(JointView, zip(*(views.views for views in each), strict=True))),
        np.concatenate([*levels, *boosted], axis=2),
        sum(views.n_boosted for views in each),
        np.max([views.relevance for views in each], axis=0),
    )
