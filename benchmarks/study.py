"""Which settings, when: a factorial study of what is generated, how, and for what data.

    python benchmarks/study.py --draws 1-96 --jobs 2 --out results/study

A draw has one of 96 regimes of data, all combinations of: rows (200, 500, 2000), arms (2, 5),
share of the rows that are treated (a half, a fifth), standard deviation of the noise (0.5, 1.5),
overlap (good, poor), and how much the arms have in common (much, little). With the covariates and
random surfaces f and h_k, of mean 0 and variance 1, of ``hypercate.datasets.draw_arms_study``,

    mu_0(x) = f(x)    mu_k(x) = f(x) + c_k + s h_k(x)    y = mu_t(x) + N(0, noise^2)

with c_k ~ N(0, 0.5^2), and s = 0.3 where arms have much in common and 1 where they have little. A
row is treated with probability ``expit(a + b f(x))``, a for the share asked for, b = 0.5 where
overlap is good and 2 where it is poor, and all treatments are equally likely.

In every draw the default is fitted. So are three settings drawn at random, each of whose factors
(learner, generation, hypernet, sharing) is that of the default with probability 0.7, and else any
other; and, as they are, trained networks alone, without emitted ones and without a second stage,
``effort="instant"``, ``context="data"``, ``generation="low_rank"`` and ``"once"``. Every other
parameter is as it is by default, so that a degree of sharing, for one, goes without emitted
networks, as it does for a user. The draws are few for so many combinations, but main effects, and
how they depend on one factor of the regime, are told: the tables give geometric means of the error
(sqrt-PEHE on 1000 fresh rows, mean over the treatments) over the default's on the same draw, by
least squares on the logarithms with an indicator for each changed factor, with standard errors that
count draws, not fits. Results are kept as they come: the same command resumes, and ``--draws
1-192`` continues with a second draw of every regime.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import astuple, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from hypercate import HyperCATE
from hypercate.benchmark import harness, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import CausalSample, CausalSplit
from hypercate.datasets.synthetic import (
    TEST_ROWS,
    covariates,
    first_of_arms,
    propensity_of,
    random_surface,
    split_of,
)
from hypercate.generator.architectures import ARCHITECTURES
from hypercate.learners import LEARNERS
from hypercate.metrics import sqrt_pehe

OVERSAMPLING = 12
N_SETTINGS, CHANGED = 3, 0.3  # and the probability that a factor is not the default's
LEAST_DRAWS = 4  # in which a change was drawn, for a figure of its own
KEY = ["draw", "setting"]
DEFAULT = "default"
FACTORS: dict[str, list[str]] = {
    "learner": list(LEARNERS),
    "generation": ["chunk", "component", "once", "none"],
    "hypernet": list(ARCHITECTURES),
    "sharing": ["auto", "intercept", "moderate", "weak"],
}
"""Levels of each factor of the settings, that of the default first."""

AS_THEY_ARE: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "trained alone": {"pretrained": "none", "second_stage": "none"},
    "effort=instant": {"effort": "instant"},
    "context=data": {"context": "data"},
    "generation=low_rank": {"generation": "low_rank"},
    "generation=once": {"generation": "once"},
}
"""Settings that are fitted in every draw."""


@dataclass(frozen=True)
class Regime:
    """What the data of a draw are like."""

    rows: int
    arms: int
    treated: float
    noise: float
    overlap: str
    common: str


LEVELS: dict[str, list[Any]] = {
    "rows": [200, 500, 2000],
    "arms": [2, 5],
    "treated": [0.5, 0.2],
    "noise": [0.5, 1.5],
    "overlap": ["good", "poor"],
    "common": ["much", "little"],
}
REGIMES = [Regime(*each) for each in product(*LEVELS.values())]
CONFOUNDING = {"good": 0.5, "poor": 2.0}
EFFECT_SD = {"much": 0.3, "little": 1.0}


def regime_of(draw: int) -> Regime:
    """Every regime once in 96 draws, in an order that is random but always the same."""
    order = np.random.default_rng(0).permutation(len(REGIMES))
    return REGIMES[order[(draw - 1) % len(REGIMES)]]


def settings_of(draw: int) -> list[str]:
    """Names of the settings that are drawn at random for a draw, each different."""
    rng = np.random.default_rng([1, draw])
    drawn: dict[str, None] = {}
    while len(drawn) < N_SETTINGS:
        changed = {}
        for factor, levels in FACTORS.items():
            if rng.random() < CHANGED:
                changed[factor] = levels[rng.integers(1, len(levels))]
        if changed and _possible(changed):
            drawn[",".join(f"{factor}={level}" for factor, level in changed.items())] = None
    return list(drawn)


def _possible(changed: dict[str, str]) -> bool:
    """Whether every change has an effect beside the others."""
    generation = changed.get("generation", "chunk")
    without_pieces = "hypernet" in changed and generation in ("once", "none")
    without_generator = generation == "none" and "sharing" in changed
    own_degree = LEARNERS[changed.get("learner", "t")].degree is not None
    return not (without_pieces or without_generator or (own_degree and "sharing" in changed))


def parameters_of(setting: str) -> dict[str, Any]:
    """Parameters of `HyperCATE`."""
    return AS_THEY_ARE[setting] if setting in AS_THEY_ARE else changes_of(setting)


def changes_of(setting: str) -> dict[str, str]:
    """Factors of a setting that are not the default's."""
    return dict(change.split("=") for change in setting.split(","))


def draw_study(draw: int) -> CausalSplit:
    """The training sample and fresh rows of a draw."""
    regime = regime_of(draw)
    rng = np.random.default_rng([2, draw])
    n_people = TEST_ROWS + OVERSAMPLING * regime.rows
    X, z = covariates(rng, n_people)
    control = random_surface(rng, z)
    n_treatments = regime.arms - 1
    effects = np.column_stack(
        [
            rng.normal(0, 0.5) + EFFECT_SD[regime.common] * random_surface(rng, z)
            for _ in range(n_treatments)
        ]
    )
    mu = np.column_stack([control, control[:, None] + effects])
    chance = propensity_of(CONFOUNDING[regime.overlap] * control, regime.treated)
    which = 1 + rng.integers(n_treatments, size=n_people)
    treatment = np.where(rng.random(n_people) < chance, which, 0)
    y = mu[np.arange(n_people), treatment] + regime.noise * rng.normal(size=n_people)
    people = CausalSample(X, treatment, y, mu, randomized=None)
    of_treatment = round(regime.treated * regime.rows / n_treatments)
    counts = [regime.rows - n_treatments * of_treatment] + [of_treatment] * n_treatments
    name = "-".join(map(str, astuple(regime)))
    return split_of(name, draw, people, first_of_arms(treatment, counts))


def measure(draw: int, setting: str) -> dict[str, object]:
    """Error of a setting's effects, and the processor's time of its fit."""
    split = draw_study(draw)
    train = split.train
    with harness.one_thread():
        start = time.process_time()
        est = HyperCATE(random_state=draw, device="cpu", **parameters_of(setting))
        est.fit(train.X, train.y, train.treatment)
        seconds = time.process_time() - start
        effect = est.predict(split.test.X).reshape(TEST_ROWS, -1)
    mu = split.test.mu
    each = [sqrt_pehe(mu[:, k] - mu[:, 0], effect[:, k - 1]) for k in range(1, mu.shape[1])]
    return {"draw": draw, "setting": setting, "pehe": np.mean(each), "seconds": seconds}


def ratios(results: pd.DataFrame) -> pd.DataFrame:
    """Logarithms of error and time over the default's on the same draw, with the regime."""
    base = results[results.setting == DEFAULT].set_index("draw")
    others = results[results.setting != DEFAULT]
    each = [astuple(regime_of(draw)) for draw in others.draw]
    regimes = pd.DataFrame(each, columns=[of.name for of in fields(Regime)], index=others.index)
    logs = {
        name: np.log(others[name].to_numpy() / base[name].loc[others.draw].to_numpy())
        for name in ("pehe", "seconds")
    }
    return others[KEY].assign(**logs).join(regimes)


def effects_of_changes(own: pd.DataFrame, name: str) -> pd.DataFrame:
    """How much each change adds to the logarithm of error or time: columns mean and error.

    Of changes in fewer than `LEAST_DRAWS` draws there is no row.
    """
    changes = own.setting.map(
        lambda setting: [setting] if setting in AS_THEY_ARE else setting.split(",")
    )
    each = pd.DataFrame({"change": changes, "draw": own.draw}).explode("change")
    known = pd.Series(True, index=own.index)
    while True:  # a setting counts if every change of it is in enough settings that do
        often = each[known[each.index]].groupby("change").draw.nunique()
        told = often.index[often >= LEAST_DRAWS]
        counts = changes.map(lambda some, told=told: all(change in told for change in some))
        if (counts == known).all():
            break
        known = counts
    rows = [dict.fromkeys(each, 1.0) for each in changes[known]]
    design = pd.DataFrame(rows, index=own.index[known], columns=told).fillna(0.0)
    if not known.any() or np.linalg.matrix_rank(design) < len(told):
        return pd.DataFrame(columns=["mean", "error"], dtype=float)
    fit = sm.OLS(own.loc[known, name], design)
    fit = fit.fit(cov_type="cluster", cov_kwds={"groups": own.draw[known]})
    return pd.DataFrame({"mean": fit.params, "error": fit.bse})


def to_markdown(results: pd.DataFrame) -> str:
    """A row for each change of the default; errors over all draws and in parts of them."""
    own = ratios(results)
    parts = {"all draws": own}
    for factor, levels in LEVELS.items():
        parts |= {f"{factor}: {level}": own[own[factor] == level] for level in levels}
    columns = {name: effects_of_changes(part, "pehe") for name, part in parts.items()}
    seconds = effects_of_changes(own, "seconds")
    order = [name for name in AS_THEY_ARE if name != DEFAULT]
    order += [f"{factor}={level}" for factor, levels in FACTORS.items() for level in levels[1:]]
    lines = [
        "| change of the default | " + " | ".join(columns) + " | time |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for change in [name for name in dict.fromkeys(order) if name in seconds.index]:
        cells = [_cell(*column.loc[change]) if change in column.index else "few"
                 for column in columns.values()]  # fmt: skip
        time_ratio = np.exp(seconds.loc[change, "mean"])
        lines.append(f"| {change} | {' | '.join(cells)} | {time_ratio:.2f} |")
    return "\n".join(lines)


def _cell(mean: float, error: float) -> str:
    """A ratio, in bold if its logarithm is more than two standard errors from 0."""
    text = f"{np.exp(mean):.2f} ± {error:.2f}"
    return f"**{text}**" if abs(mean) > 2 * error else text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=replications, default="1-96", metavar="LIST")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/study"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (draw, setting)
        for draw in options.draws
        for setting in dict.fromkeys([*AS_THEY_ARE, *settings_of(draw)])
    ]
    scripts.measure_and_report(measure, wanted, KEY, to_markdown, options.out, options.jobs)


if __name__ == "__main__":
    main()
