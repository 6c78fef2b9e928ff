"""A second stage: effects by boosted trees and a constant effect, averaged with the networks'.

Networks learn outcomes, and an effect is the difference of two outcomes. This smooths steps of an
effect, and if effects do not vary, the errors of both outcomes look like variation. So each model
also fits effects directly, by the R-learner (Nie & Wager, 2021, "Quasi-oracle estimation of
heterogeneous treatment effects", Biometrika 108:299-319, equation 4): residuals of the outcome,
after its mean given the covariates, are regressed on residuals of the treatment. One such fit takes
the effect as constant (Robinson, 1988, Econometrica 56:931-954), the others are boosted trees. The
same loss on a model's validation rows decides how much weight their effects get.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hypercate.evidence import overlap_weight
from hypercate.folds import Folds
from hypercate.learners.effects import OTHER, received_of
from hypercate.learners.r import RLearner
from hypercate.nuisance import lightgbm
from hypercate.nuisance.tree_text import NO_TREES, TreeText
from hypercate.outcomes import Normal
from hypercate.study import Study
from hypercate.threads import mapped
from hypercate.train.data import units
from hypercate.weigh import effect_weights

COMPONENTS = ("networks", "constant", "additive", "pairs")
_FAMILY = Normal()
_LEARNER = RLearner(_FAMILY)
N_TREES, ROWS = 80, 20_000  # of two arms of so many rows; with the root of their number for more
MOST_ROWS = 200_000  # of an arm
DEPTHS = (1, 2)  # of trees: effects of single inputs add up, or of pairs of them


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of each arm against a reference.

    Attributes
    ----------
    level : ndarray of float64, shape (n_arms,)
        The same for all rows.
    models : tuple of TreeText, length n_arms
        LightGBM's text of what is added to it; empty for nothing.
    factor : float
        By which both are multiplied.
    """

    level: np.ndarray
    models: tuple[TreeText, ...]
    factor: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Effects at encoded covariates: float64, shape (n, n_arms)."""
        effects = np.tile(self.level, (len(x), 1))
        for k, model in enumerate(self.models):
            if model:
                effects[:, k] += lightgbm.predict(model, x)
        return self.factor * effects


@dataclass(frozen=True, eq=False)
class SecondStage:
    """What becomes of a model's potential outcomes: their effects are weighed with others.

    The mean of a row's outcomes over the arms, each by its share, stays, and so do the outcomes of
    arms without a share, which no row received.

    Attributes
    ----------
    kept : float
        Weight of the networks' own effects.
    share : ndarray of float64, shape (n_arms,)
        Of each arm among the rows that the model learns from.
    parts : tuple of Effects
        The others, each times its weight; of the arms that have a share, the first ones.
    """

    kept: float
    share: np.ndarray
    parts: tuple[Effects, ...]

    def shift(self, x: np.ndarray) -> np.ndarray:
        """What is added to the outcomes at encoded covariates: float64, shape (n, n_arms)."""
        effects = np.zeros((len(x), len(self.share)))
        for part in self.parts:
            effects[:, : len(part.level)] += part.predict(x)
        return np.where(self.share > 0, effects - mean_by_share(effects, self.share), 0.0)

    def with_arms(self, place: np.ndarray) -> SecondStage:
        """With the arms in another order."""
        known = place[self.share[place] > 0]
        parts = tuple(
            replace(part, level=part.level[known], models=tuple(part.models[k] for k in known))
            for part in self.parts
        )
        return replace(self, share=self.share[place], parts=parts)


def mean_by_share(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mean over the arms, which are on axis 1 and kept; the same in any order of the arms."""
    return np.sort(values * share, axis=1).sum(axis=1, keepdims=True)


def moved(
    outcomes: np.ndarray,
    effects: np.ndarray,
    share: np.ndarray,
    kept: np.ndarray | float = 1.0,
    shift: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Outcomes of the same mean over the arms, but other effects.

    Parameters
    ----------
    outcomes : ndarray, shape (m, n_arms, b)
    effects : ndarray, shape (m, n_arms, b)
        Against any reference.
    share : ndarray, shape (m, n_arms)
        Of each arm in the mean.
    kept : ndarray, shape (m, n_arms, 1), or float
        Weight of the effects.
    shift : ndarray, shape (m, n_arms, b), or float
        What is added, of mean 0 over the arms.
    """
    share = share[..., None]
    return mean_by_share(outcomes, share) + kept * (effects - mean_by_share(effects, share)) + shift


def left_alone(share: np.ndarray) -> tuple[SecondStage, ...]:
    """What leaves the effects as they are, from the arms' shares (n_models, n_arms)."""
    return tuple(SecondStage(1.0, own, ()) for own in share)


def shares(study: Study, folds: Folds) -> np.ndarray:
    """Share of each arm among the rows that a model learns from: (n_models, n_arms)."""
    total = (folds.learns * study.weight) @ np.eye(study.n_conditions)[study.condition]
    return total / total.sum(axis=1, keepdims=True)


def networks_alone(n_models: int) -> np.ndarray:
    """Weights (n_models, len(COMPONENTS)) of models without a second stage."""
    return np.eye(1, len(COMPONENTS)).repeat(n_models, axis=0)


def fit_second_stages(
    study: Study,
    folds: Folds,
    propensity: np.ndarray,
    means: np.ndarray,
    share: np.ndarray,
    rows: np.ndarray,
    real: np.ndarray,
    outcomes: np.ndarray,
    seed: int,
    n_jobs: int,
) -> tuple[tuple[SecondStage, ...], np.ndarray]:
    """Fit the second stage of every model, on the rows that it is not judged on.

    What the stop rows weigh was fitted without them.

    Parameters
    ----------
    study : Study
    folds : Folds
    propensity : ndarray, shape (n, n_arms)
        Cross-fitted.
    means : ndarray, shape (n_models, n, n_arms)
        Mean outcomes that are taken out of the outcome, as `hypercate.nuisance.means` gives them.
    share : ndarray, shape (n_models, n_arms or more)
        Of each arm, as `shares` gives it; 0 for those that no row received.
    rows : ndarray of int64, shape (n_models, b)
        Stop rows of each model.
    real : ndarray of bool, shape (n_models, b)
        Places that hold a row.
    outcomes : ndarray of float64, shape (n_models, b, n_arms)
        Potential outcomes there, by networks of the model that these rows did not fit.
    seed : int
        Of the rows that each tree is grown on.
    n_jobs : int
        Threads.

    Returns
    -------
    stages : tuple of SecondStage, length n_models
    weights : ndarray of float64, shape (n_models, len(COMPONENTS))
    """
    apart = np.eye(study.n_conditions)[study.condition] - propensity
    scale = units(study.y, study.weight, folds.learns, _FAMILY)[1]

    def fit(m: int) -> tuple[list[Effects], list[Effects]]:
        problem = _Problem(study.of_model(m), folds, propensity, means[m], float(scale[m]), seed)
        return problem.effects(folds.fits[m]), problem.effects(folds.learns[m])

    tried, last = zip(*mapped(fit, range(folds.n_models), n_jobs, "second stage"), strict=True)
    weights = effect_weights(
        np.stack(
            [
                [(apart[own] * values).sum(axis=1) for values in
                 (networks, *(part.predict(study.x[own]) for part in parts))]
                for own, networks, parts in zip(rows, outcomes, tried, strict=True)
            ]
        ),
        study.y_at(rows) - (propensity[rows] * outcomes).sum(axis=2),
        study.weight[rows] * real * _may_weigh(study, folds)[:, None],
        study.cluster[rows],
        overlap_weight(propensity)[rows],
    )  # fmt: skip
    stages = []
    for m, (kept, *others) in enumerate(weights):
        parts = tuple(
            replace(part, factor=float(part.factor * weight))
            for part, weight in zip(last[m], others, strict=True)
            if weight > 0
        )
        stages.append(SecondStage(float(kept), share[m], parts))
    return tuple(stages), weights


def _may_weigh(study: Study, folds: Folds) -> np.ndarray:
    """Models that have stop rows and, beside them, every arm: bool, shape (n_models,)."""
    arms = [len(np.unique(study.condition[rows])) for rows in folds.fits]
    return folds.stops.any(axis=1) & (np.array(arms) == study.n_conditions)


@dataclass(frozen=True)
class _Problem:
    """What one model's effects are regressed from.

    Attributes
    ----------
    study : Study
    folds : Folds
    propensity : ndarray, shape (n, n_arms)
    mean : ndarray, shape (n, n_arms)
        Mean outcomes given the covariates.
    scale : float
        Of the outcome.
    seed : int
    """

    study: Study
    folds: Folds
    propensity: np.ndarray
    mean: np.ndarray
    scale: float
    seed: int

    def effects(self, some: np.ndarray) -> list[Effects]:
        """All but the networks' own, from some rows: bool, shape (n,).

        Where an arm has more than `MOST_ROWS`, so many stand for the others.
        """
        rows, weight = self.folds.standing(np.flatnonzero(some), MOST_ROWS, self.study.weight)
        boosted = [self._boosted(rows, weight, depth) for depth in DEPTHS]
        return [self._constant(rows, weight), *boosted]

    def _constant(self, rows: np.ndarray, weight: np.ndarray) -> Effects:
        arms, of_arm = np.arange(self.study.n_conditions), self.propensity[rows]
        apart = np.eye(len(arms))[self.study.condition[rows]] - of_arm
        mean = (of_arm * self.mean[rows]).sum(axis=1)
        root, left = np.sqrt(weight), (self.study.y[rows] - mean) / self.scale
        level = np.linalg.lstsq(root[:, None] * apart, root * left, rcond=None)[0]
        return Effects(level, (NO_TREES,) * len(arms), self.scale)

    def _boosted(self, rows: np.ndarray, weight: np.ndarray, depth: int) -> Effects:
        """Arm by arm, among its rows and those of the arm that has most."""
        condition = self.study.condition[rows]
        counts = np.bincount(condition, minlength=self.study.n_conditions)
        reference = int(counts.argmax())
        models = [NO_TREES] * len(counts)
        for k in np.delete(np.arange(len(counts)), reference).tolist():
            received = received_of(condition, k, reference)
            of = received != OTHER
            own, received, pair = rows[of], received[of], np.array([reference, k])
            propensity, mean = (part[np.ix_(own, pair)] for part in (self.propensity, self.mean))
            models[k], _ = lightgbm.grow(
                self.study.x[own],
                _LEARNER.target(self.study.y[own], received, propensity, mean) / self.scale,
                weight[of] * _LEARNER.weight(received, propensity),
                round(N_TREES * max(1.0, len(own) / ROWS) ** 0.5),
                self.study.n_codes,
                objective="regression",
                learning_rate=0.05,
                max_depth=depth,
                num_leaves=2**depth,
                min_data_in_leaf=10,
                min_sum_hessian_in_leaf=2.0,
                lambda_l2=5.0,
                bagging_fraction=0.7,
                bagging_freq=1,
                seed=self.seed,
            )
        return Effects(np.zeros(len(counts)), tuple(models), self.scale)
