"""Average effects with doubly robust standard errors.

The estimate is augmented inverse probability weighting (AIPW; Robins, Rotnitzky & Zhao, 1994,
JASA 89:846-866) on predictions that did not see the row (Chernozhukov et al., 2018,
"Double/debiased machine learning", Econometrics Journal 21:C1-C68): the mean of the predicted
outcomes, plus the mean residual of the rows that had the arm, weighted by one over its propensity.
The weights of that second mean are scaled to sum to 1 (Hajek): with few rows of extreme weight the
estimate varies less. Variances are those of the leave-one-cluster-out jackknife (a row without
clusters is one of its own), which does not overlook that such a row pulls its own mean, and
intervals Student's t with Welch's degrees of freedom over the arms, and those clusters that hold
several.

Sample weights are weights of a sampling design: only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hypercate.evidence import Evidence
from hypercate.inference.effects import check_alpha, inference_columns
from hypercate.inference.groups import (
    LEAST_ROWS,
    Groups,
    difference,
    everyone_of,
    labels_of,
    other_arms,
)

_ATT = "Average treatment effect on the treated (ATT)"


@dataclass(frozen=True)
class AverageInference:
    """Averages of effects, with their standard errors.

    Attributes
    ----------
    point_estimate, stderr, dof : ndarray of float64, shape (n_averages,)
        Estimate, standard error and degrees of freedom of Student's t; in units of the outcome.
    index : Index, shape (n_averages,)
        The arm, the group, or both, of each average.
    estimand : str
        What is averaged, for the title of the summary.
    n_rows : int
        Rows that entered the averages.
    """

    point_estimate: np.ndarray
    stderr: np.ndarray
    dof: np.ndarray
    index: pd.Index
    estimand: str
    n_rows: int

    def interval(self, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval of level 1 - alpha.

        Parameters
        ----------
        alpha : float in (0, 1)

        Returns
        -------
        lower, upper : ndarray, shape (n_averages,)

        Raises
        ------
        ValueError
            If `alpha` is not strictly between 0 and 1.
        """
        check_alpha(alpha)
        margin = stats.t.isf(alpha / 2, self.dof) * self.stderr
        return self.point_estimate - margin, self.point_estimate + margin

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table of averages, with EconML's column names.

        Parameters
        ----------
        alpha : float in (0, 1)
            The interval has level 1 - alpha.

        Returns
        -------
        DataFrame
            Columns ``point_estimate, stderr, zstat, pvalue, ci_lower, ci_upper``. ``zstat`` is the
            estimate over its standard error, ``pvalue`` two-sided for no effect, by Student's t.
        """
        columns = inference_columns(
            self.point_estimate, self.stderr, self.dof, *self.interval(alpha)
        )
        return pd.DataFrame(columns, index=self.index)

    def summary(self, alpha: float = 0.05) -> str:
        """The table as text, under what it is of, in the manner of a regression's."""
        table = self.summary_frame(alpha).to_string(float_format="{:.4g}".format)
        width = max(map(len, table.splitlines()))
        facts = f"Cross-fitted AIPW, {self.n_rows} rows, intervals at {1 - alpha:.4g}"
        width = max(width, len(facts), len(self.estimand))
        rule = "=" * width
        title = self.estimand.center(width).rstrip()
        return "\n".join([title, facts.center(width).rstrip(), rule, table, rule])

    def __str__(self) -> str:
        return self.summary()


def average_effect(
    fit: Evidence, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over the training population (ATE).

    Parameters
    ----------
    fit : Evidence
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each other arm.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows.
    """
    everyone = everyone_of(fit, arms)
    estimate, influence = everyone.effects(control)
    stderr, dof = everyone.spread(influence)
    index = other_arms(fit, control, arms)
    return AverageInference(
        estimate[0], stderr[0], dof[0], index, "Average treatment effect (ATE)", len(fit.y)
    )


def group_effects(
    fit: Evidence, groups: Any, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effects within groups of rows (GATE).

    Parameters
    ----------
    fit : Evidence
    groups : array-like, shape (n,)
        Label of each row's group, fixed before the outcome was seen; a categorical keeps its order,
        other labels are sorted.
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each group; with several other arms one for each group and arm. Groups of a few
        rows get wide intervals.

    Raises
    ------
    ValueError
        If `groups` has another length or a missing label, or a group has fewer than two rows of an
        arm: such groups are named, to be merged.
    """
    labels = pd.Series(groups)
    if len(labels) != len(fit.y):
        raise ValueError(f"groups has {len(labels)} labels for {len(fit.y)} training rows")
    missing = labels.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"groups misses {missing.sum()} labels, the first at row "
            f"{labels.index[missing.argmax()]}: "
            "give those rows a group of their own"
        )
    codes, levels = pd.factorize(labels, sort=True)
    each = Groups(fit, codes, levels, arms)
    estimate, influence = each.effects(control)
    stderr, dof = each.spread(influence)
    index = pd.Index(levels, name=labels.name or "group")
    if fit.n_arms > 2:
        index = pd.MultiIndex.from_product([index, other_arms(fit, control, arms)])
    return AverageInference(
        estimate.ravel(),
        stderr.ravel(),
        dof.ravel(),
        index,
        "Group average treatment effects (GATE)",
        len(fit.y),
    )


def effect_on_treated(
    fit: Evidence, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over the rows that had that arm (ATT).

    The mean residual of the arm's rows from the prediction under control, less that of the control
    rows weighted by the odds of the arm against control (Hirano, Imbens & Ridder, 2003,
    Econometrica 71:1161-1189; doubly robust as in Chernozhukov et al., 2018, eq. 5.4).

    Parameters
    ----------
    fit : Evidence
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each other arm.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows.
    """
    everyone = everyone_of(fit, arms)
    estimate, influence = everyone.effects_on_treated(control)
    stderr, dof = everyone.spread(influence)
    index = other_arms(fit, control, arms)
    return AverageInference(estimate[0], stderr[0], dof[0], index, _ATT, len(fit.y))


def effect_on_treated_at(
    fit: Evidence,
    effects: np.ndarray,
    arm: np.ndarray,
    control: int = 0,
    arms: Sequence[Any] | None = None,
) -> AverageInference:
    """Average effect over other rows of the training population, of each arm on those that had it.

    As `average_effect_at`: the mean predicted effect of those rows, plus what `effect_on_treated`
    adds to the mean out-of-fold prediction of the training rows that had it.

    Parameters
    ----------
    fit : Evidence
    effects : ndarray, shape (m,) for two arms, (m, n_arms - 1) for more
        Predicted effects of every other arm against `control`.
    arm : ndarray of int, shape (m,)
        Position of the arm that each row had.
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each other arm.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows, here or in training.
    """
    everyone = everyone_of(fit, arms)
    others = np.delete(np.arange(fit.n_arms), control)
    m = np.bincount(arm, minlength=fit.n_arms)[others]
    if m.min() < LEAST_ROWS:
        label = labels_of(fit, arms)[others[m.argmin()]]
        raise ValueError(
            f"an average effect on those that had arm {label!r} needs at least {LEAST_ROWS} rows "
            f"that had it, not {m.min()}"
        )
    had = arm[:, None] == others
    effects = np.asarray(effects, dtype=np.float64).reshape(len(arm), -1)
    mean = np.sum(had * effects, axis=0) / m
    variance = np.sum(had * (effects - mean) ** 2, axis=0) / (m - 1) / m
    own = fit.weight[:, None] * (fit.arm[:, None] == others)
    robust, of_robust = everyone.effects_on_treated(control)
    predicted, of_predicted = everyone.mean(own, difference(fit.mean_outcomes, control))
    stderr, dof = everyone.spread(of_robust - of_predicted, variance, m)
    index = other_arms(fit, control, arms)
    estimate = mean + (robust - predicted)[0]
    return AverageInference(estimate, stderr[0], dof[0], index, f"{_ATT} of new rows", len(arm))


def average_effect_at(
    fit: Evidence, effects: np.ndarray, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect over other rows of the training population.

    The mean predicted effect of those rows, plus the mean error of out-of-fold predictions that the
    training rows show (prediction-powered inference: Angelopoulos et al., 2023, Science
    382:669-674). Both samples add to the variance. Over another population the correction, and so
    the interval, is not to be trusted; over the training rows themselves use `average_effect`.

    Parameters
    ----------
    fit : Evidence
    effects : ndarray, shape (m,) for two arms, (m, n_arms - 1) for more
        Predicted effects of every other arm against `control`.
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each other arm.

    Raises
    ------
    ValueError
        If `effects` has fewer than two rows, or an arm fewer than two training rows.
    """
    m = len(effects)
    if m < 2:
        raise ValueError(f"an average with a standard error needs at least 2 rows, not {m}")
    effects = np.asarray(effects, dtype=np.float64).reshape(m, fit.n_arms - 1)
    everyone = everyone_of(fit, arms)
    correction, influence = (difference(part, control) for part in everyone.correction())
    of_effects = effects.var(axis=0, ddof=1) / m
    stderr, dof = everyone.spread(influence, of_effects, m)
    index = other_arms(fit, control, arms)
    estimate = effects.mean(axis=0) + correction[0]
    return AverageInference(
        estimate, stderr[0], dof[0], index, "Average treatment effect (ATE) of new rows", m
    )
