"""Add new arms to a fitted model, from rows as users pass them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hypercate.added.arms import AddedArms
from hypercate.compat import num_samples
from hypercate.encoding import as_pandas, check_rows, check_sample_weight, index_of
from hypercate.encoding.checks import listed
from hypercate.encoding.conditions import Conditions, read_arms
from hypercate.fitted import Fitted
from hypercate.outcomes.reading import read_outcome
from hypercate.progress import LOG, counted

LEAST_ROWS = 2


def add_arms(
    fitted: Fitted, X: Any, y: Any, treatment: Any, sample_weight: Any, device: torch.device
) -> Fitted:
    """The same model with more arms; see ``HyperCATE.add_arm`` for the other parameters.

    Parameters
    ----------
    fitted : Fitted
        Of arms; it is left as it is.
    device : torch.device
        Where its networks are evaluated.

    Raises
    ------
    TypeError, ValueError
        If the rows cannot be used; the message names the column, arm or row.
    """
    family, index = fitted.family, index_of(X)
    X, y, treatment = as_pandas(X, "X"), as_pandas(y, "y"), as_pandas(treatment, "treatment")
    x, n = fitted.features.transform(X), num_samples(X)
    check_rows(n, index, y=y, treatment=treatment)
    weight = check_sample_weight(sample_weight, n, index)
    used = weight > 0
    labels = _new_labels(read_arms(treatment), fitted.conditions)
    outcome = family.encode(read_outcome(y))[used]
    outcome = family.without_outliers(outcome, used)
    x, labels, weight = x[used], labels[used], weight[used]
    arms = np.unique(labels)
    _check_support(arms, labels)
    networks, conditions = fitted.networks, fitted.conditions
    members = slice(networks.n_members)
    location, scale = (float(unit[members].mean()) for unit in (networks.location, networks.scale))
    known, deviations = fitted.deviations(networks, fitted.calibration, x, device)
    bounds = family.bounds(np.array(location), np.array(scale))
    added = fitted.added or AddedArms.none(
        family,
        location,
        scale,
        conditions.n_received,
        len(deviations),
        fitted.features.n_codes,
    )
    LOG.info("add_arm: %s", counted(labels.tolist()))
    for arm in arms:
        own = labels == arm
        added = added.and_arm(
            known[own], deviations[:, own], x[own], outcome[own], weight[own], bounds
        )
    return replace(fitted, conditions=conditions.and_others(arms), added=added)


def _new_labels(labels: np.ndarray, conditions: Conditions) -> np.ndarray:
    """Labels of new arms of the type that the model's have, or an error."""
    if (labels.dtype.kind == "U") != (conditions.labels.dtype.kind == "U"):
        raise ValueError(
            f"treatment holds arms such as {labels[0].item()!r}, but the arms of the model are "
            f"such as {conditions.labels[0].item()!r}: give both the same type"
        )
    known = np.isin(labels, conditions.labels)
    if known.any():
        old = listed(map(repr, np.unique(labels[known]).tolist()))
        raise ValueError(
            f"treatment holds {old}, which the model already has, but add_arm takes only rows of "
            "new arms: leave these rows out, or fit again with all rows"
        )
    return labels


def _check_support(arms: np.ndarray, labels: np.ndarray) -> None:
    for arm in arms:
        count = int((labels == arm).sum())
        if count < LEAST_ROWS:
            raise ValueError(
                f"arm {arm.item()!r} has {count} row of positive weight, but needs at least "
                f"{LEAST_ROWS}: leave it out until there are more"
            )
