"""Checks of effects that are given as arrays."""

import numpy as np
from numpy.typing import ArrayLike


def check_effects(effect_true: ArrayLike, effect_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, pred = np.asarray(effect_true, dtype=float), np.asarray(effect_pred, dtype=float)
    if true.shape != pred.shape:
        raise ValueError(
            f"effect_true has shape {true.shape} but effect_pred has shape {pred.shape}"
        )
    if true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(f"effects must have shape (n,) or (n, K - 1), got {true.shape}")
    check_finite(effect_true=true, effect_pred=pred)
    return true, pred


def check_finite(**columns: np.ndarray) -> None:
    for name, column in columns.items():
        bad = np.argwhere(~np.isfinite(column))
        if len(bad):
            raise ValueError(
                f"{name} is missing or infinite in row {bad[0, 0]}: correct or drop it"
            )
