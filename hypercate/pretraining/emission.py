"""Networks of every model of an ensemble, emitted from the rows that the model may see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hypercate.folds import Folds
from hypercate.generator.draws import Drawn, as_deviations
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


@dataclass(frozen=True)
class Emission:
    """Emitted networks, on the CPU.

    Attributes
    ----------
    net : OutcomeNet
    theta : Tensor, shape (n_models, n_arms, n_weights)
    drawn : Tensor, shape (n_draws, n_models, n_arms, n_weights)
        Networks whose last layers are drawn from their posterior distribution, widened as the
        generator has learned to where effects are known, and by how alike rows of a cluster are.
    noise : ndarray of float64, shape (n_models,)
        Mean squared error of rows left out of the last layers, one at a time, in units of the
        outcome's variance.
    sha256 : str
        Checksum of the generator's weights.
    """

    net: OutcomeNet
    theta: Tensor
    drawn: Tensor
    noise: np.ndarray
    sha256: str

    def deviations(self) -> Drawn:
        """The networks drawn, each as a deviation from the networks of its model."""
        n_draws, n_models = self.drawn.shape[:2]
        model = np.tile(np.arange(n_models), n_draws)
        return as_deviations(self.drawn.flatten(0, 1), model, np.eye(n_models)[model])


def untried(study: Study, views: Views) -> list[tuple[str, int, int]]:
    """In what a study is larger than those on which the generator has been tried.

    Returns
    -------
    list of (str, int, int)
        What there is more of, how much there is, and how much has been tried.
    """
    sizes = (
        ("rows", len(study.y), _MOST_ROWS),
        ("encoded covariates", len(_read(study, views)), _MOST_INPUTS),
        ("arms", study.n_conditions, _MOST_ARMS),
    )
    return [size for size in sizes if size[1] > size[2]]


def emit(
    study: Study,
    folds: Folds,
    learner: TLearner,
    views: Views,
    seen: np.ndarray,
    device: torch.device,
    seed: int | None = None,
) -> Emission:
    """Emit the networks of every model.

    Parameters
    ----------
    study : Study
    folds : Folds
    learner : TLearner
    views : Views
        What the models read beside the covariates, of which only means of levels are read here.
    seen : ndarray of bool, shape (n_models, n)
        Rows that a model's networks are emitted from.
    device : torch.device
    seed : int, optional
        Of draws from the posterior distribution, a hundred over all models; none without.
    """
    emitter = pretrained(device)
    n_units = emitter.shape["n_units"]
    n_models, n_arms = folds.n_models, study.n_conditions
    n_draws = -(-_DRAWS // n_models) if seed is not None else 0
    n_inputs = study.x.shape[1] + views.n_last
    read = _read(study, views)
    numbers = torch.as_tensor(study.x[:, study.n_codes == 0], device=device)
    levels = torch.as_tensor(views.inputs[..., : views.n_levels], device=device)
    arm = F.one_hot(torch.as_tensor(study.condition, device=device), n_arms)
    generator = torch.Generator("cpu").manual_seed(seed or 0)
    location, scale = units(study, folds, _STANDARD)
    target = torch.as_tensor(
        _STANDARD.target(study.y, location[:, None], scale[:, None]), device=device
    )
    n_features = 1 + len(read) + n_units
    elements = n_models * n_arms * n_features * max(len(study.y), 2 * n_features)
    n_blocks = min(n_models, -(-elements // _BLOCK_ELEMENTS))
    blocks = []
    for models in np.array_split(np.arange(n_models), n_blocks):
        weight = np.where(seen[models], study.weight, 0.0)
        weight /= weight.sum(axis=1, keepdims=True) / (weight > 0).sum(axis=1, keepdims=True)
        x = torch.cat([numbers.expand(len(models), -1, -1), levels[models]], 2)
        in_arm = torch.as_tensor(weight, dtype=torch.float32, device=device)[..., None] * arm
        with threads_for(elements // n_blocks):
            emitted, widening = _emit(emitter, x, in_arm, target[models], study, learner)
            coef = emitted.last.coef
            drawn = coef.new_empty(0, *coef.shape)
            if n_draws:
                drawn = coef + emitted.last.draw(n_draws, generator) * widening[:, None, None]
            blocks.append((*map(emitted.weights, (coef, drawn)), emitted.noise))
    theta, drawn, noise = (
        torch.cat([block[part].cpu() for block in blocks], dim)
        for part, dim in enumerate((0, 1, 0))
    )
    theta, drawn = (
        _with_unread(weights, read, n_inputs, n_units + 2) for weights in (theta, drawn)
    )
    net = OutcomeNet(n_inputs, (n_units + 2,), "silu")
    return Emission(net, theta, drawn, noise.numpy().astype(np.float64), SHA256)


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


def _read(study: Study, views: Views) -> np.ndarray:
    """Inputs that emitted networks read: numbers and means of levels, not codes or trees."""
    n = study.x.shape[1]
    return np.append(np.flatnonzero(study.n_codes == 0), np.arange(n, n + views.n_levels))


def _with_unread(weights: Tensor, read: np.ndarray, n_inputs: int, width: int) -> Tensor:
    """Weights (..., n_weights) of networks that also have inputs that they do not read."""
    n_first = len(read) * width
    first = weights.new_zeros(*weights.shape[:-1], n_inputs, width)
    first[..., torch.as_tensor(read, device="cpu"), :] = weights[..., :n_first].unflatten(
        -1, (len(read), width)
    )
    return torch.cat([first.flatten(-2), weights[..., n_first:]], -1)
