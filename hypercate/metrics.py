"""Errors of estimated effects and of their intervals: against the known truth, and against a
randomised experiment.

References
----------
Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", JASA
102:359-378.
Hill (2011), "Bayesian nonparametric modeling for causal inference", JCGS 20:217-240.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect: generalization bounds
and algorithms", ICML.
Winkler (1972), "A decision-theoretic approach to interval estimation", JASA 67:187-191.
"""

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "ate_error",
    "att_error",
    "coverage",
    "interval_score",
    "policy_risk",
    "rejection_curve",
    "sqrt_pehe",
]


def sqrt_pehe(effect_true: ArrayLike, effect_pred: ArrayLike) -> float:
    """Root of the precision in estimation of heterogeneous effects (PEHE; Hill, 2011).

    ``sqrt(mean((effect_true - effect_pred) ** 2))``; with several arms the mean runs over rows
    and contrasts.

    Parameters
    ----------
    effect_true, effect_pred : array-like of shape (n,) or (n, K - 1)
        True and estimated CATE against control, in units of the outcome.

    Returns
    -------
    float
        Error in units of the outcome; 0 is perfect.

    Raises
    ------
    ValueError
        If the shapes differ or are not as above, or a value is missing or infinite.
    """
    true, pred = _check_effects(effect_true, effect_pred)
    return float(np.sqrt(np.mean((true - pred) ** 2)))


def ate_error(effect_true: ArrayLike, effect_pred: ArrayLike) -> float:
    """Absolute error of the average treatment effect over the rows given.

    ``abs(mean(effect_true) - mean(effect_pred))`` (Shalit et al., 2017); with several arms the
    mean of that over the contrasts.

    Parameters
    ----------
    effect_true, effect_pred : array-like of shape (n,) or (n, K - 1)
        True and estimated CATE against control, in units of the outcome.

    Returns
    -------
    float
        Error in units of the outcome; 0 is perfect. Never above :func:`sqrt_pehe`.

    Raises
    ------
    ValueError
        If the shapes differ or are not as above, or a value is missing or infinite.
    """
    true, pred = _check_effects(effect_true, effect_pred)
    return float(np.mean(np.abs(np.mean(true - pred, axis=0))))


def coverage(effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Share of true effects inside their intervals, the ends included.

    Parameters
    ----------
    effect_true : array-like of shape (n,) or (n, K - 1)
        True CATE against control, in units of the outcome.
    lower, upper : array-like of the same shape
        Ends of the intervals; an end may be infinite.

    Returns
    -------
    float
        In [0, 1], over rows and contrasts; near the nominal level if the intervals are calibrated.

    Raises
    ------
    ValueError
        If the shapes differ or are not as above, a true effect is missing or infinite, an end is
        missing, or a lower end is above its upper end.
    """
    true, low, high = _check_intervals(effect_true, lower, upper)
    return float(np.mean((low <= true) & (true <= high)))


def interval_score(
    effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike, alpha: float
) -> float:
    """Mean interval score (Winkler, 1972; Gneiting & Raftery, 2007, eq. 43).

    The width of the interval, plus ``2 / alpha`` times the distance from it to a true effect
    outside. Intervals that cover too seldom and intervals that are wider than need be both score
    high: the ends that score least are the quantiles at ``alpha / 2`` and ``1 - alpha / 2``.

    Parameters
    ----------
    effect_true : array-like of shape (n,) or (n, K - 1)
        True CATE against control, in units of the outcome.
    lower, upper : array-like of the same shape
        Ends of the intervals; an end may be infinite.
    alpha : float in (0, 1)
        The intervals' nominal level is ``1 - alpha``.

    Returns
    -------
    float
        In units of the outcome, over rows and contrasts; lower is better. Infinite if an interval
        is unbounded.

    Raises
    ------
    ValueError
        As :func:`coverage`, or if alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    true, low, high = _check_intervals(effect_true, lower, upper)
    missed = np.maximum(low - true, 0) + np.maximum(true - high, 0)
    return float(np.mean(high - low + 2 / alpha * missed))


def rejection_curve(
    effect_true: ArrayLike, effect_pred: ArrayLike, uncertainty: ArrayLike, shares: ArrayLike
) -> np.ndarray:
    """Root PEHE of the rows that are kept when the least certain are rejected.

    Rejection at random leaves the mean squared error as it is, in expectation; a useful measure of
    uncertainty lowers it.

    Parameters
    ----------
    effect_true, effect_pred : array-like of shape (n,) or (n, K - 1)
        True and estimated CATE against control, in units of the outcome. With several arms the
        squared error of a row is its mean over the contrasts.
    uncertainty : array-like of shape (n,)
        Largest for the row that is rejected first, such as the width of an interval; may be
        infinite. Equal ones are rejected in random order, of which the mean squared error is the
        expected one.
    shares : array-like of shape (m,), in [0, 1)
        Shares of rows to reject, rounded to whole rows; one row at least is kept.

    Returns
    -------
    ndarray of shape (m,)
        Errors in units of the outcome.

    Raises
    ------
    ValueError
        If the shapes are not as above, an effect is missing or infinite, an uncertainty is missing,
        or a share is not in [0, 1).
    """
    true, pred = _check_effects(effect_true, effect_pred)
    doubt, share = np.asarray(uncertainty, dtype=float), np.asarray(shares, dtype=float)
    n = len(true)
    if doubt.shape != (n,):
        raise ValueError(f"uncertainty must have one value a row, shape ({n},), got {doubt.shape}")
    if np.isnan(doubt).any():
        raise ValueError(f"uncertainty is missing in row {np.flatnonzero(np.isnan(doubt))[0]}")
    if share.ndim != 1 or not ((share >= 0) & (share < 1)).all():
        raise ValueError(f"shares must be one-dimensional and in [0, 1), got {share}")
    error = ((true - pred) ** 2).reshape(n, -1).mean(axis=1)
    tied = np.unique(doubt, return_inverse=True)[1]
    expected = (np.bincount(tied, error) / np.bincount(tied))[tied]
    kept_first = np.cumsum(expected[np.argsort(doubt, kind="stable")])
    n_kept = np.maximum(n - np.rint(share * n).astype(int), 1)
    return np.sqrt(kept_first[n_kept - 1] / n_kept)


def att_error(
    y: ArrayLike, treatment: ArrayLike, randomized: ArrayLike, effect_pred: ArrayLike
) -> float:
    """Absolute error of the average effect on the treated, against a randomised experiment.

    The truth is the difference in mean outcome between the treated and the controls of the
    experiment, the estimate the mean predicted effect over its treated (Shalit et al., 2017).

    Parameters
    ----------
    y : array-like of shape (n,)
        Observed outcome.
    treatment : array-like of shape (n,)
        Arm of each row, 0 (control) or 1.
    randomized : array-like of shape (n,), bool
        Whether a row comes from the experiment; other rows are ignored.
    effect_pred : array-like of shape (n,)
        Estimated CATE, in units of the outcome.

    Returns
    -------
    float
        Error in units of the outcome.

    Raises
    ------
    ValueError
        If lengths differ, a value is missing or infinite, an arm is not 0 or 1, or an arm has no
        randomised row.
    """
    outcome, treated, pred = _randomized_rows(y, treatment, randomized, effect_pred)
    for arm, rows in enumerate((~treated, treated)):
        if not rows.any():
            raise ValueError(f"arm {arm} has no randomised row: the ATT cannot be measured")
    att = outcome[treated].mean() - outcome[~treated].mean()
    return float(np.abs(att - pred[treated].mean()))


def policy_risk(
    y: ArrayLike, treatment: ArrayLike, randomized: ArrayLike, effect_pred: ArrayLike
) -> float:
    """Loss from treating exactly those whose predicted effect is positive.

    ``1 - (E[Y1 | pi = 1] p(pi = 1) + E[Y0 | pi = 0] p(pi = 0))`` with ``pi = effect_pred > 0``,
    each term estimated on the rows of the randomised experiment whose arm is the one advised
    (Shalit et al., 2017). A term for which there is no such row counts 0, the worst outcome, as
    in the authors' evaluation.

    Parameters
    ----------
    y : array-like of shape (n,)
        Observed outcome in [0, 1], 1 being best; for example 1 = employed.
    treatment : array-like of shape (n,)
        Arm of each row, 0 (control) or 1.
    randomized : array-like of shape (n,), bool
        Whether a row comes from the experiment; other rows are ignored.
    effect_pred : array-like of shape (n,)
        Estimated CATE; only its sign matters.

    Returns
    -------
    float
        Risk in [0, 1]; lower is better.

    Raises
    ------
    ValueError
        If lengths differ, a value is missing or infinite, an arm is not 0 or 1, an outcome is
        outside [0, 1], or no row is randomised.
    """
    outcome, treated, pred = _randomized_rows(y, treatment, randomized, effect_pred)
    if outcome.min() < 0 or outcome.max() > 1:
        raise ValueError("y must lie in [0, 1] for the policy risk: rescale the outcome")
    advised = pred > 0
    value = 0.0
    for policy_rows, arm_rows in ((advised, treated), (~advised, ~treated)):
        followed = policy_rows & arm_rows
        if followed.any():
            value += policy_rows.mean() * outcome[followed].mean()
    return float(1 - value)


def _check_effects(effect_true: ArrayLike, effect_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, pred = np.asarray(effect_true, dtype=float), np.asarray(effect_pred, dtype=float)
    if true.shape != pred.shape:
        raise ValueError(
            f"effect_true has shape {true.shape} but effect_pred has shape {pred.shape}"
        )
    if true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(f"effects must have shape (n,) or (n, K - 1), got {true.shape}")
    _check_finite(effect_true=true, effect_pred=pred)
    return true, pred


def _check_intervals(
    effect_true: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    true = np.asarray(effect_true, dtype=float)
    low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if not true.shape == low.shape == high.shape:
        raise ValueError(
            f"effect_true has shape {true.shape} but the intervals have {low.shape} and "
            f"{high.shape}"
        )
    if true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(f"effects must have shape (n,) or (n, K - 1), got {true.shape}")
    _check_finite(effect_true=true)
    bad = np.argwhere(~((low <= high) & (low < np.inf) & (high > -np.inf)))
    if len(bad):
        place = tuple(bad[0])
        raise ValueError(
            f"the interval of row {place[0]} is [{low[place]}, {high[place]}]: its ends must be "
            "known, and the lower not above the upper"
        )
    return true, low, high


def _randomized_rows(
    y: ArrayLike, treatment: ArrayLike, randomized: ArrayLike, effect_pred: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, whether treated, and predicted effect of the randomised rows, all checked."""
    columns = {
        "y": np.asarray(y, dtype=float),
        "treatment": np.asarray(treatment, dtype=float),
        "randomized": np.asarray(randomized, dtype=float),
        "effect_pred": np.asarray(effect_pred, dtype=float),
    }
    for name, column in columns.items():
        if column.ndim != 1 or column.shape != columns["y"].shape:
            raise ValueError(
                f"{name} must be one-dimensional and as long as y, got shape {column.shape} "
                f"with y of shape {columns['y'].shape}"
            )
    _check_finite(**columns)
    for name in ("treatment", "randomized"):
        if not np.isin(columns[name], (0, 1)).all():
            raise ValueError(f"{name} must hold only 0 and 1, got {np.unique(columns[name])}")
    rows = columns["randomized"] == 1
    if not rows.any():
        raise ValueError("randomized selects no row: nothing to measure the estimates against")
    return columns["y"][rows], columns["treatment"][rows] == 1, columns["effect_pred"][rows]


def _check_finite(**columns: np.ndarray) -> None:
    for name, column in columns.items():
        bad = np.argwhere(~np.isfinite(column))
        if len(bad):
            raise ValueError(f"{name} is missing or infinite in row {bad[0, 0]}: drop or repair it")
