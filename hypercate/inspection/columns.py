"""Rows whose effects are explained: encoded once, and grouped by the original columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.columns import CategoryColumn, NumberColumn, read_column
from hypercate.encoding.features import FeatureEncoder, read_frame
from hypercate.encoding.scaling import standardise
from hypercate.inspection.trained import fitted_of
from hypercate.several.fitted import FittedOutcomes
from hypercate.train.device import resolve_device

ROWS_AT_ONCE = 32768
_ROUNDING = 1e-6  # of float32 networks, in the unit of the outcome


@dataclass(frozen=True, eq=False)
class Columns:
    """Rows as given, and as encoded.

    Attributes
    ----------
    frame : DataFrame, shape (n, n_features)
        Columns in the order of the fit; those of an array are named x0, x1 and so on.
    x : ndarray of float32, shape (n, n_outputs)
    features : FeatureEncoder
    """

    frame: pd.DataFrame
    x: np.ndarray
    features: FeatureEncoder

    @classmethod
    def of(cls, est: Any, X: Any) -> Columns:
        """Read X as a fitted model does.

        Raises
        ------
        NotFittedError
            If est is not fitted.
        TypeError, ValueError
            If X is not what ``predict`` takes, or est is a model of several outcomes.
        """
        fitted = fitted_of(est)
        if isinstance(fitted, FittedOutcomes):
            raise ValueError(
                f"this model has the outcomes {list(fitted.names)}, but only one can be explained "
                f"at a time: pass est.of({fitted.names[0]!r})"
            )
        features = fitted.features
        x = features.transform(X)
        frame, given = read_frame(X)
        if features.labels is not None and given is not None:
            return cls(frame[list(features.labels)], x, features)
        return cls(frame.set_axis(names_of(features), axis=1), x, features)

    @property
    def column_of(self) -> np.ndarray:
        """Position of the column that each encoded output is of, (n_outputs,)."""
        widths = [len(column.output_names) for column in self.features.columns]
        return np.repeat(np.arange(len(widths)), widths)

    def position(self, label: Hashable) -> int:
        """Position of a column, or a ValueError."""
        names = list(self.frame.columns)
        if label not in names:
            raise ValueError(f"X has no column {label!r}: its columns are {names}")
        return names.index(label)

    def groups(self, columns: Sequence | Mapping | None) -> dict[Hashable, np.ndarray]:
        """Encoded outputs of columns, or of groups of columns that have a name.

        Raises
        ------
        TypeError
            If columns is one name.
        ValueError
            If there are none, a group has none, or one is unknown.
        """
        if isinstance(columns, str):
            raise TypeError(f"columns={columns!r} must be a sequence: pass [{columns!r}]")
        if columns is None:
            columns = list(self.frame.columns)
        if not isinstance(columns, Mapping):
            columns = {label: [label] for label in columns}
        if not columns:
            raise ValueError("columns is empty: name at least one column")
        found: dict[Hashable, np.ndarray] = {}
        for name, labels in columns.items():
            if isinstance(labels, str) or not len(labels):
                raise ValueError(f"columns[{name!r}] must be a sequence of at least one column")
            own = [self.position(label) for label in labels]
            found[name] = np.flatnonzero(np.isin(self.column_of, own))
        return found


def names_of(features: FeatureEncoder) -> list[Hashable]:
    """Names of the columns of the fit; x0, x1 and so on, if it had none."""
    if features.labels is not None:
        return list(features.labels)
    return [column.name for column in features.columns]


def encode_values(column: NumberColumn | CategoryColumn, values: pd.Series) -> np.ndarray:
    """Values of one column as the fit encodes them: float32, shape (n, n_outputs of the column)."""
    source = column.source(read_column(values, column.name))
    block = np.empty((len(column.output_names), len(source)))
    column.expand(source, block)
    if not (isinstance(column, CategoryColumn) and column.coded):
        standardise(block, np.array(column.location), np.array(column.scale))
    return block.T.astype(np.float32)


def effects_at(est: Any, x: np.ndarray, T0: Any, T1: Any) -> np.ndarray:
    """Effects at encoded rows, (n, n_effects), whether there is one or several."""
    networks, contrast, _ = est._compared(T0, T1, len(x), None)
    effects = contrast(networks.predict(x, resolve_device(est.device)))
    return effects.reshape(len(x), -1)


def rounding(est: Any) -> float:
    """Largest difference between effects that still count as equal."""
    return _ROUNDING * float(est.fitted_.networks.scale.max())


def arms_of(est: Any, T0: Any, T1: Any) -> list:
    """Label of the arm, or the dose, of each effect.

    Raises
    ------
    ValueError
        If T0 or T1 differs by row, or T1 is T0.
    """
    fitted, doses = est.fitted_, est.fitted_.doses
    for name, label in (("T0", T0), ("T1", T1)):
        if np.ndim(label) if doses is None else doses.differs_by_row(label):
            raise ValueError(f"{name} must be one arm or dose for all rows here, not one per row")
    if doses is not None:
        return doses.labels(T0, T1)
    if T1 is not None:
        if est._control(T0) == fitted.conditions.position(T1):
            raise ValueError(f"T1={T1!r} is compared with itself: pass another T0")
        return [T1]
    return np.delete(est.arms_, est._control(T0)).tolist()
