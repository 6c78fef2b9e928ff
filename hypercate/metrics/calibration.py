"""Whether predicted effects are right on average, and where they are not.

References
----------
Xu & Yadlowsky (2022), "Calibration error for heterogeneous treatment effects", AISTATS.
Chernozhukov, Demirer, Duflo & Fernandez-Val (2025), "Fisher-Schultz lecture: generic machine
learning inference on heterogenous treatment effects in randomized experiments", Econometrica
93:1121-1164 (arXiv 1712.04802).
Schuler, Baiocchi, Tibshirani & Shah (2018), "A comparison of methods for model selection when
estimating individual treatment effects", arXiv 1804.05146.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from hypercate.metrics.calibration_tables import CalibrationTable
from hypercate.metrics.rows import by_arm
from hypercate.metrics.scores import Scored, ScoreInference, read_effects, read_scores

N_BINS = 10
_NO_SLOPE = "Slope: not available where predicted effects are all alike."
MIN_ROWS = 2  # of a bin, for a standard error


def dr_score(effects: Any, scores: Any, *, control: Any = None, sample_weight: Any = None) -> float:
    """Share of the variation of doubly robust scores that predicted effects explain.

    One minus the ratio of two mean squared distances to the scores: that of the predicted effects,
    divided by that of the best constant effects (the DR-loss of Schuler et al., 2018, as an R2). It
    is 0 for effects no better than a constant, and negative for worse ones. Scores are noisy, and
    even the true effects explain only a small share of their variation: compare models on the same
    scores.

    Parameters
    ----------
    effects, scores, control, sample_weight
        As in `hypercate.metrics.toc_curve`; here the size of effects matters, too.

    Returns
    -------
    float, at most 1
        With several arms, the share over all of them together.

    Raises
    ------
    TypeError, ValueError
        As `hypercate.metrics.toc_curve`; or if the scores do not vary.

    Examples
    --------
    >>> from hypercate.metrics import dr_score
    >>> dr_score([3.0, 2.0, 1.0, 1.0], [4.0, 2.0, 1.0, 1.0])
    0.8333333333333334
    """
    rows, gains, others = read_scores(scores, control, sample_weight, None, effects=effects)
    predicted = read_effects(effects, others, rows)
    around = rows.mean((gains - rows.mean(gains)) ** 2).sum()
    if around == 0:
        raise ValueError("scores do not vary between rows, so there is nothing to explain")
    return float(1 - rows.mean((gains - predicted) ** 2).sum() / around)


def calibration_error(
    effects: Any,
    scores: Any,
    *,
    n_bins: int = N_BINS,
    control: Any = None,
    sample_weight: Any = None,
) -> float | pd.Series:
    """Root mean squared difference between predicted effects and the average effect at each.

    Rows are put in bins by their predicted effect, and in each bin the mean prediction is compared
    with the mean score (Xu & Yadlowsky, 2022). The part that chance alone would give is subtracted
    from the square, which is set to 0 if the result is negative.

    Parameters
    ----------
    effects, scores, control, sample_weight, n_bins
        As in `calibration_table`.

    Returns
    -------
    float for two arms, Series indexed by the other arms for more
        In units of the outcome; 0 is best.

    Raises
    ------
    TypeError, ValueError
        As `calibration_table`.

    Examples
    --------
    >>> from hypercate.metrics import calibration_error
    >>> calibration_error([2.0, 2.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], n_bins=2)
    0.7071067811865476
    """
    found = calibration_table(
        effects, scores, n_bins=n_bins, control=control, sample_weight=sample_weight
    )
    return by_arm(found.errors["error"].to_dict(), "calibration error")


def calibration_table(
    effects: Any,
    scores: Any,
    *,
    n_bins: int = N_BINS,
    control: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> CalibrationTable:
    """Predicted effects against scores, in bins and by a regression line, with intervals and tests.

    Parameters
    ----------
    effects, scores, control, sample_weight, groups
        As in `hypercate.metrics.toc_curve`; here the size of effects matters, too. Standard errors
        of bins and of the calibration error treat rows as independent; those of the line treat
        clusters as independent.
    n_bins : int, default=10
        Number of bins, with about equally many rows each; rows with equal predicted effects stay
        together.

    Returns
    -------
    CalibrationTable

    Raises
    ------
    TypeError, ValueError
        As `hypercate.metrics.toc_curve`; or if n_bins is not a whole number of at least 1, or a
        bin would have fewer than two rows.

    Examples
    --------
    >>> from hypercate.metrics import calibration_table
    >>> table = calibration_table([2.0, 2.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], n_bins=2)
    >>> table.line.point_estimate.tolist()
    [0.5, 0.5]
    """
    if isinstance(n_bins, bool) or not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} must be a whole number of at least 1")
    rows, gains, others = read_scores(scores, control, sample_weight, groups, effects=effects)
    predicted = read_effects(effects, others, rows)
    bins, errors = [], []
    for j, arm in enumerate(others):
        table, error = _binned(predicted[:, j], gains[:, j], rows.weight, int(n_bins))
        bins.append(table.assign(arm=arm)[["arm", *table.columns]])
        errors.append(error)
    return CalibrationTable(
        pd.concat(bins, ignore_index=True),
        pd.DataFrame(errors, pd.Index(others, name="arm")),
        _line(rows, gains, predicted, others),
    )


def _binned(
    predicted: np.ndarray, gain: np.ndarray, weight: np.ndarray, n_bins: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The bins of one arm, and the calibration error."""
    tied = np.unique(predicted, return_inverse=True)[1]
    size = np.bincount(tied, weight)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    code = np.unique((middle * n_bins).astype(np.int64)[tied], return_inverse=True)[1]
    n = np.bincount(code)
    if n.min() < MIN_ROWS:
        raise ValueError(
            f"n_bins={n_bins} leaves {n.min()} row in a bin, which needs {MIN_ROWS}: use fewer bins"
        )
    total = np.bincount(code, weight)

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of each bin, and its variance."""
        mean = np.bincount(code, weight * values) / total
        squares = np.bincount(code, (weight * (values - mean[code])) ** 2)
        return mean, squares / total**2 * n / (n - 1)

    estimate, variance = moments(gain)
    distance, of_distance = moments(gain - predicted)
    share = total / total.sum()
    squared = share @ (distance**2 - of_distance)
    of_squared = share**2 @ (
        4 * np.maximum(distance**2 - of_distance, 0) * of_distance + 2 * of_distance**2
    )
    table = pd.DataFrame(
        {
            "bin": np.arange(1, len(n) + 1),
            "rows": n,
            "predicted": np.bincount(code, weight * predicted) / total,
            "estimate": estimate,
            "stderr": np.sqrt(variance),
        }
    )
    error = {
        "error": float(np.sqrt(max(squared, 0.0))),
        "squared": float(squared),
        "squared_stderr": float(np.sqrt(of_squared)),
    }
    return table, error


def _line(rows: Scored, gains: np.ndarray, predicted: np.ndarray, others: list) -> ScoreInference:
    """Scores on predicted effects: mean and slope, with errors that may differ in size (HC3)."""
    mean = rows.mean(gains)
    apart = predicted - rows.mean(predicted)
    varies = rows.mean(apart**2)
    flat = varies <= 1e-20 * np.maximum(rows.mean(predicted**2), np.finfo(float).tiny)
    varies = np.where(flat, np.nan, varies)
    slope = rows.mean(apart * (gains - mean)) / varies
    share = rows.weight[:, None] / rows.weight.sum()
    leverage = np.clip(share * (1 + apart**2 / np.where(flat, 1.0, varies)), 0, 0.99)
    left = (gains - mean - np.where(flat, 0.0, slope) * apart) / (1 - leverage)
    of_slope = left * apart / varies
    influence = np.stack([left - rows.mean(left), of_slope - rows.mean(of_slope)], axis=-1)
    stderr, dof = rows.spread(influence.reshape(len(left), -1))
    index = pd.Index(["mean effect", "slope"], name="coefficient")
    if len(others) > 1:
        index = pd.MultiIndex.from_product([pd.Index(others, name="arm"), index])
    return ScoreInference(
        np.stack([mean, slope], axis=-1).ravel(),
        stderr,
        np.full(len(stderr), dof),
        index,
        "Best linear predictor of the effect by the predicted one",
        len(left),
        (_NO_SLOPE,) if flat.any() else (),
    )
