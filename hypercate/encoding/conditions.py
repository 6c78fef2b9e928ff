"""Treatment labels to codes of the distinct conditions, in one canonical order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hypercate.encoding.checks import as_labels, as_vector, codes_of, listed, rows_where

MAX_ARMS = 100
MIN_MEAN_ROWS = 100
LARGEST_INTEGER = 2.0**53
_AS_DOSE = "pass treatment_kind='dose' if it is an amount, or "


@dataclass(frozen=True, eq=False)
class Conditions:
    """The distinct treatments: control first, the others in sorted order, as users see them.

    Those that no row of the fit received follow: described ones, and those added afterwards.

    A fit works on codes in the order in which conditions first appear among its rows, so that
    names change nothing: `place` leads from a user's position to that code.

    Attributes
    ----------
    labels : ndarray, shape (n_conditions,)
        Booleans, integers or strings, control first.
    place : ndarray of int64, shape (n_conditions,)
        Canonical code of each label.
    n_received : int
        Labels, the first ones, that rows of the fit received.
    """

    labels: np.ndarray
    place: np.ndarray
    n_received: int

    @property
    def all_received(self) -> bool:
        return self.n_received == len(self.labels)

    @property
    def received(self) -> np.ndarray:
        """Labels that rows received."""
        return self.labels[: self.n_received]

    @property
    def place_received(self) -> np.ndarray:
        """Canonical code of each of these, below `n_received`."""
        return self.place[: self.n_received]

    @classmethod
    def fit(cls, treatment: Any, control: Any = None, call: str = "") -> Conditions:
        """Learn the conditions, their canonical order being that of the labels.

        Parameters
        ----------
        treatment : array-like, shape (n,)
            Label of each row's arm: integers (floats too, if whole), booleans, strings or
            categories of these.
        control : label, optional
            The control arm; by default the first in sorted order.
        call : str, optional
            The call that treatment was given to, with its arguments in their order, for messages.

        Raises
        ------
        TypeError
            If labels are of mixed types or neither numbers nor strings.
        ValueError
            If treatment is not one-dimensional, a label is missing, there are fewer than two arms
            or so many that treatment looks continuous, or control is not an arm.
        """
        arms, counts = np.unique(read_arms(treatment, call=call), return_counts=True)
        if len(arms) < 2:
            raise ValueError(
                f"treatment has the arms [{listed(map(repr, arms.tolist()))}]: an effect needs "
                "rows of at least two arms, one of them control"
            )
        if len(arms) > max(MAX_ARMS, counts.sum() / MIN_MEAN_ROWS):
            raise ValueError(
                f"treatment has {len(arms)} arms in {counts.sum()} rows, so it looks continuous "
                f"(or like an identifier): {_AS_DOSE if call else ''}bin it into a few arms, e.g. "
                "with pandas.cut" + _hint(call)
            )
        every = np.arange(len(arms))
        conditions = cls(arms, every, len(arms))
        first = 0 if control is None else conditions.position(control, "control")
        return cls(arms[np.append(first, np.delete(every, first))], every, len(arms))

    def in_order_of(self, positions: np.ndarray) -> Conditions:
        """The same with the canonical order of first appearance.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
            Of the rows' labels; every label that was received appears.
        """
        first = np.unique(positions, return_index=True)[1]
        others = np.arange(self.n_received, len(self.labels))
        return replace(self, place=np.append(np.argsort(np.argsort(first)), others))

    def and_others(self, labels: np.ndarray) -> Conditions:
        """With labels that no row of the fit received."""
        n = len(self.labels) + len(labels)
        place = np.append(self.place, np.arange(len(self.labels), n))
        return replace(self, labels=np.append(self.labels, labels), place=place)

    def positions(self, treatment: Any, name: str = "treatment", call: str = "") -> np.ndarray:
        """Position of each row's label among the labels.

        Parameters
        ----------
        treatment : array-like, shape (n,)
        name : str
            Name of the argument, for messages.
        call : str, optional
            As in `fit`.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        TypeError, ValueError
            As in fit, and if a label is not one of the arms.
        """
        return codes_of(read_arms(treatment, name, call), self._position, name)

    def positions_received(self, treatment: Any, call: str) -> np.ndarray:
        """The same of arms that rows of the fit received."""
        positions = self.positions(treatment, call=call)
        self.check_received(positions)
        return positions

    def position_of(self, condition: np.ndarray) -> np.ndarray:
        """Position among the labels of canonical codes."""
        return np.argsort(self.place)[condition]

    def position(self, label: Any, name: str = "the label") -> int:
        """Position of one label, which messages call `name`.

        Raises
        ------
        ValueError
            If label is not one of the arms.
        """
        if isinstance(label, np.ndarray) and not label.ndim:
            label = label.item()
        try:
            return self._position[label]
        except (KeyError, TypeError):
            raise ValueError(
                f"{name} {label!r} is not an arm: the arms are {self.labels.tolist()}"
            ) from None

    def position_received(self, label: Any, name: str) -> int:
        """The same of an arm that rows of the fit received."""
        position = self.position(label, name)
        self.check_received(position)
        return position

    def check_received(self, positions: int | np.ndarray) -> None:
        """Refuse arms that were described or added afterwards."""
        last = int(np.max(positions, initial=0))
        if last >= self.n_received:
            raise ValueError(
                f"no row of the fit received arm {self.labels[last].item()!r}, but averages, "
                "scores and intervals of persons rest on rows of the fit. Use effect, "
                "effect_interval or predict_outcomes for its effects at rows, or fit again with "
                "rows of this arm"
            )

    @cached_property
    def _position(self) -> dict[Any, int]:
        return {label: position for position, label in enumerate(self.labels.tolist())}


def read_arms(treatment: Any, name: str = "treatment", call: str = "") -> np.ndarray:
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
            f"{name} looks continuous: it is not a whole number in {rows_where(broken)}; arms "
            f"must be a few labels: {_AS_DOSE if call else ''}bin it first, e.g. with pandas.cut"
            + _hint(call)
        )
    return labels.astype(np.int64)


def _hint(call: str) -> str:
    return f". If these are outcomes: the order of arguments is {call}" if call else ""
