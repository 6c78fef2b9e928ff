"""Rows in groups and clusters: weighted means, and how they change if a cluster is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from hypercate.evidence import Evidence

LEAST_ROWS = 2  # of an arm, in each average


class Groups:
    """Rows in groups, each of which is averaged separately.

    A cell holds the rows of one cluster in one group; cells are treated as independent.
    """

    def __init__(
        self, fit: Evidence, codes: np.ndarray, labels: pd.Index, arms: Sequence[Any] | None
    ):
        self.fit, self.codes, self.n_groups = fit, codes, len(labels)
        n_clusters = int(fit.cluster.max()) + 1
        cells, self.cell = np.unique(codes * n_clusters + fit.cluster, return_inverse=True)
        self.n_cells = len(cells)
        has = self.by_cell(fit.arm[:, None] == np.arange(fit.n_arms)) > 0
        group = cells // n_clusters
        self._n_of_arm = _sums(has.astype(float), group, self.n_groups)
        few = np.argwhere(self._n_of_arm < LEAST_ROWS)
        if len(few):
            what = "rows" if n_clusters == len(fit.y) else "clusters"
            names = labels_of(fit, arms)
            found = [
                f"{labels[group]} has {self._n_of_arm[group, arm]:.0f} of arm {names[arm]!r}"
                for group, arm in few[:5]
            ]
            more = f" (and {len(few) - 5} more)" if len(few) > 5 else ""
            raise ValueError(
                f"an average effect needs at least {LEAST_ROWS} {what} of every arm, but "
                f"{', '.join(found)}{more}: merge such groups, or leave such arms out"
            )
        stratum = np.where(has.sum(axis=1) > 1, fit.n_arms, has.argmax(axis=1))
        self._stratum = group * (fit.n_arms + 1) + stratum

    def by_cell(self, values: np.ndarray) -> np.ndarray:
        """Sums of the rows of each cell: (n_cells, c)."""
        return _sums(values, self.cell, self.n_cells)

    def mean(self, weight: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted means (n_groups, c), and what leaving a cell out takes away (n_cells, c)."""
        share = weight / _sums(weight, self.codes, self.n_groups)[self.codes]
        mean = _sums(share * values, self.codes, self.n_groups)
        apart = self.by_cell(share * (values - mean[self.codes]))
        return mean, apart / (1 - self.by_cell(share))

    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean error of each arm's predictions (n_groups, n_arms), and the cells' influences."""
        weight = self.fit.weight[:, None] * inverse_propensity(self.fit)
        return self.mean(weight, self.fit.y[:, None] - self.fit.mean_outcomes)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean outcomes (n_groups, n_arms), and the cells' influences (n_cells, n_arms)."""
        predicted, of_predicted = self.mean(self.fit.weight[:, None], self.fit.mean_outcomes)
        error, of_error = self.correction()
        return predicted + error, of_predicted + of_error

    def effects(self, control: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean effects (n_groups, n_arms - 1), and the cells' influences (n_cells, n_arms - 1)."""
        outcomes, influence = self.outcomes()
        return difference(outcomes, control), difference(influence, control)

    def effects_on_treated(self, control: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean effects on those that had each other arm, and the cells' influences, likewise."""
        fit = self.fit
        own = fit.arm[:, None] == np.delete(np.arange(fit.n_arms), control)
        odds = np.delete(fit.propensity, control, axis=1) / fit.propensity[:, [control]]
        like_treated = (fit.arm == control)[:, None] * odds
        residual = (fit.y - fit.mean_outcomes[:, control])[:, None]
        treated, of_treated = self.mean(fit.weight[:, None] * own, residual)
        untreated, of_untreated = self.mean(fit.weight[:, None] * like_treated, residual)
        return treated - untreated, of_treated - of_untreated

    def spread(
        self,
        influence: np.ndarray,
        other_variance: float | np.ndarray = 0.0,
        n_other: float | np.ndarray = 2,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors and Welch's degrees of freedom (n_groups, n_arms - 1).

        `other_variance` is that of an independent mean over `n_other` rows.
        """
        shape = (self.n_groups, self.fit.n_arms + 1, -1)
        variance = _sums(influence**2, self._stratum, shape[0] * shape[1]).reshape(shape)
        n_cells = np.bincount(self._stratum, minlength=shape[0] * shape[1]).reshape(shape)
        total = variance.sum(axis=1) + other_variance
        pooled = (variance**2 / np.maximum(n_cells - 1, 1)).sum(axis=1)
        pooled = pooled + other_variance**2 / (n_other - 1)
        certain = pooled == 0
        dof = np.where(certain, np.inf, total**2 / np.where(certain, 1.0, pooled))
        return np.sqrt(total), dof


def shortage(fit: Evidence, arms: Sequence[Any] | None) -> str | None:
    """Which arm has too few rows for an average with a standard error, if any."""
    if len(fit.y) == 1:
        return "for one row"
    n_clusters = int(fit.cluster.max()) + 1 if len(fit.y) else 0
    pairs = np.unique(fit.arm * n_clusters + fit.cluster)
    n_of_arm = np.bincount(pairs // max(n_clusters, 1), minlength=fit.n_arms)
    few = int(n_of_arm.argmin())
    if n_of_arm[few] >= LEAST_ROWS:
        return None
    what = "rows" if n_clusters == len(fit.y) else "clusters"
    return (
        f"for fewer than {LEAST_ROWS} {what} of an arm, and these have {n_of_arm[few]} of arm "
        f"{labels_of(fit, arms)[few]!r}"
    )


def everyone_of(fit: Evidence, arms: Sequence[Any] | None) -> Groups:
    return Groups(fit, np.zeros(len(fit.y), dtype=np.int64), pd.Index(["the sample"]), arms)


def _sums(values: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
    """Sums of the rows of each code: (n_codes, c)."""
    rows = np.arange(len(codes))
    member = sparse.csr_array((np.ones(len(codes)), (codes, rows)), (n_codes, len(codes)))
    return member @ values


def inverse_propensity(fit: Evidence) -> np.ndarray:
    return (fit.arm[:, None] == np.arange(fit.n_arms)) / fit.propensity


def scores_of(fit: Evidence) -> np.ndarray:
    """AIPW scores (n, n_arms), whose residuals are weighted by weights of mean 1 in each arm."""
    inverse = inverse_propensity(fit)
    inverse = inverse * (fit.weight.sum() / (fit.weight @ inverse))
    return fit.mean_outcomes + inverse * (fit.y[:, None] - fit.mean_outcomes)


def difference(values: np.ndarray, control: int) -> np.ndarray:
    """Every other arm's value less the control's, also for two arms (c, n_arms - 1)."""
    return np.delete(values, control, axis=1) - values[:, [control]]


def labels_of(fit: Evidence, arms: Sequence[Any] | None) -> list:
    return list(range(fit.n_arms)) if arms is None else list(arms)


def other_arms(fit: Evidence, control: int, arms: Sequence[Any] | None) -> pd.Index:
    others = [label for k, label in enumerate(labels_of(fit, arms)) if k != control]
    return pd.Index(others, name="arm")
