"""What models say of the rows that they are judged on: the ground of every honest answer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np


@dataclass(frozen=True, repr=False, eq=False)
class Evidence:
    """The training rows, with outcomes and propensities predicted by models that did not see them.

    Every row is judged by one model at least. A judgement is what one model says of one row.

    Attributes
    ----------
    arm : ndarray of int64, shape (n,)
        Position of each row's arm among the estimator's arms.
    y : ndarray of float64, shape (n,)
        Observed outcome in its own units; 0 or 1 for a binary one.
    weight : ndarray of float64, shape (n,)
        Sample weights, of mean 1.
    cluster : ndarray of int64, shape (n,)
        0 to n_clusters - 1; rows of a cluster are not independent.
    propensity : ndarray of float64, shape (n, n_arms)
        Probability of each arm given the covariates, by models that did not see the row.
    row : ndarray of int64, shape (n_judgements,)
    model : ndarray of int64, shape (n_judgements,)
    outcomes : ndarray of float64, shape (n_judgements, n_arms)
        Potential outcomes predicted by the model at the row.
    used : ndarray of bool, shape (n_given,)
        Which rows of the frame that was fitted these are: those of positive weight.
    fingerprint : ndarray of uint64, shape (n_given, 2)
        By which rows of that frame are known again: of the covariates, and of these with the arm.
    index_hash : ndarray of uint64, shape (n_given,), or None
        Of the labels of that frame's rows, by `hypercate.encoding.frames.hash_labels`, so that
        what is passed later can be seen to be in another order; None if it was no pandas frame.
    """

    arm: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray
    propensity: np.ndarray
    row: np.ndarray
    model: np.ndarray
    outcomes: np.ndarray
    used: np.ndarray
    fingerprint: np.ndarray
    index_hash: np.ndarray | None = None

    @property
    def n_arms(self) -> int:
        return self.propensity.shape[1]

    def times_among(self, fingerprint: np.ndarray, with_arm: bool = False) -> np.ndarray | None:
        """How often each training row is among other rows, or None if one of those is not known.

        Training rows alike in their fingerprint share the other rows that are like them evenly.

        Parameters
        ----------
        fingerprint : ndarray of uint64, shape (m,)
            Of the other rows.
        with_arm : bool
            Whether it is that of the covariates with the arm.

        Returns
        -------
        ndarray of float64, shape (n,), or None
        """
        own, code, n_own = np.unique(
            self.fingerprint[:, int(with_arm)], return_inverse=True, return_counts=True
        )
        other, n_other = np.unique(fingerprint, return_counts=True)
        place = np.minimum(np.searchsorted(own, other), len(own) - 1)
        if (own[place] != other).any():
            return None
        share = np.zeros(len(own))
        share[place] = n_other / n_own[place]
        return share[code][self.used]

    def repeated(self, times: np.ndarray) -> Evidence:
        """The rows as often as said, whole times or not; those of 0 times are left out."""
        kept = times > 0
        place, judged = np.cumsum(kept) - 1, kept[self.row]
        given = np.flatnonzero(self.used)[kept]
        weight = (self.weight * times)[kept]
        return Evidence(
            arm=self.arm[kept],
            y=self.y[kept],
            weight=weight / weight.mean(),
            cluster=np.unique(self.cluster[kept], return_inverse=True)[1],
            propensity=self.propensity[kept],
            row=place[self.row[judged]],
            model=self.model[judged],
            outcomes=self.outcomes[judged],
            used=np.ones(len(given), dtype=bool),
            fingerprint=self.fingerprint[given],
        )

    def and_further(self, other: Evidence) -> Evidence:
        """With further rows, judged by the same models, after these.

        Parameters
        ----------
        other : Evidence
            Of rows of other clusters, with weights in the unit of these.
        """
        weight = np.concatenate([self.weight, other.weight])
        index_hash = None
        if self.index_hash is not None and other.index_hash is not None:
            index_hash = np.concatenate([self.index_hash, other.index_hash])
        whole = {"weight": weight / weight.mean(), "index_hash": index_hash}
        moved = {
            "cluster": other.cluster + self.cluster.max() + 1,
            "row": other.row + len(self.y),
        }
        for field in fields(self):
            if field.name not in whole:
                more = moved.get(field.name, getattr(other, field.name))
                whole[field.name] = np.concatenate([getattr(self, field.name), more])
        return Evidence(**whole)

    @cached_property
    def mean_outcomes(self) -> np.ndarray:
        """Potential outcomes by the mean of the models that judge a row: (n, n_arms)."""
        return self.mean_by_row(self.outcomes)

    def mean_by_row(self, values: np.ndarray) -> np.ndarray:
        """Mean of values of the judgements (n_judgements, c) in each row: (n, c)."""
        times = np.bincount(self.row, minlength=len(self.y))
        total = np.zeros((len(self.y), values.shape[1]))
        np.add.at(total, self.row, values)
        return total / times[:, None]

    def less_model_means(self, values: np.ndarray) -> np.ndarray:
        """Values of the judgements (n_judgements, c) less their weighted mean in their model."""
        weight = self.weight[self.row]
        total = np.bincount(self.model, weight)
        mean = np.stack(
            [np.bincount(self.model, weight * column) / np.where(total, total, 1.0)
             for column in values.T], axis=1
        )  # fmt: skip
        return values - mean[self.model]


def overlap_weight(propensity: np.ndarray) -> np.ndarray:
    """How much a row can say of effects: ``1 / sum_k(1 / e_k)``, shape (n,).

    The overlap weights of Li & Li (2019, "Propensity score weighting for causal inference with
    multiple treatments", AOAS 13:2389-2415); ``e (1 - e)`` for two arms.

    Parameters
    ----------
    propensity : ndarray, shape (n, n_arms)
    """
    return 1 / (1 / propensity).sum(axis=1)
