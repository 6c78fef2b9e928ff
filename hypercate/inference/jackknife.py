"""How far potential outcomes may be from their prediction: random functions, and their scale.

A prediction is the mean of the members. Deviations from it are those of the models of the ensemble,
or of networks drawn by dropout of the hypernetwork or by noise in its input. A draw is the
prediction plus a random mixture of the deviations, so it is a whole function of the covariates. The
root of the deviations' sum of squares at a row is the row's standard error.

The models' spread alone does not give the standard error, because they share most of their rows.
But the models of one partition, each trained without its part, are the replicates of a
delete-a-group jackknife: with K parts, ``(K - 1)^2 / K`` times their sample variance estimates the
variance of the prediction (Shao & Wu, 1989, "A general theory for jackknife variance estimation",
Annals of Statistics 17:1176-1197). Models of different partitions are not compared, since their
parts overlap. Few replicates estimate each row's variance poorly, so it is shrunk towards that of a
typical row, which counts as `PRIOR_DOF` replicates, and quantiles are Student's t (Smyth, 2004,
"Linear models and empirical Bayes methods", SAGMB 3:3).

A part of that variance is not due to the sample: models also differ by their random start, and this
part cancels in their mean. Each model is trained from two starts, which measures the share r of the
start in the variance and gives the variance twice. The mean of the two variances is multiplied by

    (K - 1)^2 / K * (1 + q (K - q) / (M (K - 1))^2) * (1 - r) + r / M

with M members, of which q, the remainder of M by K, are of a partition whose other models are no
members: the mean of some of its replicates varies more than the whole sample's.

For the share of the prediction that comes from emitted networks, the standard error of their
posterior replaces that of the jackknife: how far an emitted network shrinks does not vary between
samples, and the generator has learned the size of its errors from worlds with known truth.

The assumption is that models differ as fits to other samples would. An error that all models share,
such as a step that each of them smooths, is not detected. One such error is known and included: if
all models take effects as constant, effects may vary as much as the choice of candidates can miss;
see `missed_heterogeneity`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hypercate.evidence import Evidence

PRIOR_DOF = 8


@dataclass(frozen=True, eq=False)
class Calibration:
    """The factors that turn deviations into standard errors.

    Attributes
    ----------
    scale : float
        Factor by which deviations are multiplied.
    level : ndarray, shape (c, n_arms), or (c, n or 1, n_arms)
        Deviations that are the same everywhere: the part shrunk to a typical row's, and what
        constant effects may have missed; for counts and positive outcomes in units of the mean.
    shrinkage : float in [0, 1]
        Share of the typical row's variance in the variance of every row.
    dof : float
        Degrees of freedom of Student's t; infinite if not calibrated.
    start_share : float in [0, 1]
        Share of the models' variance that comes only from random starts; NaN if not measured.
    relative : ndarray, shape (n_arms,), or None
        Each arm's factor divided by `scale`, if factors differ between arms: arms without rows have
        no emitted networks, whose posterior also sets the scale of the others.

    Examples
    --------
    >>> est.calibration_.scale > 0
    True
    >>> from hypercate.inference.jackknife import Calibration
    >>> Calibration.none(n_arms=2).dof
    inf
    """

    scale: float
    level: np.ndarray = field(repr=False)
    shrinkage: float
    dof: float
    start_share: float
    relative: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def none(cls, n_arms: int) -> Calibration:
        """The deviations as they are, and normal quantiles."""
        return cls(1.0, np.zeros((0, n_arms)), 0.0, np.inf, np.nan)


def between_models(partition: np.ndarray) -> np.ndarray:
    """Deviations of models from the mean of their partition, as combinations of the models.

    Parameters
    ----------
    partition : ndarray of int, shape (n_models,)

    Returns
    -------
    ndarray, shape (n_models, n_models)
        Times the models' outcomes, these are deviations; the sum of their squares is the models'
        variance, pooled over the partitions.
    """
    same = partition[:, None] == partition
    centred = np.eye(len(partition)) - same / same.sum(axis=1)
    return centred / max(_dof(partition), 1) ** 0.5


def _dof(partition: np.ndarray) -> int:
    return len(partition) - len(np.unique(partition))


def calibrate(
    deviations: np.ndarray,
    outcomes: np.ndarray,
    second_start: np.ndarray,
    partition: np.ndarray,
    n_parts: int,
    n_members: int,
    missed: np.ndarray | None = None,
    posterior: np.ndarray | None = None,
    posterior_share: float = 0.0,
) -> Calibration:
    """Scale deviations to the standard error that the models' jackknife gives a typical row.

    Parameters
    ----------
    deviations : ndarray, shape (b, n, n_arms)
        Of the source of draws, at some of the training rows.
    outcomes, second_start : ndarray, shape (n_models, n, n_arms)
        By the models at the same rows, and by the same models from another random start.
    partition : ndarray of int, shape (n_models,)
        That each model's part belongs to; one of them has two models at least.
    n_parts : int
        Parts of a partition.
    n_members : int
        Models whose mean is the prediction.
    missed : ndarray, shape (n_arms,), optional
        Standard deviation of what the models' constant effects may have missed, an arm.
    posterior : ndarray, shape (c, n, n_emitted), optional
        Deviations of emitted networks, of the first arms, by the posterior distribution of their
        last layers.
    posterior_share : float
        Of the prediction that is theirs.

    Returns
    -------
    Calibration
    """
    start = _size((second_start - outcomes) / (2 * len(outcomes)) ** 0.5)
    between = _between(partition, outcomes, second_start)
    unit = max(_unit(start), _unit(between))
    variance = np.square(between / unit).sum() / len(between)
    share = float(np.clip(np.square(start / unit).sum() / variance, 0, 1)) if variance else 0.0
    some = n_members % n_parts
    more = some * (n_parts - some) / (n_members * (n_parts - 1)) ** 2
    jackknife = (n_parts - 1) ** 2 / n_parts * (1 + more)
    factor = (jackknife * (1 - share) + share / n_members) ** 0.5
    needed, given = factor * between.mean(), _size(deviations).mean()
    scale = float(needed / given) if given > 0 else 1.0
    relative = None
    if posterior is not None:
        n_emitted, n_arms = posterior.shape[2], deviations.shape[2]
        emitted = [values[..., :n_emitted] for values in (outcomes, second_start)]
        needed = factor * _between(partition, *emitted).mean()
        needed += posterior_share * (_size(posterior).mean() - needed)
        given = _size(deviations[..., :n_emitted]).mean()
        of_others, scale = scale, float(needed / given) if given > 0 else 1.0
        if n_emitted < n_arms and scale > 0:
            relative = np.where(np.arange(n_arms) < n_emitted, 1.0, of_others / scale)
            deviations = relative * deviations
    dof = _dof(partition)
    shrinkage = PRIOR_DOF / (PRIOR_DOF + dof)
    level = shrinkage**0.5 * scale * _typical(deviations)
    if missed is not None:
        level = np.vstack([level, np.diag(missed)])
    return Calibration(scale, level, shrinkage, float(PRIOR_DOF + dof), share, relative)


def rescaled(calibration: Calibration, before: np.ndarray, after: np.ndarray) -> Calibration:
    """The calibration of models that have learned from further rows.

    They still are replicates of a jackknife, each of which lacks its part of all rows, so that the
    factor of their deviations stays. What is the same everywhere grows or shrinks, arm by arm, as
    deviations do on the mean.

    Parameters
    ----------
    calibration : Calibration
    before, after : ndarray, shape (b, n, n_arms)
        Deviations at the same rows.
    """
    was, now = (root_sum_of_squares(part, axis=0).mean(axis=0) for part in (before, after))
    ratio = np.divide(now, was, out=np.ones_like(was), where=was > 0)
    return replace(calibration, level=calibration.level * ratio)


def _between(partition: np.ndarray, *by_start: np.ndarray) -> np.ndarray:
    """Standard deviation between models, at every row, from each start: (n_starts, n)."""
    combined = between_models(partition)
    return np.stack([_size(np.tensordot(combined, outcomes, 1)) for outcomes in by_start])


def missed_heterogeneity(fit: Evidence) -> np.ndarray:
    """Standard deviation over rows that an arm's outcomes may have beside a constant effect.

    If they differed by a function of standard deviation s, a network that knew it would reduce the
    squared error by s^2, compared with a constant, on the arm's n rows, with standard error
    2 sd s / sqrt(n), where sd is that of the residuals. Below ``s = 2 sd / sqrt(n)`` this gain is
    less than one standard error. Models that together have about n validation rows, and all
    prefer constant effects, rule out hardly more. Which rows are affected is not known, so that it
    is added at every row.

    Parameters
    ----------
    fit : Evidence

    Returns
    -------
    ndarray, shape (n_arms,)
        In units of the outcome.
    """
    residual = fit.y - fit.mean_outcomes[np.arange(len(fit.y)), fit.arm]
    unit = _unit(residual)
    total, of_squares, squared_error = (
        np.bincount(fit.arm, values, minlength=fit.n_arms)
        for values in (fit.weight, fit.weight**2, fit.weight * (residual / unit) ** 2)
    )
    clusters = np.bincount(np.unique(fit.cluster * fit.n_arms + fit.arm) % fit.n_arms)
    n_effective = clusters / np.bincount(fit.arm) * total**2 / of_squares
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


def spread(deviations: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Calibrated deviations, shape (b + c, n, n_arms), from those of shape (b, n, n_arms).

    The root of their sum of squares, of a contrast of arms, is its standard error.
    """
    own = (1 - calibration.shrinkage) ** 0.5 * calibration.scale * deviations
    if calibration.relative is not None:
        own = own * calibration.relative
    level = calibration.level
    level = level[:, None] if level.ndim == 2 else level
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
