"""Average effects over other populations than everyone or the treated.

With e_k the propensities and h a weight of each row, the estimand is ``E[h (mu_k - mu_0)] / E[h]``.
Over those that had control, h is e_0, and rows of control are averaged themselves, as those treated
are in `effect_on_treated`. Overlap weights, ``h = 1 / sum_k (1 / e_k)``, favour rows that could
have had any arm, and give the average about which the data say most (Li, Morgan & Zaslavsky, 2018,
"Balancing covariates via propensity score weighting", JASA 113:390-400; several arms: Li & Li,
2019, AOAS 13:2389-2415). Weights use the estimated propensities: the uncertainty of the weights is
not included in the standard errors, which are for the population that these weights define.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from hypercate.evidence import Evidence, overlap_weight
from hypercate.inference.averages import AverageInference, average_effect
from hypercate.inference.groups import everyone_of, other_arms

_ATC = "Average treatment effect on the controls (ATC)"
_ATO = "Overlap-weighted average treatment effect (ATO)"


def effect_on_control(
    fit: Evidence, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over the rows that had `control`.

    Parameters
    ----------
    fit : Evidence
    control, arms
        As in `hypercate.inference.averages.average_effect`, as are errors.

    Returns
    -------
    AverageInference
        A row for each other arm.
    """
    everyone = everyone_of(fit, arms)
    estimates, influences = [], []
    for arm in np.delete(np.arange(fit.n_arms), control).tolist():
        back, of_back = everyone.effects_on_treated(arm)
        place = control - (control > arm)
        estimates.append(-back[:, place])
        influences.append(-of_back[:, place])
    stderr, dof = everyone.spread(np.column_stack(influences))
    index = other_arms(fit, control, arms)
    n_rows = int((fit.arm == control).sum())
    return AverageInference(np.concatenate(estimates), stderr[0], dof[0], index, _ATC, n_rows)


def overlap_weighted_effect(
    fit: Evidence, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Average effect of every other arm against `control`, over rows by how they overlap.

    Parameters
    ----------
    fit : Evidence
    control, arms
        As in `hypercate.inference.averages.average_effect`, as are errors.

    Returns
    -------
    AverageInference
        A row for each other arm.
    """
    by_overlap = replace(fit, weight=fit.weight * overlap_weight(fit.propensity))
    return replace(average_effect(by_overlap, control, arms), estimand=_ATO)


def trimmed(fit: Evidence, least: float) -> Evidence:
    """Rows that have every arm with a probability of at least this.

    Raises
    ------
    ValueError
        If it is not a number above 0 and below one over the number of arms, or no row has it.
    """
    if isinstance(least, bool) or not isinstance(least, Real) or not 0 < least < 1 / fit.n_arms:
        raise ValueError(
            f"trim={least!r} must be a number above 0 and below {1 / fit.n_arms:.3g}, one divided "
            "by the number of arms"
        )
    kept = fit.propensity.min(axis=1) >= least
    if not kept.any():
        raise ValueError(f"trim={least!r} leaves no row: the arms do not overlap")
    return fit.repeated(kept.astype(np.float64))
