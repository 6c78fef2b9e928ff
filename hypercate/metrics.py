"""Errors of estimated effects: against the known truth, and against a randomised experiment.

References
----------
Hill (2011), "Bayesian nonparametric modeling for causal inference", JCGS 20:217-240.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect: generalization bounds
and algorithms", ICML.
"""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["ate_error", "att_error", "policy_risk", "sqrt_pehe"]


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
