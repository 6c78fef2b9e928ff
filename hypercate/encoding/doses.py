"""Doses: treatments that are amounts, with outcomes that are smooth in the dose.

Doses are divided into ranges with about the same number of rows. The outcome is a quadratic spline
in the dose, ``f(x, t) = sum_j B_j(t) f_j(x)``, with B_j the B-splines (de Boor, 1978, "A practical
guide to splines", chapter IX) whose knots are the ends of the ranges; three of them differ from 0
in each range. Every f_j is a network that the hypernetwork generates from the dose at which B_j has
most weight, so that networks of near doses are similar. These are varying coefficients, as in Nie,
Ye, Liu & Nicolae (2021, "VCNet and functional targeted regularization for learning causal effects
of continuous treatments", ICLR), with generated networks instead of splines of every weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import BSpline

from hypercate.encoding.arm_features import constant_norm
from hypercate.encoding.checks import as_labels, as_vector, check_rows, rows_where
from hypercate.encoding.conditions import Conditions

DEGREE = 2
N_BLENDED = DEGREE + 1  # networks that count at a dose
LEAST_DOSES = 10
ROWS_A_RANGE, MOST_RANGES, LEAST_RANGES = 50, 6, 2
FREQUENCIES = (1.0, 2.0)  # of the code of a dose: half a bend over all doses, and a whole one
_STEP = 1e-3  # of the range of the doses, over which a derivative is taken


@dataclass(frozen=True, eq=False)
class Doses:
    """Ranges of doses, and the splines that have their ends as knots.

    Attributes
    ----------
    ends : ndarray of float64, shape (n_ranges + 1,)
        Of the ranges, from the least dose to the greatest; twice the same where there is one dose,
        which has a network to itself.
    control : float
        The dose that others are compared with.
    usual : float
        The median of the doses above control, or of all others if none is above.
    of_range : ndarray of float64, shape (n_ranges, n_splines)
        Mean of the splines over the doses of each range.
    """

    ends: np.ndarray
    control: float
    usual: float
    of_range: np.ndarray

    @classmethod
    def fit(cls, doses: np.ndarray, control: Any) -> Doses:
        """Ranges from the doses that rows received.

        Parameters
        ----------
        doses : ndarray of float64, shape (n,)
            As `read_doses` gives them.
        control : float, optional
            The dose that others are compared with; by default the least.

        Raises
        ------
        TypeError, ValueError
            If there are fewer than ten distinct doses, or control is not a number in their range.
        """
        distinct = np.unique(doses)
        if len(distinct) < LEAST_DOSES:
            raise ValueError(
                f"treatment has {len(distinct)} distinct doses, but a curve needs at least "
                f"{LEAST_DOSES}: leave treatment_kind='dose' out, so that they are arms; their "
                "doses can be passed by arm_features"
            )
        n_ranges = int(np.clip(len(doses) // ROWS_A_RANGE, LEAST_RANGES, MOST_RANGES))
        ends = np.unique(np.quantile(doses, np.linspace(0, 1, n_ranges + 1)))
        if len(ends) <= LEAST_RANGES:
            ends = np.quantile(distinct, [0, 0.5, 1])
        least = float(ends[0])
        if control is None:
            control = least
        if isinstance(control, bool) or not isinstance(control, Real):
            raise TypeError(f"control={control!r} must be a dose, a number")
        control = float(control)
        if not least <= control <= ends[-1]:
            raise ValueError(
                f"control={control!r} lies outside the doses of treatment, {least:.6g} to "
                f"{ends[-1]:.6g}"
            )
        others = doses[doses > control]
        usual = float(np.median(others if len(others) else doses[doses != control]))
        empty = cls(ends, control, usual, np.empty(0))
        splines, place = empty.splines(doses), empty.range_of(doses)
        n_of = np.bincount(place, minlength=len(ends) - 1)
        if n_of.min() < 2:
            raise ValueError(
                f"the doses from {ends[n_of.argmin()]:.6g} to {ends[n_of.argmin() + 1]:.6g} have "
                f"{n_of.min()} row(s): drop doses that lie far apart from the others"
            )
        total = np.zeros((len(n_of), splines.shape[1]))
        np.add.at(total, place, splines)
        return cls(ends, control, usual, total / n_of[:, None])

    @classmethod
    def at(cls, dose: float) -> Doses:
        """Of a treatment that is given in one amount alone."""
        return cls(np.array([dose, dose]), dose, dose, np.ones((1, 1)))

    @property
    def is_one(self) -> bool:
        return bool(self.ends[0] == self.ends[-1])

    @property
    def n_splines(self) -> int:
        return 1 if self.is_one else len(self.ends) - 1 + DEGREE

    @property
    def blended(self) -> np.ndarray:
        """Networks that count in each range, int64 of shape (n_ranges, N_BLENDED)."""
        first = np.arange(len(self.ends) - 1)[:, None]
        return (first + np.arange(N_BLENDED)).clip(max=self.n_splines - 1)

    @property
    def _knots(self) -> np.ndarray:
        return np.pad(self.ends, DEGREE, mode="edge")

    def range_of(self, doses: np.ndarray) -> np.ndarray:
        """The range that each dose lies in, int64."""
        return np.searchsorted(self.ends[1:-1], doses, side="right")

    def splines(self, doses: np.ndarray) -> np.ndarray:
        """How much each network counts at doses (n,): float64, shape (n, n_splines)."""
        if self.is_one:
            return np.ones((len(doses), 1))
        return BSpline.design_matrix(doses, self._knots, DEGREE).toarray()

    def curve(self, arm: Any) -> tuple[Doses, Callable[[np.ndarray], np.ndarray]]:
        """The doses of a curve, and the splines of any of them; there is one, of no arm."""
        if arm is not None:
            raise ValueError(
                f"arm={arm!r}: this model was fitted to doses without arms, so there is only one "
                "curve for each row: leave arm out"
            )
        return self, self.splines

    def slopes(self, doses: np.ndarray) -> np.ndarray:
        """Two doses about each, (n, 2), over whose distance an outcome's slope is taken."""
        step = _STEP * np.ptp(self.ends)
        return np.stack([doses - step, doses + step], axis=-1).clip(self.ends[0], self.ends[-1])

    def codes(self) -> np.ndarray:
        """What the generator is told of each network: float32, shape (n_splines, n_codes).

        The code of the dose about which its spline lies (the Greville abscissa, the mean of the
        spline's inner knots).
        """
        centre = np.convolve(self._knots, np.ones(DEGREE) / DEGREE, "valid")[1:-1]
        return constant_norm(centre[: self.n_splines, None], FREQUENCIES)

    def conditions(self) -> Conditions:
        """The ranges as arms, that of the control dose first."""
        labels = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(self.ends)]
        if self.is_one:
            labels = [f"{self.control:.4g}"]
        every = np.arange(len(labels))
        first = int(self.range_of(np.array([self.control]))[0])
        place = np.append(first, np.delete(every, first))
        return Conditions(np.array(labels)[place], place, len(labels))

    def ranges(self) -> pd.DataFrame:
        """Ends of the ranges, which are the index: ``least`` and ``greatest``."""
        return pd.DataFrame({"least": self.ends[:-1], "greatest": self.ends[1:]})

    def of_pair(self, T0: Any, T1: Any, n: int, index: Any) -> np.ndarray:
        """Splines of the doses compared, (1 or n, 2, n_splines), by default control and usual."""
        pair = [
            self.splines(self.read(default if dose is None else dose, name, n, index))
            for name, dose, default in (("T0", T0, self.control), ("T1", T1, self.usual))
        ]
        return np.stack(np.broadcast_arrays(*pair), axis=1)

    def differs_by_row(self, dose: Any) -> bool:
        """Whether a dose that a caller asks for is one for each row."""
        return np.ndim(dose) > 0

    def labels(self, T0: Any, T1: Any) -> list:
        """What tables call the effects of `of_pair`; nothing where they differ by row."""
        if T1 is None:
            return [self.usual]
        return [] if self.differs_by_row(T1) else [T1]

    def read(self, doses: Any, name: str, n: int, index: Any) -> np.ndarray:
        """Doses that a caller asks for: one for all rows, shape (1,), or one for each, (n,).

        Raises
        ------
        TypeError, ValueError
            If they are not numbers, of another length than the rows, or outside the doses of the
            fit, where nothing is known.
        """
        if np.ndim(doses) == 0:
            values = read_doses([doses], name)
        else:
            check_rows(n, index, **{name: doses})
            values = read_doses(doses, name)
        return self.within(values, name)

    def within(self, doses: np.ndarray, name: str) -> np.ndarray:
        """Refuse doses outside those of the fit."""
        outside = (doses < self.ends[0]) | (doses > self.ends[-1])
        if outside.any():
            raise ValueError(
                f"{name} has the dose {doses[outside][0]:.6g}, outside the doses of the fit, "
                f"{self.ends[0]:.6g} to {self.ends[-1]:.6g}, about which the data say nothing"
            )
        return doses


def blend_of(
    splines: np.ndarray, range_: np.ndarray, blended: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much the networks of its range count at each row's dose.

    Parameters
    ----------
    splines : ndarray, shape (n, n_splines)
    range_ : ndarray of int64, shape (n,)
    blended : ndarray of int64, shape (n_ranges, N_BLENDED)
        These networks. One that is named more than once counts in parts.

    Returns
    -------
    blend : ndarray of float32, shape (n, N_BLENDED)
    blended : ndarray of int64, shape (n_ranges, N_BLENDED)
    """
    times = (blended[:, :, None] == blended[:, None]).sum(axis=2)
    each = np.take_along_axis(splines, blended[range_], axis=1) / times[range_]
    return each.astype(np.float32), blended


def read_doses(values: Any, name: str) -> np.ndarray:
    """Finite numbers, float64 of shape (n,)."""
    vector = as_vector(values, name)
    if vector.ndim != 1:
        raise ValueError(
            f"{name} has shape {vector.shape}, but doses are one-dimensional; doses of several "
            "arms are a frame with a column of doses and one of arms"
        )
    numbers = as_labels(vector, name)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} holds {numbers[0].item()!r}, but doses are numbers: leave "
            "treatment_kind='dose' out if these are arms"
        )
    doses = numbers.astype(np.float64)
    if not np.isfinite(doses).all():
        raise ValueError(f"{name} is infinite in {rows_where(~np.isfinite(doses))}")
    return doses
