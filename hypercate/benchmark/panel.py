"""The learners that are compared.

A learner is a function ``(train, seed) -> effect``: it fits on a sample and returns a function from
a frame to effects of shape (n,) or (n, n_arms - 1), an `Outcomes` if it has potential outcomes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hypercate.benchmark import bayesian, peers
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


def _hypercate(train: CausalSample, seed: int, **parameters: Any) -> Effect:
    estimator = HyperCATE(random_state=seed, device="cpu", **parameters)
    estimator.fit(train.X, train.y, train.treatment)
    return Outcomes(estimator.predict_outcomes, estimator.predict)


def _constant(effect: np.ndarray) -> Effect:
    """The same effect, a number or one per arm, for all."""
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


def _peer(make: peers.Make, train: CausalSample, seed: int) -> Effect:
    from econml.metalearners import TLearner

    fitted = peers.fit_peer(make, train, seed)
    if isinstance(fitted.estimator, TLearner):
        return Outcomes(fitted.outcomes, fitted.effect)
    return fitted.effect


def _posterior(
    fit: Callable[[CausalSample, int], bayesian.Posterior], train: CausalSample, seed: int
) -> Effect:
    return fit(train, seed).effect


OURS = "HyperCATE"
NO_SHARING = "HyperCATE none"

_PEERS: dict[str, peers.Make] = {
    "T boosting": partial(peers.t_learner, peers.boosting),
    "T Gaussian process": partial(peers.t_learner, peers.gaussian_process),
    "T Lasso": partial(peers.t_learner, peers.lasso),
    "X boosting": partial(peers.x_learner, peers.boosting),
    "X Gaussian process": partial(peers.x_learner, peers.gaussian_process),
    "X Lasso": partial(peers.x_learner, peers.lasso),
    "DR boosting": partial(peers.dr_learner, peers.boosting),
    "DR Lasso": partial(peers.dr_learner, peers.lasso),
    "CausalForestDML": peers.causal_forest,
    "LinearDML": peers.linear_dml,
    "ForestDRLearner": peers.forest_dr,
}
_FURTHER: dict[str, peers.Make] = {"T forest": partial(peers.t_learner, peers.forest)}
_BAYESIAN: dict[str, Learner] = {
    "BART": partial(_posterior, bayesian.bart),
    "BCF": partial(_posterior, bayesian.bcf),
}
_ANCHORS: dict[str, Learner] = {"zero effect": _zero, "true ATE": _true_ate}
_GENERATION: dict[str, dict[str, Any]] = {
    "HyperCATE once": {"generation": "once"},
    "HyperCATE once 4 heads": {"generation": "once", "n_heads": 4},
    "HyperCATE component": {"generation": "component"},
    "HyperCATE component 4 heads": {"generation": "component", "n_heads": 4},
    "HyperCATE chunk 4 heads": {"n_heads": 4},
    "HyperCATE low rank": {"generation": "low_rank"},
    NO_SHARING: {"generation": "none"},
}
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    f"HyperCATE {name}": {"hypernet": name} for name in ("rnn", "cnn", "attention")
}
_CONTEXTS: dict[str, dict[str, Any]] = {
    "HyperCATE context": {"context": "data"},
    "HyperCATE weights noise .1": {"hypernet_noise": 0.1, "noise_kind": "weights"},
    "HyperCATE context trained": {"context": "data", "pretrained": "none", "second_stage": "none"},
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "HyperCATE instant": {"effort": "instant"},
    "HyperCATE trained": {"pretrained": "none", "second_stage": "none"},
    "HyperCATE spectral norm": {"spectral_norm": True},
    "HyperCATE dropout .05": {"hypernet_dropout": 0.05},
    "HyperCATE dropout .2": {"hypernet_dropout": 0.2},
    "HyperCATE noise .03": {"hypernet_noise": 0.03},
    "HyperCATE usual width": {"outcome_hidden": (100, 100)},
    "HyperCATE widths": {"widths": (0.25, 0.5, 1.0)},
    "HyperCATE depths": {"depths": (0.2, 0.6, 1.0)},
    "HyperCATE ELU": {"activation": "elu"},
    "HyperCATE raw inputs": {"inputs": "raw"},
    "HyperCATE boosted inputs": {"inputs": "boosted"},
    "HyperCATE intercept": {"sharing": "intercept"},
    "HyperCATE strong": {"sharing": "strong"},
    "HyperCATE moderate": {"sharing": "moderate"},
    "HyperCATE weak": {"sharing": "weak"},
    "HyperCATE independent": {"sharing": "independent"},
}

LEARNERS: dict[str, Learner] = {
    OURS: _hypercate,
    **{name: partial(_peer, make) for name, make in (_PEERS | _FURTHER).items()},
    **_BAYESIAN,
    **_ANCHORS,
    **{
        name: partial(_hypercate, **kw)
        for name, kw in (_GENERATION | _ARCHITECTURES | _CONTEXTS | _OPTIONS).items()
    },
}
"""Every learner by its name in the table."""

GROUPS: dict[str, list[str]] = {
    "panel": [OURS, NO_SHARING, *_PEERS, *_ANCHORS],
    "generation": [OURS, *_GENERATION],
    "architectures": [OURS, *_ARCHITECTURES],
    "contexts": [OURS, "HyperCATE trained", *_CONTEXTS],
    "options": [OURS, *_OPTIONS],
    "bayesian": [OURS, *_BAYESIAN],
    "forests": [OURS, *_FURTHER, "CausalForestDML", "ForestDRLearner"],
}
"""Names that stand for several learners."""


def select(
    names: str,
    learners: Mapping[str, Any] = LEARNERS,
    groups: Mapping[str, list[str]] = GROUPS,
) -> list[str]:
    """Learners named in a comma-separated list of names and groups, in order, each once.

    Raises
    ------
    ValueError
        If a name is neither.
    """
    selected: dict[str, None] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in learners and name not in groups:
            raise ValueError(
                f"unknown learner {name!r}; learners: {'; '.join(learners)}; "
                f"groups: {'; '.join(groups)}"
            )
        selected.update(dict.fromkeys(groups.get(name, [name])))
    if not selected:
        raise ValueError("no learner is named")
    return list(selected)
