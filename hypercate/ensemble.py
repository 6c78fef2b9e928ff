"""From a study and its folds to the chosen networks of every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.evidence import overlap_weight
from hypercate.folds import Folds
from hypercate.generator.hypernetwork import HyperNet, Tensors
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.select import Candidates
from hypercate.study import Study
from hypercate.train.data import Data, units
from hypercate.train.loop import Found, search, train
from hypercate.train.run import Schedule

_LONGER = 2  # times as many epochs as its longest search, at most, until a model fits as closely


@dataclass(frozen=True)
class Ensemble:
    """Trained models, each with the candidate that it chose.

    Attributes
    ----------
    hypernet : HyperNet
    learner : TLearner
    candidates : Candidates
    params, buffers : dict of Tensor
        Models on the leading axis, on the CPU.
    theta, second : Tensor, shape (n_models, n_conditions, n_weights)
        Weights that they generate, and those of the same models from another random start.
    location, scale : ndarray of float64, shape (n_models,)
        Unit of each model's target.
    found : Found
        What their search said.
    chosen : ndarray of int64, shape (n_models,)
    """

    hypernet: HyperNet
    learner: TLearner
    candidates: Candidates
    params: Tensors
    buffers: Tensors
    theta: Tensor
    second: Tensor
    location: np.ndarray
    scale: np.ndarray
    found: Found
    chosen: np.ndarray


def fit_ensemble(
    study: Study,
    folds: Folds,
    hypernet: HyperNet,
    learner: TLearner,
    candidates: Candidates,
    schedule: Schedule,
    propensity: np.ndarray,
    views: Views,
    device: torch.device,
    seed: int,
    verbose: bool,
) -> Ensemble:
    """Search and choose a candidate for every model, and train it from two random starts.

    Parameters
    ----------
    study : Study
    folds : Folds
    hypernet : HyperNet
    learner : TLearner
    candidates : Candidates
    schedule : Schedule
    propensity : ndarray, shape (n, n_conditions)
        Cross-fitted.
    views : Views
        What the models read beside the covariates.
    device : torch.device
    seed : int
    verbose : bool
    """
    location, scale = units(study, folds, learner.family)
    target = learner.family.target(study.y, location[:, None], scale[:, None])
    data = Data(
        x=torch.as_tensor(study.x, device=device),
        view=torch.as_tensor(views.inputs, device=device) if views.n_last else None,
        y=torch.as_tensor(target, device=device),
        weight=torch.as_tensor(study.weight, dtype=torch.float32, device=device),
    )
    n_models, n_candidates = folds.n_models, len(candidates.sharing)
    input_scale = candidates.input_scale(views, study.n_codes)
    sharing = candidates.profiles(hypernet.net)
    found = search(
        hypernet,
        data,
        sharing * n_models,
        input_scale,
        folds.fit,
        folds.stop,
        learner.loss,
        schedule,
        seed,
        verbose,
    )
    chosen = candidates.choose(found, study.cluster, overlap_weight(propensity))
    models = np.arange(n_models)
    nets = models * n_candidates + chosen
    starts = [
        hypernet.init(sharing * n_models, input_scale, torch.Generator("cpu").manual_seed(start))
        for start in (seed, seed + 1)  # the first is the search's
    ]
    params, buffers = train(
        hypernet,
        data,
        np.tile(models, 2),
        (
            {name: torch.cat([p[name][nets] for p, _ in starts]) for name in starts[0][0]},
            {name: torch.cat([b[name][nets] for _, b in starts]) for name in starts[0][1]},
        ),
        np.tile(found.target[models, chosen], 2),
        np.tile(_LONGER * found.n_epochs.max(axis=1), 2),
        folds.train,
        learner.loss,
        schedule,
        seed + 1,
        verbose,
    )
    hypernet.advance_spectral(params, buffers, n_steps=100)
    with torch.no_grad():
        theta = hypernet.generate(params, buffers)
    return Ensemble(
        hypernet,
        learner,
        candidates,
        {name: tensor[:n_models] for name, tensor in params.items()},
        {name: tensor[:n_models] for name, tensor in buffers.items()},
        theta[:n_models],
        theta[n_models:],
        location,
        scale,
        found,
        chosen,
    )
