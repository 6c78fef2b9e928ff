"""Boosted trees of many models flattened into arrays, and descended all at once.

LightGBM takes longer to be called than to answer one row. Here a step down is one look-up for all
trees of all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hypercate.nuisance.tree_text import CATEGORICAL, WORD, TreeText, fields_of

_MISSING_TYPE = 12  # bits that are set where missing values have a side of their own


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as nodes, whose leaves lead to themselves.

    Attributes
    ----------
    n_models : int
    roots : ndarray of int64, shape (n_models * n_trees,)
        Of every model's trees; a model of fewer has some that are 0 everywhere.
    depth : int
        Of the deepest tree.
    feature : ndarray of int64, shape (n_nodes,)
        Input that a node asks for.
    threshold : ndarray of float64, shape (n_nodes,)
        Rows whose value is greater go to the right.
    child : ndarray of int64, shape (2 * n_nodes,)
        The left and the right child of each node.
    value : ndarray of float64, shape (n_nodes,)
        Of leaves.
    levels : ndarray of int64, shape (n_nodes,)
        Row of `on_right` that decides in place of the threshold; -1 where the threshold does.
    on_right : ndarray of bool, shape (n_sets, n_codes)
        Codes of levels that go to the right; no rows without categories.
    """

    n_models: int
    roots: np.ndarray
    depth: int
    feature: np.ndarray
    threshold: np.ndarray
    child: np.ndarray
    value: np.ndarray
    levels: np.ndarray
    on_right: np.ndarray

    @classmethod
    def of(cls, models: Sequence[TreeText], n_codes: int) -> Forest:
        """From LightGBM's texts.

        Parameters
        ----------
        models : sequence of TreeText
        n_codes : int
            Codes that an input can have, where it is one of levels.

        Raises
        ------
        ValueError
            If trees treat missing values separately, which those of this package never do.
        """
        trees = [fields_of(model) for model in models]
        n_trees = max(map(len, trees), default=0)
        nothing = {"num_leaves": "1", "num_cat": "0", "leaf_value": "0"}
        flat = [tree for own in trees for tree in [*own, *[nothing] * (n_trees - len(own))]]

        def numbers(name: str, dtype: type) -> np.ndarray:
            return np.array(" ".join(tree.get(name, "") for tree in flat).split(), dtype)

        n_leaves, n_sets = numbers("num_leaves", np.int64), numbers("num_cat", np.int64)
        n_splits = n_leaves - 1
        roots = _starts(n_splits + n_leaves)
        splits, leaves = _places(roots, n_splits), _places(roots + n_splits, n_leaves)
        kinds = numbers("decision_type", np.int64)
        of_levels = kinds & CATEGORICAL > 0
        if (kinds[~of_levels] & _MISSING_TYPE).any():
            raise ValueError("trees that treat missing values separately cannot be compiled")
        n_nodes = len(splits) + len(leaves)
        feature, value = np.zeros(n_nodes, dtype=np.int64), np.zeros(n_nodes)
        threshold, levels = np.full(n_nodes, np.inf), np.full(n_nodes, -1)
        child = np.tile(np.arange(n_nodes)[:, None], 2)
        feature[splits] = numbers("split_feature", np.int64)
        threshold[splits] = numbers("threshold", np.float64)
        value[leaves] = numbers("leaf_value", np.float64)
        sets = threshold[splits[of_levels]].astype(np.int64)
        levels[splits[of_levels]] = np.repeat(_starts(n_sets), n_splits)[of_levels] + sets
        for side, name in enumerate(("left_child", "right_child")):
            own = numbers(name, np.int64)
            first = np.repeat(roots, n_splits)
            child[splits, side] = first + np.where(
                own < 0, np.repeat(n_splits, n_splits) + ~own, own
            )
        return cls(
            len(models), roots, _depth(child, roots), feature, threshold, child.ravel(), value,
            levels, _on_right([tree for tree in flat if tree["num_cat"] != "0"], n_codes),
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Trees of all models."""
        return len(self.roots)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Sums of the trees of each model at encoded rows: float64, shape (n, n_models)."""
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        first = np.arange(0, x.size, x.shape[1])[:, None]
        for _ in range(self.depth):
            given = x.take(first + self.feature.take(node))
            right = given > self.threshold.take(node)
            if len(self.on_right):
                levels = self.levels.take(node)
                known = self.on_right[levels, np.where(levels < 0, 0, given).astype(np.int64)]
                right = np.where(levels < 0, right, known)
            node = self.child.take(2 * node + right)
        values = self.value.take(node)
        return values.reshape(len(x), self.n_models, -1).sum(axis=2)


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where groups of some sizes start that follow one another."""
    return np.cumsum(sizes) - sizes


def _places(first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Places of the members of groups, each from its first on."""
    return np.repeat(first - _starts(sizes), sizes) + np.arange(sizes.sum())


def _on_right(trees: list[dict[str, str]], n_codes: int) -> np.ndarray:
    """Codes that go to the right, of each set of levels; sets have one bit a code."""
    sets = []
    for tree in trees:
        words = np.array(tree["cat_threshold"].split(), dtype=np.uint32)
        bits = words[:, None] >> np.arange(WORD, dtype=np.uint32) & 1
        on_left = np.zeros(max(bits.size, n_codes), dtype=bool)
        for low, high in pairwise(map(int, tree["cat_boundaries"].split())):
            on_left[:] = False
            on_left[: (high - low) * WORD] = bits[low:high].ravel()
            sets.append(~on_left[:n_codes])
    return np.array(sets, dtype=bool).reshape(-1, n_codes)


def _depth(child: np.ndarray, roots: np.ndarray) -> int:
    """Steps after which every row has come to a leaf."""
    reached, depth = roots, 0
    while (child[reached] != reached[:, None]).any():
        reached, depth = np.unique(child[reached]), depth + 1
    return depth
