"""From a study and its folds to the chosen networks of every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.evidence import overlap_weight
from hypercate.fitted import Choice, Generator, Pretrained
from hypercate.folds import Folds
from hypercate.generator.draws import Drawn, draw_networks
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
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
    """The models' networks, and where they come from.

    Attributes
    ----------
    net : OutcomeNet
    learner : TLearner
    generator : Generator or Pretrained
    theta : Tensor, shape (n_models, n_conditions, n_weights)
        Weights of the models.
    second : Tensor, shape (n_models, n_conditions, n_weights), or None
        Those of the same models from another random start; None where there is no start.
    drawn : (Tensor, ndarray, ndarray), or None
        Networks that draws differ by, as `draw_networks` gives them; None where these are the
        models themselves.
    location, scale : ndarray of float64, shape (n_models,)
        Unit of each model's target.
    choice : Choice
        Of every model.
    """

    net: OutcomeNet
    learner: TLearner
    generator: Generator | Pretrained
    theta: Tensor
    second: Tensor | None
    drawn: Drawn | None
    location: np.ndarray
    scale: np.ndarray
    choice: Choice


def fit_ensemble(
    study: Study,
    folds: Folds,
    hypernet: HyperNet,
    learner: TLearner,
    candidates: Candidates,
    schedule: Schedule,
    propensity: np.ndarray,
    views: Views,
    source: str,
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
    source : str
        What draws differ by; a key of `SOURCES`.
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
    params, buffers = (
        {name: tensor[:n_models] for name, tensor in part.items()} for part in (params, buffers)
    )
    return Ensemble(
        hypernet.net,
        learner,
        Generator(
            hypernet,
            {name: tensor.numpy() for name, tensor in params.items()},
            {name: tensor.numpy() for name, tensor in buffers.items()},
        ),
        theta[:n_models],
        theta[n_models:],
        None if source == "members" else draw_networks(hypernet, params, buffers, source, seed),
        location,
        scale,
        _choice(candidates, found, chosen),
    )


def _choice(candidates: Candidates, found: Found, chosen: np.ndarray) -> Choice:
    n_models, n_candidates = found.loss.shape
    nets = np.arange(n_models) * n_candidates + chosen
    history = found.history[np.isin(found.history[:, 0], nets)].astype(np.float64)
    history[:, 0] //= n_candidates
    return Choice(
        sharing=tuple(candidates.sharing),
        inputs=tuple(candidates.inputs),
        loss=found.loss.astype(np.float64),
        chosen=chosen,
        history=history[np.lexsort((history[:, 1], history[:, 0]))],
    )
