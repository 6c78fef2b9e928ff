"""What models that did not see a row say of it: the ground of every honest interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.outcome_net import OutcomeNet
from hypercate.training import Data, Loss

_BLOCK_ELEMENTS = 2**20


@dataclass(frozen=True)
class CrossFit:
    """The training rows, with outcomes and propensities predicted out of fold.

    Attributes
    ----------
    arm : ndarray of int, shape (n,)
        Position of each row's arm among the estimator's arms.
    y : ndarray of float64, shape (n,)
        Observed outcome in its own units; 0 or 1 for a binary one.
    weight : ndarray of float64, shape (n,)
        Sample weights, of mean 1.
    outcomes : ndarray of float64, shape (n, n_arms)
        Potential outcomes by the members that held the row out; NaN in a row that none held out.
    propensity : ndarray of float64, shape (n, n_arms)
        Probability of each arm given the covariates, by models that did not see the row.
    """

    arm: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    outcomes: np.ndarray
    propensity: np.ndarray

    @property
    def n_arms(self) -> int:
        return self.outcomes.shape[1]

    def covered(self) -> CrossFit:
        """The rows that some member held out."""
        held = np.isfinite(self.outcomes).all(axis=1)
        return CrossFit(
            self.arm[held],
            self.y[held],
            self.weight[held],
            self.outcomes[held],
            self.propensity[held],
        )


@dataclass(frozen=True)
class HeldOutErrors:
    """How far members were from the outcomes of the rows that they held out.

    One error for each member and each row that it held out: a row may have several, or none.

    Attributes
    ----------
    n_arms : int
    arm : ndarray of int, shape (n_errors,)
        The row's own arm, whose outcome was predicted.
    member : ndarray of int, shape (n_errors,)
    error : ndarray of float64, shape (n_errors,)
        Absolute, in units of the outcome.
    weight : ndarray of float64, shape (n_errors,)
        Sample weight over the probability of the row's arm, a share of it for each of the row's
        errors: under these weights the rows of an arm stand for the population.
    """

    n_arms: int
    arm: np.ndarray
    member: np.ndarray
    error: np.ndarray
    weight: np.ndarray


def overlap_weight(propensity: np.ndarray) -> np.ndarray:
    """How much a row can say of effects: ``1 / sum_k(1 / e_k)``, shape (n,).

    The overlap weights of Li & Li (2019, "Propensity score weighting for causal inference with
    multiple treatments", AOAS 13:2389-2415); ``e (1 - e)`` for two arms.

    Parameters
    ----------
    propensity : ndarray, shape (n, n_arms)
    """
    return 1 / (1 / propensity).sum(axis=1)


def held_out_losses(
    net: OutcomeNet, theta: Tensor, data: Data, held_rows: np.ndarray, loss: Loss
) -> np.ndarray:
    """Weighted factual loss of every network at every row that its member held out.

    Parameters
    ----------
    net : OutcomeNet
    theta : Tensor, shape (n_members * n_candidates, n_arms, n_weights)
        Weights of the networks, member by member.
    data : Data
    held_rows : ndarray of int, shape (n_members, n_held)
    loss : callable
        Elementwise, of the networks' output and y.

    Returns
    -------
    ndarray of float32, shape (n_members, n_candidates, n_held)
    """
    arm = torch.as_tensor(data.arm, device=data.x.device)

    def factual(output: Tensor, rows: Tensor) -> Tensor:
        rows = rows[:, None].expand(-1, output.shape[1], -1)
        own = output.gather(3, arm[rows][..., None]).squeeze(3)
        return loss(own, data.y[rows]) * data.weight[rows]

    return _over_held_rows(net, theta, data.x, held_rows, factual)


def held_out_outcomes(
    net: OutcomeNet,
    theta: Tensor,
    x: Tensor,
    held_rows: np.ndarray,
    link: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """Potential outcomes by every member of the rows that it held out.

    Parameters
    ----------
    net : OutcomeNet
    theta : Tensor, shape (n_members, n_arms, n_weights)
    x : Tensor, shape (n, n_inputs)
    held_rows : ndarray of int, shape (n_members, n_held)
    link : callable
        From the networks' output to potential outcomes.

    Returns
    -------
    ndarray of float64, shape (n_members, n_held, n_arms)
    """
    return _over_held_rows(net, theta, x, held_rows, lambda output, _: link(output))[:, 0]


def mean_by_row(outcomes: np.ndarray, held_rows: np.ndarray, n: int) -> np.ndarray:
    """Mean over the members that held a row out.

    Parameters
    ----------
    outcomes : ndarray, shape (n_members, n_held, n_arms)
    held_rows : ndarray of int, shape (n_members, n_held)
    n : int
        Number of rows.

    Returns
    -------
    ndarray of float64, shape (n, n_arms)
        NaN in a row that none held out.
    """
    times = np.bincount(held_rows.ravel(), minlength=n)
    total = np.zeros((n, outcomes.shape[2]))
    np.add.at(total, held_rows, outcomes)
    with np.errstate(invalid="ignore"):
        return total / times[:, None]


def held_out_errors(fit: CrossFit, outcomes: np.ndarray, held_rows: np.ndarray) -> HeldOutErrors:
    """Errors of every member at the rows that it held out.

    Parameters
    ----------
    fit : CrossFit
        All rows, with their outcomes, weights and propensities.
    outcomes : ndarray, shape (n_members, n_held, n_arms)
        By every member, of the rows that it held out.
    held_rows : ndarray of int, shape (n_members, n_held)

    Returns
    -------
    HeldOutErrors
        In the order of held_rows, member by member.
    """
    arm = fit.arm[held_rows]
    own = np.take_along_axis(outcomes, arm[..., None], axis=2)[..., 0]
    times = np.bincount(held_rows.ravel())
    weight = fit.weight[held_rows] / fit.propensity[held_rows, arm] / times[held_rows]
    return HeldOutErrors(
        n_arms=fit.n_arms,
        arm=arm.ravel(),
        member=np.arange(len(held_rows)).repeat(held_rows.shape[1]),
        error=np.abs(fit.y[held_rows] - own).ravel(),
        weight=weight.ravel(),
    )


@torch.no_grad()
def _over_held_rows(
    net: OutcomeNet,
    theta: Tensor,
    x: Tensor,
    held_rows: np.ndarray,
    read: Callable[[Tensor, Tensor], Tensor],
) -> np.ndarray:
    """Read every member's networks on its own held-out rows, a block of them at a time.

    ``read`` gets outputs of shape (n_members, n_candidates, rows, n_arms) and rows of shape
    (n_members, rows); its results are joined along their third axis.
    """
    n_members, n_arms = len(held_rows), theta.shape[1]
    a_member = len(theta) // n_members * n_arms
    size = max(1, _BLOCK_ELEMENTS // (n_members * a_member * max(*net.hidden, net.n_inputs)))
    flat = theta.flatten(0, 1)
    parts = []
    for rows in torch.as_tensor(held_rows, device=x.device).split(size, dim=1):
        output = net(flat, x[rows].repeat_interleave(a_member, dim=0))
        output = output.view(n_members, -1, n_arms, rows.shape[1]).transpose(2, 3)
        parts.append(read(output, rows).cpu())
    return torch.cat(parts, dim=2).numpy()
