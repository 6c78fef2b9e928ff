"""How much each part of a model counts: emitted networks, and effects of the second stage."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from hypercate.train.run import Loss

HELD = 20.0  # stop rows below which models are held to the emitted networks
HELD_EFFECTS = 3.0  # information of stop rows on effects below which networks' own are held to
_SHARES = np.linspace(0, 1, 101)
_STEPS = 20  # in which effects are weighed, from none to all


def emitted_share(
    trained: np.ndarray,
    emitted: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    cluster: np.ndarray,
    loss: Loss,
) -> np.ndarray:
    """The share of the emitted networks by which a model best predicts its stop rows.

    Stacking (Wolpert, 1992, "Stacked generalization", Neural Networks 5:241-259; convex weights
    after Breiman, 1996, "Stacked regressions", Machine Learning 24:49-64) of two predictions, held
    to the emitted one: few rows say little, and the trained networks look better at rows that have
    stopped and chosen them than at others. With n rows of mean loss L(w) at the share w, of which
    the least is L*, the share minimises

        L(w) / L* + (HELD / n)^2 (1 - w)^2

    Parameters
    ----------
    trained, emitted : ndarray, shape (n_models, b)
        Outputs of the networks at the model's stop rows, which neither was fitted on.
    target : ndarray, shape (n_models, b)
    weight : ndarray, shape (n_models, b)
        0 where there is no row.
    cluster : ndarray of int, shape (n_models, b)
        Rows of one cluster count as one.
    loss : callable
        Elementwise, of tensors of output and target.

    Returns
    -------
    ndarray, shape (n_models,)
    """
    shares = _SHARES[:, None, None]
    mixed = torch.as_tensor(trained + shares * (emitted - trained))
    losses = loss(mixed, torch.as_tensor(target).to(mixed).expand_as(mixed)).numpy()
    tiny = np.finfo(np.float64).tiny
    mean = (losses * weight).sum(axis=2) / weight.sum(axis=1).clip(tiny)
    evidence = _effective(weight, cluster) ** 2 * mean / mean.min(axis=0).clip(tiny)
    return _SHARES[np.argmin(evidence + HELD**2 * (1 - _SHARES[:, None]) ** 2, axis=0)]


def effect_weights(
    effects: np.ndarray,
    left: np.ndarray,
    weight: np.ndarray,
    cluster: np.ndarray,
    overlap: np.ndarray,
) -> np.ndarray:
    """Convex weights by which effects best explain the outcomes of a model's stop rows.

    Causal Q-aggregation (Lan & Syrgkanis, 2024, "Causal Q-aggregation for CATE model selection",
    AISTATS, with nu = 1/2), by the loss of the R-learner (Nie & Wager, 2021, Biometrika, equation
    4) where theirs is doubly robust, and held to the first effects, the networks': few rows say
    little. With L(w) the mean loss of the effects weighed by w, and information I, the sum of the
    rows' overlap weights ``1 / sum_k(1 / e_k)``, the weights minimise

        Q(w) / Q* + (HELD_EFFECTS / I)^2 (1 - w_1)^2     Q(w) = L(w) / 2 + sum_c w_c L_c / 2

    Q* being the least Q.

    Parameters
    ----------
    effects : ndarray, shape (n_models, n_components, b)
        What each component says that the treatment adds to the outcome's mean given the covariates,
        at the model's stop rows: ``tau (T - e)`` of two arms.
    left : ndarray, shape (n_models, b)
        What outcomes are above that mean.
    weight : ndarray, shape (n_models, b)
        0 where there is no row.
    cluster : ndarray of int, shape (n_models, b)
        Rows of one cluster count as one.
    overlap : ndarray, shape (n_models, b)
        Overlap weights.

    Returns
    -------
    ndarray, shape (n_models, n_components)
        In steps of 1/20.
    """
    tiny = np.finfo(np.float64).tiny
    unit = np.abs(left).max(axis=1, keepdims=True).clip(tiny)
    left, effects = left / unit, effects / unit[..., None]
    share = weight / weight.sum(axis=1, keepdims=True).clip(tiny)
    tried = _simplex(effects.shape[1])
    product = np.einsum("mcb,mb,mdb->mcd", effects, share, effects)
    moment = np.einsum("mcb,mb->mc", effects, share * left)
    variance = (share * left**2).sum(axis=1)
    alone = variance[:, None] - 2 * moment + np.einsum("mcc->mc", product)
    mixed = np.einsum("wc,mcd,wd->mw", tried, product, tried) - 2 * moment @ tried.T
    loss = (mixed + variance[:, None] + alone @ tried.T) / 2
    loss = loss.clip(0) / loss.min(axis=1, keepdims=True).clip(tiny)
    information = _effective(weight, cluster) * (share * overlap).sum(axis=1)
    held = HELD_EFFECTS**2 * (1 - tried[:, 0]) ** 2
    return tried[np.argmin(information[:, None] ** 2 * loss + held, axis=1)]


def _simplex(n: int) -> np.ndarray:
    """All weights of n components in whole steps, the first component's largest first."""
    bars = np.array(list(combinations(range(_STEPS + n - 1), n - 1)))
    ends = np.full((len(bars), 1), _STEPS + n - 1)
    steps = np.diff(np.hstack([np.full_like(ends, -1), bars, ends]), axis=1) - 1
    return steps[np.argsort(-steps[:, 0], kind="stable")] / _STEPS


def _effective(weight: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Rows of equal weight and apart in clusters that would say as much, (n_models,)."""
    size = np.zeros(len(weight))
    for m, (own, of_row) in enumerate(zip(weight, cluster, strict=True)):
        total = np.bincount(of_row[own > 0], own[own > 0])
        size[m] = total.sum() ** 2 / (total**2).sum() if len(total) else 0.0
    return size
