"""How much the emitted networks of each model count beside those that were trained."""

from __future__ import annotations

import numpy as np
import torch

from hypercate.train.run import Loss

HELD = 20.0  # stop rows below which models are held to the emitted networks
_SHARES = np.linspace(0, 1, 101)


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


def _effective(weight: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Rows of equal weight and apart in clusters that would say as much, (n_models,)."""
    size = np.zeros(len(weight))
    for m, (own, of_row) in enumerate(zip(weight, cluster, strict=True)):
        total = np.bincount(of_row[own > 0], own[own > 0])
        size[m] = total.sum() ** 2 / (total**2).sum() if len(total) else 0.0
    return size
