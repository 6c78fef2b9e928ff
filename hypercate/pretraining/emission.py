"""Networks of every model of an ensemble, emitted from the rows that the model may see."""

from __future__ import annotations

from collections.abc import Iterator
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
from hypercate.pretraining.likelihoods import Logit, likelihood_of, refitted
from hypercate.pretraining.weights import SHA256, pretrained
from hypercate.progress import stage
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
        ("rows", len(study.x), _MOST_ROWS),
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
    n_models = folds.n_models
    n_draws = -(-_DRAWS // n_models) if seed is not None else 0
    n_inputs = study.x.shape[1] + views.n_last
    read = _read(study, views)
    generator = torch.Generator("cpu").manual_seed(seed or 0)
    levels = views.inputs[..., : views.n_levels]
    blocks = []
    for _, emitted, widening in _emitted(study, learner, levels, seen, folds.learns, device):
        coef = emitted.last.coef
        drawn = coef.new_empty(0, *coef.shape)
        if n_draws:
            drawn = coef + emitted.last.draw(n_draws, generator) * widening[:, None, None]
        blocks.append((*map(emitted.weights, (coef, drawn)), emitted.noise))
    theta, drawn, noise = (
        torch.cat([block[part].cpu() for block in blocks], dim)
        for part, dim in enumerate((0, 1, 0))
    )
    width = pretrained(device).shape["n_units"] + 2
    theta, drawn = (_with_unread(weights, read, n_inputs, width) for weights in (theta, drawn))
    net = OutcomeNet(n_inputs, (width,), "silu")
    return Emission(net, theta, drawn, noise.numpy().astype(np.float64), SHA256)


def emitted_outcomes(
    study: Study, learner: TLearner, seen: np.ndarray, device: torch.device
) -> np.ndarray:
    """Potential outcomes at all rows, by networks that are emitted from some of them.

    Parameters
    ----------
    study : Study
        Without covariates that are codes of levels.
    learner : TLearner
    seen : ndarray of bool, shape (m, n)
        Rows that each of m sets of networks is emitted from.
    device : torch.device

    Returns
    -------
    ndarray of float64, shape (m, n, n_arms)
    """
    location, scale = (
        torch.as_tensor(part, device="cpu")[:, None, None]
        for part in units(study.y, study.weight, seen, learner.family)
    )
    no_levels = np.empty((*seen.shape, 0), dtype=np.float32)
    outcomes = [
        learner.potential_outcome(emitted.outcomes(x).cpu(), location[some], scale[some])
        for (some, x), emitted, _ in _emitted(study, learner, no_levels, seen, seen, device)
    ]
    return torch.cat(outcomes).numpy()


def _emitted(
    study: Study,
    learner: TLearner,
    levels: np.ndarray,
    seen: np.ndarray,
    of_unit: np.ndarray,
    device: torch.device,
) -> Iterator[tuple[tuple[np.ndarray, Tensor], Emitted, Tensor]]:
    """Some of the networks that are emitted from rows seen, with what they read, at a time.

    Parameters
    ----------
    levels : ndarray, shape (m, n, n_levels)
        Means of levels.
    seen : ndarray of bool, shape (m, n)
    of_unit : ndarray of bool, shape (m, n)
        Rows by which outcomes are standardised.

    Yields
    ------
    which, x : ndarray of int64, shape (b,), and Tensor, shape (b, n, n_read)
    emitted : Emitted
    widening : Tensor, shape (b,)
        Factors of draws of their coefficients.
    """
    emitter = pretrained(device)
    m, n_arms = len(seen), study.n_conditions
    likelihood = likelihood_of(learner.family)
    read = study.y if likelihood is None else likelihood.read(study.y)
    location, scale = units(read, study.weight, of_unit, _STANDARD)
    own = units(study.y, study.weight, of_unit, learner.family)
    numbers = torch.as_tensor(study.x[:, study.n_codes == 0], device=device)
    by_model = torch.as_tensor(levels, device=device)
    arm = F.one_hot(torch.as_tensor(study.condition, device=device), n_arms)
    target = torch.as_tensor(
        _STANDARD.target(read, location[:, None], scale[:, None]), device=device
    )
    y = torch.as_tensor(
        learner.family.target(study.y, *(part[:, None] for part in own)), device=device
    )
    n_features = 1 + numbers.shape[1] + by_model.shape[2] + emitter.shape["n_units"]
    elements = m * n_arms * n_features * max(len(study.x), 2 * n_features)
    n_blocks = min(m, -(-elements // _BLOCK_ELEMENTS))
    with stage("emitted networks", m, "model") as bar:
        for some in np.array_split(np.arange(m), n_blocks):
            weight = np.where(seen[some], study.weight, 0.0)
            weight /= weight.sum(axis=1, keepdims=True) / (weight > 0).sum(axis=1, keepdims=True)
            x = torch.cat([numbers.expand(len(some), -1, -1), by_model[some]], 2)
            in_arm = torch.as_tensor(weight, dtype=torch.float32, device=device)[..., None] * arm
            with threads_for(elements // n_blocks):
                emitted, widening = _emit(
                    emitter, x, in_arm, target[some], y[some], study.cluster, likelihood
                )
                yield (some, x), emitted, widening
            bar.update(len(some))


@torch.no_grad()
def _emit(
    emitter: Emitter,
    x: Tensor,
    in_arm: Tensor,
    target: Tensor,
    y: Tensor,
    cluster: np.ndarray,
    likelihood: Logit | None,
) -> tuple[Emitted, Tensor]:
    """Networks of some models, and factors (m,) of draws of their coefficients."""
    emitted = emitter(x, in_arm, target)[-1]
    scores = in_arm * (target[..., None] - emitted.outcomes(x))
    widening = emitted.spread * _design_effect(scores.sum(2), cluster).sqrt()
    if likelihood is None:
        return emitted, widening * emitted.noise.sqrt()
    emitted, dispersion = refitted(emitted, x, in_arm, y, likelihood)
    return emitted, widening * dispersion.sqrt()


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
