"""A weighted sample of more rows than memory holds, from one pass over blocks of rows.

More than a million rows hardly improve a fit: its trees are grown on at most 200,000 rows of an
arm, and its networks see at most 65,536 rows per epoch. So if there are more rows than memory
holds, a sample of them is fitted, in which rare arms are complete and weights represent all rows.

Every row gets a random key, and the rows of the smallest keys are kept (bottom-k sampling; Cohen &
Kaplan, 2007, "Summarizing data using bottom-k sketches", PODC). How many of an arm are kept shrinks
as rows come in, and never grows, so that the sample is what it would be if all rows were at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from hypercate.answers.arguments import draw_seed
from hypercate.compat import num_samples
from hypercate.encoding import as_pandas, check_sample_weight
from hypercate.progress import bars, stage

_SPARE = 1.25  # times as many rows are kept at most before those that are too many are left out


@dataclass(frozen=True, repr=False)
class Sample:
    """A sample that represents all rows of some blocks, in their original order.

    Attributes
    ----------
    rows : DataFrame, shape (n, n_columns)
        All columns of the blocks; the index label of a row is its position among all rows.
    weight : Series of float64, shape (n,)
        How many rows, or how much weight, each row represents: the ``sample_weight`` of a fit.
    counts : DataFrame, one row per arm
        Columns are ``rows``, the number of rows with a positive weight, ``sampled``, the number in
        the sample, and ``weight``, the sum of all weights. If rows were not sampled by arm, there
        is a single row, ``all``.

    Examples
    --------
    >>> from hypercate import sample_rows
    >>> blocks = [X.assign(arm=treatment, y=y)] * 10
    >>> sample = sample_rows(blocks, "arm", max_rows=100, random_state=0)
    >>> len(sample.rows), round(sample.weight.sum())
    (100, 3000)
    """

    rows: pd.DataFrame
    weight: pd.Series
    counts: pd.DataFrame

    def __repr__(self) -> str:
        return f"Sample of {len(self.rows):,} of {self.counts['rows'].sum():,} rows\n{self.counts}"


def sample_rows(
    blocks: Iterable[Any],
    treatment: str | None = None,
    *,
    max_rows: int = 1_000_000,
    weight: str | None = None,
    groups: str | None = None,
    random_state: Any = None,
    total: int | None = None,
    verbose: bool = False,
) -> Sample:
    """Sample rows for a fit from blocks of rows that together are larger than memory.

    The blocks are read once, one at a time. Each arm gets the same number of places in the sample,
    and places that an arm cannot fill go to the others, so that rare arms are kept completely. The
    sample does not depend on how the rows are divided into blocks. If there are at most `max_rows`
    rows, all are kept, with the weights that they have.

    Parameters
    ----------
    blocks : iterable of DataFrame
        Frames of any library, all with the same columns, or record batches of Arrow.
    treatment : str, optional
        Column of the arms. Without it, as for doses, all rows have the same chance.
    max_rows : int, default=1_000_000
        Largest number of rows in the sample.
    weight : str, optional
        Column of sample weights. Rows of weight 0 are left out.
    groups : str, optional
        Column of clusters, which are sampled whole. Rows of each arm are then left to chance.
    random_state : int, RandomState, Generator or None
        Seed; the same blocks and the same seed give the same sample.
    total : int, optional
        Number of rows of all blocks, if it is known, for the progress bar.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    Sample

    Raises
    ------
    TypeError, ValueError
        If a block is not a frame, or its columns differ from those of the first; if a treatment or
        cluster is missing; if a weight cannot be used; if there are no rows; or if the first
        cluster has more than `max_rows` rows. The message names the column, and the row by its
        position.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from hypercate import sample_rows
    >>> def blocks():
    ...     for first in range(0, 10_000, 1000):
    ...         rows = np.arange(first, first + 1000)
    ...         yield pd.DataFrame({"x": rows / 1e4, "arm": np.where(rows % 100, "old", "new")})
    >>> sample = sample_rows(blocks(), "arm", max_rows=500, random_state=0)
    >>> sample.counts
          rows  sampled  weight
    arm
    new    100      100   100.0
    old   9900      400  9900.0
    >>> float(sample.weight.sum())
    10000.0
    """
    if isinstance(max_rows, bool) or not isinstance(max_rows, int | np.integer) or max_rows < 2:
        raise ValueError(f"max_rows must be a whole number of at least 2, but is {max_rows!r}")
    pool = _Pool(int(max_rows), treatment, weight, groups, draw_seed(random_state))
    with bars(verbose), stage("reading", total or 0, "row") as bar:
        for block in blocks:
            bar.update(pool.take(_frame(block)))
    return pool.drawn()


def _frame(block: Any) -> pd.DataFrame:
    pyarrow = nw.dependencies.get_pyarrow()
    if pyarrow is not None and isinstance(block, pyarrow.RecordBatch):
        block = pyarrow.Table.from_batches([block])
    frame = as_pandas(block, "a block")
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"blocks must be frames with named columns, but one is {type(block)}")
    return frame


class _Pool:
    """Rows that may still be in the sample."""

    def __init__(
        self, most: int, treatment: str | None, weight: str | None, groups: str | None, seed: int
    ) -> None:
        self.most, self.treatment, self.weight, self.groups = most, treatment, weight, groups
        self.by_arm = treatment is not None and groups is None
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.frames: list[pd.DataFrame] = []
        self.keys: list[np.ndarray] = []
        self.arms: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.labels = pd.Index([])
        self.n_rows = 0
        self.seen = pd.DataFrame({"rows": np.zeros(0, np.int64), "weight": np.zeros(0)})
        self.limits = np.full(0 if self.by_arm else 1, np.inf)

    def take(self, frame: pd.DataFrame) -> int:
        """Keep what may be in the sample of a block, and say how many rows it had."""
        self._check(frame)
        n, first = num_samples(frame), self.n_rows
        frame = frame.set_axis(pd.RangeIndex(first, first + n), axis=0)
        weight, arm, key = self._weights(frame), self._arms(frame), self._keys(frame)
        self.seen["rows"] += np.bincount(arm[weight > 0], minlength=len(self.labels))
        self.seen["weight"] += np.bincount(arm, weight, minlength=len(self.labels))
        kept = np.flatnonzero((weight > 0) & (key < self._limits(arm)))
        self.frames.append(frame.iloc[kept])
        self.keys.append(key[kept])
        self.arms.append(arm[kept])
        self.weights.append(weight[kept])
        self.n_rows = first + n
        if sum(map(len, self.keys)) > _SPARE * self.most:
            self._leave_out()
        return n

    def drawn(self) -> Sample:
        n_kept = sum(map(len, self.keys))
        if not n_kept:
            raise ValueError("there are no rows, or none of positive weight")
        if n_kept > self.most or (self.by_arm and self.seen["rows"].sum() > self.most):
            self._leave_out()
        arm, weight = np.concatenate(self.arms), np.concatenate(self.weights)
        sampled = np.bincount(arm, minlength=len(self.labels))
        kept = np.bincount(arm, weight, minlength=len(self.labels))
        if (sampled == 0).any():
            raise ValueError(
                f"no cluster of arm {self.labels[(sampled == 0).argmax()]!r} is in the sample: "
                f"max_rows={self.most} is too small"
            )
        seen = self.seen
        stands = np.where(sampled == seen["rows"], 1.0, seen["weight"] / kept)
        rows = _joined(self.frames)
        counts = seen.assign(sampled=sampled)[["rows", "sampled", "weight"]]
        counts = counts.set_axis(self.labels.rename(self.treatment), axis=0)
        return Sample(rows, pd.Series(weight * stands[arm], rows.index, name="weight"), counts)

    def _check(self, frame: pd.DataFrame) -> None:
        for name in (self.treatment, self.weight, self.groups):
            if name is not None and name not in frame.columns:
                raise ValueError(f"the rows from {self.n_rows} on have no column {name!r}")
        if self.frames and list(frame.columns) != list(self.frames[0].columns):
            others = frame.columns.symmetric_difference(self.frames[0].columns)
            what = f"other columns than those before: {list(others)}" if len(others) else (
                "their columns in another order than those before"
            )  # fmt: skip
            raise ValueError(f"the rows from {self.n_rows} on have {what}")

    def _weights(self, frame: pd.DataFrame) -> np.ndarray:
        if self.weight is None:
            return np.ones(len(frame))
        values = frame[self.weight]
        none = values.dtype.kind in "iuf" and (values == 0).all()
        return np.zeros(len(frame)) if none else check_sample_weight(values, len(frame))

    def _arms(self, frame: pd.DataFrame) -> np.ndarray:
        """Position of each row's arm among the labels, which new ones join."""
        if self.treatment is None:
            labels, arm = pd.Index(["all"]), np.zeros(len(frame), dtype=np.int64)
        else:
            arm, labels = pd.factorize(self._known(frame, self.treatment))
        self.labels = self.labels.append(labels[~labels.isin(self.labels)])
        if self.by_arm:
            n_new = len(self.labels) - len(self.limits)
            self.limits = np.append(self.limits, np.full(n_new, np.inf))
        self.seen = self.seen.reindex(range(len(self.labels)), fill_value=0)
        return self.labels.get_indexer(labels)[arm]

    def _keys(self, frame: pd.DataFrame) -> np.ndarray:
        """Random numbers of the rows, or the same for all rows of a cluster."""
        if self.groups is None:
            return self.rng.random(len(frame))
        hashed = pd.util.hash_pandas_object(self._known(frame, self.groups), index=False)
        mixed = (hashed.to_numpy() ^ np.uint64(self.seed)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        return (mixed >> np.uint64(11)) * 2.0**-53

    def _known(self, frame: pd.DataFrame, name: str) -> pd.Series:
        values = frame[name]
        if values.isna().any():
            row = frame.index[values.isna().to_numpy().argmax()]
            raise ValueError(f"column {name!r} is missing in row {row}")
        return values

    def _leave_out(self) -> None:
        """Keep the rows with the smallest keys, as many as there are places."""
        key, arm = np.concatenate(self.keys), np.concatenate(self.arms)
        if self.by_arm:
            places = _places(self.seen["rows"].to_numpy(), self.most)
            for k, n_places in enumerate(places):
                own = key[arm == k]
                if len(own) > n_places:
                    self.limits[k] = np.partition(own, n_places)[n_places]
        else:
            self.limits[0] = np.partition(key, self.most)[self.most]
        stays = np.split(key < self._limits(arm), np.cumsum([len(own) for own in self.keys])[:-1])
        if not any(own.any() for own in stays):
            raise ValueError(
                f"a cluster of column {self.groups!r} has more than max_rows={self.most} rows"
            )
        kept = [place for place, own in enumerate(stays) if own.any()]
        self.frames = [self.frames[place][stays[place]] for place in kept]
        self.keys, self.arms, self.weights = (
            [part[place][stays[place]] for place in kept]
            for part in (self.keys, self.arms, self.weights)
        )

    def _limits(self, arm: np.ndarray) -> np.ndarray:
        """Below which rows of some arms have to be with their keys."""
        return self.limits[arm if self.by_arm else np.zeros_like(arm)]


def _places(counts: np.ndarray, most: int) -> np.ndarray:
    """Rows of each arm, as many as there are up to a number that is the same for all."""
    ordered = np.sort(counts)
    left = most - np.concatenate(([0], np.cumsum(ordered)[:-1]))
    shares = left // np.arange(len(counts), 0, -1)  # of the arms from the k-th smallest on
    too_many = np.flatnonzero(ordered > shares)
    return counts if not len(too_many) else np.minimum(counts, shares[too_many[0]])


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows, in which categories are those of all frames."""
    columns = {}
    index = frames[0].index.append([frame.index for frame in frames[1:]])
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames]
        if all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            joined = union_categoricals([part.array for part in parts], ignore_order=True)
            columns[name] = pd.Series(joined, index)
        else:
            columns[name] = pd.concat(parts)
    return pd.DataFrame(columns, index)
