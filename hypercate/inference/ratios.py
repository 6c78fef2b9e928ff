"""Ratios of the arms' mean outcomes over the rows, or of their odds; not means of ratios.

Mean outcomes are those of `hypercate.inference.averages`, by AIPW. With phi_k the influence of a
cluster on the mean mu_k, that on the logarithm of the ratio is ``phi_k / mu_k - phi_0 / mu_0``, the
delta method (van der Vaart, 1998, "Asymptotic statistics", chapter 3; for means by doubly robust
scores van der Laan & Rose, 2011, "Targeted learning", chapter 4). Where a mean outcome is out of
range, as AIPW's can be in small samples, there is neither a ratio nor an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hypercate.evidence import Evidence
from hypercate.inference.averages import AverageInference, of_other_rows
from hypercate.inference.groups import difference, everyone_of, other_arms
from hypercate.inference.scales import Scale

_TITLES = {
    "ratio": "Ratio of average outcomes",
    "odds": "Odds ratio of average outcomes",
}


def average_ratio(
    fit: Evidence, scale: Scale, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Ratio of every other arm's mean outcome to that of `control`, over the training population.

    Parameters
    ----------
    fit : Evidence
    scale : Scale
        Of ratios.
    control, arms
        As in `hypercate.inference.averages.average_effect`.

    Returns
    -------
    AverageInference
        A row for each other arm.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows.
    """
    everyone = everyone_of(fit, arms)
    mean, influence = everyone.outcomes()
    stderr, dof = everyone.spread(difference(scale.slope(mean[0]) * influence, control))
    return AverageInference(
        scale.back(difference(scale.link(mean), control)[0]),
        stderr[0],
        dof[0],
        other_arms(fit, control, arms),
        _TITLES[scale.name],
        len(fit.y),
        scale=scale,
    )


def average_ratio_at(
    fit: Evidence,
    outcomes: np.ndarray,
    scale: Scale,
    control: int = 0,
    arms: Sequence[Any] | None = None,
    too_few: str | None = None,
) -> AverageInference:
    """The same over other rows of the training population, from their predicted outcomes.

    Parameters
    ----------
    fit : Evidence
    outcomes : ndarray, shape (m, n_arms)
    scale : Scale
    control, arms, too_few
        As in `hypercate.inference.averages.average_effect_at`, as are errors.

    Returns
    -------
    AverageInference
        A row for each other arm; without standard errors for one row, or if `too_few`.
    """
    m = len(outcomes)
    if m == 0:
        raise ValueError("an average needs at least 1 row, not 0")
    everyone = everyone_of(fit, arms)
    correction, influence = everyone.correction()
    mean = outcomes.mean(axis=0) + correction[0]
    slope = scale.slope(mean)
    linear = difference(slope * outcomes, control)
    influence = difference(slope * influence, control)
    stderr, dof, rows, notes = of_other_rows(everyone, linear, influence, too_few)
    return AverageInference(
        scale.back(difference(scale.link(mean)[None], control)[0]),
        stderr,
        dof,
        other_arms(fit, control, arms),
        _TITLES[scale.name] + rows,
        m,
        notes,
        scale,
    )
