"""From the trained networks of an outcome to the ensemble that predicts it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypercate.averaging import averaged, weigh_emitted
from hypercate.checkpoints import Checkpoint
from hypercate.effect_networks import EffectUnits, fit_effect_networks
from hypercate.fitted import Choice, Generator
from hypercate.folds import Folds
from hypercate.generator.draws import Drawn, draw_departures, draw_networks
from hypercate.generator.evaluate import outcomes_at_own_rows
from hypercate.generator.outcome_net import OutcomeNet, WeighedNets
from hypercate.learners import EffectLearner, TLearner
from hypercate.nuisance.means import boosted_means, emitted_means
from hypercate.nuisance.supplied import supplied_means
from hypercate.nuisance.views import Views
from hypercate.pretraining.emission import Emission
from hypercate.progress import LOG
from hypercate.second_stage import (
    COMPONENTS,
    SecondStage,
    fit_second_stages,
    left_alone,
    moved,
    networks_alone,
    shares,
)
from hypercate.select import Candidates
from hypercate.several.training import target_of
from hypercate.study import Study
from hypercate.train.data import Data
from hypercate.train.fitting import Trained
from hypercate.train.processes import Processes
from hypercate.train.run import Schedule
from hypercate.train.search import Found


@dataclass(frozen=True)
class Ensemble:
    """The models' networks, and where they come from.

    Attributes
    ----------
    net : OutcomeNet or WeighedNets
    learner : TLearner
    generators : tuple of Generator
        Of the arms' networks and of the effects'; empty where nothing was trained.
    theta : Tensor, shape (n_models, n_conditions + n_effects, n_weights)
        Weights of the models' networks, of the arms and of effects.
    second : Tensor, shape (n_models, n_conditions + n_effects, n_weights), or None
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
    effects : EffectUnits or None
        Of the effects' networks, where the learner has such.
    departures : (Tensor, ndarray, ndarray), or None
        Networks of arms that no row received, as `draw_departures` gives them; None without such,
        and where draws do not differ by the models.
    """

    net: OutcomeNet | WeighedNets
    learner: TLearner
    generators: tuple[Generator, ...]
    theta: Tensor
    second: Tensor | None
    drawn: Drawn | None
    location: np.ndarray
    scale: np.ndarray
    choice: Choice
    emission: Emission | None
    stages: tuple[SecondStage, ...]
    effects: EffectUnits | None
    departures: Drawn | None = None


def fit_ensemble(
    study: Study,
    folds: Folds,
    data: Data,
    trained: Trained,
    learner: TLearner,
    candidates: Candidates,
    schedule: Schedule,
    propensity: np.ndarray,
    views: Views,
    own_views: Views,
    model_outcome: Any,
    source: str,
    pretrained: bool,
    second_stage: bool,
    processes: Processes,
    seed: int,
    n_jobs: int,
    checkpoint: Checkpoint,
) -> Ensemble:
    """Make an ensemble of the networks that were trained for an outcome.

    The networks that the pre-trained generator emits from the same rows count beside it, by how
    well both predict the model's stop rows, and so do effects of a second stage beside theirs.

    Parameters
    ----------
    study : Study
    folds : Folds
    data : Data
        That the networks were trained on.
    trained : Trained
    learner : TLearner
    candidates : Candidates
    schedule : Schedule
        Of the effects' networks, where the learner has such.
    propensity : ndarray, shape (n, n_conditions)
        Cross-fitted.
    views : Views
        What the models read beside the covariates.
    own_views : Views
        The same of this outcome alone, where others were trained with it.
    model_outcome : estimator or None
        Of the mean outcomes that second stages take out, in place of our own.
    source : str
        What draws differ by; a key of `SOURCES`.
    pretrained : bool
        Whether emitted networks count.
    second_stage : bool
        Whether effects of a second stage do.
    processes : Processes
        That train the networks.
    seed : int
    n_jobs : int
        Threads of the second stage.
    checkpoint : Checkpoint
        Of the effects' networks.
    """
    target, location, scale = target_of(study, folds, learner)
    hypernet, found = trained.hypernet, trained.found
    own_net = hypernet.net.of(hypernet.output)
    at_stop_rows = partial(_outputs, data, found)
    share, emission = np.zeros(folds.n_models), None
    outputs = at_stop_rows(own_net, trained.searched[:, : study.n_conditions])
    if pretrained:
        emission, share, outputs = weigh_emitted(
            study,
            folds,
            learner,
            views,
            found,
            target,
            outputs,
            at_stop_rows,
            processes.device,
            seed,
        )
    outcomes = learner.potential_outcome(
        *(
            torch.as_tensor(part, device="cpu")
            for part in (outputs, location[:, None, None], scale[:, None, None])
        )
    ).numpy()
    two_stages = isinstance(learner, EffectLearner)
    means = np.empty(0)
    if model_outcome is not None:
        means = supplied_means(model_outcome, study, folds, n_jobs)
    elif two_stages and pretrained and not study.n_codes.any():
        means = emitted_means(study, folds, learner, processes.device)
    elif two_stages or second_stage:
        means = boosted_means(study, folds, own_views, seed, n_jobs)
    parts, effects = [trained], None
    arm_share = shares(study, folds)
    stages: tuple[SecondStage, ...] = ()
    if isinstance(learner, EffectLearner):
        own, effects = fit_effect_networks(
            study, folds, hypernet, learner, candidates, schedule, propensity, means, views, seed,
            processes, checkpoint,
        )  # fmt: skip
        parts.append(own)
        of_networks = effects.effects(
            at_stop_rows(own_net, own.searched).swapaxes(1, 2), np.arange(folds.n_models)
        )
        outcomes = moved(outcomes.swapaxes(1, 2), of_networks, arm_share).swapaxes(1, 2)
        stages = left_alone(arm_share)
    weights = networks_alone(folds.n_models)
    if second_stage:
        stages, weights = fit_second_stages(
            study,
            folds,
            propensity,
            means,
            np.pad(arm_share, ((0, 0), (0, hypernet.n_arms - study.n_conditions))),
            found.rows,
            found.real,
            outcomes,
            seed,
            n_jobs,
        )
    LOG.info("weight of emitted networks: %.2f, the mean over the models", share.mean())
    of_parts = zip(COMPONENTS, weights.mean(axis=0), strict=True)
    LOG.info("weight of effects by %s", ", ".join(f"{part} {mean:.2f}" for part, mean in of_parts))
    net: OutcomeNet | WeighedNets = own_net
    starts = ([part.theta for part in parts], [part.second for part in parts])
    theta = torch.cat([torch.cat(start, 1) for start in starts])
    drawn = None if source == "members" else _drawn(parts, source, seed)
    departures = None
    if drawn is None and data.blend is None and study.n_conditions < hypernet.n_arms:
        departures = draw_departures(
            hypernet, trained.params, trained.buffers, trained.theta, study.n_conditions
        )
    if emission is not None:
        net, theta, drawn, departures = averaged(own_net, theta, drawn, departures, emission, share)
    return Ensemble(
        net,
        learner,
        tuple(map(_generator, parts)),
        theta[: folds.n_models],
        theta[folds.n_models :],
        drawn,
        location,
        scale,
        _choice(candidates, trained, share, weights),
        emission,
        stages,
        effects,
        departures,
    )


def _generator(part: Trained) -> Generator:
    return Generator(
        part.hypernet,
        {name: tensor.numpy() for name, tensor in part.params.items()},
        {name: tensor.numpy() for name, tensor in part.buffers.items()},
    )


def _drawn(parts: list[Trained], source: str, seed: int) -> Drawn:
    """Networks of arms, and of effects beside them, from perturbed generators."""
    each = [draw_networks(part.hypernet, part.params, part.buffers, source, seed) for part in parts]
    return torch.cat([theta for theta, *_ in each], 1), *each[0][1:]


def _choice(
    candidates: Candidates, trained: Trained, share: np.ndarray, effects: np.ndarray
) -> Choice:
    found, chosen = trained.found, trained.chosen
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


def _outputs(data: Data, found: Found, net: OutcomeNet, theta: Tensor) -> np.ndarray:
    """Outputs at the models' stop rows, (n_models, b, n_arms), of networks with some weights."""
    models = torch.arange(len(theta), device=theta.device)
    return outcomes_at_own_rows(
        net,
        theta,
        lambda block: data.inputs(models, block),
        found.rows,
        lambda output, _: output.double(),
    )
