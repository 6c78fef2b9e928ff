"""The best shallow tree, by trying all of them.

References
----------
Zhou, Athey & Wager (2023), "Offline multi-action policy learning: generalization and optimization",
Operations Research 71:148-183.
Sverdrup, Kanodia, Zhou, Athey & Wager (2020), "policytree: policy learning via doubly robust
empirical welfare maximization over trees", Journal of Open Source Software 5(50):2232.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_CELLS = 1_000_000  # of the tables that are in memory at once
TOLERANCE = 1e-12  # of the sum of all sizes, by which a split has to gain


@dataclass(frozen=True)
class Node:
    """A leaf, which gives an arm, or a split of the rows by a column's bins.

    Attributes
    ----------
    arm : int
        The best for all rows of the node.
    n_rows : int
    column, last_bin : int
        Rows whose bin of the column is at most `last_bin` go left; -1 of a leaf.
    left, right : Node or None
    """

    arm: int
    n_rows: int
    column: int = -1
    last_bin: int = -1
    left: Node | None = None
    right: Node | None = None

    @property
    def is_leaf(self) -> bool:
        return self.left is None or self.right is None


def find_tree(
    bins: np.ndarray, n_bins: np.ndarray, worth: np.ndarray, depth: int, min_rows: int
) -> Node:
    """The tree of largest worth.

    Of depth 2 at most it is the best there is. A deeper one is found a split at a time: each is the
    first split of the best tree of depth 2 below it, and the last two levels are the best there are
    (as in policytree's ``hybrid_policy_tree``).

    Parameters
    ----------
    bins : ndarray of int64, shape (n, n_columns)
        Each row's bin of each column, in the order of the values.
    n_bins : ndarray of int64, shape (n_columns,)
    worth : ndarray of float64, shape (n, n_arms)
        What each arm is worth in each row, times the row's weight.
    depth : int
    min_rows : int
        Of each leaf.

    Returns
    -------
    Node
        Without splits that gain nothing.
    """
    search = _Search(n_bins, min_rows, TOLERANCE * float(np.abs(worth).sum()))
    channels = np.vstack([worth.T, np.ones(len(worth))])
    return search.grow(bins, channels, depth)


@dataclass(frozen=True)
class _Search:
    n_bins: np.ndarray
    min_rows: int
    least_gain: float

    def grow(self, bins: np.ndarray, channels: np.ndarray, depth: int) -> Node:
        totals = channels.sum(axis=1)
        arm, n_rows = int(totals[:-1].argmax()), int(totals[-1])
        leaf = Node(arm, n_rows)
        if depth == 0 or n_rows < 2 * self.min_rows:
            return leaf
        find = self.best_split if depth == 1 else self.best_of_two
        value, column, last_bin = find(bins, channels)
        if not value > totals[arm] + self.least_gain:
            return leaf
        goes_left = bins[:, column] <= last_bin
        left, right = (
            self.grow(bins[rows], channels[:, rows], depth - 1) for rows in (goes_left, ~goes_left)
        )
        if left.is_leaf and right.is_leaf and left.arm == right.arm:
            return leaf
        return Node(arm, n_rows, column, last_bin, left, right)

    def best_split(self, bins: np.ndarray, channels: np.ndarray) -> tuple[float, int, int]:
        """Worth, column and bin of the best split in two leaves."""
        best = (-np.inf, -1, -1)
        for column, n in enumerate(self.n_bins):
            sums = np.cumsum(_by_bin(bins[:, column], n, channels), axis=1)
            value = self._worth(sums[:, :-1]) + self._worth(sums[:, -1:] - sums[:, :-1])
            best = _better(best, value, column)
        return best

    def best_of_two(self, bins: np.ndarray, channels: np.ndarray) -> tuple[float, int, int]:
        """Worth, and column and bin of the first split, of the best tree of depth 2."""
        best = (-np.inf, -1, -1)
        for column, n in enumerate(self.n_bins):
            sums = np.cumsum(_by_bin(bins[:, column], n, channels), axis=1)
            left = self._worth(sums[:, :-1])
            right = self._worth(sums[:, -1:] - sums[:, :-1])
            if not np.isfinite(left + right).any():
                continue
            for second, n_second in enumerate(self.n_bins):
                if n_second > 1:
                    pair = bins[:, [column, second]]
                    self._improve(left, right, pair, (int(n), int(n_second)), channels)
            best = _better(best, left + right, column)
        return best

    def _improve(
        self,
        left: np.ndarray,
        right: np.ndarray,
        bins: np.ndarray,
        n_bins: tuple[int, int],
        channels: np.ndarray,
    ) -> None:
        """Replace the worth left and right of each first split by that of a better second one."""
        n_first, n_second = n_bins
        total = np.cumsum(_by_bin(bins[:, 1], n_second, channels), axis=1)[:, None]
        at_a_time = max(1, MOST_CELLS // (n_second * len(channels)))
        before = np.zeros((len(channels), 1, n_second))
        order = np.argsort(bins[:, 0], kind="stable")
        limits = np.searchsorted(bins[order, 0], np.arange(0, n_first + at_a_time, at_a_time))
        for place, start in enumerate(range(0, n_first - 1, at_a_time)):
            stop = min(start + at_a_time, n_first)
            rows = order[limits[place] : limits[place + 1]]
            code = (bins[rows, 0] - start) * n_second + bins[rows, 1]
            shape = (len(channels), stop - start, n_second)
            table = _by_bin(code, shape[1] * n_second, channels[:, rows]).reshape(shape)
            first = np.cumsum(table, axis=1) + before
            before = first[:, -1:]
            below = np.cumsum(first, axis=2)[:, : n_first - 1 - start]
            inside = slice(start, start + below.shape[1])
            for side, sums in ((left, below), (right, total - below)):
                low, high = sums[..., :-1], sums[..., -1:] - sums[..., :-1]
                value = (self._worth(low) + self._worth(high)).max(axis=-1)
                np.maximum(side[inside], value, out=side[inside])

    def _worth(self, sums: np.ndarray) -> np.ndarray:
        """Worth of a leaf's best arm, by sums whose first axis is arms and then numbers of rows."""
        return np.where(sums[-1] >= self.min_rows, sums[:-1].max(axis=0), -np.inf)


def _by_bin(code: np.ndarray, n: int, channels: np.ndarray) -> np.ndarray:
    """Sums of the rows of each bin: (n_channels, n)."""
    return np.stack([np.bincount(code, channel, n) for channel in channels])


def _better(best: tuple[float, int, int], value: np.ndarray, column: int) -> tuple[float, int, int]:
    if not len(value):
        return best
    at = int(value.argmax())
    return (float(value[at]), column, at) if value[at] > best[0] else best
