"""Doses of several arms: which of them a row received, and how much of it.

Every arm has ranges and splines of its own doses, as `hypercate.encoding.doses` has them for one
treatment, so that units and amounts may differ: mg of one drug, hours of another treatment. An arm
that is given in a single amount, such as a control, has one network. The generator gets each
network's arm together with the code of the dose at the centre of its spline, so that arms share
what they have learned about how outcomes depend on covariates and on the amount.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from hypercate.encoding.checks import check_rows, listed
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.doses import Doses, read_doses
from hypercate.encoding.frames import as_pandas


@dataclass(frozen=True, eq=False)
class ArmDoses:
    """The doses of each arm.

    Attributes
    ----------
    columns : tuple of Hashable, length 2
        Of the arm and of the dose, as treatment had them.
    arms : Conditions
        The arm of the control first.
    each : tuple of Doses, one per arm, in the canonical order
        The dose that others are compared with is the control of the first of `arms`.
    """

    columns: tuple[Hashable, ...]
    arms: Conditions
    each: tuple[Doses, ...]

    @property
    def n_splines(self) -> int:
        return sum(own.n_splines for own in self.each)

    @property
    def blended(self) -> np.ndarray:
        """Networks that count in each range, int64 of shape (n_ranges, N_BLENDED)."""
        first = _starts([own.n_splines for own in self.each])
        return np.vstack([at + own.blended for at, own in zip(first, self.each, strict=True)])

    @property
    def of_range(self) -> np.ndarray:
        """Mean of the splines over the doses of each range, (n_ranges, n_splines)."""
        return block_diag(*[own.of_range for own in self.each])

    @property
    def _first_ranges(self) -> np.ndarray:
        return _starts([len(own.of_range) for own in self.each])

    def codes(self) -> np.ndarray:
        """What the generator is told of each network: float32, shape (n_splines, n_codes).

        The code of its dose among those of its arm, and which arm that is, of equal norms.
        """
        n_arms = len(self.each)
        arm = np.repeat(np.arange(n_arms), [own.n_splines for own in self.each])
        of_arms = (n_arms**0.5 * np.eye(n_arms)[arm]).astype(np.float32)
        return np.hstack([np.vstack([own.codes() for own in self.each]), of_arms])

    def conditions(self) -> Conditions:
        """The ranges of all arms as arms, that of the control first, the others arm by arm."""
        each = [self.each[k].conditions() for k in self.arms.place]
        labels = [
            f"{label}: {of}"
            for label, own in zip(self.arms.labels, each, strict=True)
            for of in own.labels
        ]
        first = self._first_ranges[self.arms.place]
        place = np.concatenate([at + own.place for at, own in zip(first, each, strict=True)])
        return Conditions(np.array(labels), place, len(labels))

    def ranges(self) -> pd.DataFrame:
        """``arm``, ``least`` and ``greatest`` of the ranges, which are the index, arm by arm."""
        of_arms = [own.ranges() for own in self.each]
        arm = np.repeat(np.arange(len(of_arms)), [len(own) for own in of_arms])
        position = self.arms.position_of(arm)
        table = pd.concat(of_arms, ignore_index=True)
        table.insert(0, "arm", self.arms.labels[position])
        return table.iloc[np.argsort(position, kind="stable")]

    def range_of(self, arm: np.ndarray, dose: np.ndarray) -> np.ndarray:
        """The range that each row's dose lies in, int64."""
        within = np.stack([own.range_of(dose) for own in self.each])
        return self._first_ranges[arm] + np.take_along_axis(within, arm[None], axis=0)[0]

    def splines(self, arm: np.ndarray, dose: np.ndarray) -> np.ndarray:
        """How much each network counts at doses (n,) of arms (n,): float64, (n, n_splines)."""
        return np.hstack(
            [
                (arm == k)[:, None] * own.splines(dose.clip(own.ends[0], own.ends[-1]))
                for k, own in enumerate(self.each)
            ]
        )

    def curve(self, arm: Any) -> tuple[Doses, Callable[[np.ndarray], np.ndarray]]:
        """The doses of an arm, and the splines of any of them."""
        if arm is None:
            raise ValueError(
                f"there is a curve for each arm: pass arm=, one of {self.arms.labels.tolist()}"
            )
        k = self.arms.place[self.arms.position(arm, "arm")]
        return self.each[k], lambda dose: self.splines(np.full(len(dose), k), dose)

    def of_pair(self, T0: Any, T1: Any, n: int, index: Any) -> np.ndarray:
        """Splines of what is compared, (1 or n, 1 + n_effects, n_splines), T0 first.

        By default the control, and the usual doses of the other arms.
        """
        compared = [("T0", self.control if T0 is None else T0)]
        compared += [("T1", other) for other in (self._others(T0) if T1 is None else [T1])]
        splines = [self.splines(*self.read(value, name, n, index)) for name, value in compared]
        return np.stack(np.broadcast_arrays(*splines), axis=1)

    @property
    def control(self) -> tuple[Any, float]:
        """Arm and dose that others are compared with."""
        return self.arms.labels[0].item(), self._of_control.control

    @property
    def _of_control(self) -> Doses:
        return self.each[self.arms.place[0]]

    def _others(self, T0: Any) -> list[tuple[Any, float]]:
        """The usual dose of every arm but that of T0."""
        if T0 is not None and self.differs_by_row(T0):
            raise ValueError("T0 differs by row, so T1 is needed too")
        own = self.read(self.control if T0 is None else T0, "T0", 1, None)[0]
        return [
            (label, self.each[k].usual)
            for label, k in zip(self.arms.labels.tolist(), self.arms.place, strict=True)
            if k != own
        ]

    def differs_by_row(self, value: Any) -> bool:
        """Whether what a caller asks for is a dose for each row."""
        return any(map(np.ndim, value)) if isinstance(value, tuple) else np.ndim(value) > 0

    def labels(self, T0: Any, T1: Any) -> list:
        """What tables call the effects of `of_pair`; nothing where they differ by row."""
        if T1 is not None and self.differs_by_row(T1):
            return []
        asked = self._others(T0) if T1 is None else [T1]
        return [f"{of[0]}: {of[1]:.4g}" if isinstance(of, tuple) else str(of) for of in asked]

    def read(self, value: Any, name: str, n: int, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Arms (canonical) and doses that a caller asks for: of shape (1,), or (n,) one per row.

        Raises
        ------
        TypeError, ValueError
            If there is no such arm or column, or a dose lies outside those of its arm.
        """
        value = as_pandas(value, name)
        if not isinstance(value, pd.DataFrame):
            return self._read_pair(value, name, n, index)
        lacking = [column for column in self.columns if column not in value.columns]
        if lacking:
            raise ValueError(
                f"{name} has no column {listed(map(repr, lacking))}: a frame needs one row for "
                f"each of X, and treatment's columns {listed(map(repr, self.columns))}"
            )
        check_rows(n, index, **{name: value})
        labels, dose = (value[column] for column in self.columns)
        arm = self.arms.place[self.arms.positions(labels, f"{name}[{self.columns[0]!r}]")]
        dose = read_doses(dose, f"{name}[{self.columns[1]!r}]")
        for k in np.unique(arm):
            self.each[k].within(dose[arm == k], self._named(name, k))
        return arm, dose

    def _read_pair(
        self, value: Any, name: str, n: int, index: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        label, dose = pair_of(value)
        try:
            k = self.arms.place[self.arms.position(label, f"{name}:")]
        except ValueError as error:
            raise ValueError(
                f"{error}. Pass {name}=(arm, dose), or a frame of {listed(map(repr, self.columns))}"
            ) from None
        own = self.each[k]
        if dose is None and not own.is_one:
            raise ValueError(
                f"{name}={label!r} is an arm without a dose: pass {name}=({label!r}, dose), a dose "
                f"from {own.ends[0]:.6g} to {own.ends[-1]:.6g}"
            )
        doses = own.read(own.control if dose is None else dose, self._named(name, k), n, index)
        return np.full(len(doses), k), doses

    def _named(self, name: str, k: int) -> str:
        label = self.arms.labels[self.arms.position_of(np.array([k]))[0]].item()
        return f"{name}, of arm {label!r},"


def pair_of(value: Any) -> tuple[Any, Any]:
    """An arm and a dose, None if there is the arm alone."""
    return value if isinstance(value, tuple) and len(value) == 2 else (value, None)


def _starts(lengths: list[int]) -> np.ndarray:
    """Where parts of such lengths start, one after the other."""
    return np.cumsum([0, *lengths[:-1]])
