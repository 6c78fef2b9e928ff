"""Treatments of doses as users have them: a column of doses, or beside it one of arms."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from hypercate.encoding.arm_doses import ArmDoses, pair_of
from hypercate.encoding.checks import listed
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.doses import Doses, read_doses


def fit_doses(
    treatment: Any, used: np.ndarray, control: Any
) -> tuple[Doses | ArmDoses, np.ndarray, np.ndarray]:
    """Doses of one treatment, or of arms, with each row's range and splines.

    Parameters
    ----------
    treatment : array-like, shape (n,), or DataFrame, shape (n, 2)
    used : ndarray of bool, shape (n,)
        Rows that count.
    control : object
        As ``HyperCATE`` has it.

    Raises
    ------
    TypeError, ValueError
        If treatment or control cannot be used.
    """
    if isinstance(treatment, pd.DataFrame) and treatment.shape[1] > 1:
        return _fit_arms(treatment, used, control)
    dose = read_doses(treatment, "treatment")
    doses = Doses.fit(dose[used], control)
    dose = dose.clip(doses.ends[0], doses.ends[-1])
    return doses, doses.range_of(dose), doses.splines(dose)


def _fit_arms(
    treatment: pd.DataFrame, used: np.ndarray, control: Any
) -> tuple[ArmDoses, np.ndarray, np.ndarray]:
    """Doses of arms, with each row's range and splines."""
    columns = _columns(treatment)
    received, dose = (treatment[column] for column in columns)
    dose = read_doses(dose, f"treatment[{columns[1]!r}]")
    if received.nunique() == 1:
        raise ValueError(
            f"treatment[{columns[0]!r}] holds a single arm: leave this column out, and pass only "
            "the doses"
        )
    label, at = pair_of(control)
    arms = Conditions.fit(received, label)
    position = arms.positions(received)
    lacking = np.delete(np.arange(len(arms.labels)), np.unique(position[used]))
    if len(lacking):
        raise ValueError(
            f"arm {arms.labels[lacking[0]].item()!r} has no row of positive weight: drop its rows"
        )
    arms = arms.in_order_of(position[used])
    arm = arms.place[position]
    labels = arms.labels[np.argsort(arms.place)].tolist()
    each = tuple(
        _of_arm(label, dose[used & (arm == k)], at if k == arms.place[0] else None)
        for k, label in enumerate(labels)
    )
    doses = ArmDoses(columns, arms, each)
    return doses, doses.range_of(arm, dose), doses.splines(arm, dose)


def _columns(treatment: pd.DataFrame) -> tuple[Hashable, Hashable]:
    """The columns of the arm and of the dose, told by their types."""
    found = [
        f"{column!r} ({dtype})"
        for column, dtype in zip(treatment.columns, treatment.dtypes, strict=True)
    ]
    is_dose = [is_numeric_dtype(dtype) and not is_bool_dtype(dtype) for dtype in treatment.dtypes]
    if len(found) != 2 or sum(is_dose) != 1:
        raise ValueError(
            f"treatment has the columns {listed(found)}, but with treatment_kind='dose' it has one "
            "of doses, or two of which one holds numbers, the doses, and the other strings, "
            "categories or booleans, the arms: give the arms such a type, e.g. by "
            ".astype({'drug': str})"
        )
    arm, dose = sorted(range(2), key=is_dose.__getitem__)
    return treatment.columns[arm], treatment.columns[dose]


def _of_arm(label: Any, doses: np.ndarray, control: Any) -> Doses:
    """The doses of one arm."""
    distinct = np.unique(doses)
    try:
        if len(distinct) > 1:
            return Doses.fit(doses, control)
        one = Doses.at(float(distinct[0]))
        one.within(read_doses(distinct if control is None else [control], "control"), "control")
        return one
    except (TypeError, ValueError) as error:
        raise type(error)(f"arm {label!r}: {error}") from None
