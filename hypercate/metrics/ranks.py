"""How much more the rows that predicted effects rank first gain: TOC curves and RATE.

References
----------
Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), "Evaluating treatment prioritization rules via
rank-weighted average treatment effects", JASA 120:38-51 (arXiv 2111.07966).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.curves import Curve
from hypercate.metrics.ranked import Ranked, first_rows
from hypercate.metrics.rows import by_arm
from hypercate.metrics.scores import ScoreInference, read_effects, read_scores

WEIGHTINGS = ("AUTOC", "QINI")


def toc_curve(
    effects: Any,
    scores: Any,
    *,
    control: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> Curve:
    """Targeting operator characteristic: how much more the first rows gain than all rows.

    At share u, the curve is the average effect over the share u of rows with the largest predicted
    effects, minus the average effect over all rows (Yadlowsky et al., 2025). For rows with equal
    predicted effects, it is the mean over all their orders.

    Parameters
    ----------
    effects : array-like, shape (n,) for two arms, (n, K - 1) for more
        Predicted effects against control, by a model that was not fitted to these rows; only their
        order matters. With several arms: a frame with one column per arm, named by its label, or an
        array in the order of the scores' columns.
    scores : DataFrame or array-like, shape (n, K)
        Doubly robust scores of every arm, such as from `aipw_scores` or
        ``HyperCATE.scores_frame``. The arms of an array are labelled 0 to K - 1. With shape (n,),
        they are scores of the effect itself; in simulations this can be the true effect.
    control : label, optional
        The control arm; the first column of the scores by default.
    sample_weight : array-like, shape (n,), optional
        Weights of a sampling design; rows of weight 0 need no scores.
    groups : array-like, shape (n,), optional
        Clusters; standard errors then treat rows of a cluster as dependent.

    Returns
    -------
    Curve
        At each hundredth of the rows, with pointwise standard errors by influence functions.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used, such as a Series whose index has the rows in another order; the
        message names the argument, arm or row.

    Examples
    --------
    >>> from hypercate.metrics import toc_curve
    >>> curve = toc_curve([0.9, 0.8, 0.1, 0.0], [4.0, 2.0, 1.0, 1.0])
    >>> curve.table.set_index("share")["value"][[0.25, 0.5, 1.0]].tolist()
    [2.0, 1.0, 0.0]
    """
    rows, gains, others = read_scores(scores, control, sample_weight, groups, effects=effects)
    predicted = read_effects(effects, others, rows)
    parts = [
        first_rows(predicted[:, j], gains[:, j], rows, "lift").assign(arm=arm, random=0.0)
        for j, arm in enumerate(others)
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table[["arm", "share", "rows", "value", "random", "stderr"]]
    title = "Targeting operator characteristic (TOC)"
    label = "average effect of the first rows, minus that of all"
    return Curve("toc", table, title, label)


def rate_score(
    effects: Any,
    scores: Any,
    *,
    weighting: str = "AUTOC",
    control: Any = None,
    sample_weight: Any = None,
) -> float | pd.Series:
    """Rank-weighted average treatment effect (RATE): the weighted area under the TOC curve.

    Parameters
    ----------
    effects, scores, control, sample_weight
        As in `toc_curve`.
    weighting : {"AUTOC", "QINI"}, default="AUTOC"
        As in `rate_inference`.

    Returns
    -------
    float for two arms, Series indexed by the other arms for more
        In units of the outcome; 0 for an order that carries no information about effects.

    Raises
    ------
    TypeError, ValueError
        As `rate_inference`.

    Examples
    --------
    >>> from hypercate.metrics import rate_score
    >>> round(rate_score([0.9, 0.8, 0.1, 0.0], [4.0, 2.0, 1.0, 1.0], weighting="QINI"), 4)
    0.3125
    """
    found = rate_inference(
        effects, scores, weighting=weighting, control=control, sample_weight=sample_weight
    )
    return by_arm(dict(zip(found.index, found.point_estimate.tolist(), strict=True)), "rate")


def rate_inference(
    effects: Any,
    scores: Any,
    *,
    weighting: str = "AUTOC",
    control: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> ScoreInference:
    """RATE with its standard error, and a test of whether the ranking carries any information.

    The area under the TOC curve is a sum of the scores, each weighted by the row's rank (Yadlowsky
    et al., 2025), computed here exactly, without a grid. The standard error comes from its
    influence function, which includes the uncertainty of the estimated ranks. With a few hundred
    rows, the standard error of AUTOC, which rests on the first rows, is up to a tenth too small.

    Parameters
    ----------
    effects, scores, control, sample_weight, groups
        As in `toc_curve`.
    weighting : {"AUTOC", "QINI"}, default="AUTOC"
        ``"AUTOC"``: the integral of the TOC over the share u, which gives most weight to the first
        rows, and has more power if few people gain much. ``"QINI"``: the integral of u times the
        TOC, which weights all rows more evenly, and has more power if effects differ over all of
        them.

    Returns
    -------
    ScoreInference
        One row for each other arm. The p-value is two-sided, for the hypothesis that the ranking
        carries no information.

    Raises
    ------
    TypeError, ValueError
        As `toc_curve`, or if weighting is neither of the two.

    Examples
    --------
    >>> from hypercate.metrics import rate_inference
    >>> found = rate_inference([3, 2, 1, 0] * 9, [4.0, 2.0, 1.0, 1.0] * 9)
    >>> found.summary_frame().columns.tolist()[:2]
    ['point_estimate', 'stderr']
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(
            f"weighting={weighting!r} must be one of {', '.join(map(repr, WEIGHTINGS))}"
        )
    rows, gains, others = read_scores(scores, control, sample_weight, groups, effects=effects)
    predicted = read_effects(effects, others, rows)
    found = [
        Ranked(predicted[:, j], gains[:, j], rows.weight).rate(weighting)
        for j in range(len(others))
    ]
    stderr, dof = rows.spread(np.column_stack([influence for _, influence in found]))
    return ScoreInference(
        np.array([value for value, _ in found]),
        stderr,
        np.full(len(others), dof),
        pd.Index(others, name="arm"),
        f"Rank-weighted average treatment effect (RATE, {weighting})",
        len(rows.weight),
    )
