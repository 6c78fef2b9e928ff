"""What boosted trees see in the outcome: which inputs matter, and the mean of every arm.

Trees find steps, and the few columns that matter among many; a smooth network finds neither
quickly. Their view is offered to the network as inputs, and taken where it helps (Wolpert, 1992,
"Stacked generalization", Neural Networks 5:241-259).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.utils.parallel import Parallel, delayed

N_FOLDS = 5
MOST_ROWS = 20_000  # of an arm, to grow trees on
ROWS_A_TREE = 1_000
LEAST_LEAF = 1e-3  # weight of a leaf, in rows of average weight
LEAST_SCALE = 1e-6  # of predictions of a standardised outcome; below are rounding errors


@dataclass(frozen=True)
class BoostedTrees:
    """One ensemble of trees an arm, fitted on all its rows.

    Attributes
    ----------
    models : list of GradientBoostingRegressor
    location, scale : ndarray of float64, shape (n_arms,)
        Of the cross-fitted predictions, by which predictions are standardised.
    relevance : ndarray of float32, shape (n_inputs,)
        Root of each input's share of the variation that the trees explain, 1 for the largest.
    """

    models: list[GradientBoostingRegressor]
    location: np.ndarray
    scale: np.ndarray
    relevance: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Standardised mean outcome of every arm: float32, shape (n, n_arms)."""
        raw = np.stack([model.predict(x) for model in self.models], axis=1)
        return self._standardised(raw)

    def _standardised(self, raw: np.ndarray) -> np.ndarray:
        return ((raw - self.location) / self.scale).astype(np.float32)


def grow(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, arm: np.ndarray, seed: int, n_jobs: int
) -> tuple[BoostedTrees, np.ndarray]:
    """Fit an arm's trees on its rows, and predict every row by trees that did not see it.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)
    y, weight : ndarray, shape (n,)
    arm : ndarray of int, shape (n,)
        At least two rows of each.
    seed : int
    n_jobs : int
        Threads.

    Returns
    -------
    trees : BoostedTrees
    cross_fitted : ndarray of float32, shape (n, n_arms)
        As `BoostedTrees.predict` of the rows, but each from trees grown without its fold.
    """
    n_arms = int(arm.max()) + 1
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.int64)
    grown = []
    for k in range(n_arms):
        rows = rng.permutation(np.flatnonzero(arm == k))
        fold[rows] = np.arange(len(rows)) % N_FOLDS
        grown.append(rows[:MOST_ROWS])

    def fit_trees(k: int, held: int | None) -> tuple[GradientBoostingRegressor, np.ndarray | None]:
        rows = grown[k] if held is None else grown[k][fold[grown[k]] != held]
        model = GradientBoostingRegressor(
            subsample=min(1.0, ROWS_A_TREE / len(rows)),
            min_weight_fraction_leaf=LEAST_LEAF / len(rows),
            random_state=seed,
        ).fit(x[rows], y[rows], sample_weight=weight[rows])
        return model, None if held is None else model.predict(x[fold == held])

    fits = [(k, held) for held in (None, *np.unique(fold)) for k in range(n_arms)]
    results = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(fit_trees)(*task) for task in fits)
    models = [model for (_, held), (model, _) in zip(fits, results, strict=True) if held is None]
    raw = np.empty((len(y), n_arms))
    for (k, held), (_, predicted) in zip(fits, results, strict=True):
        if held is not None:
            raw[fold == held, k] = predicted
    importances = np.stack([model.feature_importances_ for model in models])
    varied = [np.var(raw[arm == k, k]) * np.sum(arm == k) for k in range(n_arms)]
    explained = np.maximum(varied @ importances, 0)  # rounding may leave it below
    largest = explained.max()
    relevance = np.sqrt(explained / largest) if largest > 0 else np.ones(x.shape[1])
    scale = raw.std(axis=0)
    trees = BoostedTrees(
        models,
        raw.mean(axis=0),
        np.where(scale > LEAST_SCALE, scale, 1.0),
        relevance.astype(np.float32),
    )
    return trees, trees._standardised(raw)
