"""Mean outcomes of the arms given the covariates, by nuisances that have not seen the row.

Second stages take them out of the outcome. A model reads them at the rows that it learns from, by
nuisances that were fitted without the row's part and without the rows that judge the model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from hypercate.folds import Folds
from hypercate.learners import TLearner
from hypercate.nuisance.boosted import boosted_views
from hypercate.nuisance.cross_fit import in_pair, of_models, pairs_of
from hypercate.nuisance.views import View, Views
from hypercate.pretraining.emission import emitted_outcomes
from hypercate.study import Study


def emitted_means(
    study: Study, folds: Folds, learner: TLearner, device: torch.device
) -> np.ndarray:
    """Means by networks that the pre-trained generator emits, which need no training.

    Parameters
    ----------
    study : Study
        Without covariates that are codes of levels.
    folds : Folds
    learner : TLearner
    device : torch.device

    Returns
    -------
    ndarray of float64, shape (n_models, n, n_arms)
    """
    pairs = pairs_of(folds)
    inside = np.stack([in_pair(folds, pair) for pair in pairs])
    if study.y_without is not None:
        study = replace(study, y=np.stack([study.y_without[pair] for pair in pairs]))
    outcomes = emitted_outcomes(study, learner, ~inside, device)
    return of_models(
        folds,
        {pair: own[rows] for pair, own, rows in zip(pairs, outcomes, inside, strict=True)},
    )


def boosted_means(study: Study, folds: Folds, views: Views, seed: int, n_jobs: int) -> np.ndarray:
    """Means by the boosted trees that the models read; they are grown if the models read none.

    Parameters
    ----------
    study : Study
    folds : Folds
    views : Views
        Of this outcome alone.
    seed : int
        Of the rows that each tree is grown on.
    n_jobs : int
        Threads.

    Returns
    -------
    ndarray of float64, shape (n_models, n, n_arms)
    """
    boosted = tuple(view.boosted for view in views.views if isinstance(view, View) and view.boosted)
    inputs = views.inputs[..., views.n_levels :]
    if not boosted:
        boosted, inputs = boosted_views(study, folds, seed, n_jobs)
    return np.stack([view.mean_outcomes(own) for view, own in zip(boosted, inputs, strict=True)])
