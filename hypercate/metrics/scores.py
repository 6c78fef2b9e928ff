"""Doubly robust scores of outcomes under each arm, on which metrics and policies are based."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_labels, as_vector, check_rows
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.frames import as_pandas
from hypercate.encoding.propensities import check_propensity
from hypercate.encoding.weights import check_sample_weight
from hypercate.inference.averages import AverageInference
from hypercate.metrics.rows import check_aligned, read_numbers, read_table, refuse_missing


@dataclass(frozen=True, repr=False, eq=False)
class ScoreInference(AverageInference):
    """Estimates from the scores of rows, with standard errors; `print` shows them as a table.

    Examples
    --------
    >>> from hypercate.metrics import policy_value
    >>> scores = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0, 5.0]})
    >>> found = policy_value({"all b": ["b", "b", "b"]}, scores)
    >>> found.point_estimate.tolist(), found.n_rows
    ([3.0], 3)
    """

    def _heading(self, alpha: float) -> tuple[str, str]:
        rows = "1 row" if self.n_rows == 1 else f"{self.n_rows} rows"
        return self.estimand, f"Doubly robust scores, {rows}, {self._facts(alpha)}"


def aipw_scores(
    y: Any,
    treatment: Any,
    *,
    propensity: Any = None,
    outcomes: Any = None,
    control: Any = None,
    sample_weight: Any = None,
) -> pd.DataFrame:
    """Doubly robust scores of the outcome under each arm.

    The score under arm k is ``m_k(x) + 1{T = k} (Y - m_k(x)) / e_k(x)``. Its mean over any kind of
    rows is the mean outcome that these rows would have under arm k, if either the outcomes m or the
    propensities e are right (augmented inverse probability weighting; Robins, Rotnitzky & Zhao,
    1994, JASA 89:846-866). ``HyperCATE.scores_frame`` returns the scores of the rows that a model
    was fitted to.

    Parameters
    ----------
    y : array-like, shape (n,)
        Observed outcome.
    treatment : array-like, shape (n,)
        Arm of each row: labels of any kind.
    propensity : array-like, shape (n,) or (n, K), optional
        Probability of each arm given the covariates, known by design or estimated by models that
        did not see the row: a frame with one column per arm, or an array with control first and the
        others in sorted order; with two arms, that of the treated arm is enough. By default the
        arms' shares of the rows, which is right if everyone had the same probabilities.
    outcomes : array-like, shape (n, K), optional
        Predicted outcomes under each arm, in the same form, by models that did not see the row. By
        default the arms' means. The better they are, the smaller the standard errors.
    control : label, optional
        The control arm; the first in sorted order by default.
    sample_weight : array-like, shape (n,), optional
        Weights for the default shares and means; rows of weight 0 are scored, too.

    Returns
    -------
    DataFrame, shape (n, K)
        With the rows' index and one column for each arm, control first.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the argument, arm or row.

    Examples
    --------
    >>> from hypercate.metrics import aipw_scores
    >>> aipw_scores([1, 0, 3, 2], ["b", "a", "b", "a"]).mean().to_dict()
    {'a': 1.0, 'b': 2.0}
    """
    n, index = check_aligned(
        y=y,
        treatment=treatment,
        propensity=propensity,
        outcomes=outcomes,
        sample_weight=sample_weight,
    )
    conditions = Conditions.fit(treatment, control)
    labels, arm = conditions.labels.tolist(), conditions.positions(treatment)
    weight = check_sample_weight(sample_weight, n, index, "y")
    outcome = read_numbers(y, "y")
    received = (arm[:, None] == np.arange(len(labels))).astype(np.float64)
    of_arms = weight @ received
    if not of_arms.all():
        label = labels[int(of_arms.argmin())]
        raise ValueError(f"arm {label!r} has no row of positive weight: leave it out")
    if propensity is None:
        probability = np.broadcast_to(of_arms / of_arms.sum(), received.shape)
    else:
        probability = check_propensity(propensity, n, conditions)
    if outcomes is None:
        predicted = np.broadcast_to((weight * outcome) @ received / of_arms, received.shape)
    else:
        predicted = read_table(outcomes, labels, "outcomes")
        refuse_missing(predicted, "outcomes")
    scores = predicted + received / probability * (outcome[:, None] - predicted)
    rows = pd.RangeIndex(n) if index is None else index
    return pd.DataFrame(scores, rows, pd.Index(conditions.labels, name="arm"))


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows of positive weight with their scores.

    Attributes
    ----------
    values : ndarray of float64, shape (n, n_arms)
    arms : list
        Labels of the columns.
    weight : ndarray of float64, shape (n,)
    cluster : ndarray of int64, shape (n,)
    used : ndarray of bool, shape (n_given,)
        Which of the rows given these are.
    """

    values: np.ndarray
    arms: list
    weight: np.ndarray
    cluster: np.ndarray
    used: np.ndarray

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean of the rows."""
        return self.weight @ values / self.weight.sum()

    def spread(self, influence: np.ndarray) -> tuple[np.ndarray, float]:
        """Standard errors of estimates by what each row adds to them, and degrees of freedom.

        Clusters, each row by default, are taken as independent.

        Parameters
        ----------
        influence : ndarray, shape (n, c)
            Of weighted mean 0.

        Returns
        -------
        stderr : ndarray, shape (c,)
            NaN for one cluster.
        dof : float
        """
        n = int(self.cluster.max()) + 1
        if n == 1:
            return np.full(influence.shape[1], np.nan), np.nan
        sums = (self.weight / self.weight.sum())[:, None] * influence
        if n < len(sums):
            sums = pd.DataFrame(sums).groupby(self.cluster).sum().to_numpy()
        return np.sqrt((sums**2).sum(axis=0) * n / (n - 1)), n - 1


def read_scores(
    scores: Any, control: Any, sample_weight: Any, groups: Any, **named: Any
) -> tuple[Scored, np.ndarray, list]:
    """Scores with weights and clusters, and of every other arm against control.

    Parameters
    ----------
    scores : DataFrame or array-like, shape (n, K); or (n,), of the effect itself
    control : label, optional
    sample_weight, groups : array-like, shape (n,), or None
    **named : array-like of n rows
        What has to be in the order of the scores.

    Returns
    -------
    rows : Scored
        Of one column for scores of the effect itself.
    effects : ndarray, shape (n, K - 1)
        Scores less those of control.
    others : list
        Labels of the other arms.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the argument, arm or row.
    """
    n, index = check_aligned(**named, scores=scores, sample_weight=sample_weight, groups=groups)
    arms = arms_of(scores)
    table = read_table(scores, arms, "scores")
    weight = check_sample_weight(sample_weight, n, index, "scores")
    used = weight > 0
    refuse_missing(np.where(used[:, None], table, 0.0), "scores")
    cluster = np.arange(n)
    if groups is not None:
        cluster = as_labels(as_vector(groups, "groups"), "groups")
    cluster = np.unique(cluster[used], return_inverse=True)[1]
    rows = Scored(table[used], arms, weight[used], cluster, used)
    if len(arms) == 1:
        if control is not None:
            raise ValueError(
                f"control={control!r}, but scores has one value per row, which is of the effect: "
                "leave out control, or pass a column for each arm"
            )
        return rows, rows.values, arms
    first = 0 if control is None else position_of(control, arms, "control")
    effects = np.delete(rows.values, first, axis=1) - rows.values[:, [first]]
    return rows, effects, [label for k, label in enumerate(arms) if k != first]


def arms_of(scores: Any) -> list:
    """Labels of the arms of scores: a frame's columns, or 0 to K - 1.

    One value per row is the score of the effect of arm 1.
    """
    scores = as_pandas(scores, "scores")
    if isinstance(scores, pd.DataFrame) and scores.shape[1] > 1:
        return scores.columns.tolist()
    if np.ndim(scores) == 2 and np.shape(scores)[1] > 1:
        return list(range(np.shape(scores)[1]))
    return [1]


def position_of(label: Any, arms: Sequence[Any], name: str) -> int:
    """Position of a label among those of the arms.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    arms = list(arms)
    if label not in arms:
        raise ValueError(
            f"{name} {label!r} is none of the arms {arms}: pass scores as a frame with a column "
            "for each arm, named by its label"
        )
    return arms.index(label)


def read_effects(effects: Any, others: Sequence[Any], rows: Scored) -> np.ndarray:
    """Effects of the other arms at the rows used: (n, K - 1)."""
    check_rows(len(rows.used), None, "scores", effects=effects)
    table = read_table(effects, others, "effects")[rows.used]
    refuse_missing(table, "effects")
    return table
