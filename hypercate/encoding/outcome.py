"""The outcome as the network's target: standardised if continuous, 0 and 1 if binary."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.exceptions import DataConversionWarning

from hypercate.encoding.checks import (
    as_labels,
    as_vector,
    check_sample_weight,
    codes_of,
    listed,
    rows_where,
)
from hypercate.encoding.scaling import moments

KINDS = ("auto", "continuous", "binary")
FURTHEST = 1e15


class OutcomeEncoder:
    """Kind and scale of the outcome.

    With ``outcome="auto"`` the outcome is binary if it holds two distinct strings, or only 0 and 1
    (as numbers or booleans), both present; else it is continuous.

    Attributes
    ----------
    kind : {"continuous", "binary"}
    location, scale : float
        Weighted mean and standard deviation of a continuous outcome, in its units; the scale of a
        constant is 1. 0 and 1 for a binary outcome.
    classes_ : ndarray, shape (2,), or None
        Labels of a binary outcome, coded 0 and 1.
    """

    kind: str
    location: float
    scale: float
    classes_: np.ndarray | None

    def fit(self, y: Any, outcome: str = "auto", sample_weight: Any = None) -> Self:
        """Learn kind and scale.

        Parameters
        ----------
        y : array-like, shape (n,)
            Numbers, booleans or, if binary, strings.
        outcome : {"auto", "continuous", "binary"}
        sample_weight : array-like, shape (n,), optional

        Raises
        ------
        TypeError
            If values are of mixed types or neither numbers nor strings.
        ValueError
            If y is empty or not one-dimensional, a value is missing or infinite, outcome is
            unknown, or y has not the two values of a binary outcome.

        Warns
        -----
        DataConversionWarning
            If y is a column vector.
        """
        if outcome not in KINDS:
            raise ValueError(f"outcome must be one of {KINDS}, got {outcome!r}")
        labels = _read_outcome(y)
        if not len(labels):
            raise ValueError("y is empty: it has 0 rows")
        weights = check_sample_weight(sample_weight, len(labels))
        labels, weights = labels[weights > 0], weights[weights > 0]
        binary = outcome == "binary" or (outcome == "auto" and _looks_binary(labels))
        if binary:
            classes = np.unique(labels)
            if len(classes) != 2:
                raise ValueError(
                    f"a binary outcome needs two distinct values, but y has {len(classes)}: "
                    f"{listed(map(repr, classes.tolist()))}"
                )
            self.kind, self.classes_ = "binary", classes
            self.location, self.scale = 0.0, 1.0
        else:
            self.kind, self.classes_ = "continuous", None
            self.location, spread = moments(_numbers(labels), weights)
            self.scale = spread or 1.0
        return self

    def transform(self, y: Any) -> np.ndarray:
        """Targets: ``(y - location) / scale``, or 0 and 1 for a binary outcome.

        Parameters
        ----------
        y : array-like, shape (n,)

        Returns
        -------
        ndarray of float32, shape (n,)
            At most 1e15 in size, so that squares are finite.

        Raises
        ------
        TypeError, ValueError
            As in fit, and if a label is not one of a binary outcome's.
        """
        labels = _read_outcome(y)
        if self.classes_ is not None:
            codes = {label: code for code, label in enumerate(self.classes_.tolist())}
            return codes_of(labels, codes, "y").astype(np.float32)
        with np.errstate(over="ignore"):
            standard = (_numbers(labels) - self.location) / self.scale
        return np.clip(standard, -FURTHEST, FURTHEST).astype(np.float32)


def _read_outcome(y: Any) -> np.ndarray:
    """Labels or finite numbers of the outcome, a column vector flattened."""
    vector = as_vector(y, "y")
    if vector.ndim == 2 and vector.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected: pass y.ravel(), of shape "
            "(n,)",
            DataConversionWarning,
            stacklevel=3,
        )
        vector = vector.ravel()
    labels = as_labels(vector, "y")
    infinite = np.isinf(labels) if labels.dtype.kind == "f" else np.zeros(len(labels), bool)
    if infinite.any():
        raise ValueError(
            f"y is infinite (inf) in {rows_where(infinite)}: correct or drop these rows"
        )
    return labels


def _looks_binary(labels: np.ndarray) -> bool:
    if labels.dtype.kind == "U":
        return True
    zero, one = labels == 0, labels == 1
    return bool((zero | one).all() and zero.any() and one.any())


def _numbers(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "U":
        raise ValueError(
            f"y holds strings such as {labels[0].item()!r}, but a continuous outcome must be "
            "numbers: convert it, or pass outcome='binary' if it has two values"
        )
    return labels.astype(np.float64)
