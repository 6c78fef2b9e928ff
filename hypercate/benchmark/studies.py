"""The data sets that are compared on: how each is loaded, its options, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from hypercate.datasets import (
    CausalSample,
    CausalSplit,
    draw_arms_study,
    draw_interval_study,
    draw_low_rank_study,
    load_acic2016,
    load_ihdp,
    load_jobs,
    load_lalonde,
    load_realcause,
    load_twins,
)
from hypercate.datasets.acic2016 import SIMULATIONS
from hypercate.datasets.jobs import REPLICATIONS as JOBS_FOLDS
from hypercate.datasets.realcause import SAMPLES as REALCAUSE_SAMPLES
from hypercate.metrics import ate_error, att_error, policy_risk, sqrt_pehe

FIGURES = [
    *("pehe_in", "pehe_out", "ate_error_in", "ate_error_out", "policy_risk_in", "policy_risk_out"),
    *("att_error_in", "att_error_out", "auc_0", "auc_1", "effect_sd", "fit_seconds"),
    "predict_seconds",
]
"""All figures, of which a study has some: ``in`` of the training rows, ``out`` of the test rows."""


@dataclass(frozen=True)
class Predictions:
    """What a learner says of one split.

    Attributes
    ----------
    inside, outside : ndarray of shape (n,) or (n, K - 1)
        Effects of the training and of the test rows.
    outcomes : ndarray of shape (n_test, K), or None
        Potential outcomes of the test rows; None if the learner has none.
    """

    inside: np.ndarray
    outside: np.ndarray
    outcomes: np.ndarray | None


@dataclass(frozen=True)
class Study:
    """A data set of the benchmark.

    Attributes
    ----------
    title : str
    load : callable ``(replication, **options) -> CausalSplit``
        Its options are those below; ``treated`` only if the sample is not thinned to it.
    measure : callable ``(split, predictions) -> figures``
    options : dict
        The options that it knows, by name, with their defaults.
    headline : str
        The figure that learners are ranked and paired on, without ``_in`` and ``_out``; less is
        better.
    label : str
        The headline's name in the picture.
    further : dict
        Other figures of the table, by their heading.
    decimals : int
        Of the figures in the table.
    log_scale : bool
        Whether the picture's axis is logarithmic.
    last_replication : int or None
        None if there is no last one.
    left_out : tuple of str
        Learners that say nothing here.
    thinned : bool
        Whether ``treated`` thins the training sample that was loaded.
    noisy : bool
        Whether what is known of each row is the difference of two outcomes with their noise, not
        the effect.
    """

    title: str
    load: Callable[..., CausalSplit]
    measure: Callable[[CausalSplit, Predictions], dict[str, float]]
    options: Mapping[str, Any]
    headline: str = "pehe"
    label: str = "sqrt-PEHE"
    further: Mapping[str, str] = field(default_factory=lambda: {"ATE error": "ate_error_out"})
    decimals: int = 3
    log_scale: bool = True
    last_replication: int | None = None
    left_out: tuple[str, ...] = ()
    thinned: bool = True
    noisy: bool = False

    @property
    def effect_known(self) -> bool:
        """Whether the true effect of each row is known, so that intervals can be judged."""
        return self.headline == "pehe" and not self.noisy


def _effects(split: CausalSplit, predictions: Predictions) -> dict[str, float]:
    train, test = split.train.effect, split.test.effect
    return {
        "pehe_in": sqrt_pehe(train, predictions.inside),
        "pehe_out": sqrt_pehe(test, predictions.outside),
        "ate_error_in": ate_error(train, predictions.inside),
        "ate_error_out": ate_error(test, predictions.outside),
        "effect_sd": float(test.std()),
    }


def _effects_and_auc(split: CausalSplit, predictions: Predictions) -> dict[str, float]:
    figures = _effects(split, predictions)
    if predictions.outcomes is not None and split.test.mu is not None:
        for arm, (truth, said) in enumerate(
            zip(split.test.mu.T, predictions.outcomes.T, strict=True)
        ):
            figures[f"auc_{arm}"] = float(roc_auc_score(truth, said))
    return figures


def _experiment(
    sample: CausalSample, effect: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a metric against an experiment reads."""
    assert sample.randomized is not None
    return sample.y, sample.treatment, sample.randomized, effect


def _against_experiment(split: CausalSplit, predictions: Predictions) -> dict[str, float]:
    inside = _experiment(split.train, predictions.inside)
    outside = _experiment(split.test, predictions.outside)
    return {
        "policy_risk_in": policy_risk(*inside),
        "policy_risk_out": policy_risk(*outside),
        "att_error_in": att_error(*inside),
        "att_error_out": att_error(*outside),
    }


def _effect_on_the_treated(split: CausalSplit, predictions: Predictions) -> dict[str, float]:
    return {"att_error_out": att_error(*_experiment(split.test, predictions.outside))}


def _acic(replication: int, rows: int | None) -> CausalSplit:
    split, simulation = divmod(replication - 1, SIMULATIONS)
    return load_acic2016(simulation + 1, rows, split + 1)


def _lalonde(replication: int) -> CausalSplit:
    return load_lalonde()


def _arms(replication: int, treated: int, arms: int, share: str) -> CausalSplit:
    return draw_arms_study(arms, treated, share, replication)


def _low_rank(replication: int, treated: int, arms: int) -> CausalSplit:
    return draw_low_rank_study(arms, treated, replication)


def _simulated(replication: int, design: str, rows: int) -> CausalSplit:
    return draw_interval_study(design, rows, replication)


STUDIES: dict[str, Study] = {
    "ihdp": Study("IHDP", load_ihdp, _effects, {"source": "npci", "treated": None}),
    "acic": Study("ACIC 2016", _acic, _effects, {"rows": None, "treated": None}),
    "jobs": Study(
        "Jobs",
        load_jobs,
        _against_experiment,
        {"treated": None},
        headline="policy_risk",
        label="policy risk",
        further={"ATT error": "att_error_out", "ATT error in": "att_error_in"},
        log_scale=False,
        last_replication=JOBS_FOLDS,
    ),
    "twins": Study(
        "Twins",
        load_twins,
        _effects_and_auc,
        {"treated": None},
        further={"ATE error": "ate_error_out", "AUC control": "auc_0", "AUC treated": "auc_1"},
        decimals=4,
        log_scale=False,
    ),
    "lalonde": Study(
        "LaLonde with CPS controls",
        _lalonde,
        _effect_on_the_treated,
        {"treated": None},
        headline="att_error",
        label="distance from the randomised ATT, dollars",
        further={},
        decimals=0,
        left_out=("true ATE",),
    ),
    "realcause": Study(
        "RealCause",
        load_realcause,
        _effects,
        {"source": "psid", "treated": None},
        label="sqrt-PEHE, dollars",
        decimals=0,
        last_replication=REALCAUSE_SAMPLES,
        noisy=True,
    ),
    "arms": Study(
        "Many arms",
        _arms,
        _effects,
        {"treated": 30, "arms": 5, "share": "much"},
        thinned=False,
    ),
    "low-rank": Study(
        "Low-rank arms", _low_rank, _effects, {"treated": 40, "arms": 20}, thinned=False
    ),
    "simulated": Study(
        "Simulated", _simulated, _effects, {"design": "smooth", "rows": 500}, thinned=False
    ),
}
"""Every data set by its name on the command line.

The replications of ``acic`` are its ten simulations, from the eleventh on with the second split,
and so on; those of ``lalonde``, which is one split, seed the learners only.
"""
