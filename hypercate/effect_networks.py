"""Networks of effects alone, for learners of two stages.

A row teaches the network of each arm that its learner compares the row's outcome with, so that rows
are repeated, once for each effect. All effects' networks of a model come from one hypernetwork.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hypercate.checkpoints import Checkpoint
from hypercate.folds import Folds
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import ALL_OUTPUTS
from hypercate.learners import EffectLearner
from hypercate.learners.effects import received_of
from hypercate.nuisance.views import Views
from hypercate.outcomes import Normal
from hypercate.select import Candidates
from hypercate.study import Study
from hypercate.train.context import n_moments
from hypercate.train.data import Data, units
from hypercate.train.fitting import Trained, fit_networks
from hypercate.train.processes import Processes
from hypercate.train.run import Schedule

_FAMILY = Normal()  # effects are real numbers, whatever the outcome


@dataclass(frozen=True, eq=False)
class EffectUnits:
    """What the outputs of effects' networks stand for.

    Attributes
    ----------
    arms : ndarray of int64, shape (n_effects,)
        The arm of each; the effects are against the arm that is left out.
    location, scale : ndarray of float64, shape (n_models,)
        Unit of each model's effects.
    """

    arms: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    def effects(self, output: np.ndarray, model: np.ndarray) -> np.ndarray:
        """Effects (m, n_arms, b) against the arm left out, of outputs (m, n_effects, b)."""
        location, scale = (part[model][:, None, None] for part in (self.location, self.scale))
        effects = np.zeros((len(output), 1 + len(self.arms), output.shape[2]))
        effects[:, self.arms] = output * scale + location
        return effects

    def with_arms(self, place: np.ndarray) -> EffectUnits:
        """With the arms in another order."""
        return replace(self, arms=np.argsort(place)[self.arms])


def fit_effect_networks(
    study: Study,
    folds: Folds,
    hypernet: HyperNet,
    learner: EffectLearner,
    candidates: Candidates,
    schedule: Schedule,
    propensity: np.ndarray,
    means: np.ndarray,
    views: Views,
    seed: int,
    processes: Processes,
    checkpoint: Checkpoint,
) -> tuple[Trained, EffectUnits]:
    """Fit the effects of all arms against the one that most rows received.

    Parameters
    ----------
    study : Study
    folds : Folds
    hypernet : HyperNet
        Of the arms' networks, whose shape those of the effects have.
    learner : EffectLearner
    candidates : Candidates
    schedule : Schedule
    propensity : ndarray, shape (n, n_arms)
        Cross-fitted.
    means : ndarray, shape (n_models, n, n_arms)
        Mean outcomes, as `hypercate.nuisance.means` gives them.
    views : Views
    seed : int
    processes : Processes
        That train the networks.
    checkpoint : Checkpoint
    """
    reference = int(np.bincount(study.condition, study.weight).argmax())
    arms = np.delete(np.arange(study.n_conditions), reference)
    rows, weights, targets = [], [], []
    for k in arms.tolist():
        pair = np.array([reference, k])
        received = received_of(study.condition, k, reference)
        weight = study.weight * learner.weight(received, propensity[:, pair])
        some = np.flatnonzero(weight)
        rows.append(some)
        weights.append(weight[some])
        targets.append(
            learner.target(
                study.y[..., some], received[some], propensity[np.ix_(some, pair)],
                means[:, some][..., pair],
            )
        )  # fmt: skip
    row, weight, target = np.hstack(rows), np.hstack(weights), np.hstack(targets)
    repeated = folds.repeated(row, np.repeat(np.arange(len(arms)), list(map(len, rows))))
    location, scale = units(target, weight, repeated.learns, _FAMILY)
    data = Data.of(
        study.x[row],
        views.inputs[:, row],
        _FAMILY.target(target, location[:, None], scale[:, None]),
        weight / weight.mean(),
        processes.device,
    )
    candidates = candidates.of_effects(len(arms))
    trained = processes.run(
        fit_networks,
        replace(
            hypernet,
            net=hypernet.net.of(hypernet.output),
            output=ALL_OUTPUTS,
            n_context=n_moments(hypernet.net.n_inputs) if hypernet.n_context else 0,
            n_arms=len(arms),
            arm_codes=tuple(hypernet.arm_codes[k] for k in arms) if hypernet.arm_codes else (),
        ),
        data,
        repeated,
        candidates.profiles(hypernet.net.of(hypernet.output)),
        candidates.input_scale(views, study.n_codes),
        _FAMILY.loss,
        schedule,
        seed,
        checkpoint,
        checkpoint.next_stages(),
    )
    candidates.log_choice("effects", trained.found, trained.chosen)
    return trained, EffectUnits(arms, location, scale)
