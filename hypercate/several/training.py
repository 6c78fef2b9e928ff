"""Networks of all outcomes, trained together: common hidden layers, one output per outcome."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hypercate.checkpoints import Checkpoint
from hypercate.folds import Folds
from hypercate.generator.hypernetwork import HyperNet
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.select import Candidates
from hypercate.study import Study
from hypercate.train.data import Data, units
from hypercate.train.fitting import Trained, fit_networks
from hypercate.train.processes import Processes
from hypercate.train.run import Loss, Schedule


def train_arms(
    studies: Sequence[Study],
    folds: Folds,
    hypernet: HyperNet,
    learners: Sequence[TLearner],
    candidates: Candidates,
    schedule: Schedule,
    views: Views,
    seed: int,
    processes: Processes,
    checkpoint: Checkpoint,
    blend: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Data, list[Trained]]:
    """Search and choose a candidate for every model, and train it from two random starts.

    Parameters
    ----------
    studies : sequence of Study, one per outcome
        Which differ in that.
    folds : Folds
    hypernet : HyperNet
        Whose networks have one output per outcome.
    learners : sequence of TLearner, one per outcome
    candidates : Candidates
    schedule : Schedule
    views : Views
        What the models read beside the covariates.
    seed : int
    processes : Processes
        That train the networks.
    checkpoint : Checkpoint
    blend : ndarray of float32, shape (n, c), and ndarray of int64, shape (n_ranges, c), optional
        Where treatments are doses: how much the c networks of its range count at each row's, and
        which networks these are.

    Returns
    -------
    data : Data
    trained : list of Trained, one per outcome
        The arms' networks of each.
    """
    study = studies[0]
    each = [
        target_of(study, folds, learner)[0]
        for study, learner in zip(studies, learners, strict=True)
    ]
    target = each[0] if len(each) == 1 else np.stack(each, axis=2)
    data = Data.of(study.x, views.inputs, target, study.weight, processes.device, blend)
    trained = processes.run(
        fit_networks,
        hypernet,
        data,
        folds,
        candidates.profiles(hypernet.net),
        candidates.input_scale(views, study.n_codes),
        _loss_of(learners),
        schedule,
        seed,
        checkpoint,
        checkpoint.next_stages(),
    )
    candidates.log_choice("arms", trained.found, trained.chosen)
    if len(each) == 1:
        return data, [trained]
    return data, [trained.of_output(output) for output in range(len(each))]


def target_of(
    study: Study, folds: Folds, learner: TLearner
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each model's target, with its unit.

    Returns
    -------
    target : ndarray of float32, shape (n_models, n)
    location, scale : ndarray of float64, shape (n_models,)
    """
    location, scale = units(study.y, study.weight, folds.learns, learner.family)
    return learner.family.target(study.y, location[:, None], scale[:, None]), location, scale


def _loss_of(learners: Sequence[TLearner]) -> Loss:
    """Mean over the outcomes of the losses of their own kind."""
    return learners[0].loss if len(learners) == 1 else partial(_mean_loss, learners)


def _mean_loss(learners: Sequence[TLearner], output: Tensor, target: Tensor) -> Tensor:
    outcomes = zip(learners, output.unbind(-1), target.unbind(-1), strict=True)
    return torch.stack([learner.loss(*own) for learner, *own in outcomes]).mean(0)
