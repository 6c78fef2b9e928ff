"""Descriptions of arms, such as doses, from which their networks are generated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import listed
from hypercate.encoding.conditions import Conditions, read_arms
from hypercate.encoding.features import FeatureEncoder
from hypercate.encoding.frames import as_pandas

ARM_COLUMN = "arm"
LEAST_ARMS = 3  # received, from which networks of others can be told


def describe_arms(arm_features: Any, conditions: Conditions) -> tuple[Conditions, np.ndarray]:
    """Codes of the arms' descriptions, those of arms that no row received included.

    Parameters
    ----------
    arm_features : DataFrame
        A row for each arm, whose label is its index, or is in a column ``"arm"``.
    conditions : Conditions
        The arms that rows received.

    Returns
    -------
    conditions : Conditions
        With the arms that only have a description.
    codes : ndarray of float32, shape (n_conditions, n_codes)
        In the order of the labels; see `constant_norm`.

    Raises
    ------
    TypeError
        If arm_features is no frame.
    ValueError
        If an arm is not described or is described twice, or fewer than three arms were received
        and others are to be told from them.
    """
    frame = as_pandas(arm_features, "arm_features")
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            f"arm_features is of type {type(arm_features).__name__}, but must be a frame with a "
            "row for each arm, its index the arms' labels (or a column 'arm' of them)"
        )
    if ARM_COLUMN in frame.columns:
        frame = frame.set_index(ARM_COLUMN)
    labels = read_arms(frame.index.to_numpy(), "the index of arm_features")
    received = conditions.labels
    if (labels.dtype.kind == "U") != (received.dtype.kind == "U"):
        raise ValueError(
            f"arm_features describes arms such as {labels[0].item()!r}, but treatment holds labels "
            f"such as {received[0].item()!r}: give both the same type"
        )
    known, times = np.unique(labels, return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"arm_features has {times.max()} rows for the arm {known[times.argmax()].item()!r}: an "
            "arm has one description"
        )
    lacking = received[~np.isin(received, labels)]
    if len(lacking):
        raise ValueError(
            f"arm_features has no row for {listed(map(repr, lacking.tolist()))}, which treatment "
            "holds: describe every arm, control included"
        )
    others = known[~np.isin(known, received)]
    if len(others) and len(received) < LEAST_ARMS:
        raise ValueError(
            f"arm_features describes {listed(map(repr, others.tolist()))}, which no row received, "
            f"but only {len(received)} arms were received: predicting the effects of other arms "
            f"needs at least {LEAST_ARMS}"
        )
    conditions = conditions.and_others(others)
    place = {label: row for row, label in enumerate(labels.tolist())}
    rows = [place[label] for label in conditions.labels.tolist()]
    frame = frame.iloc[rows].reset_index(drop=True)
    try:
        values = FeatureEncoder.fit(frame).transform(frame)
    except (TypeError, ValueError) as error:
        raise type(error)(f"arm_features cannot be used: {error}") from None
    return conditions, constant_norm(values)


def constant_norm(values: np.ndarray, frequencies: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """A code of the same norm for every row, in which near values have near codes.

    ``sqrt(2) (cos(pi f u / 2), sin(pi f u / 2))`` of each column and frequency f, u from 0 at the
    column's least value to 1 at its greatest: a generator is then told as much of a small dose as
    of a large one (the input encoding of Gonzalez Ortiz, Guttag & Dalca, 2024, "Magnitude invariant
    parametrizations improve hypernetwork learning", ICLR).

    Parameters
    ----------
    values : ndarray, shape (n, m)
    frequencies : tuple of float, length c
        With 1 there is half a bend between the least value and the greatest.

    Returns
    -------
    ndarray of float32, shape (n, 2 m c)
        Of root mean square 1 in every row.
    """
    least, range_ = values.min(axis=0), np.ptp(values, axis=0)
    unit = (values - least) / np.where(range_ > 0, range_, 1)
    angle = np.pi / 2 * np.hstack([unit * frequency for frequency in frequencies])
    return (2**0.5 * np.hstack([np.cos(angle), np.sin(angle)])).astype(np.float32)
