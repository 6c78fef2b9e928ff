"""From a study and its folds to networks that the pre-trained generator emits, without training."""

from __future__ import annotations

import numpy as np
import torch

from hypercate.encoding.checks import warn
from hypercate.ensemble import Ensemble
from hypercate.fitted import Choice
from hypercate.folds import Folds
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.pretraining.emission import emit, untried
from hypercate.second_stage import networks_alone
from hypercate.study import Study
from hypercate.train.data import units


def emit_ensemble(
    study: Study,
    folds: Folds,
    learner: TLearner,
    views: Views,
    device: torch.device,
    seed: int,
) -> Ensemble:
    """Emit the networks of every model from the rows that it is not judged on.

    Draws differ by the last layers' coefficients.

    Parameters
    ----------
    study : Study
    folds : Folds
    learner : TLearner
    views : Views
        What the models read beside the covariates: means of levels.
    device : torch.device
    seed : int
        Of the draws.

    Warns
    -----
    UserWarning
        If the study is larger than those on which this has been tried.
    """
    for what, found, most in untried(study, views):
        warn(
            f"the study has {found} {what}, but effort='instant' has been tried only on up to "
            f"{most}: effects may be worse than those of effort='balanced', which trains "
            "networks on the rows"
        )
    n_models = folds.n_models
    emission = emit(study, folds, learner, views, folds.learns, device, seed)
    location, scale = units(study.y, study.weight, folds.learns, learner.family)
    return Ensemble(
        emission.net,
        learner,
        (),
        emission.theta,
        None,
        emission.deviations(),
        location,
        scale,
        Choice(
            sharing=("emitted",),
            inputs=("raw",),
            loss=emission.noise[:, None],
            chosen=np.zeros(n_models, dtype=np.int64),
            history=np.empty((0, 4)),
            emitted=np.ones(n_models),
            effects=networks_alone(n_models),
        ),
        emission,
        (),
        None,
    )
