"""Errors of estimated effects against known ones.

References
----------
Hill (2011), "Bayesian nonparametric modeling for causal inference", JCGS 20:217-240.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect: generalization bounds
and algorithms", ICML.
"""

import numpy as np
from numpy.typing import ArrayLike

from hypercate.metrics.checks import check_effects


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

    Examples
    --------
    >>> from hypercate.metrics import sqrt_pehe
    >>> sqrt_pehe([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 4.0])
    1.0
    """
    true, pred = check_effects(effect_true, effect_pred)
    return float(np.sqrt(np.mean((true - pred) ** 2)))


def ate_error(effect_true: ArrayLike, effect_pred: ArrayLike) -> float:
    """Absolute error of the average treatment effect over the rows given.

    ``abs(mean(effect_true) - mean(effect_pred))`` (Shalit et al., 2017); with several arms, the
    mean of this error over the contrasts.

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

    Examples
    --------
    >>> from hypercate.metrics import ate_error
    >>> ate_error([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 4.0])
    0.5
    """
    true, pred = check_effects(effect_true, effect_pred)
    return float(np.mean(np.abs(np.mean(true - pred, axis=0))))


def rejection_curve(
    effect_true: ArrayLike, effect_pred: ArrayLike, uncertainty: ArrayLike, shares: ArrayLike
) -> np.ndarray:
    """Root PEHE of the rows that are kept when the least certain are rejected.

    Rejecting rows at random leaves the mean squared error unchanged, in expectation; a useful
    measure of uncertainty lowers it.

    Parameters
    ----------
    effect_true, effect_pred : array-like of shape (n,) or (n, K - 1)
        True and estimated CATE against control, in units of the outcome. With several arms the
        squared error of a row is its mean over the contrasts.
    uncertainty : array-like of shape (n,)
        Largest for the row that is rejected first, such as the width of an interval; may be
        infinite. Rows with equal uncertainty are rejected in random order, and the mean squared
        error is then its expectation over these orders.
    shares : array-like of shape (m,), in [0, 1)
        Shares of rows to reject, rounded to whole rows; at least one row is kept.

    Returns
    -------
    ndarray of shape (m,)
        Errors in units of the outcome.

    Raises
    ------
    ValueError
        If the shapes are not as above, an effect is missing or infinite, an uncertainty is missing,
        or a share is not in [0, 1).

    Examples
    --------
    >>> from hypercate.metrics import rejection_curve
    >>> true, predicted, width = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 4.0], [0.5, 0.4, 0.9, 0.6]
    >>> rejection_curve(true, predicted, width, shares=[0.0, 0.25]).tolist()
    [1.0, 0.0]
    """
    true, pred = check_effects(effect_true, effect_pred)
    doubt, share = np.asarray(uncertainty, dtype=float), np.asarray(shares, dtype=float)
    n = len(true)
    if doubt.shape != (n,):
        raise ValueError(f"uncertainty must have one value per row: ({n},), got {doubt.shape}")
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
