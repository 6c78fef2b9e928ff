"""Average effects with doubly robust standard errors, and a test of heterogeneity.

The estimate is augmented inverse probability weighting (AIPW; Robins, Rotnitzky & Zhao, 1994,
JASA 89:846-866) on predictions that did not see the row (Chernozhukov et al., 2018,
"Double/debiased machine learning", Econometrics Journal 21:C1-C68): the mean of the predicted
outcomes, plus the mean residual of the rows that had the arm, weighted by one over its propensity.
The weights of that second mean are scaled to sum to 1 (Hajek): with few rows of extreme weight the
estimate varies less. Variances are those of the leave-one-row-out jackknife, which does not
overlook that such a row pulls its own mean, and intervals Student's t with Welch's degrees of
freedom over the arms.

Sample weights are weights of a sampling design: only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

from hypercate.crossfit import CrossFit
from hypercate.effects import check_alpha, inference_columns

LEAST_ROWS = 2  # of an arm, in each average
_ATT = "Average treatment effect on the treated (ATT)"
LEAST_SPREAD = 1e-6  # of predicted effects, in sds of the outcome; below are rounding errors


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


def potential_outcome_scores(fit: CrossFit) -> np.ndarray:
    """AIPW scores, whose weighted mean estimates each arm's mean potential outcome.

    Parameters
    ----------
    fit : CrossFit
        Every row with its predictions: see `CrossFit.covered`.

    Returns
    -------
    ndarray of float64, shape (n, n_arms)
    """
    inverse = _inverse_propensity(fit)
    inverse /= np.average(inverse, axis=0, weights=fit.weight)
    residual = fit.y[:, None] - fit.outcomes
    mean = np.average(inverse * residual, axis=0, weights=fit.weight)
    return fit.outcomes + mean + inverse * (residual - mean)


def average_effect(
    fit: CrossFit, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over the training population (ATE).

    Parameters
    ----------
    fit : CrossFit
        Rows that no model held out are left aside.
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
    fit = fit.covered()
    everyone = _everyone(fit, arms)
    estimate, influence = everyone.effects(control)
    stderr, dof = everyone.spread(influence)
    index = _other_arms(fit, control, arms)
    return AverageInference(
        estimate[0], stderr[0], dof[0], index, "Average treatment effect (ATE)", len(fit.y)
    )


def group_effects(
    fit: CrossFit, groups: Any, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effects within groups of rows (GATE).

    Parameters
    ----------
    fit : CrossFit
        Rows that no model held out are left aside.
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
    held = np.isfinite(fit.outcomes).all(axis=1)
    fit = fit.covered()
    codes, levels = pd.factorize(labels[held], sort=True)
    each = _Groups(fit, codes, levels, arms)
    estimate, influence = each.effects(control)
    stderr, dof = each.spread(influence)
    index = pd.Index(levels, name=labels.name or "group")
    if fit.n_arms > 2:
        index = pd.MultiIndex.from_product([index, _other_arms(fit, control, arms)])
    return AverageInference(
        estimate.ravel(),
        stderr.ravel(),
        dof.ravel(),
        index,
        "Group average treatment effects (GATE)",
        len(fit.y),
    )


def effect_on_treated(
    fit: CrossFit, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over the rows that had that arm (ATT).

    The mean residual of the arm's rows from the prediction under control, less that of the control
    rows weighted by the odds of the arm against control (Hirano, Imbens & Ridder, 2003,
    Econometrica 71:1161-1189; doubly robust as in Chernozhukov et al., 2018, eq. 5.4).

    Parameters
    ----------
    fit : CrossFit
        Rows that no model held out are left aside.
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
    fit = fit.covered()
    everyone = _everyone(fit, arms)
    estimate, influence = everyone.effects_on_treated(control)
    stderr, dof = everyone.spread(influence)
    index = _other_arms(fit, control, arms)
    return AverageInference(estimate[0], stderr[0], dof[0], index, _ATT, len(fit.y))


def effect_on_treated_at(
    fit: CrossFit,
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
    fit : CrossFit
        Training rows that no model held out are left aside.
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
    fit = fit.covered()
    everyone = _everyone(fit, arms)
    others = np.delete(np.arange(fit.n_arms), control)
    m = np.bincount(arm, minlength=fit.n_arms)[others]
    if m.min() < LEAST_ROWS:
        label = _labels(fit, arms)[others[m.argmin()]]
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
    predicted, of_predicted = everyone.mean(own, _difference(fit.outcomes, control))
    stderr, dof = everyone.spread(of_robust - of_predicted, variance, m)
    index = _other_arms(fit, control, arms)
    estimate = mean + (robust - predicted)[0]
    return AverageInference(estimate, stderr[0], dof[0], index, f"{_ATT} of new rows", len(arm))


def average_effect_at(
    fit: CrossFit, effects: np.ndarray, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect over other rows of the training population.

    The mean predicted effect of those rows, plus the mean error of out-of-fold predictions that the
    training rows show (prediction-powered inference: Angelopoulos et al., 2023, Science
    382:669-674). Both samples add to the variance. Over another population the correction, and so
    the interval, is not to be trusted; over the training rows themselves use `average_effect`.

    Parameters
    ----------
    fit : CrossFit
        Training rows that no model held out are left aside.
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
    fit = fit.covered()
    m = len(effects)
    if m < 2:
        raise ValueError(f"an average with a standard error needs at least 2 rows, not {m}")
    effects = np.asarray(effects, dtype=np.float64).reshape(m, fit.n_arms - 1)
    everyone = _everyone(fit, arms)
    correction, influence = (_difference(part, control) for part in everyone.correction())
    of_effects = effects.var(axis=0, ddof=1) / m
    stderr, dof = everyone.spread(influence, of_effects, m)
    index = _other_arms(fit, control, arms)
    estimate = effects.mean(axis=0) + correction[0]
    return AverageInference(
        estimate, stderr[0], dof[0], index, "Average treatment effect (ATE) of new rows", m
    )


def heterogeneity_test(
    fit: CrossFit, control: int = 0, arms: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Test whether predicted effects tell rows of larger from rows of smaller effects.

    AIPW scores of the effect are regressed on the mean predicted effect and on the predicted effect
    less that mean: the best linear predictor of Chernozhukov, Demirer, Duflo & Fernandez-Val (2018,
    "Generic machine learning inference on heterogeneous treatment effects"), as in grf's
    ``test_calibration``. A first coefficient of 1 says that the mean is right, a second of 1 that
    the spread is, and a second above 0 that effects differ and the predictions see it.

    Parameters
    ----------
    fit : CrossFit
        Rows that no model held out are left aside.
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    DataFrame
        Rows ``mean_prediction`` and ``differential_prediction`` of every other arm (index levels
        ``arm`` and ``term``). Columns ``coefficient``, ``stderr`` (HC3; MacKinnon & White, 1985),
        ``tstat`` and ``pvalue``, one-sided for a coefficient above 0. Where the predictions are
        constant, to a millionth of the outcome's standard deviation, or their mean is 0, the
        coefficient does not exist: it is NaN and its ``pvalue`` 1.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows.
    """
    fit = fit.covered()
    _everyone(fit, arms)  # refuses too few rows
    score = _difference(potential_outcome_scores(fit), control)
    predicted = _difference(fit.outcomes, control)
    weight = fit.weight[:, None] / fit.weight.sum()
    mean = (weight * predicted).sum(axis=0)
    regressors = np.stack([np.broadcast_to(mean, predicted.shape), predicted - mean])
    least = LEAST_SPREAD * np.sqrt(np.cov(fit.y, aweights=fit.weight))
    size = (weight * regressors**2).sum(axis=1)
    exists = np.sqrt(size) > least
    size = np.where(exists, size, np.nan)[:, None]
    # the regressors are orthogonal, so each coefficient is its own regression's
    coefficient = (weight * regressors * score).sum(axis=1, keepdims=True) / size
    error = score - np.nansum(coefficient * regressors, axis=0)
    leverage = np.nansum(weight * regressors**2 / size, axis=0)
    pull = weight * regressors * error / (1 - leverage) / size
    stderr = np.sqrt((pull**2).sum(axis=1))
    coefficient = coefficient[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        tstat = coefficient / stderr
    pvalue = np.where(exists, stats.t.sf(tstat, len(fit.y) - exists.sum(axis=0)), 1.0)
    terms = pd.Index(["mean_prediction", "differential_prediction"], name="term")
    table = {"coefficient": coefficient, "stderr": stderr, "tstat": tstat, "pvalue": pvalue}
    return pd.DataFrame(
        {name: column.T.ravel() for name, column in table.items()},
        index=pd.MultiIndex.from_product([_other_arms(fit, control, arms), terms]),
    )


class _Groups:
    """Rows in groups, each of which is averaged for itself."""

    def __init__(
        self, fit: CrossFit, codes: np.ndarray, labels: pd.Index, arms: Sequence[Any] | None
    ):
        self.fit, self.codes, self.n_groups = fit, codes, len(labels)
        self.n_rows = self.by_arm(np.ones((len(fit.y), 1)))
        few = np.argwhere(self.n_rows[..., 0] < LEAST_ROWS)
        if len(few):
            names = _labels(fit, arms)
            found = [
                f"{labels[group]} has {self.n_rows[group, arm, 0]:.0f} of arm {names[arm]!r}"
                for group, arm in few[:5]
            ]
            more = f" (and {len(few) - 5} more)" if len(few) > 5 else ""
            raise ValueError(
                f"an average effect needs at least {LEAST_ROWS} rows of every arm, but "
                f"{', '.join(found)}{more}: merge such groups, or leave such arms out"
            )

    def mean(self, weight: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted means (n_groups, c), and what leaving a row out takes from its own (n, c)."""
        share = weight / _sums(weight, self.codes, self.n_groups)[self.codes]
        mean = _sums(share * values, self.codes, self.n_groups)
        return mean, share / (1 - share) * (values - mean[self.codes])

    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean error of each arm's predictions (n_groups, n_arms), and influences (n, n_arms)."""
        weight = self.fit.weight[:, None] * _inverse_propensity(self.fit)
        return self.mean(weight, self.fit.y[:, None] - self.fit.outcomes)

    def effects(self, control: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean effects (n_groups, n_arms - 1), and the rows' influences (n, n_arms - 1)."""
        predicted, of_predicted = self.mean(self.fit.weight[:, None], self.fit.outcomes)
        error, of_error = self.correction()
        return (
            _difference(predicted + error, control),
            _difference(of_predicted + of_error, control),
        )

    def effects_on_treated(self, control: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean effects on those that had each other arm, and the rows' influences, likewise."""
        fit = self.fit
        own = fit.arm[:, None] == np.delete(np.arange(fit.n_arms), control)
        odds = np.delete(fit.propensity, control, axis=1) / fit.propensity[:, [control]]
        like_treated = (fit.arm == control)[:, None] * odds
        residual = (fit.y - fit.outcomes[:, control])[:, None]
        treated, of_treated = self.mean(fit.weight[:, None] * own, residual)
        untreated, of_untreated = self.mean(fit.weight[:, None] * like_treated, residual)
        return treated - untreated, of_treated - of_untreated

    def spread(
        self,
        influence: np.ndarray,
        other_variance: float | np.ndarray = 0.0,
        n_other: int | np.ndarray = 2,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors and Welch's degrees of freedom (n_groups, n_arms - 1).

        `other_variance` is that of an independent mean over `n_other` rows.
        """
        variance = self.by_arm(influence**2)
        total = variance.sum(axis=1) + other_variance
        pooled = (variance**2 / (self.n_rows - 1)).sum(axis=1) + other_variance**2 / (n_other - 1)
        certain = pooled == 0
        dof = np.where(certain, np.inf, total**2 / np.where(certain, 1.0, pooled))
        return np.sqrt(total), dof

    def by_arm(self, values: np.ndarray) -> np.ndarray:
        """Sums over the rows of each arm (n_groups, n_arms, c)."""
        n_arms = self.fit.n_arms
        sums = _sums(values, self.codes * n_arms + self.fit.arm, self.n_groups * n_arms)
        return sums.reshape(self.n_groups, n_arms, -1)


def _everyone(fit: CrossFit, arms: Sequence[Any] | None) -> _Groups:
    return _Groups(fit, np.zeros(len(fit.y), dtype=np.int64), pd.Index(["the sample"]), arms)


def _sums(values: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
    """Sums of the rows of each code: (n_codes, c)."""
    rows = np.arange(len(codes))
    member = sparse.csr_array((np.ones(len(codes)), (codes, rows)), (n_codes, len(codes)))
    return member @ values


def _inverse_propensity(fit: CrossFit) -> np.ndarray:
    return (fit.arm[:, None] == np.arange(fit.n_arms)) / fit.propensity


def _difference(values: np.ndarray, control: int) -> np.ndarray:
    """Every other arm's value less the control's, also for two arms (c, n_arms - 1)."""
    return np.delete(values, control, axis=1) - values[:, [control]]


def _labels(fit: CrossFit, arms: Sequence[Any] | None) -> list:
    return list(range(fit.n_arms)) if arms is None else list(arms)


def _other_arms(fit: CrossFit, control: int, arms: Sequence[Any] | None) -> pd.Index:
    others = [label for k, label in enumerate(_labels(fit, arms)) if k != control]
    return pd.Index(others, name="arm")
