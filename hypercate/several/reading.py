"""Reading y of several columns: an outcome a column, each of its own kind."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding import as_pandas
from hypercate.encoding.checks import as_array, listed, warn
from hypercate.outcomes import CENSORED, OUTCOMES, family_of
from hypercate.outcomes.reading import read_outcome
from hypercate.study import Encoded, check_dimensions, read_study

Kinds = str | Mapping[str, str] | Sequence[str]

_SUBJECT = re.compile(r"\by(?= (is|has|holds|ends|mixes|in)\b)")


@dataclass(frozen=True)
class EncodedOutcomes:
    """The same rows with each of their outcomes.

    Attributes
    ----------
    names : tuple of str, or None
        Of the outcomes; None if y has one dimension, and there is one.
    each : tuple of Encoded, one per outcome
    """

    names: tuple[str, ...] | None
    each: tuple[Encoded, ...]


def read_studies(
    X: Any,
    y: Any,
    treatment: Any,
    sample_weight: Any,
    groups: Any,
    propensity: Any,
    arm_features: Any,
    control: Any,
    outcome: Kinds,
    as_doses: bool,
    event: Any = None,
    horizon: float | None = None,
) -> EncodedOutcomes:
    """Check and encode what ``HyperCATE.fit`` is given, which may have several outcomes.

    Parameters
    ----------
    outcome : str, mapping or sequence of str
        Kind of all outcomes, or of each. The others are those of `hypercate.study.read_study`.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the column, arm or row.
    """
    columns = outcome_columns(y)
    of_rows = (treatment, sample_weight, groups, propensity, arm_features, control)
    if columns is None:
        if not isinstance(outcome, str):
            raise ValueError(
                f"outcome={outcome!r} names a kind for each of several outcomes, but y has one: "
                "pass its kind, as a string"
            )
        return EncodedOutcomes(
            None, (read_study(X, y, *of_rows, outcome, as_doses, event, horizon),)
        )
    check_dimensions(as_pandas(X, "X"), y, None)
    names = tuple(columns)
    kinds = kinds_of(outcome, names)
    for name, kind in kinds.items():
        if kind in CENSORED:
            raise ValueError(
                f"outcome {name!r} is of kind {kind!r}, but times until an event cannot be fitted "
                "with other outcomes: pass y with that column only"
            )
    (first, column), *others = columns.items()
    encoded = _said_of(first, lambda: read_study(X, column, *of_rows, kinds[first], as_doses))
    each = [
        _said_of(name, partial(_with_outcome, encoded, column, kinds[name]))
        for name, column in others
    ]
    return EncodedOutcomes(names, (encoded, *each))


def outcome_columns(y: Any) -> dict[str, Any] | None:
    """Columns of y by their names, ``y0, y1, ...`` if it is no frame; None if it has one or none.

    Raises
    ------
    ValueError
        If a column's name repeats.
    """
    y = as_pandas(y, "y")
    if isinstance(y, pd.DataFrame):
        names = [str(label) for label in y.columns]
        columns = [y.iloc[:, j] for j in range(y.shape[1])]
    elif isinstance(y, pd.Series | pd.Index | pd.Categorical):
        return None
    else:
        array = as_array(y, "y")
        if array.ndim != 2:
            return None
        names, columns = [f"y{j}" for j in range(array.shape[1])], list(array.T)
    if len(names) < 2:
        return None
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"y has more than one column named {listed(map(repr, repeated))}: rename or drop one, "
            "since outcomes are identified by their names"
        )
    return dict(zip(names, columns, strict=True))


def columns_of(y: Any, names: Sequence[str]) -> dict[str, Any]:
    """Columns of y that are the outcomes of a model, or a ValueError."""
    columns = outcome_columns(y)
    if columns is None or set(columns) != set(names):
        found = "a single column" if columns is None else listed(map(repr, columns))
        raise ValueError(
            f"y has {found}, but this model was fitted to {listed(map(repr, names))}: pass a frame "
            "or an array of these columns"
        )
    return columns


def check_kinds(outcome: Any) -> None:
    """Refuse kinds of outcomes that are none of `OUTCOMES`."""
    if isinstance(outcome, str):
        return
    kinds = outcome.values() if isinstance(outcome, Mapping) else outcome
    for kind in kinds:
        if not isinstance(kind, str) or kind not in OUTCOMES:
            raise ValueError(
                f"outcome={outcome!r} holds {kind!r}, which is none of "
                f"{', '.join(map(repr, OUTCOMES))}"
            )


def kinds_of(outcome: Kinds, names: Sequence[str]) -> dict[str, str]:
    """The kind of each of some outcomes."""
    if isinstance(outcome, str):
        return dict.fromkeys(names, outcome)
    if isinstance(outcome, Mapping):
        unknown = [name for name in outcome if name not in names]
        if unknown:
            raise ValueError(
                f"outcome has kinds of {listed(map(repr, unknown))}, but the outcomes are "
                f"{listed(map(repr, names))}"
            )
        return dict.fromkeys(names, "auto") | dict(outcome)
    if len(outcome) != len(names):
        raise ValueError(
            f"outcome has {len(outcome)} kinds, but y has {len(names)} columns: pass one kind for "
            "each, or a dict by the columns' names"
        )
    return dict(zip(names, outcome, strict=True))


def _with_outcome(encoded: Encoded, y: Any, outcome: str) -> Encoded:
    """The same rows with another outcome."""
    used = encoded.used
    labels = read_outcome(y)
    family = family_of(labels, outcome, used.astype(np.float64))
    numbers = family.without_outliers(family.encode(labels[used]), used)
    return replace(encoded, family=family, study=replace(encoded.study, y=numbers))


def _said_of(column: str, read: Callable[[], Encoded]) -> Encoded:
    """What is read, where errors and warnings of y say which of its columns they are of."""

    def named(message: str) -> str:
        return _SUBJECT.sub(f"y[{column!r}]", message, count=1)

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoded = read()
    except (TypeError, ValueError) as error:
        error.args = (named(str(error)),)
        raise
    for warning in caught:
        warn(named(str(warning.message)), warning.category)
    return encoded
