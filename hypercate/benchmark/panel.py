"""The learners that are compared.

A learner is a function ``(train, seed) -> effect``: it fits on a sample and returns a function from
a frame to effects of shape (n,) or (n, n_arms - 1), an `Outcomes` if it has potential outcomes too.
EconML's learners get categories one-hot, and a binary outcome as the number it is; Gaussian
processes fit at most 1000 rows of each sample that they are given, drawn at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hypercate.datasets import CausalSample
from hypercate.estimator import HyperCATE

Effect = Callable[[pd.DataFrame], np.ndarray]

Learner = Callable[[CausalSample, int], Effect]


@dataclass(frozen=True)
class Outcomes:
    """Effects of a frame as contrasts of its potential outcomes.

    Attributes
    ----------
    outcomes : callable
        From a frame to its potential outcomes, shape (n, n_arms).
    effect : callable
        From a frame to its effects.
    """

    outcomes: Callable[[pd.DataFrame], np.ndarray]
    effect: Effect

    def __call__(self, X: pd.DataFrame) -> np.ndarray:
        return self.effect(X)


_MIN_PROPENSITY = 0.05
_GAUSSIAN_PROCESS_ROWS = 1000


def _hypercate(train: CausalSample, seed: int, **parameters: Any) -> Effect:
    estimator = HyperCATE(random_state=seed, device="cpu", **parameters)
    estimator.fit(train.X, train.y, train.treatment)
    return Outcomes(estimator.predict_outcomes, estimator.predict)


def _constant(effect: np.ndarray) -> Effect:
    """The same effect, a number or one an arm, for all."""
    return lambda X: np.broadcast_to(effect, (len(X), *effect.shape))


def _zero(train: CausalSample, seed: int) -> Effect:
    n_arms = int(train.treatment.max()) + 1
    return _constant(np.zeros(()) if n_arms == 2 else np.zeros(n_arms - 1))


def _true_ate(train: CausalSample, seed: int) -> Effect:
    """The true average of the training rows; the randomised one where only that is known."""
    if train.randomized is None:
        return _constant(np.asarray(train.effect.mean(axis=0)))
    control, treated = (train.y[train.randomized & (train.treatment == arm)] for arm in (0, 1))
    if not len(control):
        raise ValueError("the training sample has no randomised controls: its ATE is not known")
    return _constant(np.asarray(treated.mean() - control.mean()))


def _econml(make: Callable[[int], Any], train: CausalSample, seed: int) -> Effect:
    from econml.metalearners import TLearner

    columns = pd.get_dummies(train.X, dtype=float).columns
    n_arms = int(train.treatment.max()) + 1

    def encode(X: pd.DataFrame) -> np.ndarray:
        encoded = pd.get_dummies(X, dtype=float)
        return encoded.reindex(columns=columns, fill_value=0.0).to_numpy()

    def effect(X: pd.DataFrame) -> np.ndarray:
        encoded = encode(X)
        effects = [np.ravel(estimator.effect(encoded, T0=0, T1=arm)) for arm in range(1, n_arms)]
        return effects[0] if n_arms == 2 else np.stack(effects, axis=1)

    def outcomes(X: pd.DataFrame) -> np.ndarray:
        encoded = encode(X)
        return np.column_stack([model.predict(encoded) for model in estimator.models])

    estimator = make(seed)
    with warnings.catch_warnings():
        _silence_peers()
        estimator.fit(train.y, train.treatment, X=encode(train.X))
    return Outcomes(outcomes, effect) if isinstance(estimator, TLearner) else effect


def _silence_peers() -> None:
    """Peers' advice about their own settings, which a comparison at fixed settings ignores."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    warnings.filterwarnings("ignore", message="A column-vector y was passed")
    warnings.filterwarnings("ignore", message="Co-variance matrix is underdetermined")


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(random_state=seed)


def _gaussian_process(seed: int) -> Any:
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


def _lasso(seed: int) -> Any:
    from sklearn.linear_model import LassoCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LassoCV(random_state=seed))


def _propensity(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def _t(outcome: Callable[[int], Any], seed: int) -> Any:
    from econml.metalearners import TLearner

    return TLearner(models=outcome(seed))


def _x(outcome: Callable[[int], Any], seed: int) -> Any:
    from econml.metalearners import XLearner

    return XLearner(models=outcome(seed), propensity_model=_propensity(seed))


def _dr(outcome: Callable[[int], Any], seed: int) -> Any:
    from econml.dr import DRLearner

    return DRLearner(
        model_propensity=_propensity(seed),
        model_regression=outcome(seed),
        model_final=outcome(seed),
        min_propensity=_MIN_PROPENSITY,
        random_state=seed,
    )


def _causal_forest(seed: int) -> Any:
    from econml.dml import CausalForestDML

    return CausalForestDML(discrete_treatment=True, n_jobs=1, random_state=seed)


def _linear_dml(seed: int) -> Any:
    from econml.dml import LinearDML

    return LinearDML(discrete_treatment=True, random_state=seed)


def _forest_dr(seed: int) -> Any:
    from econml.dr import ForestDRLearner

    return ForestDRLearner(
        model_propensity=_propensity(seed),
        min_propensity=_MIN_PROPENSITY,
        n_jobs=1,
        random_state=seed,
    )


OURS = "HyperCATE"
NO_SHARING = "HyperCATE none"

_PEERS: dict[str, Callable[[int], Any]] = {
    "T boosting": partial(_t, _boosting),
    "T Gaussian process": partial(_t, _gaussian_process),
    "T Lasso": partial(_t, _lasso),
    "X boosting": partial(_x, _boosting),
    "X Gaussian process": partial(_x, _gaussian_process),
    "X Lasso": partial(_x, _lasso),
    "DR boosting": partial(_dr, _boosting),
    "DR Lasso": partial(_dr, _lasso),
    "CausalForestDML": _causal_forest,
    "LinearDML": _linear_dml,
    "ForestDRLearner": _forest_dr,
}
_ANCHORS: dict[str, Learner] = {"zero effect": _zero, "true ATE": _true_ate}
_GENERATION: dict[str, dict[str, Any]] = {
    "HyperCATE once": {"generation": "once"},
    "HyperCATE once 4 heads": {"generation": "once", "n_heads": 4},
    "HyperCATE component": {"generation": "component"},
    "HyperCATE component 4 heads": {"generation": "component", "n_heads": 4},
    "HyperCATE chunk 4 heads": {"n_heads": 4},
    NO_SHARING: {"generation": "none"},
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "HyperCATE spectral norm": {"spectral_norm": True},
    "HyperCATE dropout .05": {"hypernet_dropout": 0.05},
    "HyperCATE dropout .2": {"hypernet_dropout": 0.2},
    "HyperCATE usual width": {"outcome_hidden": (100, 100)},
    "HyperCATE ELU": {"activation": "elu"},
    "HyperCATE raw inputs": {"inputs": "raw"},
    "HyperCATE boosted inputs": {"inputs": "boosted"},
    "HyperCATE intercept": {"sharing": "intercept"},
    "HyperCATE strong": {"sharing": "strong"},
    "HyperCATE moderate": {"sharing": "moderate"},
    "HyperCATE weak": {"sharing": "weak"},
}

LEARNERS: dict[str, Learner] = {
    OURS: _hypercate,
    **{name: partial(_econml, make) for name, make in _PEERS.items()},
    **_ANCHORS,
    **{name: partial(_hypercate, **kw) for name, kw in (_GENERATION | _OPTIONS).items()},
}
"""Every learner by its name in the table."""

GROUPS: dict[str, list[str]] = {
    "panel": [OURS, NO_SHARING, *_PEERS, *_ANCHORS],
    "generation": [OURS, *_GENERATION],
    "options": [OURS, *_OPTIONS],
}
"""Names that stand for several learners."""


def select(names: str) -> list[str]:
    """Learners named in a comma-separated list of names and groups, in order, each once.

    Raises
    ------
    ValueError
        If a name is neither.
    """
    selected: dict[str, None] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in LEARNERS and name not in GROUPS:
            raise ValueError(
                f"unknown learner {name!r}; learners: {'; '.join(LEARNERS)}; "
                f"groups: {'; '.join(GROUPS)}"
            )
        selected.update(dict.fromkeys(GROUPS.get(name, [name])))
    if not selected:
        raise ValueError("no learner is named")
    return list(selected)
