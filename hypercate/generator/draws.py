"""Networks drawn from a generator that is perturbed, and what they say of its uncertainty."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hypercate.generator.hypernetwork import PERTURBATIONS, HyperNet, Tensors
from hypercate.generator.perturbation import perturb

Drawn: TypeAlias = tuple[Tensor, np.ndarray, np.ndarray]

SOURCES = ("members", *PERTURBATIONS, "both")
_DRAWN_NETWORKS = 40


@torch.no_grad()
def draw_networks(
    hypernet: HyperNet, params: Tensors, buffers: Tensors, source: str, seed: int
) -> Drawn:
    """Networks whose generator is perturbed, and which deviations they give.

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        Models on the leading axis.
    source : {"dropout", "noise", "both"}
        ``"dropout"``: models with some hidden units of their generator dropped (in the manner of
        Gal & Ghahramani, 2016, "Dropout as a Bayesian approximation", for the generator in place
        of the network), each from itself without. ``"noise"``: models whose generator is told noise
        beside the arm (in the manner of Krueger et al., 2017, "Bayesian hypernetworks", and
        Pawlowski et al., 2017, "Implicit weight uncertainty in neural networks", but without their
        variational objective), each from itself told none. ``"both"``: models with all of these
        that are on, from the models' mean.
    seed : int

    Returns
    -------
    theta : Tensor, shape (m, n_arms, n_weights)
    model : ndarray of int, shape (m,)
        That each was drawn from.
    mixture : ndarray, shape (m, n_models + m)
        The deviations are ``mixture @ f``, f the outcomes of the models and then of these networks;
        the sum of their squares is the variance.
    """
    n = len(next(iter(params.values())))
    model = np.arange(-(-_DRAWN_NETWORKS // n) * n) % n
    chosen = torch.as_tensor(model, device="cpu")
    drawn = perturb(hypernet, len(model), torch.Generator().manual_seed(seed))
    theta = hypernet.generate(
        {name: tensor[chosen] for name, tensor in params.items()},
        {name: tensor[chosen] for name, tensor in buffers.items()},
        {name: drawn[name] for name in PERTURBATIONS if name in drawn and source in (name, "both")},
    )
    origin = np.full((len(model), n), 1 / n) if source == "both" else np.eye(n)[model]
    return as_deviations(theta, model, origin)


@torch.no_grad()
def draw_departures(
    hypernet: HyperNet, params: Tensors, buffers: Tensors, theta: Tensor, n_received: int
) -> Drawn:
    """Networks of arms that no row received, which depart from what their description says.

    Each departs as one of the other arms does, so that they vary as arms do about what their
    descriptions say.

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        Models on the leading axis.
    theta : Tensor, shape (n_models, n_arms, n_weights)
        What these generate.
    n_received : int
        Arms, the first ones, that rows received.

    Returns
    -------
    theta : Tensor, shape (n_received, n_arms, n_weights)
    model : ndarray of int, shape (n_received,)
    mixture : ndarray, shape (n_received, n_models + n_received)
        As of `draw_networks`; the deviations of arms that rows received are 0.
    """
    arm = torch.arange(n_received, device="cpu")
    model = np.arange(n_received) % len(theta)
    of = {name: tensor[model] for name, tensor in params.items()}
    of["arms"][:, n_received:] = of["arms"][arm, arm][:, None]
    departed = hypernet.generate(of, {name: tensor[model] for name, tensor in buffers.items()})
    departed[:, :n_received] = theta[model, :n_received]
    return as_deviations(departed, model, np.eye(len(theta))[model])


def as_deviations(theta: Tensor, model: np.ndarray, origin: np.ndarray) -> Drawn:
    """Networks as deviations from combinations of the models.

    Parameters
    ----------
    theta : Tensor, shape (m, n_arms, n_weights)
    model : ndarray of int, shape (m,)
        That each was drawn from.
    origin : ndarray, shape (m, n_models)
        What each deviates from, as a combination of the models.
    """
    return theta, model, np.hstack([-origin, np.eye(len(model))]) / len(model) ** 0.5
