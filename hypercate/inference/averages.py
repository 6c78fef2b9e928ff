"""Average effects with doubly robust standard errors.

The estimate is augmented inverse probability weighting (AIPW; Robins, Rotnitzky & Zhao, 1994,
JASA 89:846-866) with predictions by models that did not see the row (Chernozhukov et al., 2018,
"Double/debiased machine learning", Econometrics Journal 21:C1-C68): the mean of the predicted
outcomes, plus the mean residual of the rows that had the arm, weighted by one over its propensity.
The weights of this second mean are scaled to sum to 1 (Hajek), so that the estimate varies less if
a few rows have extreme weights. Variances are those of the leave-one-cluster-out jackknife (without
clusters, each row is a cluster), which takes into account that a row with a large weight pulls its
own mean. Intervals use Student's t, with Welch's degrees of freedom over the arms and over those
clusters that hold several arms.

Sample weights are weights of a sampling design: only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.evidence import Evidence
from hypercate.inference import simultaneous
from hypercate.inference.effects import Inference, check_alpha
from hypercate.inference.groups import (
    Groups,
    difference,
    everyone_of,
    labels_of,
    other_arms,
)
from hypercate.inference.scales import DIFFERENCE, Scale

_ATE = "Average treatment effect (ATE)"
_ATT = "Average treatment effect on the treated (ATT)"
_OF_NEW_ROWS = " of new rows"
_OF_SOME = " of some training rows"


@dataclass(frozen=True, repr=False, eq=False)
class AverageInference(Inference):
    """Average effects with their standard errors; `print` shows them as a table.

    Attributes
    ----------
    point_estimate, stderr, dof : ndarray of float64, shape (n_averages,)
        Estimate and standard error, in units of the outcome, and degrees of freedom of Student's t.
    index : Index, shape (n_averages,)
        The arm, the group, or both, of each average.
    estimand : str
        Name of the estimand, for the title of the summary.
    n_rows : int
        Number of rows that entered the averages.
    notes : tuple of str
        Remarks about the averages, shown below the table.
    scale : Scale
        Scale on which mean outcomes are compared.

    Examples
    --------
    >>> found = est.gate_inference(X["site"])
    >>> found.n_rows
    300
    >>> print(found)
                   Group average treatment effects (GATE)
               Cross-fitted AIPW, 300 rows, intervals at 0.95
    ===================================================================
           point_estimate  stderr   zstat    pvalue  ci_lower  ci_upper
    site
    north  ...
    south  ...
    ===================================================================
    """

    point_estimate: np.ndarray
    stderr: np.ndarray
    dof: np.ndarray
    index: pd.Index
    estimand: str
    n_rows: int
    notes: tuple[str, ...] = ()
    scale: Scale = DIFFERENCE

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
            estimate divided by its standard error, and ``pvalue`` is two-sided, for the hypothesis
            of no effect, by Student's t.

        Examples
        --------
        >>> est.gate_inference(X["site"]).summary_frame(alpha=0.1).columns.tolist()
        ['point_estimate', 'stderr', 'zstat', 'pvalue', 'ci_lower', 'ci_upper']
        """
        return pd.DataFrame(self._columns(alpha), index=self.index)

    def simultaneous_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The table with simultaneous intervals, and p-values adjusted for multiple testing.

        Use it with groups if the group that stands out is to be singled out.

        Parameters
        ----------
        alpha : float in (0, 1)
            All intervals together cover with probability 1 - alpha.

        Returns
        -------
        DataFrame
            Like that of `summary_frame`; see `hypercate.inference.simultaneous`.

        Examples
        --------
        >>> found = est.gate_inference(X["site"])
        >>> bool((found.simultaneous_frame()["pvalue"] >= found.summary_frame()["pvalue"]).all())
        True
        """
        check_alpha(alpha)
        table = self.summary_frame(simultaneous.level_of_each(alpha, max(len(self.index), 1)))
        return table.assign(pvalue=simultaneous.adjusted(table["pvalue"].to_numpy()))

    def _heading(self, alpha: float) -> tuple[str, str]:
        rows = "1 row" if self.n_rows == 1 else f"{self.n_rows} rows"
        return self.estimand, f"Cross-fitted AIPW, {rows}, {self._facts(alpha)}"


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
    return AverageInference(estimate[0], stderr[0], dof[0], index, _ATE, len(fit.y))


def mean_outcomes(fit: Evidence, arms: Sequence[Any] | None = None) -> AverageInference:
    """Mean outcome of the training population if everyone were given an arm, for each arm.

    Parameters
    ----------
    fit : Evidence
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    AverageInference
        A row for each arm.
    """
    everyone = everyone_of(fit, arms)
    outcomes, influence = everyone.outcomes()
    stderr, dof = everyone.spread(influence)
    index = pd.Index(labels_of(fit, arms), name="arm")
    return AverageInference(outcomes[0], stderr[0], dof[0], index, "Mean outcome", len(fit.y))


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
            f"groups has {missing.sum()} missing labels, the first at row "
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
    too_few: str | None = None,
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
    too_few : str, optional
        As in `average_effect_at`.

    Returns
    -------
    AverageInference
        A row for each other arm: without a standard error if one row had it, NaN if none had.

    Raises
    ------
    ValueError
        If no row had another arm than `control`, or an arm has fewer than two rows in training.
    """
    everyone = everyone_of(fit, arms)
    others = np.delete(np.arange(fit.n_arms), control)
    m = np.bincount(arm, minlength=fit.n_arms)[others]
    if not m.any():
        raise ValueError(
            "an average effect on the treated needs rows that had an arm other than "
            f"{labels_of(fit, arms)[control]!r}, but there are none"
        )
    had = arm[:, None] == others
    effects = np.asarray(effects, dtype=np.float64).reshape(len(arm), -1)
    known = np.where(m > 0, m, np.nan)
    several = np.where((m > 1) & (too_few is None), m, np.nan)
    mean = np.sum(had * effects, axis=0) / known
    variance = np.sum(had * (effects - mean) ** 2, axis=0) / (several - 1) / several
    own = fit.weight[:, None] * (fit.arm[:, None] == others)
    robust, of_robust = everyone.effects_on_treated(control)
    predicted, of_predicted = everyone.mean(own, difference(fit.mean_outcomes, control))
    stderr, dof = everyone.spread(of_robust - of_predicted, variance, several)
    index = other_arms(fit, control, arms)
    estimate = mean + (robust - predicted)[0]
    notes = _notes_at(too_few)
    if too_few is None and (m < 2).any():
        few = [
            f"{label!r} ({count} rows)"
            for label, count in zip(index, m.tolist(), strict=True)
            if count < 2
        ]
        notes += (
            "Standard error and interval: not available, because too few rows had arm "
            f"{', '.join(few)}.",
        )
    return AverageInference(
        estimate,
        stderr[0],
        dof[0],
        index,
        f"{_ATT}{_OF_NEW_ROWS if too_few is None else _OF_SOME}",
        len(arm),
        notes,
    )


def average_effect_at(
    fit: Evidence,
    effects: np.ndarray,
    control: int = 0,
    arms: Sequence[Any] | None = None,
    too_few: str | None = None,
) -> AverageInference:
    """Average effect over other rows of the training population.

    The mean predicted effect of those rows, plus the mean error of out-of-fold predictions that the
    training rows show (prediction-powered inference: Angelopoulos et al., 2023, Science
    382:669-674). Both samples add to the variance. Over another population the correction, and thus
    the interval, is not valid; over the training rows themselves use `average_effect`.

    Parameters
    ----------
    fit : Evidence
    effects : ndarray, shape (m,) for two arms, (m, n_arms - 1) for more
        Predicted effects of every other arm against `control`.
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.
    too_few : str, optional
        What training rows lack for an average of their own, as `shortage` says it; there is no
        standard error then.

    Returns
    -------
    AverageInference
        A row for each other arm; without standard errors for one row, or if `too_few`.

    Raises
    ------
    ValueError
        If there are no `effects`, or an arm has fewer than two training rows.
    """
    m = len(effects)
    if m == 0:
        raise ValueError("an average needs at least 1 row, not 0")
    effects = np.asarray(effects, dtype=np.float64).reshape(m, fit.n_arms - 1)
    everyone = everyone_of(fit, arms)
    correction, influence = (difference(part, control) for part in everyone.correction())
    mean = effects.mean(axis=0)
    stderr, dof, rows, notes = of_other_rows(everyone, effects, influence, too_few)
    index = other_arms(fit, control, arms)
    return AverageInference(mean + correction[0], stderr, dof, index, _ATE + rows, m, notes)


def of_other_rows(
    everyone: Groups, values: np.ndarray, influence: np.ndarray, too_few: str | None
) -> tuple[np.ndarray, np.ndarray, str, tuple[str, ...]]:
    """Uncertainty of a mean of values over other rows, corrected by the training rows' errors.

    Parameters
    ----------
    everyone : Groups
        The training rows.
    values : ndarray, shape (m, c)
    influence : ndarray, shape (n_cells, c)
        Of the correction.
    too_few : str, optional
        As in `average_effect_at`.

    Returns
    -------
    stderr, dof : ndarray, shape (c,)
    rows : str
        Which rows these are, for the title.
    notes : tuple of str
    """
    m = len(values)
    several = m if m > 1 and too_few is None else np.nan
    of_values = np.sum((values - values.mean(axis=0)) ** 2, axis=0) / (several - 1) / several
    stderr, dof = everyone.spread(influence, of_values, several)
    notes = _notes_at(too_few)
    if too_few is None and m == 1:
        notes += ("Standard error and interval: not available for one row.",)
    return stderr[0], dof[0], _OF_NEW_ROWS if too_few is None else _OF_SOME, notes


def _notes_at(too_few: str | None) -> tuple[str, ...]:
    if too_few is None:
        return (
            "New rows: their mean predicted effect, corrected by the mean error that predictions "
            "have over the training population. The correction, and with it the interval, is valid "
            "if the rows come from that population.",
        )
    return (
        f"Standard error and interval: not available {too_few}. The number is the mean predicted "
        "effect, corrected by the mean error that predictions have over the training population.",
    )
