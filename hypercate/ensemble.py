"""From a study and its folds to the chosen networks of every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.evidence import overlap_weight
from hypercate.fitted import Choice, Generator
from hypercate.folds import Folds
from hypercate.generator.draws import Drawn, draw_networks
from hypercate.generator.evaluate import outcomes_at_own_rows
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet, WeighedNets
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.pretraining.emission import Emission, emit
from hypercate.second_stage import SecondStage, fit_second_stages, networks_alone
from hypercate.select import Candidates
from hypercate.study import Study
from hypercate.train.data import Data, units
from hypercate.train.loop import Found, search, train
from hypercate.train.run import Schedule
from hypercate.weigh import emitted_share

_LONGER = 2  # times as many epochs as its longest search, at most, until a model fits as closely


@dataclass(frozen=True)
class Ensemble:
    """The models' networks, and where they come from.

    Attributes
    ----------
    net : OutcomeNet or WeighedNets
    learner : TLearner
    generator : Generator or None
        None where nothing was trained.
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
    emission : Emission or None
        The emitted networks, alone or averaged with those that were trained.
    stages : tuple of SecondStage, length n_models, or empty
        What becomes of the models' outcomes.
    """

    net: OutcomeNet | WeighedNets
    learner: TLearner
    generator: Generator | None
    theta: Tensor
    second: Tensor | None
    drawn: Drawn | None
    location: np.ndarray
    scale: np.ndarray
    choice: Choice
    emission: Emission | None
    stages: tuple[SecondStage, ...]


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
    pretrained: bool,
    second_stage: bool,
    device: torch.device,
    seed: int,
    n_jobs: int,
    verbose: bool,
) -> Ensemble:
    """Search and choose a candidate for every model, and train it from two random starts.

    The networks that the pre-trained generator emits from the same rows count beside it, by how
    well both predict the model's stop rows, and so do effects of a second stage beside theirs.

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
    pretrained : bool
        Whether emitted networks count.
    second_stage : bool
        Whether a second stage does; it needs trees.
    device : torch.device
    seed : int
    n_jobs : int
        Threads of the second stage.
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
    share, emission = np.zeros(n_models), None
    stages: tuple[SecondStage, ...] = ()
    effects = networks_alone(n_models)
    if pretrained or second_stage:
        outputs = _outputs(hypernet.net, found.theta[models, chosen], data, found)
        if pretrained:
            at_stops = emit(study, folds, learner, views, folds.fits, device)
            emitted = _outputs(at_stops.net, at_stops.theta.to(device), data, found)
            share = _share(study, learner, data, found, outputs, emitted)
            emission = emit(study, folds, learner, views, folds.learns, device, seed)
            outputs += share[:, None, None] * (emitted - outputs)
        if second_stage:
            outcomes = learner.potential_outcome(
                *(
                    torch.as_tensor(part, device="cpu")
                    for part in (outputs, location[:, None, None], scale[:, None, None])
                )
            )
            stages, effects = fit_second_stages(
                study,
                folds,
                views,
                propensity,
                found.rows,
                found.real,
                outcomes.numpy(),
                seed,
                n_jobs,
            )
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
    net: OutcomeNet | WeighedNets = hypernet.net
    drawn = None if source == "members" else draw_networks(hypernet, params, buffers, source, seed)
    if emission is not None:
        net, theta, drawn = _averaged(hypernet.net, theta, drawn, emission, share)
    return Ensemble(
        net,
        learner,
        Generator(
            hypernet,
            {name: tensor.numpy() for name, tensor in params.items()},
            {name: tensor.numpy() for name, tensor in buffers.items()},
        ),
        theta[:n_models],
        theta[n_models:],
        drawn,
        location,
        scale,
        _choice(candidates, found, chosen, share, effects),
        emission,
        stages,
    )


def _choice(
    candidates: Candidates,
    found: Found,
    chosen: np.ndarray,
    share: np.ndarray,
    effects: np.ndarray,
) -> Choice:
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
        emitted=share,
        effects=effects,
    )


def _outputs(net: OutcomeNet, theta: Tensor, data: Data, found: Found) -> np.ndarray:
    """Outputs at the models' stop rows, (n_models, b, n_arms), of networks with some weights."""
    models = torch.arange(len(theta), device=theta.device)
    return outcomes_at_own_rows(
        net,
        theta,
        lambda block: data.inputs(models, block),
        found.rows,
        lambda output, _: output.double(),
    )


def _share(
    study: Study,
    learner: TLearner,
    data: Data,
    found: Found,
    trained: np.ndarray,
    emitted: np.ndarray,
) -> np.ndarray:
    """How much emitted networks count beside the trained ones of each model, (n_models,)."""
    rows = found.rows
    own = study.condition[rows][..., None]
    return emitted_share(
        np.take_along_axis(trained, own, axis=2)[..., 0],
        np.take_along_axis(emitted, own, axis=2)[..., 0],
        np.take_along_axis(data.y.cpu().numpy(), rows, axis=1),
        study.weight[rows] * found.real,
        study.cluster[rows],
        learner.loss,
    )


def _averaged(
    net: OutcomeNet, theta: Tensor, drawn: Drawn | None, emission: Emission, share: np.ndarray
) -> tuple[WeighedNets, Tensor, Drawn | None]:
    """Trained networks, from both starts and drawn, averaged with the emitted ones of the model."""
    both = WeighedNets(net, emission.net)
    by_arm = torch.as_tensor(share, dtype=torch.float32, device="cpu")[:, None]
    by_arm = by_arm.expand(emission.theta.shape[:2])

    def averaged(weights: Tensor, model: np.ndarray) -> Tensor:
        return both.weighed(weights, emission.theta[model], by_arm[model])

    if drawn is not None:
        drawn = averaged(drawn[0], drawn[1]), *drawn[1:]
    return both, averaged(theta, np.tile(np.arange(len(share)), 2)), drawn
