"""Contrasts between arms, and the table of effects."""

from __future__ import annotations

import html
import textwrap
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats

from hypercate.inference.scales import DIFFERENCE, Scale
from hypercate.inference.tables import ForPapers

_FIRST_ROWS = 10
_LEAST_WIDTH = 72
_NOT_AVAILABLE = "-"
_NUMBER = "{:.4g}".format
_TITLES = {
    "difference": ("Effects at the rows' covariates (CATE)", "mean effect"),
    "ratio": ("Ratios of mean outcomes at the rows' covariates", "geometric mean"),
    "odds": ("Odds ratios at the rows' covariates", "geometric mean"),
}


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


class Inference(ForPapers, ABC):
    """Estimates with their standard errors: intervals, and a table as text or HTML.

    A standard error that is not a number (NaN) means that none is available. For a ratio, standard
    error, ``zstat`` and p-value are those of its logarithm, for the hypothesis of a ratio of 1.
    """

    point_estimate: np.ndarray
    stderr: np.ndarray
    dof: float | np.ndarray
    notes: tuple[str, ...] = ()
    scale: Scale = DIFFERENCE

    def interval(self, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of level 1 - alpha.

        Parameters
        ----------
        alpha : float in (0, 1)

        Returns
        -------
        lower, upper : ndarray
            With the shape of the estimates; NaN where no standard error is available.

        Raises
        ------
        ValueError
            If alpha is not a number strictly between 0 and 1.

        Examples
        --------
        >>> lower, upper = est.ate_inference().interval(alpha=0.1)
        >>> lower.shape
        (1,)
        """
        check_alpha(alpha)
        half = stats.t.isf(alpha / 2, self.dof) * self.stderr
        centre = self.scale.forth(self.point_estimate)
        return self.scale.back(centre - half), self.scale.back(centre + half)

    @abstractmethod
    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table of the estimates, with EconML's column names."""

    def _columns(self, alpha: float) -> dict[str, np.ndarray]:
        """Columns of the table, by EconML's names; p-values are two-sided, for no effect."""
        lower, upper = self.interval(alpha)
        with np.errstate(divide="ignore", invalid="ignore"):
            zstat = self.scale.forth(self.point_estimate) / self.stderr
        return {
            "point_estimate": self.point_estimate,
            "stderr": self.stderr,
            "zstat": zstat,
            "pvalue": 2 * stats.t.sf(np.abs(zstat), self.dof),
            "ci_lower": lower,
            "ci_upper": upper,
        }

    def _facts(self, alpha: float) -> str:
        of_logs = ", standard errors of the logarithm" if self.scale.is_ratio else ""
        return f"intervals at {1 - alpha:.4g}{of_logs}"

    @abstractmethod
    def _heading(self, alpha: float) -> tuple[str, str]:
        """What the table is of, and how it came about."""

    def _shown(self, alpha: float) -> pd.DataFrame:
        """The part of the table that is printed."""
        return self.summary_frame(alpha)

    def summary(self, alpha: float = 0.05) -> str:
        """The table as text, under its title, like that of a regression.

        Examples
        --------
        >>> est.ate_inference().summary().splitlines()[0].strip()
        'Average treatment effect (ATE)'
        """
        table = self._shown(alpha).to_string(float_format=_NUMBER, na_rep=_NOT_AVAILABLE)
        heading = self._heading(alpha)
        width = max(map(len, [*table.splitlines(), *heading]))
        rule = "=" * width
        notes = [textwrap.fill(note, max(width, _LEAST_WIDTH)) for note in self.notes]
        centred = [line.center(width).rstrip() for line in heading]
        return "\n".join([*centred, rule, table, rule, *notes])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        title, facts = map(html.escape, self._heading(0.05))
        table = self._shown(0.05).to_html(float_format=_NUMBER, na_rep=_NOT_AVAILABLE, border=0)
        notes = [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "\n".join([f"<p><b>{title}</b><br>{facts}</p>", table, *notes])


@dataclass(frozen=True, repr=False, eq=False)
class EffectInference(Inference):
    """Effects with their standard errors; `print` shows the first rows as a table.

    Attributes
    ----------
    point_estimate, stderr : ndarray, shape (n,) or (n, n_effects)
    dof : float
        Degrees of freedom of Student's t, whose quantiles intervals use; infinite for the normal
        distribution.
    bound : float
        Largest absolute value that an effect can have: 1 for risk differences.
    index : Index, shape (n,)
        Index of the frame X.
    arms : list
        Label of the arm of each effect; empty if it differs by row.
    scale : Scale
        Scale on which outcomes are compared.

    Examples
    --------
    >>> found = est.effect_inference(X.head(3))
    >>> found.point_estimate.shape, found.arms
    ((3,), ['drug'])
    >>> print(found)
                Effects at the rows' covariates (CATE)
              3 rows, mean effect ..., intervals at 0.95
    ==============================================================
       point_estimate  stderr  zstat    pvalue  ci_lower  ci_upper
    0  ...
    1  ...
    2  ...
    ==============================================================
    """

    point_estimate: np.ndarray
    stderr: np.ndarray
    dof: float
    bound: float
    index: pd.Index
    arms: list
    scale: Scale = DIFFERENCE

    def interval(self, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = super().interval(alpha)
        if self.scale.is_ratio:
            return lower, upper
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
            Columns ``point_estimate, stderr, zstat, pvalue, ci_lower, ci_upper``, with the index of
            the data; with several effects a second index level, ``arm``, names the treated arm.
            ``pvalue`` is two-sided, for the hypothesis of no effect.

        Examples
        --------
        >>> est.effect_inference(X).summary_frame(alpha=0.1).columns.tolist()
        ['point_estimate', 'stderr', 'zstat', 'pvalue', 'ci_lower', 'ci_upper']
        """
        columns = self._columns(alpha)
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

    def _shown(self, alpha: float) -> pd.DataFrame:
        first = slice(_FIRST_ROWS)
        part = replace(
            self,
            point_estimate=self.point_estimate[first],
            stderr=self.stderr[first],
            index=self.index[first],
        )
        return part.summary_frame(alpha)

    def _heading(self, alpha: float) -> tuple[str, str]:
        n = len(self.index)
        scale = self.scale
        means = np.atleast_1d(scale.back(scale.forth(self.point_estimate).mean(axis=0))).tolist()
        of_arms = [f" ({arm})" for arm in self.arms] if len(means) > 1 else [""]
        mean = ", ".join(_NUMBER(value) + of for value, of in zip(means, of_arms, strict=True))
        first = f"the first {_FIRST_ROWS} of " if n > _FIRST_ROWS else ""
        title, what = _TITLES[scale.name]
        return title, f"{first}{n} rows, {what} {mean}, {self._facts(alpha)}"


def check_alpha(alpha: float) -> None:
    """Refuse what is not a number strictly between 0 and 1, by a ValueError."""
    if not isinstance(alpha, Real) or not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r} must be a number strictly between 0 and 1")
