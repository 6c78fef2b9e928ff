"""Texts of trees: all that are grown pass, and none passes that leads LightGBM astray."""

import re

import numpy as np
import pytest

from hypercate.nuisance.lightgbm import grow, predict
from hypercate.nuisance.tree_text import is_sound

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 4)).astype(np.float32)
X[:, 3] = RNG.integers(0, 40, 300)
Y = X[:, 0] + 2 * (X[:, 3] % 3 == 0) + RNG.normal(size=300) / 4
CODES = np.array([0, 0, 0, 40])
KINDS = {
    "regression": (Y, {"objective": "regression"}),
    "binary": (Y > 0, {"objective": "binary"}),
    "poisson": (np.floor(np.exp(Y)), {"objective": "poisson"}),
    "gamma": (np.exp(Y), {"objective": "gamma"}),
    "cross_entropy": (Y > 0, {"objective": "cross_entropy"}),
    "multiclass": (np.digitize(Y, [0, 1]), {"objective": "multiclass", "num_class": 3}),
    "constant": (np.zeros(300), {"objective": "regression"}),
    "tiny": (Y * 1e-30, {"objective": "regression"}),
    "large": (Y * 1e12, {"objective": "regression"}),
}


def grown(kind, n_rounds=3):
    y, settings = KINDS[kind]
    settings = settings | {"num_leaves": 5, "min_data_in_leaf": 10}
    return grow(X, y.astype(float), np.ones(len(X)), n_rounds, CODES, **settings)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_grown_is_sound(kind):
    assert is_sound(grown(kind))


def test_no_trees_are_sound():
    assert is_sound("")


WRONG = {
    "a column that is not there": (r"split_feature=\d+", "split_feature=4"),
    "a column before the first": (r"split_feature=\d+", "split_feature=-1"),
    "a node that is not there": (r"left_child=-?\d+", "left_child=77"),
    "a leaf taken for a node": (r"left_child=-?\d+", "left_child=4"),
    "a leaf that is not there": (r"right_child=-?\d+", "right_child=-77"),
    "a way back": (r"left_child=-?\d+", "left_child=0"),
    "two ways to a leaf": (r"right_child=-?\d+ -?\d+", "right_child=-1 -1"),
    "fewer leaves": (r"num_leaves=\d+", "num_leaves=2"),
    "more leaves": (r"num_leaves=\d+", "num_leaves=500000"),
    "no leaves": (r"num_leaves=\d+", "num_leaves=0"),
    "a value too few": (r"leaf_value=\S+ ", "leaf_value="),
    "a kind of node that there is not": (r"decision_type=\d+", "decision_type=99"),
    "sets that are not there": (r"num_cat=[1-9]\d*", "num_cat=9"),
    "sets beyond the last": (r"cat_boundaries=0 \d+", "cat_boundaries=0 9999"),
    "sets before the first": (r"cat_boundaries=0", "cat_boundaries=-5"),
    "a set too large": (r"cat_threshold=\d+", "cat_threshold=99999999999"),
    "sets that are missing": (r"cat_boundaries=.*\ncat_threshold=.*\n", ""),
    "linear leaves": (r"is_linear=0", "is_linear=1"),
    "other columns": (r"max_feature_idx=3", "max_feature_idx=2"),
    "more classes": (r"num_class=1\n", "num_class=3\n"),
    "trees of classes": (r"num_tree_per_iteration=1", "num_tree_per_iteration=2"),
    "trees of no class": (r"num_tree_per_iteration=1", "num_tree_per_iteration=0"),
    "another order": (r"Tree=1", "Tree=0"),
    "another form": (r"version=v4", "version=v9"),
    "a further line": (r"num_cat", "leaf_const=1\nnum_cat"),
    "no number": (r"leaf_value=\S+", "leaf_value=nan"),
    "no end": (r"end of trees\n", ""),
    "something after the end": (r"end of trees\n", "end of trees\n\nparameters:\n[x: 1]\n"),
    "no trees": (r"(?s)\nTree=.*\n\nend", "\n\n\nend"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_leads_astray_is_refused(what):
    text = grown("regression")
    pattern, new = WRONG[what]
    changed = re.sub(pattern, new, text, count=1)
    assert changed != text
    assert not is_sound(changed)


def test_a_set_of_levels_that_is_not_there_is_refused():
    text = grown("regression")
    tree = next(part for part in text.split("\nTree=") if "cat_threshold" in part)
    kinds = re.search("decision_type=(.*)", tree)[1].split()
    thresholds = re.search("threshold=(.*)", tree)[1].split()
    for wrong in ("5", "-1", "0.5"):
        of = [wrong if int(kind) & 1 else t for kind, t in zip(kinds, thresholds, strict=True)]
        changed = tree.replace(" ".join(thresholds), " ".join(of), 1)
        assert changed != tree
        assert not is_sound(text.replace(tree, changed))


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_whatever_passes_predicts(kind):
    text, rng = grown(kind), np.random.default_rng(0)
    numbers = list(re.finditer(r"-?\d+", text))
    values = ["-2", "-1", "0", "1", "2", "3", "4", "31", "32", "1000", "2147483647"]
    passed = 0
    for _ in range(600):
        where = numbers[rng.integers(len(numbers))]
        changed = text[: where.start()] + rng.choice(values) + text[where.end() :]
        if is_sound(changed):
            passed += 1
            assert len(predict(changed, X)) == len(X)
    assert passed > 50
