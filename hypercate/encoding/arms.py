"""Treatment labels to arm codes; the control arm is 0."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from hypercate.encoding.checks import as_labels, as_vector, codes_of, listed, rows_where

MAX_ARMS = 100
MIN_MEAN_ROWS = 100
LARGEST_INTEGER = 2.0**53


class ArmEncoder:
    """Codes 0 to K - 1 for the arms: 0 is control, the others follow in sorted order.

    Attributes
    ----------
    arms_ : ndarray, shape (K,)
        Labels in the order of their codes; booleans, integers or strings.
    counts_ : ndarray of int64, shape (K,)
        Rows of each arm in fit.
    """

    arms_: np.ndarray
    counts_: np.ndarray

    def fit(self, treatment: Any, control: Any = None) -> Self:
        """Learn the arms.

        Parameters
        ----------
        treatment : array-like, shape (n,)
            Label of each row's arm: integers (floats too, if whole), booleans, strings or
            categories of these.
        control : label, optional
            The control arm; by default the first in sorted order.

        Raises
        ------
        TypeError
            If labels are of mixed types or neither numbers nor strings.
        ValueError
            If treatment is not one-dimensional, a label is missing, there are fewer than two arms
            or so many that treatment looks continuous, or control is not an arm.
        """
        arms, counts = np.unique(_read_arms(treatment), return_counts=True)
        if len(arms) < 2:
            raise ValueError(
                f"treatment has the arms [{listed(map(repr, arms.tolist()))}]: an effect needs "
                "rows of at least two arms, one of them control"
            )
        if len(arms) > max(MAX_ARMS, counts.sum() / MIN_MEAN_ROWS):
            raise ValueError(
                f"treatment has {len(arms)} arms in {counts.sum()} rows, so it looks continuous "
                "(or like an identifier): bin it into a few arms, e.g. with pandas.cut"
            )
        self._index(arms)
        first = 0 if control is None else self.code(control)
        order = np.concatenate(([first], np.delete(np.arange(len(arms)), first)))
        self._index(arms[order])
        self.counts_ = counts[order].astype(np.int64)
        return self

    def transform(self, treatment: Any, name: str = "treatment") -> np.ndarray:
        """Codes of the rows' arms.

        Parameters
        ----------
        treatment : array-like, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        TypeError, ValueError
            As in fit, and if a label is not one of the arms.
        """
        return codes_of(_read_arms(treatment, name), self._codes, name)

    def code(self, label: Any) -> int:
        """Code of one arm.

        Parameters
        ----------
        label : label

        Raises
        ------
        ValueError
            If label is not one of the arms.
        """
        try:
            return self._codes[label]
        except (KeyError, TypeError):
            raise ValueError(
                f"{label!r} is not an arm: the arms are {self.arms_.tolist()}"
            ) from None

    def _index(self, arms: np.ndarray) -> None:
        self.arms_ = arms
        self._codes = {label: code for code, label in enumerate(arms.tolist())}


def _read_arms(treatment: Any, name: str = "treatment") -> np.ndarray:
    """Labels of the arms, whole floats as integers."""
    vector = as_vector(treatment, name)
    if vector.ndim == 2:
        raise ValueError(
            f"{name} has shape {vector.shape}, but must be one-dimensional: pass "
            f"{name}[:, 0], or the column of a DataFrame by its name"
        )
    labels = as_labels(vector, name)
    if labels.dtype.kind != "f":
        return labels
    broken = ~((np.abs(labels) < LARGEST_INTEGER) & (labels == np.round(labels)))
    if broken.any():
        raise ValueError(
            f"treatment looks continuous: it is not a whole number in {rows_where(broken)}; arms "
            "must be a few labels, so bin it first, e.g. with pandas.cut"
        )
    return labels.astype(np.int64)
