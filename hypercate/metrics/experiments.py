"""Errors of estimated effects against a randomised experiment, which may be part of the rows.

References
----------
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect: generalization bounds
and algorithms", ICML.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hypercate.encoding.conditions import Conditions, read_arms
from hypercate.metrics.checks import check_finite


def att_error(
    y: ArrayLike,
    treatment: ArrayLike,
    randomized: ArrayLike,
    effect_pred: ArrayLike,
    *,
    control: Any = None,
) -> float:
    """Absolute error of the average effect on the treated, against a randomised experiment.

    The truth is the difference in mean outcome between the treated and the controls of the
    experiment. The estimate is the mean predicted effect over the experiment's treated rows
    (Shalit et al., 2017).

    Parameters
    ----------
    y : array-like of shape (n,)
        Observed outcome.
    treatment : array-like of shape (n,)
        Arm of each row: two labels of any kind.
    randomized : array-like of shape (n,), bool
        Whether a row comes from the experiment; other rows are ignored.
    effect_pred : array-like of shape (n,)
        Estimated CATE, in units of the outcome.
    control : label, optional
        The control arm; by default the first in sorted order, and 0 where labels are 0 and 1.

    Returns
    -------
    float
        Error in units of the outcome.

    Raises
    ------
    ValueError
        If lengths differ, if a value is missing or infinite, if there are not exactly two arms, or
        if an arm has no randomised row.

    Examples
    --------
    >>> from hypercate.metrics import att_error
    >>> y, treatment, randomized = [3.0, 1.0, 5.0, 1.0, 0.0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0]
    >>> att_error(y, treatment, randomized, effect_pred=[2.0, 1.0, 3.0, 1.0, 1.0])
    0.5
    """
    outcome, arm, pred, labels = _randomized_rows(y, treatment, randomized, effect_pred, control)
    if len(labels) > 2:
        raise ValueError(
            f"the ATT compares two arms, but treatment has {labels}: keep the rows of two of them"
        )
    treated = arm == 1
    for label, rows in zip(labels, (~treated, treated), strict=True):
        if not rows.any():
            raise ValueError(f"arm {label!r} has no randomised row: the ATT cannot be measured")
    att = outcome[treated].mean() - outcome[~treated].mean()
    return float(np.abs(att - pred[treated, 0].mean()))


def policy_risk(
    y: ArrayLike,
    treatment: ArrayLike,
    randomized: ArrayLike,
    effect_pred: ArrayLike,
    *,
    control: Any = None,
) -> float:
    """Loss from treating exactly those whose predicted effect is positive.

    With several arms, each person gets the arm with the largest predicted effect, and control if
    no predicted effect is positive. The loss is

    ``1 - (E[Y1 | pi = 1] p(pi = 1) + E[Y0 | pi = 0] p(pi = 0))`` with ``pi = effect_pred > 0``,
    each term estimated on the rows of the randomised experiment whose arm is the one advised
    (Shalit et al., 2017). A term for which there is no such row is set to 0, the worst outcome, as
    in the authors' evaluation.

    Parameters
    ----------
    y : array-like of shape (n,)
        Observed outcome in [0, 1], 1 being best; for example 1 = employed.
    treatment : array-like of shape (n,)
        Arm of each row: labels of any kind.
    randomized : array-like of shape (n,), bool
        Whether a row comes from the experiment; other rows are ignored.
    effect_pred : array-like of shape (n,) for two arms, (n, K - 1) for more
        Estimated CATE, with the arms other than control in sorted order; with two arms only its
        sign matters.
    control : label, optional
        The control arm; by default the first in sorted order, and 0 where labels are 0 and 1.

    Returns
    -------
    float
        Risk in [0, 1]; lower is better.

    Raises
    ------
    ValueError
        If lengths differ, if a value is missing or infinite, if there is only one arm, if an
        outcome is outside [0, 1], or if no row is randomised.

    Examples
    --------
    >>> from hypercate.metrics import policy_risk
    >>> y, treatment, randomized = [1, 0, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0]
    >>> policy_risk(y, treatment, randomized, effect_pred=[2.0, 1.0, -1.0, -1.0, 1.0])
    0.5
    """
    outcome, arm, pred, labels = _randomized_rows(y, treatment, randomized, effect_pred, control)
    if outcome.min() < 0 or outcome.max() > 1:
        raise ValueError("y must lie in [0, 1] for the policy risk: rescale the outcome")
    advised = np.column_stack([np.zeros(len(pred)), pred]).argmax(axis=1)
    value = 0.0
    for code in range(len(labels)):
        followed = (advised == code) & (arm == code)
        if followed.any():
            value += (advised == code).mean() * outcome[followed].mean()
    return float(1 - value)


def _randomized_rows(
    y: ArrayLike,
    treatment: ArrayLike,
    randomized: ArrayLike,
    effect_pred: ArrayLike,
    control: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
    """Outcome, arm, predicted effects (m, K - 1) of the randomised rows, and the arms' labels."""
    columns = {
        "y": np.asarray(y, dtype=float),
        "treatment": np.asarray(treatment),
        "randomized": np.asarray(randomized, dtype=float),
        "effect_pred": np.asarray(effect_pred, dtype=float),
    }
    n = len(np.atleast_1d(columns["y"]))
    for name in ("y", "treatment", "randomized"):
        if columns[name].shape != (n,):
            raise ValueError(
                f"{name} must be one-dimensional and as long as y, got shape "
                f"{columns[name].shape} with y of shape {columns['y'].shape}"
            )
    labels, arm = _arms(treatment, control)
    of_each = (n,) if len(labels) == 2 else (n, len(labels) - 1)
    pred = columns["effect_pred"]
    if pred.shape != of_each:
        what = "one-dimensional and as long as y" if len(labels) == 2 else f"of shape {of_each}"
        raise ValueError(
            f"effect_pred must be {what}, for the arms {labels}, got shape {pred.shape}"
        )
    check_finite(y=columns["y"], randomized=columns["randomized"], effect_pred=pred)
    if not np.isin(columns["randomized"], (0, 1)).all():
        found = np.unique(columns["randomized"])
        raise ValueError(f"randomized must hold only 0 and 1, got {found}")
    rows = columns["randomized"] == 1
    if not rows.any():
        raise ValueError("randomized selects no row, so there is nothing to compare estimates with")
    return columns["y"][rows], arm[rows], pred.reshape(n, -1)[rows], labels


def _arms(treatment: ArrayLike, control: Any) -> tuple[list, np.ndarray]:
    """Labels of the arms, control first, and the position of each row's; 0 and 1 go without."""
    found = read_arms(treatment)
    if control is None and found.dtype.kind != "U" and np.isin(found, (0, 1)).all():
        return [0, 1], found.astype(np.int64)
    conditions = Conditions.fit(treatment, control)
    return conditions.labels.tolist(), conditions.positions(treatment)
