"""LightGBM's text of boosted trees: the fields of each tree, and whether they are those of trees.

LightGBM's native code reads the text without asking whether its numbers point where there is
something. So a text from a file is checked before it gets there.
"""

from __future__ import annotations

import re
from typing import NewType

import numpy as np

TreeText = NewType("TreeText", str)
"""A text that LightGBM wrote, or that was checked; empty for no trees."""
NO_TREES = TreeText("")

CATEGORICAL = 1  # bit of a node's decision type
WORD = 32  # levels in a number of a set of levels
_END = "\n\nend of trees\n"
_HEAD = re.compile(
    r"tree\nversion=v4\nnum_class=(?P<classes>\d{1,9})\nnum_tree_per_iteration=(?P<trees>\d{1,9})\n"
    r"label_index=0\nmax_feature_idx=(?P<last>\d{1,9})\n"
    r"objective=[a-z_]+(?P<options>(?: [a-z_]+:\d+(?:\.\d+)?)*)\n"
    r"feature_names=(?P<names>Column_\d+(?: Column_\d+)*)\n"
    r"feature_infos=(?P<infos>none(?: none)*)\n"
)
_WHOLE, _REAL = r"-?\d{1,10}", r"-?\d{1,20}(?:\.\d{1,40})?(?:e[-+]\d{1,3})?"


def _many(number: str) -> str:
    return rf"((?:{number}(?: {number})*)?)"


_TREE = re.compile(
    rf"(\d+)\nnum_leaves=(\d{{1,9}})\nnum_cat=(\d{{1,9}})\nsplit_feature={_many(_WHOLE)}\n"
    rf"threshold={_many(_REAL)}\ndecision_type={_many(_WHOLE)}\nleft_child={_many(_WHOLE)}\n"
    rf"right_child={_many(_WHOLE)}\nleaf_value={_many(_REAL)}\n"
    rf"(?:cat_boundaries={_many(_WHOLE)}\ncat_threshold={_many(_WHOLE)}\n)?"
    rf"is_linear=0\nshrinkage={_REAL}\n+"
)


def fields_of(text: TreeText) -> list[dict[str, str]]:
    """The fields of each tree in a text."""
    return [
        dict(line.split("=", 1) for line in tree.split("\n") if "=" in line)
        for tree in text.split("\nTree=")[1:]
    ]


def is_sound(text: str) -> bool:
    """Whether a text is empty, or one of trees whose every number points to what is there."""
    if not text:
        return True
    head, *trees = text.removesuffix(_END).split("\nTree=")
    of_head = _HEAD.fullmatch(head)
    if of_head is None or not text.endswith(_END):
        return False
    n_inputs, n_classes = int(of_head["last"]) + 1, int(of_head["classes"])
    named = re.findall(r"num_class:(\S+)", of_head["options"])
    return (
        n_inputs == of_head["names"].count(" ") + 1 == of_head["infos"].count(" ") + 1
        and int(of_head["trees"]) == n_classes >= 1
        and named == ([] if n_classes == 1 else [str(n_classes)])
        and len(trees) > 0
        and len(trees) % n_classes == 0
        and all(_is_tree(place, tree, n_inputs) for place, tree in enumerate(trees))
    )


def _is_tree(place: int, tree: str, n_inputs: int) -> bool:
    match = _TREE.fullmatch(tree + "\n")
    if match is None or match[1] != str(place):
        return False
    n_leaves, n_sets = int(match[2]), int(match[3])
    feature, kind, left, right = (
        np.array(match[field].split(), dtype=np.int64) for field in (4, 6, 7, 8)
    )
    threshold, value = (np.array(match[field].split(), dtype=np.float64) for field in (5, 9))
    n_splits = n_leaves - 1
    lengths = {len(of_splits) for of_splits in (feature, kind, left, right, threshold)}
    if lengths != {n_splits} or len(value) != n_leaves:
        return False
    child = np.concatenate((left, right))
    met = np.sort(np.where(child < 0, n_splits + ~child, child))
    of_sets = (kind & CATEGORICAL) > 0
    asked = threshold[of_sets]
    return (
        bool((child < n_splits).all())
        and np.array_equal(met, np.arange(1, n_splits + n_leaves))  # each node but the root once
        and bool((np.where(child < 0, n_splits, child) > np.tile(np.arange(n_splits), 2)).all())
        and bool(((feature >= 0) & (feature < n_inputs)).all())
        and bool(((kind >= 0) & (kind < 16)).all())
        and bool(((asked >= 0) & (asked < n_sets) & (asked == np.floor(asked))).all())
        and _are_sets(n_sets, match[10], match[11])
    )


def _are_sets(n_sets: int, boundaries: str | None, words: str | None) -> bool:
    """Whether sets of levels follow one another, each in words of its own."""
    if boundaries is None or words is None:
        return n_sets == 0
    bounds, sets = (np.array(part.split(), dtype=np.int64) for part in (boundaries, words))
    return (
        len(bounds) == n_sets + 1
        and bounds[0] == 0
        and bounds[-1] == len(sets)
        and bool((np.diff(bounds) > 0).all())
        and bool(((sets >= 0) & (sets < 2**WORD)).all())
    )
