"""Answers about rows as the columns of a table, with the names used in files and data frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hypercate.estimator import HyperCATE


@dataclass(frozen=True)
class AnswerTable:
    """Effects of rows, the ends of their intervals and outcomes, one column each.

    Attributes
    ----------
    est : HyperCATE
        Fitted.
    interval : float in (0, 1) or None
        Level of the intervals of the effects.
    outcomes : bool
        Whether to include the outcomes under all arms.
    """

    est: HyperCATE
    interval: float | None = None
    outcomes: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns, such as effect_drug; with several outcomes, effect_drug_weight."""
        fitted = self.est.fitted_
        arms = list(map(_label, self.est.arms_.tolist()))
        doses = fitted.doses
        treated = arms[1:] if doses is None else list(map(_label, doses.labels(None, None)))
        ends = ["ci_lower", "ci_upper"] if self.interval is not None else []
        names = [f"{what}_{arm}" for what in ("effect", *ends) for arm in treated]
        names += [f"outcome_{arm}" for arm in arms] if self.outcomes else []
        several = getattr(fitted, "names", None)
        return names if several is None else [f"{a}_{b}" for a in names for b in several]

    def values(self, X: Any) -> np.ndarray:
        """The columns at rows of covariates: ndarray of float64, shape (n, n_columns)."""
        parts = [self.est.predict(X)]
        if self.interval is not None:
            parts += self.est.effect_interval(X, alpha=1 - self.interval)
        if self.outcomes:
            parts.append(self.est.predict_outcomes(X))
        return np.hstack([part.reshape(len(X), -1) for part in parts])


def _label(label: Any) -> str:
    """An arm, a dose, or an arm and its dose, as part of a column's name."""
    return "_".join(map(str, label)) if isinstance(label, tuple) else str(label)
