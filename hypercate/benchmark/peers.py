"""EconML's learners: their settings, and one fitted on a sample.

Categories are one-hot for them, and a binary outcome is the number it is; Gaussian processes fit at
most 1000 rows of each sample that they are given, drawn at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.datasets import CausalSample

Make = Callable[[int], Any]
"""From a seed to an estimator."""

_MIN_PROPENSITY = 0.05
_GAUSSIAN_PROCESS_ROWS = 1000


@dataclass(frozen=True)
class FittedPeer:
    """An estimator of EconML's, fitted on a sample.

    Attributes
    ----------
    estimator : BaseCateEstimator
    columns : Index
        Of the one-hot frame that it was fitted on; a level that is not among them is none.
    n_arms : int
    """

    estimator: Any
    columns: pd.Index
    n_arms: int

    def effect(self, X: pd.DataFrame) -> np.ndarray:
        """Effects against control, (n,) or (n, n_arms - 1)."""
        encoded = self._encode(X)
        return self._side_by_side(
            [self.estimator.effect(encoded, T0=0, T1=arm) for arm in range(1, self.n_arms)]
        )

    def interval(self, X: pd.DataFrame, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the effects' intervals of level 1 - alpha, each of the effects' shape."""
        encoded = self._encode(X)
        with quiet():
            ends = [
                self.estimator.effect_interval(encoded, T0=0, T1=arm, alpha=alpha)
                for arm in range(1, self.n_arms)
            ]
        lower, upper = zip(*ends, strict=True)
        return self._side_by_side(lower), self._side_by_side(upper)

    def outcomes(self, X: pd.DataFrame) -> np.ndarray:
        """Potential outcomes (n, n_arms); T-learners have them."""
        encoded = self._encode(X)
        return np.column_stack([model.predict(encoded) for model in self.estimator.models])

    def _encode(self, X: pd.DataFrame) -> np.ndarray:
        return one_hot(X, self.columns).to_numpy()

    def _side_by_side(self, contrasts: Sequence[np.ndarray]) -> np.ndarray:
        columns = [np.ravel(contrast) for contrast in contrasts]
        return columns[0] if self.n_arms == 2 else np.stack(columns, axis=1)


def one_hot(X: pd.DataFrame, columns: pd.Index | None = None) -> pd.DataFrame:
    """The frame in numbers; with `columns`, those of a frame before: a new level is none."""
    encoded = pd.get_dummies(X, dtype=float)
    return encoded if columns is None else encoded.reindex(columns=columns, fill_value=0.0)


def fit_peer(make: Make, train: CausalSample, seed: int, **fit_arguments: Any) -> FittedPeer:
    """Make and fit an estimator; what it draws at random, it draws from the seed."""
    encoded = one_hot(train.X)
    estimator = make(seed)
    with quiet(), _global_draws(seed):
        estimator.fit(train.y, train.treatment, X=encoded.to_numpy(), **fit_arguments)
    return FittedPeer(estimator, encoded.columns, int(train.treatment.max()) + 1)


@contextmanager
def quiet() -> Iterator[None]:
    """No advice of peers about their own settings, which a comparison at fixed settings ignores."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", message="A column-vector y was passed")
        warnings.filterwarnings("ignore", message="Co-variance matrix is underdetermined")
        yield


@contextmanager
def _global_draws(seed: int) -> Iterator[None]:
    """NumPy's global generator, that EconML draws resamples from: seeded, then left as found."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def boosting(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(random_state=seed)


def forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(random_state=seed)


def gaussian_process(seed: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class ArdProcess(GaussianProcessRegressor):
        """One length scale a column, whose number is known only in fit; a sample of many rows."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> ArdProcess:
            self.kernel = RBF(np.full(X.shape[1], 5.0), (1e-1, 1e4)) + WhiteKernel(0.1)
            if len(X) > _GAUSSIAN_PROCESS_ROWS:
                rows = np.random.default_rng(seed).permutation(len(X))[:_GAUSSIAN_PROCESS_ROWS]
                X, y = X[rows], y[rows]
            return super().fit(X, y)

    return make_pipeline(StandardScaler(), ArdProcess(normalize_y=True, random_state=seed))


def lasso(seed: int) -> Any:
    from sklearn.linear_model import LassoCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LassoCV(random_state=seed))


def _propensity(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def t_learner(outcome: Make, seed: int) -> Any:
    from econml.metalearners import TLearner

    return TLearner(models=outcome(seed))


def x_learner(outcome: Make, seed: int) -> Any:
    from econml.metalearners import XLearner

    return XLearner(models=outcome(seed), propensity_model=_propensity(seed))


def dr_learner(outcome: Make, seed: int) -> Any:
    from econml.dr import DRLearner

    return DRLearner(
        model_propensity=_propensity(seed),
        model_regression=outcome(seed),
        model_final=outcome(seed),
        min_propensity=_MIN_PROPENSITY,
        random_state=seed,
    )


def causal_forest(seed: int) -> Any:
    from econml.dml import CausalForestDML

    return CausalForestDML(discrete_treatment=True, n_jobs=1, random_state=seed)


def linear_dml(seed: int) -> Any:
    from econml.dml import LinearDML

    return LinearDML(discrete_treatment=True, random_state=seed)


def forest_dr(seed: int) -> Any:
    from econml.dr import ForestDRLearner

    return ForestDRLearner(
        model_propensity=_propensity(seed),
        min_propensity=_MIN_PROPENSITY,
        n_jobs=1,
        random_state=seed,
    )
