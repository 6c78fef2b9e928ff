"""Reading y, whatever its family."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from hypercate.encoding.checks import as_labels, as_vector, listed, rows_where, warn


def read_outcome(y: Any) -> np.ndarray:
    """Labels or finite numbers of the outcome, a column vector flattened.

    Warns
    -----
    DataConversionWarning
        If y is a column vector and no frame.
    """
    vector = as_vector(y, "y")
    if vector.ndim == 2 and vector.shape[1] == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected: pass y.ravel(), of shape "
            "(n,)",
            DataConversionWarning,
        )
        vector = vector.ravel()
    labels = as_labels(vector, "y")
    infinite = np.isinf(labels) if labels.dtype.kind == "f" else np.zeros(len(labels), bool)
    if infinite.any():
        raise ValueError(
            f"y is infinite (inf) in {rows_where(infinite)}: correct or drop these rows"
        )
    return labels


def read_numbers(y: Any, kind: str) -> np.ndarray:
    """Finite numbers of an outcome of some kind, float64."""
    labels = read_outcome(y)
    if labels.dtype.kind == "U":
        raise ValueError(
            f"y holds strings such as {labels[0].item()!r}, but a {kind} outcome must be "
            "numbers: convert it, or pass outcome='binary' if it has two values; labels of arms "
            "belong in treatment"
        )
    return labels.astype(np.float64)


def looks_binary(labels: np.ndarray) -> bool:
    """Whether labels are strings, or 0 and 1, both present."""
    if labels.dtype.kind == "U":
        return True
    zero, one = labels == 0, labels == 1
    return bool((zero | one).all() and zero.any() and one.any())


def listed_classes(classes: np.ndarray) -> str:
    """How many classes there are, and the first few, in words for a message."""
    return f"{len(classes)}: {listed(map(repr, classes.tolist()))}"
