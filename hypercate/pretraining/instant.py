"""From a study and its folds to networks that the pre-trained generator emits, without training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.encoding.checks import warn
from hypercate.ensemble import Ensemble
from hypercate.fitted import Choice, Pretrained
from hypercate.folds import Folds
from hypercate.generator.draws import as_deviations
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.learners import TLearner
from hypercate.nuisance.views import Views
from hypercate.outcomes import Normal
from hypercate.pretraining.emitted import Emitted
from hypercate.pretraining.emitter import Emitter
from hypercate.pretraining.logistic import logistic
from hypercate.pretraining.weights import SHA256, pretrained
from hypercate.study import Study
from hypercate.train.data import units
from hypercate.train.device import threads_for

_STANDARD = Normal()  # the generator reads every outcome as a continuous one
_DRAWS = 100
_BLOCK_ELEMENTS = 2**25  # of what last layers read, in all arms, or of their covariances
_MOST_ROWS, _MOST_INPUTS, _MOST_ARMS = 5_000, 100, 8


def emit_ensemble(
    study: Study,
    folds: Folds,
    learner: TLearner,
    views: Views,
    device: torch.device,
    seed: int,
) -> Ensemble:
    """Emit the networks of every model from the rows that it is not judged on.

    Draws differ by the last layers' coefficients, which come from their posterior distribution,
    widened as the generator has learned to where effects are known, and by how alike the rows of a
    cluster are.

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
    emitter = pretrained(device)
    n_units = emitter.shape["n_units"]
    n_models, n_arms = folds.n_models, study.n_conditions
    n_inputs = study.x.shape[1] + views.n_last
    read = np.append(np.flatnonzero(study.n_codes == 0), np.arange(study.x.shape[1], n_inputs))
    _warn_of_the_untried(len(study.y), len(read), n_arms)
    numbers = torch.as_tensor(study.x[:, study.n_codes == 0], device=device)
    arm = F.one_hot(torch.as_tensor(study.condition, device=device), n_arms)
    generator = torch.Generator("cpu").manual_seed(seed)
    n_draws = -(-_DRAWS // n_models)
    location, scale = units(study, folds, _STANDARD)
    target = torch.as_tensor(
        _STANDARD.target(study.y, location[:, None], scale[:, None]), device=device
    )
    n_features = 1 + len(read) + n_units
    elements = n_models * n_arms * n_features * max(len(study.y), 2 * n_features)
    n_blocks = min(n_models, -(-elements // _BLOCK_ELEMENTS))
    blocks = []
    for models in np.array_split(np.arange(n_models), n_blocks):
        weight = np.where(folds.judges[models], 0.0, study.weight)
        weight /= weight.sum(axis=1, keepdims=True) / (weight > 0).sum(axis=1, keepdims=True)
        x = numbers.expand(len(models), -1, -1)
        if views.n_last:
            x = torch.cat([x, torch.as_tensor(views.inputs[models], device=device)], 2)
        in_arm = torch.as_tensor(weight, dtype=torch.float32, device=device)[..., None] * arm
        with threads_for(elements // n_blocks):
            emitted, widening = _emit(emitter, x, in_arm, target[models], study, learner)
            deviation = emitted.last.draw(n_draws, generator) * widening[:, None, None]
            coefs = (emitted.last.coef, emitted.last.coef + deviation)
            blocks.append((*map(emitted.weights, coefs), emitted.noise))
    mean, drawn, noise = (
        torch.cat([block[part].cpu() for block in blocks], dim)
        for part, dim in enumerate((0, 1, 0))
    )
    location, scale = units(study, folds, learner.family)
    model = np.tile(np.arange(n_models), n_draws)
    return Ensemble(
        OutcomeNet(n_inputs, (n_units + 2,), "silu"),
        learner,
        Pretrained(SHA256),
        _with_unread(mean, read, n_inputs, n_units + 2),
        None,
        as_deviations(
            _with_unread(drawn.flatten(0, 1), read, n_inputs, n_units + 2),
            model,
            np.eye(n_models)[model],
        ),
        location,
        scale,
        Choice(
            sharing=("emitted",),
            inputs=("raw",),
            loss=noise.numpy().astype(np.float64)[:, None],
            chosen=np.zeros(n_models, dtype=np.int64),
            history=np.empty((0, 4)),
        ),
    )


@torch.no_grad()
def _emit(
    emitter: Emitter,
    x: Tensor,
    in_arm: Tensor,
    target: Tensor,
    study: Study,
    learner: TLearner,
) -> tuple[Emitted, Tensor]:
    """Networks of some models, and factors (m,) of draws of their coefficients."""
    emitted = emitter(x, in_arm, target)[-1]
    scores = in_arm * (target[..., None] - emitted.outcomes(x))
    widening = emitted.spread * _design_effect(scores.sum(2), study.cluster).sqrt()
    if learner.family.classes is None:
        return emitted, widening * emitted.noise.sqrt()
    y = torch.as_tensor(study.y, dtype=torch.float32, device=x.device)
    return logistic(emitted, x, in_arm, y), widening


def _design_effect(scores: Tensor, cluster: np.ndarray) -> Tensor:
    """How much more sums vary since rows of a cluster are alike: (m,), at least 1.

    Kish (1965, "Survey Sampling", section 5.4), from the rows' scores (m, n).
    """
    by_row = scores.cpu()  # where sums do not depend on the order in which threads end
    total = by_row.new_zeros(len(by_row), int(cluster.max()) + 1)
    total.index_add_(1, torch.as_tensor(cluster, device="cpu"), by_row)
    alone = by_row.square().sum(1)
    effect = total.square().sum(1) / alone.where(alone > 0, torch.ones_like(alone))
    return effect.clamp(min=1).to(scores)


def _with_unread(weights: Tensor, read: np.ndarray, n_inputs: int, width: int) -> Tensor:
    """Weights (..., n_weights) of networks that also have inputs that they do not read."""
    n_first = len(read) * width
    first = weights.new_zeros(*weights.shape[:-1], n_inputs, width)
    first[..., torch.as_tensor(read, device="cpu"), :] = weights[..., :n_first].unflatten(
        -1, (len(read), width)
    )
    return torch.cat([first.flatten(-2), weights[..., n_first:]], -1)


def _warn_of_the_untried(n: int, n_inputs: int, n_arms: int) -> None:
    for what, found, most in (
        ("rows", n, _MOST_ROWS),
        ("encoded covariates", n_inputs, _MOST_INPUTS),
        ("arms", n_arms, _MOST_ARMS),
    ):
        if found > most:
            warn(
                f"the study has {found} {what}, and effort='instant' has been tried on up to "
                f"{most}: effects may be worse than those of effort='balanced', which trains "
                "networks on the rows"
            )
