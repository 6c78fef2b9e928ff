"""Networks that the pre-trained generator emits, averaged with those that were trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.folds import Folds
from hypercate.generator.draws import Drawn
from hypercate.generator.outcome_net import OutcomeNet, WeighedNets
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.pretraining.emission import Emission, emit
from hypercate.study import Study
from hypercate.train.search import Found
from hypercate.weigh import emitted_share

AtStopRows = Callable[[OutcomeNet, Tensor], np.ndarray]


def weigh_emitted(
    study: Study,
    folds: Folds,
    learner: TLearner,
    views: Views,
    found: Found,
    target: np.ndarray,
    outputs: np.ndarray,
    at_stop_rows: AtStopRows,
    device: torch.device,
    seed: int,
) -> tuple[Emission, np.ndarray, np.ndarray]:
    """Emit every model's networks, and weigh them with the trained ones at its stop rows.

    Parameters
    ----------
    study : Study
    folds : Folds
    learner : TLearner
    views : Views
    found : Found
        Whose stop rows weigh; networks that are weighed were emitted from fit rows alone.
    target : ndarray, shape (n_models, n)
        In each model's unit.
    outputs : ndarray, shape (n_models, b, n_arms)
        Of the trained networks at the stop rows.
    at_stop_rows : callable
        Outputs there of networks of some shape, with weights (n_models, n_arms, n_weights).
    device : torch.device
    seed : int
        Of draws from the emitted networks' posterior distribution.

    Returns
    -------
    emission : Emission
        From all rows that a model learns from.
    share : ndarray, shape (n_models,)
        Of the emitted networks.
    outputs : ndarray, shape (n_models, b, n_arms)
        Averaged.
    """
    of_fit_rows = emit(study, folds, learner, views, folds.fits, device)
    emitted = at_stop_rows(of_fit_rows.net, of_fit_rows.theta.to(device))
    rows = found.rows
    own = study.condition[rows][..., None]
    share = emitted_share(
        np.take_along_axis(outputs, own, axis=2)[..., 0],
        np.take_along_axis(emitted, own, axis=2)[..., 0],
        np.take_along_axis(target, rows, axis=1),
        study.weight[rows] * found.real,
        study.cluster[rows],
        learner.loss,
    )
    emission = emit(study, folds, learner, views, folds.learns, device, seed)
    return emission, share, outputs + share[:, None, None] * (emitted - outputs)


def averaged(
    net: OutcomeNet,
    theta: Tensor,
    drawn: Drawn | None,
    departures: Drawn | None,
    emission: Emission,
    share: np.ndarray,
) -> tuple[WeighedNets, Tensor, Drawn | None, Drawn | None]:
    """Trained networks, from both starts and drawn, averaged with the emitted ones of the model.

    Networks that follow those of the arms with rows stay as they are: of described arms, and of
    effects.
    """
    both = WeighedNets(net, emission.net)
    n_others = theta.shape[1] - emission.theta.shape[1]
    emitted = F.pad(emission.theta, (0, 0, 0, n_others))
    by_arm = torch.as_tensor(share, dtype=torch.float32, device="cpu")[:, None]
    by_arm = F.pad(by_arm.expand(emission.theta.shape[:2]), (0, n_others))

    def of_models(weights: Tensor, model: np.ndarray) -> Tensor:
        return both.weighed(weights, emitted[model], by_arm[model])

    drawn, departures = (
        None if some is None else (of_models(some[0], some[1]), *some[1:])
        for some in (drawn, departures)
    )
    return both, of_models(theta, np.tile(np.arange(len(share)), 2)), drawn, departures
