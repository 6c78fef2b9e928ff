"""The encoded rows that a fit works on, and how they are read from what users have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from hypercate.compat import num_samples, rows_of
from hypercate.encoding import (
    ArmDoses,
    Conditions,
    Doses,
    FeatureEncoder,
    as_pandas,
    check_rows,
    check_sample_weight,
    describe_arms,
    fit_doses,
    index_of,
)
from hypercate.encoding.checks import as_array, as_labels, as_vector, listed
from hypercate.encoding.doses import blend_of
from hypercate.encoding.events import check_horizon, read_event
from hypercate.encoding.fingerprints import combined, fingerprints, warn_of_repeated_rows
from hypercate.encoding.frames import hash_labels
from hypercate.encoding.propensities import check_propensity
from hypercate.outcomes import Censored, Family, family_of
from hypercate.outcomes.reading import read_outcome

LEAST_GROUPS = 3
MANY_NUMBERS = 20  # as treatment, more than which are the outcome if y holds strings
CALL = (
    "fit(X, y, treatment), unlike that of EconML, fit(Y, T, X=X), and of CausalML, "
    "fit(X, treatment, y)"
)


@dataclass(frozen=True)
class Study:
    """Rows with positive weight, encoded.

    Attributes
    ----------
    x : ndarray of float32, shape (n, n_inputs)
        Standardised covariates, without missing values, and codes of levels where a column has
        many.
    y : ndarray of float64, shape (n,) or (n_models, n)
        Outcome in its own units, or 0 and 1; each model's own, where these are pseudo-outcomes.
    weight : ndarray of float64, shape (n,)
        Of mean 1.
    condition : ndarray of int64, shape (n,)
        Which of the distinct treatments a row received, in the canonical order.
    cluster : ndarray of int64, shape (n,)
        0 to n_clusters - 1; rows of a cluster are not independent.
    n_codes : ndarray of int64, shape (n_inputs,)
        Of covariates that are codes of many levels; 0 for numbers.
    splines : ndarray of float64, shape (n, n_networks), or None
        How much each network counts, where treatments are doses; conditions are their ranges.
    event : ndarray of bool, shape (n,), or None
        Whether it was seen, where outcomes are times until an event.
    y_without : dict of ndarray of float64, shape (n,), or None
        Pseudo-outcomes that nuisances are fitted to without the rows of two parts of a partition.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    condition: np.ndarray
    cluster: np.ndarray
    n_codes: np.ndarray
    splines: np.ndarray | None = None
    event: np.ndarray | None = None
    y_without: dict[tuple[int, int, int], np.ndarray] | None = None

    def without(self, pair: tuple[int, int, int]) -> Study:
        """As nuisances see it that are fitted without the rows of two parts of a partition."""
        return self if self.y_without is None else replace(self, y=self.y_without[pair])

    def of_model(self, model: int) -> Study:
        """As one model sees it."""
        return self if self.y.ndim == 1 else replace(self, y=self.y[model])

    def y_at(self, rows: np.ndarray) -> np.ndarray:
        """Outcomes at rows (n_models, b) of the models' own."""
        return np.take_along_axis(np.broadcast_to(self.y, (len(rows), len(self.x))), rows, axis=1)

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
    doses : Doses, ArmDoses or None
        Where treatments are amounts.
    mean_weight : float
        Of the sample weights as they were given.
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
    doses: Doses | ArmDoses | None = None
    mean_weight: float = 1.0

    @property
    def n_networks(self) -> int:
        """Of a model: one per arm, or one per spline of the dose."""
        return len(self.conditions.labels) if self.doses is None else self.doses.n_splines

    @property
    def blend(self) -> tuple[np.ndarray, np.ndarray] | None:
        """How much the networks of its range count at each row's dose, and which these are."""
        if self.doses is None or self.study.splines is None:
            return None
        return blend_of(self.study.splines, self.study.condition, self.doses.blended)


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
    event: Any = None,
    horizon: float | None = None,
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
    doses, given, splines = None, None, None
    if as_doses:
        doses, given, splines = fit_doses(treatment, used, control)
        conditions = doses.conditions()
    if not used.all():
        features = FeatureEncoder.fit(rows_of(X, np.flatnonzero(used)))
    labels = read_outcome(y)
    _check_order(labels, conditions.labels)
    family = family_of(labels, outcome, weight, horizon)
    given = conditions.positions(treatment) if given is None else conditions.position_of(given)
    if propensity is not None:
        propensity = check_propensity(propensity, n, conditions, index)[used]
    position = given[used]
    _check_support(position, conditions.labels)
    if doses is None:
        conditions = conditions.in_order_of(position)
    condition = conditions.place[position]
    x = features.transform(X)
    fingerprint = fingerprints(x)
    y = family.without_outliers(family.encode(labels[used]), used)
    if isinstance(family, Censored):
        event = read_event(event, n, index)[used]
        check_horizon(family.horizon, y, event, position, conditions.labels)
    study = Study(
        x=x if used.all() else x[used],
        y=y,
        weight=(weight / weight[used].mean())[used],
        condition=condition,
        cluster=_clusters(groups, used, position, conditions.labels),
        n_codes=features.n_codes,
        splines=None if splines is None else splines[used],
        event=event,
    )
    if groups is None:
        warn_of_repeated_rows(study.x, study.y, study.condition)
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
        float(weight[used].mean()),
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
            f"{len(arms)} distinct numbers, as if they were swapped: the order of arguments "
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
            f"arm {labels[few.argmax()].item()!r} occurs in one group only, but rows of a group "
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
