"""A tree's branches in words, in the order in which they are printed and drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypercate.inspection.splits import LevelSplit, Split

_EVERYONE = "all rows"


@dataclass(frozen=True)
class Branch:
    """A node of a tree and all below it.

    Attributes
    ----------
    rule : str
        What is true of its rows and not of its sibling's.
    node : int
        Its number in scikit-learn's tree.
    below : tuple of Branch
        None for a leaf, or two.
    """

    rule: str
    node: int
    below: tuple[Branch, ...]

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
        """Each leaf's node, and all that is true of its rows."""
        path = (*path, self.rule) if self.rule else path
        if not self.below:
            yield self.node, " and ".join(path) or _EVERYONE
        for branch in self.below:
            yield from branch.leaves(path)

    def text(self, of_leaf: Callable[[int], str], depth: int = 0) -> str:
        """A line a node, as scikit-learn's export_text."""
        if not self.below:
            return f"{'|   ' * depth}|--- {self.rule or _EVERYONE}: {of_leaf(self.node)}"
        own = [f"{'|   ' * depth}|--- {self.rule}"] if self.rule else []
        deeper = depth + bool(self.rule)
        return "\n".join([*own, *(branch.text(of_leaf, deeper) for branch in self.below)])


def branches(tree: Any, splits: list[Split]) -> Branch:
    """The branches of a fitted scikit-learn tree.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree
    splits : list of Split
        Of its columns.
    """
    everything = {
        j: (0, len(split.levels)) for j, split in enumerate(splits) if isinstance(split, LevelSplit)
    }

    def grown(node: int, rule: str, reaching: dict[int, tuple[int, int]]) -> Branch:
        if tree.children_left[node] < 0:
            return Branch(rule, node, ())
        j, threshold = int(tree.feature[node]), float(tree.threshold[node])
        missing_left = bool(tree.missing_go_to_left[node])
        first, last = reaching.get(j, (0, 0))
        left, right = splits[j].words(threshold, missing_left, (first, last))
        of_left, of_right = dict(reaching), dict(reaching)
        if j in reaching:
            of_left[j], of_right[j] = (first, int(threshold) + 1), (int(threshold) + 1, last)
        return Branch(
            rule,
            node,
            (
                grown(int(tree.children_left[node]), left, of_left),
                grown(int(tree.children_right[node]), right, of_right),
            ),
        )

    return grown(0, "", everything)
