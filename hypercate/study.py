"""The encoded rows that a fit works on, and how they are read from what users have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from hypercate.compat import num_samples, rows_of
from hypercate.encoding import (
    Conditions,
    Doses,
    FeatureEncoder,
    as_pandas,
    check_rows,
    check_sample_weight,
    describe_arms,
    index_of,
)
from hypercate.encoding.checks import as_array, as_labels, as_vector, listed, warn
from hypercate.encoding.doses import read_doses
from hypercate.encoding.fingerprints import combined, fingerprints
from hypercate.encoding.frames import hash_labels
from hypercate.encoding.propensities import check_propensity
from hypercate.outcomes import Family, family_of
from hypercate.outcomes.reading import read_outcome

LEAST_GROUPS = 3
MANY_REPEATED = 0.05  # share of rows that have a twin
MANY_NUMBERS = 20  # as treatment, more than which are the outcome if y holds strings
CALL = (
    "fit(X, y, treatment), unlike that of EconML, fit(Y, T, X=X), and of CausalML, "
    "fit(X, treatment, y)"
)
SELDOM_OTHER = 0.05  # share of pairs alike in x that differ in y or arm, over that by chance


@dataclass(frozen=True)
class Study:
    """Rows with positive weight, encoded.

    Attributes
    ----------
    x : ndarray of float32, shape (n, n_inputs)
        Standardised covariates, without missing values, and codes of levels where a column has
        many.
    y : ndarray of float64, shape (n,)
        Outcome in its own units, or 0 and 1.
    weight : ndarray of float64, shape (n,)
        Of mean 1.
    condition : ndarray of int64, shape (n,)
        Which of the distinct treatments a row received, in the canonical order.
    cluster : ndarray of int64, shape (n,)
        0 to n_clusters - 1; rows of a cluster are not independent.
    n_codes : ndarray of int64, shape (n_inputs,)
        Of covariates that are codes of many levels; 0 for numbers.
    dose : ndarray of float64, shape (n,), or None
        Of each row, where treatments are amounts; its condition is then the range of the dose.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    condition: np.ndarray
    cluster: np.ndarray
    n_codes: np.ndarray
    dose: np.ndarray | None = None

    @property
    def n_conditions(self) -> int:
        return int(self.condition.max()) + 1

    def by_condition(self, rows: np.ndarray) -> list[np.ndarray]:
        """Those of some rows that received each condition; all of them where none did."""
        each = [rows[self.condition[rows] == k] for k in range(self.n_conditions)]
        return [own if len(own) else rows for own in each]


@dataclass(frozen=True)
class Encoded:
    """A study, and how it was encoded.

    Attributes
    ----------
    study : Study
        Rows of positive weight.
    features : FeatureEncoder
    conditions : Conditions
    family : Family
        Of the outcome.
    used : ndarray of bool, shape (n_given,)
        Rows of positive weight among those given.
    fingerprint : ndarray of uint64, shape (n_given, 2)
        Of each given row's covariates, and of these with its arm.
    index_hash : ndarray of uint64, shape (n_given,), or None
        Of the labels of the rows given, by `hash_labels`; None if X was no pandas frame.
    propensity : ndarray of float64, shape (n, n_conditions), or None
        Known probabilities of the conditions, in the canonical order.
    arm_codes : ndarray of float32, shape (n_networks, n_codes), or None
        What the generator is told of each network. Of arms their description, in the canonical
        order; those that no row received come last.
    doses : Doses or None
        Where treatments are amounts.
    """

    study: Study
    features: FeatureEncoder
    conditions: Conditions
    family: Family
    used: np.ndarray
    fingerprint: np.ndarray
    index_hash: np.ndarray | None
    propensity: np.ndarray | None
    arm_codes: np.ndarray | None
    doses: Doses | None = None

    @property
    def n_networks(self) -> int:
        """Of a model: one an arm, or one a spline of the dose."""
        return len(self.conditions.labels) if self.doses is None else self.doses.n_splines


def read_study(
    X: Any,
    y: Any,
    treatment: Any,
    sample_weight: Any,
    groups: Any,
    propensity: Any,
    arm_features: Any,
    control: Any,
    outcome: str,
    as_doses: bool = False,
) -> Encoded:
    """Check and encode what ``HyperCATE.fit`` is given; see there for the parameters.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the column, arm or row.

    Warns
    -----
    UserWarning
        If many rows are repeated and there are no groups.
    """
    index = index_of(X)
    X, y, treatment = as_pandas(X, "X"), as_pandas(y, "y"), as_pandas(treatment, "treatment")
    check_dimensions(X, y, treatment)
    features = FeatureEncoder.fit(X)
    n = num_samples(X)
    if not as_doses:
        conditions = Conditions.fit(treatment, control, CALL)
    check_rows(n, index, y=y, treatment=treatment, groups=groups)
    weight = check_sample_weight(sample_weight, n, index)
    used = weight > 0
    doses, dose = None, None
    if as_doses:
        dose = read_doses(treatment, "treatment")
        doses = Doses.fit(dose[used], control)
        conditions, dose = doses.conditions(), dose.clip(doses.ends[0], doses.ends[-1])
    if not used.all():
        features = FeatureEncoder.fit(rows_of(X, np.flatnonzero(used)))
    labels = read_outcome(y)
    _check_order(labels, conditions.labels)
    family = family_of(labels, outcome, weight)
    given = (
        conditions.positions(treatment)
        if dose is None or doses is None
        else conditions.position_of(doses.range_of(dose))
    )
    if propensity is not None:
        propensity = check_propensity(propensity, n, conditions, index)[used]
    position = given[used]
    _check_support(position, conditions.labels)
    if doses is None:
        conditions = conditions.in_order_of(position)
    condition = conditions.place[position]
    x = features.transform(X)
    fingerprint = fingerprints(x)
    study = Study(
        x=x if used.all() else x[used],
        y=family.without_outliers(family.encode(labels[used]), used),
        weight=(weight / weight[used].mean())[used],
        condition=condition,
        cluster=_clusters(groups, used, position, conditions.labels),
        n_codes=features.n_codes,
        dose=None if dose is None else dose[used],
    )
    if groups is None:
        _warn_of_repeated_rows(study)
    if propensity is not None:
        propensity = propensity[:, np.argsort(conditions.place)]
    arm_codes = None if doses is None else doses.codes()
    if arm_features is not None:
        conditions, of_labels = describe_arms(arm_features, conditions)
        arm_codes = of_labels[np.argsort(conditions.place)]
    return Encoded(
        study,
        features,
        conditions,
        family,
        used,
        np.column_stack([fingerprint, combined([fingerprint, given])]),
        None if index is None else hash_labels(index),
        propensity,
        arm_codes,
        doses,
    )


def check_dimensions(X: Any, y: Any, treatment: Any) -> None:
    """Refuse arguments in another order, where their dimensions tell."""
    if isinstance(X, pd.DataFrame) or issparse(X) or as_array(X, "X").ndim != 1:
        return
    for name, values in (("y", y), ("treatment", treatment)):
        if as_array(values, name).ndim == 2:
            raise ValueError(
                f"X has one dimension and {name} has two: the order of arguments is {CALL}. A "
                "single covariate is X.reshape(-1, 1), or a frame of one column"
            )


def _check_order(y: np.ndarray, arms: np.ndarray) -> None:
    """Refuse outcomes as treatment and arms as y, where their types tell."""
    if y.dtype.kind == "U" and arms.dtype.kind in "iu" and len(arms) > MANY_NUMBERS:
        raise ValueError(
            f"y holds strings, {listed(map(repr, np.unique(y).tolist()))}, and treatment holds "
            f"{len(arms)} distinct numbers, as if they had changed places: the order of arguments "
            f"is {CALL}. If treatment does hold arms, pass them as strings"
        )


def _clusters(
    groups: Any, used: np.ndarray, position: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    if groups is None:
        return np.arange(used.sum())
    cluster = np.unique(as_labels(as_vector(groups, "groups"), "groups")[used], return_inverse=True)
    pairs = np.unique(cluster[1] * len(labels) + position) % len(labels)
    if cluster[1].max() < LEAST_GROUPS - 1:
        raise ValueError(
            f"groups has {cluster[1].max() + 1} group(s) with rows of positive weight, but groups "
            f"are fitted or held out whole, which needs at least {LEAST_GROUPS}: pass finer groups"
        )
    few = np.bincount(pairs, minlength=len(labels)) < 2
    if few.any():
        raise ValueError(
            f"arm {labels[few.argmax()].item()!r} is found in one group only, but rows of a group "
            "are fitted or held out together: an arm needs at least two groups. Pass finer groups, "
            "drop the arm or merge it with another"
        )
    return cluster[1]


def _check_support(position: np.ndarray, labels: np.ndarray) -> None:
    outcomes = labels.dtype.kind in "iu" and len(labels) > MANY_NUMBERS
    hint = f". If these are outcomes: the order of arguments is {CALL}" if outcomes else ""
    for label, count in zip(labels, np.bincount(position, minlength=len(labels)), strict=True):
        if count < 2:
            raise ValueError(
                f"arm {label.item()!r} has {count} row(s) of positive weight, but needs at least "
                "2, one to train on and one to hold out: drop the arm or merge it with another"
                + hint
            )


def _warn_of_repeated_rows(study: Study) -> None:
    """Rows written down several times are not independent; where x is coarse, twins are natural."""
    x = fingerprints(study.x)
    answer = combined([study.y.view(np.uint64), study.condition.astype(np.uint64)])
    x_times, answer_times, times = (
        np.unique(code, return_counts=True)[1] for code in (x, answer, combined([x, answer]))
    )
    repeated = times[times > 1].sum() / len(x)
    by_chance = np.square(answer_times / len(x)).sum()
    pairs, alike = (np.sum(c * (c - 1.0)) for c in (times, x_times))
    if repeated > MANY_REPEATED and alike - pairs < SELDOM_OTHER * (1 - by_chance) * alike:
        warn(
            f"{repeated:.0%} of the rows are repeated: they are identical to another row in every "
            "covariate, the outcome and the treatment. If these are copies of one unit, errors and "
            "intervals are too small: pass groups=, the unit of each row, or drop the copies"
        )
