"""Arms that are described by numbers, three of which no row received.

    python benchmarks/described_arms.py --rows 60 200 --jobs 2 --out results/described-arms

Twelve treatments beside a control are described by a dose d and a duration s, uniform on (0, 1);
those of the control are 0. With x of six normal columns, and directions a and b of unit length
drawn for each replication, the mean outcome under an arm is

    sin(x1) + x2 x3 / 2 + 2 d / (d + 0.4) (1 + tanh(2 a'x)) + 1.5 s^2 b'x + d s / 2 + c x1

where c, normal of standard deviation 0.15 for each arm and 0 for the control, is what its
description does not say. The noise is standard normal, and arms are assigned at random: all but
three, whose effects are judged as well. Errors are root mean squares over 1000 fresh rows.

For an arm without rows, learners of arms by their labels are given the effects of the nearest arm
by its description ("nearest"), or interpolate those of all arms by thin plates ("between"). Results
are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import RBFInterpolator
from sklearn.ensemble import HistGradientBoostingRegressor

from hypercate import HyperCATE
from hypercate.benchmark import harness, peers, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import CausalSample

N_ARMS, N_LEFT_OUT, N_COLUMNS, TEST_ROWS = 12, 3, 6, 1000
OF_ITS_OWN = 0.15
BASELINE = "HyperCATE described"
KEY = ["rows", "replication", "learner"]


@dataclass(frozen=True)
class Study:
    """A training sample and fresh rows, arms being rows of `features`.

    Attributes
    ----------
    features : DataFrame, shape (N_ARMS + 1, 2)
        Description of each arm, control first.
    left_out : ndarray of int, shape (N_LEFT_OUT,)
        Arms that no training row received.
    train : CausalSample
    X : DataFrame, shape (TEST_ROWS, N_COLUMNS)
    effect : ndarray, shape (TEST_ROWS, N_ARMS)
        True effects of all arms but the control.
    """

    features: pd.DataFrame
    left_out: np.ndarray
    train: CausalSample
    X: pd.DataFrame
    effect: np.ndarray


def draw(rows: int, replication: int) -> Study:
    """A study with so many training rows of each arm on average."""
    rng = np.random.default_rng(replication)
    described = np.vstack([np.zeros(2), rng.uniform(size=(N_ARMS, 2))])
    dose, duration = described.T
    a, b = (v / np.linalg.norm(v) for v in rng.normal(size=(2, N_COLUMNS)))
    own = np.append(0, OF_ITS_OWN * rng.normal(size=N_ARMS))
    left_out = np.sort(rng.choice(np.arange(1, N_ARMS + 1), N_LEFT_OUT, replace=False))

    def outcomes(x: np.ndarray) -> np.ndarray:
        return (
            (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] / 2)[:, None]
            + 2 * dose / (dose + 0.4) * (1 + np.tanh(2 * x @ a))[:, None]
            + 1.5 * duration**2 * (x @ b)[:, None]
            + dose * duration / 2
            + own * x[:, [0]]
        )

    received = np.delete(np.arange(N_ARMS + 1), left_out)
    n = rows * len(received)
    x, new = rng.normal(size=(n, N_COLUMNS)), rng.normal(size=(TEST_ROWS, N_COLUMNS))
    treatment, mu = rng.choice(received, n), outcomes(x)
    y = mu[np.arange(n), treatment] + rng.normal(size=n)
    names = [f"x{j + 1}" for j in range(N_COLUMNS)]
    at_new = outcomes(new)
    return Study(
        pd.DataFrame(described, columns=["dose", "duration"]),
        left_out,
        CausalSample(pd.DataFrame(x, columns=names), treatment, y, mu, randomized=None),
        pd.DataFrame(new, columns=names),
        at_new[:, 1:] - at_new[:, [0]],
    )


def _told(study: Study, seed: int) -> np.ndarray:
    """Effects by networks that are generated from the descriptions."""
    train = study.train
    est = HyperCATE(random_state=seed, device="cpu")
    est.fit(train.X, train.y, train.treatment, arm_features=study.features)
    return np.column_stack([est.effect(study.X, T1=k) for k in range(1, N_ARMS + 1)])


def _one_model(study: Study, seed: int) -> np.ndarray:
    """Effects by one boosted model that reads the description beside the covariates."""
    train, features = study.train, study.features.to_numpy()
    model = HistGradientBoostingRegressor(random_state=seed)
    model.fit(np.hstack([train.X, features[train.treatment]]), train.y)
    each = [
        model.predict(np.hstack([study.X, np.broadcast_to(of, (len(study.X), 2))]))
        for of in features
    ]
    return np.column_stack(each[1:]) - each[0][:, None]


def _hypercate(study: Study, seed: int) -> np.ndarray:
    train = study.train
    return HyperCATE(random_state=seed, device="cpu").fit(
        train.X, train.y, train.treatment
    ).predict(study.X)  # fmt: skip


def _t_learner(outcome: peers.Make) -> Callable[[Study, int], np.ndarray]:
    def effects(study: Study, seed: int) -> np.ndarray:
        train = study.train
        code = np.unique(train.treatment, return_inverse=True)[1]
        sample = CausalSample(train.X, code, train.y, None, randomized=None)
        return peers.fit_peer(lambda s: peers.t_learner(outcome, s), sample, seed).effect(study.X)

    return effects


def _nearest(study: Study, effects: np.ndarray) -> np.ndarray:
    """Effects of all arms, given those of the arms that rows received."""
    arms, features = np.arange(1, N_ARMS + 1), study.features.to_numpy()
    known = np.delete(arms, study.left_out - 1)
    distance = ((features[arms, None] - features[known]) ** 2).sum(axis=2)
    return effects[:, distance.argmin(axis=1)]


def _between(study: Study, effects: np.ndarray) -> np.ndarray:
    """The same, by a thin plate through those of the known arms and the control's, which are 0."""
    features, every = study.features.to_numpy(), _nearest(study, effects)
    known = np.delete(np.arange(1, N_ARMS + 1), study.left_out - 1)
    plate = RBFInterpolator(
        np.vstack([features[:1], features[known]]),
        np.vstack([np.zeros(len(effects)), effects.T]),
        kernel="thin_plate_spline",
    )
    every[:, study.left_out - 1] = plate(features[study.left_out]).T
    return every


LEARNERS: dict[str, tuple[Callable[[Study, int], np.ndarray], Callable | None]] = {
    BASELINE: (_told, None),
    "HyperCATE, nearest": (_hypercate, _nearest),
    "HyperCATE, between": (_hypercate, _between),
    "T boosting, nearest": (_t_learner(peers.boosting), _nearest),
    "T boosting, between": (_t_learner(peers.boosting), _between),
    "T Lasso, nearest": (_t_learner(peers.lasso), _nearest),
    "T Lasso, between": (_t_learner(peers.lasso), _between),
    "S boosting": (_one_model, None),
}
"""How effects of some arms are fitted, and how those of the others are told from them."""


def measure(rows: int, replication: int, learner: str) -> dict[str, object]:
    """Errors of a learner's effects of the arms with and without rows."""
    study = draw(rows, replication)
    fit, tell = LEARNERS[learner]
    with harness.one_thread():
        start = time.perf_counter()
        effects = fit(study, replication)
        seconds = time.perf_counter() - start
    if tell is not None:
        effects = tell(study, effects)
    error = np.sqrt(np.mean((effects - study.effect) ** 2, axis=0))
    without = np.isin(np.arange(1, N_ARMS + 1), study.left_out)
    return dict(zip(KEY, (rows, replication, learner), strict=True)) | {
        "with_rows": error[~without].mean(),
        "without_rows": error[without].mean(),
        "effect_sd": study.effect.std(axis=0).mean(),
        "seconds": seconds,
    }


def to_markdown(results: pd.DataFrame) -> str:
    """Mean and standard error of both errors, and their ratio to the baseline's, paired."""
    lines = [
        "| rows an arm | learner | arms with rows | arms without rows | over the first: with, "
        "without | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (rows, learner), own in results.groupby(["rows", "learner"], sort=False):
        base = results[(results.rows == rows) & (results.learner == BASELINE)]
        cells = []
        for name in ("with_rows", "without_rows"):
            cells.append(f"{own[name].mean():.3f} ± {own[name].sem():.3f}")
        both = own.merge(base, on=["rows", "replication"], suffixes=("", "_base"))
        ratios = [
            np.exp(np.log(both[name] / both[f"{name}_base"]).mean())
            for name in ("with_rows", "without_rows")
        ]
        lines.append(
            f"| {rows} | {learner} | {' | '.join(cells)} | {ratios[0]:.2f}, {ratios[1]:.2f} | "
            f"{own.seconds.mean():.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", type=int, default=[60, 200], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/described-arms"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (rows, replication, learner)
        for rows in options.rows
        for replication in options.replications
        for learner in options.learners
    ]
    scripts.measure_and_report(measure, wanted, KEY, to_markdown, options.out, options.jobs)


if __name__ == "__main__":
    main()
