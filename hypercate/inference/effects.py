"""Contrasts between arms, and the table of effects."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats


def against(outcomes: np.ndarray, control: int = 0) -> np.ndarray:
    """Effects of every other arm against `control`.

    Parameters
    ----------
    outcomes : ndarray, shape (..., n_arms)
    control : int

    Returns
    -------
    ndarray, shape (...) for two arms, (..., n_arms - 1) for more
    """
    effects = np.delete(outcomes, control, axis=-1) - outcomes[..., [control]]
    return effects[..., 0] if effects.shape[-1] == 1 else effects


def contrast(outcomes: np.ndarray, control: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Effect of arm `treated` against arm `control`, row by row.

    Parameters
    ----------
    outcomes : ndarray, shape (..., n, n_arms)
    control, treated : ndarray of int, shape (n,)

    Returns
    -------
    ndarray, shape (..., n)
    """
    rows = np.arange(outcomes.shape[-2])
    return outcomes[..., rows, treated] - outcomes[..., rows, control]


@dataclass(frozen=True)
class EffectInference:
    """Effects with their standard errors.

    Attributes
    ----------
    point_estimate, stderr : ndarray, shape (n,) or (n, n_effects)
    dof : float
        Degrees of freedom of Student's t, by which quantiles are taken; infinite for the normal.
    bound : float
        No effect is larger in size: 1 for risk differences.
    index : Index, shape (n,)
        Index of the frame that the effects were asked for.
    arms : list
        Label of the arm of each effect; empty where it differs by row.
    """

    point_estimate: np.ndarray
    stderr: np.ndarray
    dof: float
    bound: float
    index: pd.Index
    arms: list

    def interval(self, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of level 1 - alpha.

        Raises
        ------
        ValueError
            If alpha is not a number strictly between 0 and 1.
        """
        check_alpha(alpha)
        half = stats.t.ppf(1 - alpha / 2, self.dof) * self.stderr
        lower, upper = self.point_estimate - half, self.point_estimate + half
        return np.maximum(lower, -self.bound), np.minimum(upper, self.bound)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table of effects, with EconML's column names.

        Parameters
        ----------
        alpha : float in (0, 1)
            The interval has level 1 - alpha.

        Returns
        -------
        DataFrame
            Columns ``point_estimate, stderr, zstat, pvalue, ci_lower, ci_upper`` on the index of
            the data; with several effects a second index level, ``arm``, names the treated arm.
            ``pvalue`` is two-sided, for no effect.
        """
        columns = inference_columns(
            self.point_estimate, self.stderr, self.dof, *self.interval(alpha)
        )
        index = self.index
        if self.point_estimate.ndim == 2:
            level = np.tile(np.arange(len(self.arms)), len(index))
            rows = index.repeat(len(self.arms))
            index = pd.MultiIndex.from_arrays(
                [
                    *(rows.get_level_values(depth) for depth in range(rows.nlevels)),
                    np.asarray(self.arms)[level],
                ],
                names=[*rows.names, "arm"],
            )
        return pd.DataFrame({name: np.ravel(value) for name, value in columns.items()}, index=index)


def check_alpha(alpha: float) -> None:
    """Refuse what is not a number strictly between 0 and 1, by a ValueError."""
    if not isinstance(alpha, Real) or not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} must be a number strictly between 0 and 1")


def inference_columns(
    point_estimate: np.ndarray,
    stderr: np.ndarray,
    dof: float | np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> dict[str, np.ndarray]:
    """Columns of a table of estimates, by EconML's names; p-values are two-sided, for 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        zstat = point_estimate / stderr
    return {
        "point_estimate": point_estimate,
        "stderr": stderr,
        "zstat": zstat,
        "pvalue": 2 * stats.t.sf(np.abs(zstat), dof),
        "ci_lower": lower,
        "ci_upper": upper,
    }
