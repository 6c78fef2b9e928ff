"""Update a fitted model with further rows, as users pass them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hypercate.added.links import link_of
from hypercate.compat import num_samples
from hypercate.encoding import Conditions, as_pandas, check_rows, check_sample_weight, index_of
from hypercate.encoding.checks import as_labels, as_vector, listed
from hypercate.encoding.conditions import read_arms
from hypercate.encoding.fingerprints import combined, fingerprints
from hypercate.encoding.frames import hash_labels
from hypercate.evidence import Evidence
from hypercate.fitted import Fitted, Seen
from hypercate.folds import Folds
from hypercate.inference.jackknife import rescaled
from hypercate.outcomes.reading import read_outcome
from hypercate.progress import LOG
from hypercate.updated.correction import Correction
from hypercate.updated.posterior import posterior_mean

LEAST_ROWS = 2  # of an arm, so that a model is judged on one and learns from another
_CALIBRATION_ROWS = 512


def update(
    fitted: Fitted,
    X: Any,
    y: Any,
    treatment: Any,
    sample_weight: Any,
    groups: Any,
    n_parts: int,
    device: torch.device,
) -> Fitted:
    """The same model after further rows; see ``HyperCATE.partial_fit`` for the other parameters.

    Parameters
    ----------
    fitted : Fitted
        Of arms; it is left as it is.
    n_parts : int
        Of the partitions of the rows.
    device : torch.device
        Where its networks are evaluated.

    Raises
    ------
    TypeError, ValueError
        If the rows cannot be used; the message names the column, arm or row.
    """
    family, index = fitted.family, index_of(X)
    X, y, treatment = as_pandas(X, "X"), as_pandas(y, "y"), as_pandas(treatment, "treatment")
    given_x, n = fitted.features.transform(X), num_samples(X)
    check_rows(n, index, y=y, treatment=treatment, groups=groups)
    weight = check_sample_weight(sample_weight, n, index)
    used = weight > 0
    given_arm = _known_arms(treatment, fitted.conditions)
    outcome = family.without_outliers(family.encode(read_outcome(y))[used], used)
    x, arm, weight = given_x[used], given_arm[used], weight[used]
    cluster = np.arange(len(arm))
    if groups is not None:
        labels = as_labels(as_vector(groups, "groups"), "groups")[used]
        cluster = np.unique(labels, return_inverse=True)[1]
    seen = _seen(fitted)
    folds = _folds(fitted, arm, cluster, n_parts)
    correction = fitted.networks.correction or Correction.none(
        family,
        fitted.networks.location,
        fitted.networks.scale,
        fitted.features.n_codes,
        _n_of_networks(fitted),
        fitted.seed,
    )
    before = fitted.networks.by_model(x, device)
    coef = _coefficients(correction, before, x, arm, outcome, weight, folds, seen)
    networks = replace(fitted.networks, correction=correction.plus(coef, outcome, folds.learns))
    some = x[folds.first(_CALIBRATION_ROWS)]
    deviations = []
    for each in (fitted.networks, networks):
        outcomes, apart = each.deviations(some, device)
        deviations.append(apart / family.unit_of_deviations(outcomes))
    LOG.info("partial_fit: %d rows of %d arms", len(arm), len(np.unique(arm)))
    evidence = fitted.evidence
    if evidence is not None:
        model, row = folds.judged
        fingerprint = fingerprints(given_x)
        further = Evidence(
            arm=arm,
            y=outcome,
            weight=weight / seen.weight,
            cluster=cluster,
            propensity=fitted.propensities(x),
            row=row,
            model=model,
            outcomes=networks.by_model(x, device)[model, row, : evidence.n_arms],
            used=used,
            fingerprint=np.column_stack([fingerprint, combined([fingerprint, given_arm])]),
            index_hash=None if index is None else hash_labels(index),
        )
        evidence = evidence.and_further(further)
    return replace(
        fitted,
        networks=networks,
        calibration=rescaled(fitted.calibration, *deviations),
        evidence=evidence,
        seen=seen.and_more(arm, weight),
    )


def _coefficients(
    correction: Correction,
    outcomes: np.ndarray,
    x: np.ndarray,
    arm: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    folds: Folds,
    seen: Seen,
) -> np.ndarray:
    """What rows add to the coefficients: first of all arms that have some, then of each.

    Every model learns from the rows that it is not judged on.

    Parameters
    ----------
    outcomes : ndarray, shape (n_models, n, n_arms)
        Before.
    """
    own = np.arange(len(arm))
    offset = correction.forth(outcomes[:, own, arm])
    features, link = correction.features(x), link_of(correction.family)
    y = (y - correction.shift) / correction.factor
    counts = folds.learns * weight / seen.weight
    dispersed = correction.family.classes is None
    arms = np.unique(arm)
    coef = np.zeros_like(correction.coef)
    shared = posterior_mean(
        features, offset, y, counts, float(seen.rows[arms].sum()), link, dispersed
    )
    offset = offset + shared @ features.T
    for k in arms:
        of = arm == k
        coef[:, k] = shared + posterior_mean(
            features[of], offset[:, of], y[of], counts[:, of], float(seen.rows[k]), link, dispersed
        )
    return coef


def _n_of_networks(fitted: Fitted) -> int:
    """Arms that have networks, without those that were added afterwards."""
    n_added = 0 if fitted.added is None else len(fitted.added.coef)
    return len(fitted.conditions.labels) - n_added


def _known_arms(treatment: Any, conditions: Conditions) -> np.ndarray:
    """Positions of the rows' arms, which rows of the fit received, or an error."""
    found = np.unique(read_arms(treatment)).tolist()
    unknown = [label for label in found if label not in set(conditions.labels.tolist())]
    if unknown:
        raise ValueError(
            f"treatment holds {listed(map(repr, unknown))}, which the model does not know: its "
            f"arms are {conditions.labels.tolist()}. Use add_arm for new arms, and leave their "
            "rows out here"
        )
    later = [label for label in found if label not in set(conditions.received.tolist())]
    if later:
        raise ValueError(
            f"treatment holds {listed(map(repr, later))}, which had no rows in fit: partial_fit "
            "learns only arms that had. Leave these rows out, or fit again with all rows"
        )
    return conditions.positions(treatment)


def _seen(fitted: Fitted) -> Seen:
    if fitted.seen is not None:
        return fitted.seen
    if fitted.evidence is None:
        raise ValueError(
            "this model comes from a file of an older version without evidence, which does not "
            "record how many rows the model has learned from, so the weight of new rows is "
            "unknown: fit again with all rows"
        )
    return Seen(np.bincount(fitted.evidence.arm, fitted.evidence.weight), 1.0)


def _folds(fitted: Fitted, arm: np.ndarray, cluster: np.ndarray, n_parts: int) -> Folds:
    """Of the new rows, for the models that there are."""
    conditions, n_models = fitted.conditions, fitted.networks.n_models
    labels = conditions.labels
    arms, condition = np.unique(conditions.place[arm], return_inverse=True)
    counts = np.bincount(condition)
    if counts.min() < LEAST_ROWS:
        label = labels[conditions.position_of(arms[counts.argmin()])].item()
        raise ValueError(
            f"arm {label!r} has {counts.min()} row of positive weight, but needs at least "
            f"{LEAST_ROWS}: leave it out until there are more"
        )
    try:
        return Folds.of(condition, min(n_parts, n_models), n_models, fitted.seed, cluster)
    except ValueError as error:
        label = labels[conditions.position_of(arms[error.args[0]])].item()
        raise ValueError(
            f"arm {label!r} occurs in too few groups of the new rows to be both learned from and "
            "held out: pass finer groups, or leave the arm out until there are more"
        ) from None
