"""Mean outcomes by level, for the columns of many levels that the networks cannot read themselves.

Means of few rows are shrunk to what levels have in common, by how much levels differ beyond
chance (empirical Bayes: Efron & Morris, 1975, "Data analysis using Stein's estimator and its
generalizations", JASA 70:311-319; the variance between levels by the moments of DerSimonian &
Laird, 1986, "Meta-analysis in clinical trials", Controlled Clinical Trials 7:177-188).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.encoding.scaling import moments
from hypercate.folds import Folds
from hypercate.nuisance.cross_fit import cross_fit
from hypercate.study import Study


@dataclass(frozen=True, eq=False)
class LevelMeans:
    """Mean outcome of every arm at each level of the coded inputs, over that of all levels.

    Attributes
    ----------
    inputs : ndarray of int64, shape (c,)
        Which encoded covariates are codes.
    means : tuple of ndarray of float64, shape (n_codes + 1, n_conditions)
        In standard deviations of the outcome, one for each of those inputs; the last code stands
        for levels that fit did not meet.
    """

    inputs: np.ndarray
    means: tuple[np.ndarray, ...]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Means at the rows' levels: float64, shape (n, c * n_conditions)."""
        codes = x[:, self.inputs].astype(np.int64).T
        return np.hstack([mean[code] for mean, code in zip(self.means, codes, strict=True)])


def level_views(study: Study, folds: Folds, n_jobs: int) -> tuple[list[LevelMeans], np.ndarray]:
    """Level means inside each model of the ensemble, and what they are at the training rows.

    Parameters
    ----------
    study : Study
        Of which one input at least is a code.
    folds : Folds
    n_jobs : int
        Threads.

    Returns
    -------
    views : list of LevelMeans
        Of each model, from the rows that it is not judged on.
    values : ndarray of float64, shape (n_models, n, c * n_conditions)
        Where a model learns from a row, by means without the row's part, too.
    """
    return cross_fit(_level_means, study, folds, n_jobs, "means of levels")


def _level_means(study: Study, rows: np.ndarray) -> LevelMeans:
    y, weight, condition = study.y[rows], study.weight[rows], study.condition[rows]
    location, spread = moments(y, weight)
    y = (y - location) / (spread or 1.0)
    n_conditions = study.n_conditions
    inputs = np.flatnonzero(study.n_codes)
    means = []
    for code, n_codes in zip(study.x[rows][:, inputs].T, study.n_codes[inputs], strict=True):
        level = code.astype(np.int64)
        beyond = _beyond_arms(y, weight, condition, level, n_conditions, n_codes)
        common = shrunken_means(level, beyond, weight, n_codes + 1)
        cell = level * n_conditions + condition
        own = shrunken_means(cell, beyond - common[level], weight, (n_codes + 1) * n_conditions)
        means.append(common[:, None] + own.reshape(-1, n_conditions))
    return LevelMeans(inputs, tuple(means))


def _beyond_arms(
    y: np.ndarray,
    weight: np.ndarray,
    condition: np.ndarray,
    level: np.ndarray,
    n_conditions: int,
    n_codes: int,
) -> np.ndarray:
    """Outcomes less what arms add within levels, by least squares; their mean is 0.

    Means over all levels would take a part of the levels' own means away, where levels decide
    about the arm.
    """
    arms = np.eye(n_conditions)[condition]
    columns = [
        column - _means(level, column, weight, n_codes + 1)[0][level] for column in (y, *arms.T)
    ]
    within, *arms_within = (np.sqrt(weight) * column for column in columns)
    added = np.linalg.lstsq(np.column_stack(arms_within), within, rcond=None)[0]
    beyond = y - added[condition]
    return beyond - np.average(beyond, weights=weight)


def shrunken_means(
    group: np.ndarray, value: np.ndarray, weight: np.ndarray, n_groups: int
) -> np.ndarray:
    """Means of groups of values whose mean is 0, shrunk to 0 by how unsure each is.

    Parameters
    ----------
    group : ndarray of int, shape (n,)
    value, weight : ndarray of float64, shape (n,)
    n_groups : int

    Returns
    -------
    ndarray of float64, shape (n_groups,)
        ``mean * tau2 / (tau2 + sigma2 / n)``, where ``tau2`` is the variance between and ``sigma2``
        that within groups; 0 for a group without rows.
    """
    mean, size = _means(group, value, weight, n_groups)
    n_met = np.count_nonzero(size)
    total = size.sum()
    within = weight @ (value - mean[group]) ** 2 / max(total - n_met, 1.0)
    spare = total - (size**2).sum() / total
    if spare <= 0:
        return np.zeros(n_groups)
    between = max(0.0, (size @ mean**2 - (n_met - 1) * within) / spare)
    of_mean = within / np.where(size > 0, size, np.inf)
    return mean * between / (between + of_mean) if between > 0 else np.zeros(n_groups)


def _means(
    group: np.ndarray, value: np.ndarray, weight: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and weight of each group, 0 for one without rows."""
    size = np.bincount(group, weight, n_groups)
    return np.bincount(group, weight * value, n_groups) / np.where(size > 0, size, 1.0), size
