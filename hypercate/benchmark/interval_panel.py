"""The learners whose intervals are compared.

A learner is a function ``(train, seed) -> Intervals``: it fits on a sample, and gives effects of a
frame and their intervals of any level. To add one is to add a line to `LEARNERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hypercate.benchmark import bayesian, peers
from hypercate.benchmark.panel import OURS, Effect
from hypercate.datasets import CausalSample
from hypercate.estimator import HyperCATE

N_RESAMPLES = 50


@dataclass(frozen=True)
class Intervals:
    """Effects of a frame, and their intervals.

    Attributes
    ----------
    effect : callable
        From a frame to its effects, shape (n,) or (n, n_arms - 1).
    interval : callable
        From a frame and alpha to the lower and upper ends of the intervals of level 1 - alpha, each
        of the effects' shape.
    """

    effect: Effect
    interval: Callable[[pd.DataFrame, float], tuple[np.ndarray, np.ndarray]]


IntervalLearner = Callable[[CausalSample, int], Intervals]


def _hypercate(train: CausalSample, seed: int, **parameters: Any) -> Intervals:
    estimator = HyperCATE(random_state=seed, device="cpu", **parameters)
    estimator.fit(train.X, train.y, train.treatment)
    return Intervals(estimator.predict, lambda X, alpha: estimator.effect_interval(X, alpha=alpha))


def _peer(make: peers.Make, train: CausalSample, seed: int) -> Intervals:
    """With the intervals that EconML gives by default."""
    fitted = peers.fit_peer(make, train, seed)
    return Intervals(fitted.effect, fitted.interval)


def _bootstrap(make: peers.Make, train: CausalSample, seed: int) -> Intervals:
    """With EconML's bootstrap: pivotal intervals from resamples within each arm."""
    from econml.inference import BootstrapInference

    inference = BootstrapInference(n_bootstrap_samples=N_RESAMPLES, n_jobs=1)
    fitted = peers.fit_peer(make, train, seed, inference=inference)
    return Intervals(fitted.effect, fitted.interval)


def _credible(
    fit: Callable[[CausalSample, int], bayesian.Posterior], train: CausalSample, seed: int
) -> Intervals:
    """With credible intervals."""
    fitted = fit(train, seed)
    return Intervals(fitted.effect, fitted.interval)


_PANEL: dict[str, IntervalLearner] = {
    OURS: _hypercate,
    "CausalForestDML": partial(_peer, peers.causal_forest),
    "T boosting bootstrap": partial(_bootstrap, partial(peers.t_learner, peers.boosting)),
    "LinearDML": partial(_peer, peers.linear_dml),
    "ForestDRLearner": partial(_peer, peers.forest_dr),
}
_BAYESIAN: dict[str, IntervalLearner] = {
    "BART": partial(_credible, bayesian.bart),
    "BCF": partial(_credible, bayesian.bcf),
}
_DROPOUT = {"hypernet_dropout": 0.05}
_NOISE = {"hypernet_noise": 0.03}
_OF_WEIGHTS = {"hypernet_noise": 0.1, "noise_kind": "weights", "uncertainty": "noise"}
_SOURCES: dict[str, dict[str, Any]] = {
    "HyperCATE instant": {"effort": "instant"},
    "HyperCATE trained": {"pretrained": "none", "second_stage": "none"},
    "HyperCATE uncalibrated": {"calibrate": False},
    "HyperCATE dropout": {**_DROPOUT, "uncertainty": "dropout"},
    "HyperCATE dropout uncalibrated": {**_DROPOUT, "uncertainty": "dropout", "calibrate": False},
    "HyperCATE noise": {**_NOISE, "uncertainty": "noise"},
    "HyperCATE noise uncalibrated": {**_NOISE, "uncertainty": "noise", "calibrate": False},
    "HyperCATE weights noise": _OF_WEIGHTS,
    "HyperCATE weights noise uncalibrated": {**_OF_WEIGHTS, "calibrate": False},
    "HyperCATE both": {**_DROPOUT, "uncertainty": "both"},
    "HyperCATE both uncalibrated": {**_DROPOUT, "uncertainty": "both", "calibrate": False},
}
LEARNERS: dict[str, IntervalLearner] = {
    **_PANEL,
    **_BAYESIAN,
    **{name: partial(_hypercate, **parameters) for name, parameters in _SOURCES.items()},
}
"""Every learner with intervals by its name in the table."""

GROUPS: dict[str, list[str]] = {
    "panel": list(_PANEL),
    "bayesian": [OURS, *_BAYESIAN],
    "sources": [OURS, *_SOURCES],
}
"""Names that stand for several learners."""
