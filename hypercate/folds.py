"""Which rows a model is fitted on, stopped on and judged on: the only place that splits rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

ONE_IN = 4  # of the rows that a model is not judged on stop it
_ATTEMPTS = 100


@dataclass(frozen=True)
class Rows:
    """Some rows of every model as one rectangle, the conditions one after another.

    A condition has the same places for every model, as many as the model with the most rows of it
    needs. A place that is left over holds some row and is not real.

    Attributes
    ----------
    index : ndarray of int64, shape (n_models, width)
    real : ndarray of bool, shape (n_models, width)
    counts : ndarray of int64, shape (n_conditions,)
        Places of each condition, at least one.
    """

    index: np.ndarray
    real: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Folds:
    """A partition of the rows into parts, and of each model's other rows into fit and stop.

    Model m is judged on part ``m % n_parts`` of partition ``m // n_parts``, and nothing that it
    depends on may have seen the outcomes there. A quarter of its other rows stop its training and
    choose between its candidates; those left fit it. Clusters are never split, and each condition
    is spread evenly over the parts.

    Attributes
    ----------
    condition : ndarray of int64, shape (n,)
    cluster : ndarray of int64, shape (n,)
    part : ndarray of int64, shape (n_partitions, n)
        Part of each row, in each partition.
    stops : ndarray of bool, shape (n_models, n)
        Rows that are set aside to stop a model; a model of very few rows has none.
    rank : ndarray of int64, shape (n,)
        Place of each row in a random order of the rows of its condition.
    n_parts : int
    """

    condition: np.ndarray
    cluster: np.ndarray
    part: np.ndarray
    stops: np.ndarray
    rank: np.ndarray
    n_parts: int

    @classmethod
    def of(
        cls,
        condition: np.ndarray,
        n_parts: int,
        n_models: int,
        seed: int,
        cluster: np.ndarray | None = None,
    ) -> Folds:
        """Draw the folds.

        Parameters
        ----------
        condition : ndarray of int, shape (n,)
            0 to n_conditions - 1, each there.
        n_parts : int
            Parts of a partition, at least 2; fewer if there are fewer clusters.
        n_models : int
            Raised to the number of parts, so that every row is judged by some model.
        seed : int
        cluster : ndarray of int, shape (n,), optional
            Codes of the clusters; by default every row is its own.

        Raises
        ------
        ValueError
            If the clusters cannot be parted so that every condition is in two parts; its first
            argument is the condition.
        """
        n = len(condition)
        cluster = np.arange(n) if cluster is None else cluster
        rng = np.random.default_rng(seed)
        stratum, size = _strata(condition, cluster)
        n_parts = min(n_parts, len(stratum))
        n_models = max(n_models, n_parts)
        part = np.stack(
            [
                _partition(condition, cluster, stratum, size, n_parts, rng)
                for _ in range(-(-n_models // n_parts))
            ]
        )
        shuffled = np.lexsort((rng.random(n), condition))
        first = np.concatenate(([0], np.cumsum(np.bincount(condition))[:-1]))
        rank = np.empty(n, dtype=np.int64)
        rank[shuffled] = np.arange(n) - first[condition[shuffled]]
        folds = cls(condition, cluster, part, np.zeros((n_models, n), bool), rank, n_parts)
        return cls(condition, cluster, part, _stops(folds, stratum, rng), rank, n_parts)

    @property
    def n_models(self) -> int:
        return len(self.stops)

    @property
    def n_conditions(self) -> int:
        return int(self.condition.max()) + 1

    @cached_property
    def judges(self) -> np.ndarray:
        """Whether a model is judged on a row: bool, shape (n_models, n)."""
        of_model = np.arange(self.n_models) % self.n_parts
        return self.part[self.partition] == of_model[:, None]

    @property
    def learns(self) -> np.ndarray:
        """Whether a model is not judged on a row: bool, shape (n_models, n)."""
        return ~self.judges

    @property
    def fits(self) -> np.ndarray:
        """Whether a row fits a model while others stop it: bool, shape (n_models, n)."""
        return self.learns & ~self.stops

    @cached_property
    def fit(self) -> Rows:
        """Rows that fit a model while others stop it."""
        return self._rows(self.fits)

    @cached_property
    def stop(self) -> Rows:
        """Rows that stop a model; those that fit it where none could be set aside."""
        some = self.stops.any(axis=1, keepdims=True)
        return self._rows(np.where(some, self.stops, self.learns))

    @cached_property
    def train(self) -> Rows:
        """All rows that a model is not judged on."""
        return self._rows(self.learns)

    @cached_property
    def judge(self) -> Rows:
        """Rows that a model is judged on."""
        return self._rows(self.judges)

    @property
    def partition(self) -> np.ndarray:
        """Partition that each model's part belongs to: int64, shape (n_models,)."""
        return np.arange(self.n_models) // self.n_parts

    @cached_property
    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Model and row of each judgement, model by model."""
        model, row = np.nonzero(self.judges)
        return model, row

    def sample(self, rows: np.ndarray, most: int) -> np.ndarray:
        """Those of some rows, at most so many of a condition, that come first in random order."""
        by_rank = rows[np.lexsort((self.rank[rows], self.condition[rows]))]
        counts = np.bincount(self.condition[by_rank], minlength=self.n_conditions)
        first = np.concatenate(([0], np.cumsum(counts)[:-1]))
        kept = np.arange(len(rows)) - first[self.condition[by_rank]] < most
        return np.sort(by_rank[kept])

    def standing(
        self, rows: np.ndarray, most: int, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sampled rows, and weights by which they stand for the others of their condition."""
        sampled = self.sample(rows, most)
        total, kept = (
            np.bincount(self.condition[some], weight[some], minlength=self.n_conditions)
            for some in (rows, sampled)
        )
        stands_for = (total / np.where(kept > 0, kept, 1.0))[self.condition[sampled]]
        return sampled, weight[sampled] * stands_for

    def repeated(self, row: np.ndarray, condition: np.ndarray) -> Folds:
        """The folds of rows that are there several times, as of other conditions."""
        return replace(
            self,
            condition=condition,
            cluster=self.cluster[row],
            part=self.part[:, row],
            stops=self.stops[:, row],
            rank=self.rank[row],
        )

    def first(self, most: int) -> np.ndarray:
        """So many rows, of each condition its share."""
        place = self.rank / np.bincount(self.condition)[self.condition]
        return np.argsort(place, kind="stable")[:most]

    def _rows(self, mask: np.ndarray) -> Rows:
        by_condition = np.lexsort((self.rank, self.condition))
        condition = self.condition[by_condition]
        mask = mask[:, by_condition]
        has = np.stack([np.bincount(condition[own], minlength=self.n_conditions) for own in mask])
        counts = np.maximum(has.max(axis=0), 1)
        start = np.concatenate(([0], np.cumsum(counts)[:-1]))
        model, place = np.nonzero(mask)
        own_start = np.cumsum(has, axis=1) - has
        within = np.arange(len(model)) - np.repeat(np.cumsum(has.sum(1)) - has.sum(1), has.sum(1))
        code = condition[place]
        slot = start[code] + within - own_start[model, code]
        index = np.zeros((len(mask), counts.sum()), dtype=np.int64)
        real = np.zeros(index.shape, dtype=bool)
        index[model, slot] = by_condition[place]
        real[model, slot] = True
        return Rows(index, real, counts)


def _strata(condition: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each cluster: the rarest condition in it, and its size on a scale of powers of two."""
    rows = np.bincount(cluster)
    if rows.max() == 1:
        by_cluster = np.empty(len(rows), dtype=np.int64)
        by_cluster[cluster] = condition
        return by_cluster, np.zeros(len(rows), dtype=np.int64)
    n_conditions = int(condition.max()) + 1
    of, held = np.divmod(np.unique(cluster * n_conditions + condition), n_conditions)
    rarity = np.bincount(held)[held]
    order = np.lexsort((held, rarity, of))
    first = np.flatnonzero(np.diff(of[order], prepend=-1))
    return held[order][first], np.log2(rows).astype(np.int64)


def _partition(
    condition: np.ndarray,
    cluster: np.ndarray,
    stratum: np.ndarray,
    size: np.ndarray,
    n_parts: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Part of each row: clusters dealt in turn, shuffled within their stratum and size.

    Where that leaves a condition in one part, sizes and then strata are given up.
    """
    orders: tuple[tuple[np.ndarray, ...], ...] = ((-size, stratum), (stratum,), ())
    for attempt in range(_ATTEMPTS):
        by = orders[attempt * len(orders) // _ATTEMPTS]
        dealt = np.empty(len(stratum), dtype=np.int64)
        dealt[np.lexsort((rng.random(len(stratum)), *by))] = np.arange(len(stratum))
        part = (dealt % n_parts)[cluster]
        pairs = np.unique(condition * n_parts + part) // n_parts
        scattered = np.bincount(pairs) > 1
        if scattered.all():
            return part
    raise ValueError(int(np.argmin(scattered)))


def _stops(folds: Folds, stratum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One in four clusters of every stratum that a model is not judged on, never its first."""
    n_models, n_clusters = folds.n_models, len(stratum)
    judged = np.zeros((n_models, n_clusters), dtype=bool)
    model, row = folds.judged
    judged[model, folds.cluster[row]] = True
    key = stratum + rng.random((n_models, n_clusters))
    key[judged] = np.inf
    order = np.argsort(key, axis=1)
    ordered = np.take_along_axis(key, order, axis=1)
    known = np.isfinite(ordered)
    of = np.where(known, ordered, -1).astype(np.int64)
    first = np.diff(of, axis=1, prepend=-1) != 0
    turn = np.cumsum(~first & known, axis=1) - 1
    stops = np.zeros((n_models, n_clusters), dtype=bool)
    np.put_along_axis(stops, order, ~first & known & (turn % ONE_IN == 0), axis=1)
    by_row = stops[:, folds.cluster]
    for m in range(n_models):
        fitted = np.bincount(folds.condition[~by_row[m] & folds.learns[m]], minlength=1)
        present = np.bincount(folds.condition[folds.learns[m]])
        fitted = np.pad(fitted, (0, len(present) - len(fitted)))
        short = (fitted == 0) & (present > 0)
        if short.any():  # only where clusters hold several conditions
            back = folds.cluster[short[folds.condition]]
            by_row[m] &= ~np.isin(folds.cluster, back)
    return by_row
