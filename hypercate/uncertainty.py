"""How far potential outcomes may be from their prediction: random functions, and their scale.

A prediction is the mean of the members. About it lie deviations: of members, or of networks drawn
by dropout of the hypernetwork or by noise that conditions it. A draw is the prediction plus a
random mixture of the deviations, so it is a whole function of the covariates, and the deviations'
root sum of squares at a row is its standard error.

How wide they have to be is not seen in the members' spread alone, for they share most of their
rows. But each was trained without its held-out fold, so that they are the replicates of a
delete-a-group jackknife: ``(1 - f)^2 / f`` times their sample variance, f the held-out share, is
an estimate of the prediction's (Shao & Wu, 1989, "A general theory for jackknife variance
estimation", Annals of Statistics 17:1176-1197, for folds that do not overlap). Few replicates
estimate each row's variance poorly, so it is shrunk to that of a typical row, which counts as
`PRIOR_DOF` replicates, and quantiles are Student's t (Smyth, 2004, "Linear models and empirical
Bayes methods", SAGMB 3:3).

The assumption is that members differ as fits to other samples would. What is wrong alike in all
of them, such as a step that each smooths, is not seen; what differs by their random starts only,
and so cancels in the mean, is counted as if it did not. Both together are met by one factor,
`FACTOR`, the same for all data, chosen by interval score (`benchmarks/interval_factor.py`). One
thing that can be wrong alike in all members is known: where the one-standard-error rule holds
effects constant, they may differ by as much as it misses; see `missed_heterogeneity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypercate.crossfit import CrossFit
from hypercate.hypernet.hypernetwork import PERTURBATIONS, HyperNet, Tensors

SOURCES = ("members", *PERTURBATIONS, "both")
PRIOR_DOF = 8
FACTOR = 0.8
_DRAWN_NETWORKS = 40


@dataclass(frozen=True)
class Calibration:
    """What turns deviations into standard errors.

    Attributes
    ----------
    scale : float
        Factor of the deviations.
    level : ndarray, shape (c, n_arms)
        Deviations that are the same everywhere: the shrinkage's share of a typical row's, and what
        constant effects may have missed.
    shrinkage : float in [0, 1]
        Share of the typical row's variance in every row's.
    dof : float
        Degrees of freedom of Student's t; infinite if not calibrated.
    """

    scale: float
    level: np.ndarray
    shrinkage: float
    dof: float

    @classmethod
    def none(cls, n_arms: int) -> Calibration:
        """The deviations as they are, and normal quantiles."""
        return cls(1.0, np.zeros((0, n_arms)), 0.0, np.inf)


def calibrate(
    deviations: np.ndarray,
    members: np.ndarray,
    held_share: float,
    missed: np.ndarray | None = None,
) -> Calibration:
    """Scale deviations to the standard error that the members' jackknife gives a typical row.

    Parameters
    ----------
    deviations : ndarray, shape (b, n, n_arms)
        Of the source of draws, at some of the training rows.
    members : ndarray, shape (n_members, n, n_arms)
        Those of the members, at the same rows.
    held_share : float
        Share of the rows that each member held out.
    missed : ndarray, shape (n_arms,), optional
        Standard deviation of what the members' constant effects may have missed, an arm.

    Returns
    -------
    Calibration
    """
    jackknife = FACTOR * (1 - held_share) / held_share**0.5
    needed, given = jackknife * _size(members).mean(), _size(deviations).mean()
    scale = float(needed / given) if given > 0 else 1.0
    dof = len(members) - 1
    shrinkage = PRIOR_DOF / (PRIOR_DOF + dof)
    level = shrinkage**0.5 * scale * _typical(deviations)
    if missed is not None:
        level = np.vstack([level, np.diag(missed)])
    return Calibration(scale, level, shrinkage, float(PRIOR_DOF + dof))


def missed_heterogeneity(fit: CrossFit) -> np.ndarray:
    """Standard deviation over rows that an arm's outcomes may have beside a constant effect.

    Were they to differ by a function of standard deviation s, a network that knew it would gain
    s^2 of squared error over a constant on the arm's n rows, with standard error
    2 sd s / sqrt(n), sd that of the residuals. Below ``s = 2 sd / sqrt(n)`` the gain is less than
    one standard error and constant effects are preferred more often than not. Which rows lie above
    is not known, so that it counts at every row.

    Parameters
    ----------
    fit : CrossFit

    Returns
    -------
    ndarray, shape (n_arms,)
        In units of the outcome.
    """
    fit = fit.covered()
    residual = fit.y - fit.outcomes[np.arange(len(fit.y)), fit.arm]
    unit = _unit(residual)
    total, of_squares, squared_error = (
        np.bincount(fit.arm, values, minlength=fit.n_arms)
        for values in (fit.weight, fit.weight**2, fit.weight * (residual / unit) ** 2)
    )
    n_effective = total**2 / of_squares
    return 2 * unit * np.sqrt(squared_error / total / n_effective)


def _size(deviations: np.ndarray) -> np.ndarray:
    """Standard error of a row over all pairs of arms, shape (n,)."""
    between = deviations - deviations.mean(axis=2, keepdims=True)
    return root_sum_of_squares(between, axis=(0, 2))


def _typical(deviations: np.ndarray) -> np.ndarray:
    """Root of a typical row's covariance between arms; a row counts by its share, not its size.

    With two arms their difference has the squared mean of the rows' standard errors for variance.
    """
    unit = _unit(deviations)
    deviations = deviations / unit
    between = deviations - deviations.mean(axis=2, keepdims=True)
    size = _size(deviations)
    share = np.divide(size.mean(), size, out=np.zeros_like(size), where=size > 0)
    covariance = np.einsum("bnk,bnl,n->kl", between, between, share) / len(size)
    values, vectors = np.linalg.eigh(covariance)
    return unit * (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def root_sum_of_squares(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Also of values whose squares are beyond what floats can hold."""
    unit = _unit(values)
    return unit * np.sqrt(np.square(values / unit).sum(axis=axis))


def _unit(values: np.ndarray) -> float:
    """The power of two next to the largest value, by which division is exact."""
    return float(np.ldexp(1.0, np.frexp(np.abs(values).max(initial=0.0))[1] - 1))


@torch.no_grad()
def networks(
    hypernet: HyperNet, params: Tensors, buffers: Tensors, source: str, seed: int
) -> tuple[Tensor, np.ndarray]:
    """The networks to evaluate, and which combinations of them are deviations.

    Parameters
    ----------
    hypernet : HyperNet
    params, buffers : dict of Tensor
        Members on the leading axis.
    source : {"members", "dropout", "noise", "both"}
        ``"members"``: each member from their mean. ``"dropout"``: members with some hidden units of
        their generator dropped (in the manner of Gal & Ghahramani, 2016, "Dropout as a Bayesian
        approximation", for the generator in place of the network), each from itself without.
        ``"noise"``: members whose generator is told noise beside the arm (in the manner of Krueger
        et al., 2017, "Bayesian hypernetworks", and Pawlowski et al., 2017, "Implicit weight
        uncertainty in neural networks", but without their variational objective), each from itself
        told none. ``"both"``: members with all of these that are on, from the members' mean.
    seed : int

    Returns
    -------
    theta : Tensor, shape (m, n_arms, n_weights)
        The members, and then the networks drawn, if any.
    mixture : ndarray, shape (b, m)
        The deviations are ``mixture @ f``, f the outcomes of these networks; the sum of their
        squares is the variance.
    """
    theta = hypernet.generate(params, buffers)
    n = len(theta)
    from_mean = np.full((n, n), -1 / n) + np.eye(n)
    if source == "members":
        return theta, from_mean / max(n - 1, 1) ** 0.5
    device = theta.device
    member = np.arange(-(-_DRAWN_NETWORKS // n) * n) % n
    chosen = torch.as_tensor(member, device=device)
    drawn = hypernet.draw(len(member), torch.Generator().manual_seed(seed))
    perturbed = hypernet.generate(
        {name: tensor[chosen] for name, tensor in params.items()},
        {name: tensor[chosen] for name, tensor in buffers.items()},
        {name: drawn[name].to(device) for name in drawn if source in (name, "both")},
    )
    origin = np.full((len(member), n), 1 / n) if source == "both" else np.eye(n)[member]
    mixture = np.hstack([-origin, np.eye(len(member))]) / len(member) ** 0.5
    return torch.cat([theta, perturbed]), mixture


def spread(deviations: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Calibrated deviations, shape (b + c, n, n_arms), from those of shape (b, n, n_arms).

    The root of their sum of squares, of a contrast of arms, is its standard error.
    """
    own = (1 - calibration.shrinkage) ** 0.5 * calibration.scale * deviations
    level = calibration.level[:, None]
    return np.concatenate([own, np.broadcast_to(level, (len(level), *own.shape[1:]))])


def mix(
    centre: np.ndarray, deviations: np.ndarray, dof: float, n_samples: int, seed: int
) -> np.ndarray:
    """Draws of functions: the centre plus mixtures of the deviations, jointly Student's t.

    Parameters
    ----------
    centre : ndarray, shape (...)
    deviations : ndarray, shape (b, ...)
    dof : float
    n_samples, seed : int

    Returns
    -------
    ndarray, shape (n_samples, ...)
    """
    rng = np.random.default_rng(seed)
    mixture = rng.standard_normal((n_samples, len(deviations)))
    if np.isfinite(dof):
        mixture *= np.sqrt(dof / rng.chisquare(dof, (n_samples, 1)))
    draws = mixture @ deviations.reshape(len(deviations), -1)
    draws += centre.ravel()
    return draws.reshape(n_samples, *centre.shape)
