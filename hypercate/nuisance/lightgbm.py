"""LightGBM as the nuisances use it: reproducible, on the caller's thread, kept as text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import lightgbm as lgb
import numpy as np

from hypercate.nuisance.tree_text import TreeText

_PARAMETERS: dict[str, Any] = {
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "min_data_per_group": 10,  # levels of few rows are seen, but not followed one by one
    "cat_smooth": 5.0,
    "seed": 0,
}
_RANGES = "feature_infos="
_OF_ROWS = (
    "tree_sizes=",
    "split_gain=",
    "leaf_weight=",
    "leaf_count=",
    "internal_value=",
    "internal_weight=",
    "internal_count=",
)


def grow(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    n_rounds: int,
    n_codes: np.ndarray,
    **parameters: Any,
) -> tuple[TreeText, np.ndarray]:
    """Grow boosted trees on one thread; see LightGBM for the parameters.

    Inputs of which `n_codes` is not 0 are codes of categories, split as such.

    Returns
    -------
    model : TreeText
        LightGBM's text, without what only describes the rows that it was grown on.
    gains : ndarray of float64, shape (n_inputs,)
        Share of the trees' gain that each input has, 0 everywhere for trees without a split.
    """
    settings = _PARAMETERS | parameters
    codes = np.flatnonzero(n_codes).tolist()
    data = lgb.Dataset(x, label=y, weight=weight, categorical_feature=codes, params=settings)
    trees = lgb.train(settings, data, num_boost_round=n_rounds)
    gain = trees.feature_importance("gain")
    total = gain.sum()
    return _bare(trees.model_to_string()), gain / total if total > 0 else gain


def predict(model: TreeText, x: np.ndarray) -> np.ndarray:
    """Predictions of trees, on one thread: shape (n,), or (n, n_classes)."""
    return np.asarray(_booster(model).predict(x, num_threads=1))


def _bare(model: str) -> TreeText:
    """A model's text without sizes, weights and ranges of rows, which predictions do not need."""
    kept = []
    for line in model[: model.index("end of trees")].split("\n")[:-1]:
        if line.startswith(_RANGES):
            line = _RANGES + " ".join(["none"] * len(line.split()))
        if not line.startswith(_OF_ROWS):
            kept.append(line)
    return TreeText("\n".join([*kept, "end of trees", ""]))


@lru_cache(maxsize=512)
def _booster(model: TreeText) -> lgb.Booster:
    """Trees read from their text, kept for the next call."""
    return lgb.Booster(model_str=model)
