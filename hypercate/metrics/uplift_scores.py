"""Uplift scores: one number for how well predicted effects rank the people of an experiment.

References
----------
Radcliffe (2007), "Using control groups to target on predicted lift: building and assessing uplift
models", Direct Marketing Analytics Journal 3:14-21.
Devriendt, Guns & Verbeke (2020), "Learning to rank for uplift modeling", arXiv 2002.05897.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from hypercate.metrics.rows import Comparison, by_arm, read_comparisons
from hypercate.metrics.uplift import Points, qini_points, uplift_points

NORMALISE = ("none", "total", "perfect")
STRATEGIES = ("overall", "by_group")


def qini_score(
    y: Any,
    effects: Any,
    treatment: Any,
    *,
    normalize: str = "none",
    control: Any = None,
    sample_weight: Any = None,
) -> float | pd.Series:
    """Area between the Qini curve and that of a random order; more is better, 0 is random.

    Parameters
    ----------
    y, effects, treatment, control, sample_weight
        As in `hypercate.metrics.qini_curve`.
    normalize : {"none", "total", "perfect"}, default="none"
        ``"none"``: the area, with the share of rows as horizontal axis, in incremental outcomes.
        CausalML's ``qini_score(normalize=False)`` is this times n / (n + 1), because it divides
        the sum over the points of the curve by their number, and interpolates the first points.
        ``"total"``: this area, divided by the absolute value of the curve at its end (CausalML's
        default); it means little if the average effect is near 0. ``"perfect"``: the area, divided
        by that of the best order of a binary outcome: scikit-uplift's ``qini_auc_score``, with
        negative effects.

    Returns
    -------
    float for two arms, Series indexed by the other arms for more

    Raises
    ------
    TypeError, ValueError
        As `hypercate.metrics.qini_curve`; or if the divisor of the area is 0, or if
        ``"perfect"`` is used with an outcome other than 0 and 1.

    Examples
    --------
    >>> from hypercate.metrics import qini_score
    >>> qini_score([1, 0, 1, 0], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"])
    0.25
    """
    _check_normalize(normalize)
    found = {}
    for arm, rows in read_comparisons(y, effects, treatment, control, sample_weight).items():
        points = qini_points(rows)
        area = _area(points) - points[1][-1] / 2
        if normalize == "perfect":
            _check_binary(rows.y)
            best = qini_points(_ranked(rows, rows.y * np.where(rows.treated, 1, -1)))
            area = _over(area, _area(best) - best[1][-1] / 2, normalize, arm)
        elif normalize == "total":
            area = _over(area, abs(points[1][-1]), normalize, arm)
        found[arm] = float(area)
    return by_arm(found, "qini")


def auuc_score(
    y: Any,
    effects: Any,
    treatment: Any,
    *,
    normalize: str = "none",
    control: Any = None,
    sample_weight: Any = None,
) -> float | pd.Series:
    """Area under the uplift curve; more is better.

    Parameters
    ----------
    y, effects, treatment, control, sample_weight
        As in `hypercate.metrics.qini_curve`.
    normalize : {"none", "total", "perfect"}, default="none"
        ``"none"``: the area, with the share of rows as horizontal axis, in outcomes gained; a
        random order has half of the curve's value at its end. ``"total"``: this area, divided by
        the absolute value of the curve at its end, so that a random order has 1/2. It is CausalML's
        ``auuc_score``, with two differences: that one sums over points instead of taking an area,
        which counts the curve's end fully and not by half, so that it is
        ``(n * ours + 1 / 2) / (n + 1)`` (-1 / 2 if the end is below 0); and it interpolates the
        first points. ``"perfect"``: the area above that of a random order, divided by the same area
        for the best order of a binary outcome, so that a random order has 0: scikit-uplift's
        ``uplift_auc_score``.

    Returns
    -------
    float for two arms, Series indexed by the other arms for more

    Raises
    ------
    TypeError, ValueError
        As `qini_score`.

    Examples
    --------
    >>> from hypercate.metrics import auuc_score
    >>> auuc_score([1, 0, 1, 0], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"], normalize="total")
    0.5
    """
    _check_normalize(normalize)
    found = {}
    for arm, rows in read_comparisons(y, effects, treatment, control, sample_weight).items():
        points = uplift_points(rows)
        area = _area(points)
        if normalize == "perfect":
            _check_binary(rows.y)
            best = uplift_points(_ranked(rows, _best_uplift(rows)))
            half = points[1][-1] / 2
            area = _over(area - half, _area(best) - half, normalize, arm)
        elif normalize == "total":
            area = _over(area, abs(points[1][-1]), normalize, arm)
        found[arm] = float(area)
    return by_arm(found, "auuc")


def uplift_at_k(
    y: Any,
    effects: Any,
    treatment: Any,
    *,
    k: float = 0.3,
    strategy: str = "overall",
    control: Any = None,
    sample_weight: Any = None,
) -> float | pd.Series:
    """Difference in mean outcomes among the share of rows with the largest predicted effects.

    It is scikit-uplift's ``uplift_at_k``, except that the latter rounds the share down to whole
    rows, and takes rows with equal effects in the order given. Here, a fraction of a row counts as
    this fraction, and rows with equal effects at the limit all count by the share of them that is
    inside.

    Parameters
    ----------
    y, effects, treatment, control, sample_weight
        As in `hypercate.metrics.qini_curve`.
    k : float in (0, 1], default=0.3
        Share of the rows.
    strategy : {"overall", "by_group"}, default="overall"
        Whether the share is of all rows, or of the rows of each arm.

    Returns
    -------
    float for two arms, Series indexed by the other arms for more

    Raises
    ------
    TypeError, ValueError
        As `hypercate.metrics.qini_curve`; or if k is not in (0, 1], if strategy is neither of the
        two, or if one of the two arms has no row in the share.

    Examples
    --------
    >>> from hypercate.metrics import uplift_at_k
    >>> uplift_at_k([1, 0, 1, 1], [0.9, 0.8, 0.1, 0.0], ["b", "a", "b", "a"], k=0.5)
    1.0
    """
    if isinstance(k, bool) or not isinstance(k, Real) or not 0 < k <= 1:
        raise ValueError(f"k={k!r} must be a share of the rows, above 0 and at most 1")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r} must be one of {', '.join(map(repr, STRATEGIES))}")
    found = {}
    for arm, rows in read_comparisons(y, effects, treatment, control, sample_weight).items():
        means = []
        for of_arm in (rows.treated, ~rows.treated):
            among = of_arm if strategy == "by_group" else np.ones_like(of_arm)
            inside = np.zeros(len(rows.y))
            inside[among] = _first(rows.effect[among], rows.weight[among], float(k))
            inside *= of_arm
            if not inside.any():
                raise ValueError(
                    f"the share {k:.3g} of rows with the largest effects of {arm!r} holds no row "
                    "of one of the two arms: use a larger k"
                )
            means.append(np.average(rows.y, weights=inside))
        found[arm] = float(means[0] - means[1])
    return by_arm(found, "uplift")


def _first(effect: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Weight of each row that is inside the share of largest effects."""
    tied = np.unique(-effect, return_inverse=True)[1]
    block = np.bincount(tied, weight)
    before = np.cumsum(block) - block
    return weight * np.clip((share * block.sum() - before) / block, 0, 1)[tied]


def _area(points: Points) -> float:
    """Area over the share of rows."""
    n, value = points
    return float(trapezoid(value, n) / n[-1])


def _ranked(rows: Comparison, effect: np.ndarray) -> Comparison:
    return Comparison(effect, rows.y, rows.treated, rows.weight)


def _best_uplift(rows: Comparison) -> np.ndarray:
    """The order of a binary outcome whose uplift curve is best, as in scikit-uplift."""
    responders = rows.weight[(rows.y == 1) & ~rows.treated].sum()
    others = rows.weight[(rows.y == 0) & rows.treated].sum()
    last = rows.y if responders > others else rows.treated
    return 2.0 * (rows.y == rows.treated) + last


def _check_normalize(normalize: str) -> None:
    if normalize not in NORMALISE:
        raise ValueError(
            f"normalize={normalize!r} must be one of {', '.join(map(repr, NORMALISE))}"
        )


def _check_binary(y: np.ndarray) -> None:
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            "normalize='perfect' needs an outcome that is 0 or 1, since the best order for other "
            "outcomes is not known: pass normalize='none' or 'total'"
        )


def _over(area: float, whole: float, normalize: str, arm: Any) -> float:
    if whole == 0:
        raise ValueError(
            f"normalize={normalize!r} divides by 0 for arm {arm!r}, whose "
            f"{'curve ends there' if normalize == 'total' else 'outcomes do not differ'}: pass "
            "normalize='none'"
        )
    return area / whole
