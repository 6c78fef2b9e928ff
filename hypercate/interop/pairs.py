"""The average effect of one arm against another, among those of every arm against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypercate.estimator import HyperCATE
from hypercate.inference.averages import AverageInference


def of_pair(model: HyperCATE, own: AverageInference, T0: Any, T1: Any) -> AverageInference:
    """That of arm T1.

    Parameters
    ----------
    model : HyperCATE
    own : AverageInference
        Averages of every other arm against T0.
    T0, T1 : label

    Returns
    -------
    AverageInference
        Of one average.

    Raises
    ------
    ValueError
        If T0 or T1 is not an arm that rows received, or they are the same.
    """
    conditions = model.fitted_.conditions
    control = conditions.position_received(T0, "T0")
    treated = conditions.position_received(T1, "T1")
    if control == treated:
        raise ValueError(f"T0 and T1 are the same arm, {T0!r}")
    one = [treated - (treated > control)]
    return replace(
        own,
        point_estimate=own.point_estimate[one],
        stderr=own.stderr[one],
        dof=own.dof[one],
        index=own.index[one],
    )
