"""A new arm, learned from a few rows after the fit, or by a new fit of everything.

    python benchmarks/add_arm.py --rows 20 50 --jobs 2 --out results/add-arm

HyperCATE is fitted to five arms: 400 controls and 100 rows of each other arm. Of a sixth arm there
are a few rows, 20 or 50. The studies are those of `hypercate.datasets.draw_arms_study`, whose arms
share much, little or nothing. Effects of the new arm against control are judged on 1000 fresh
rows: by root mean squared error, and by how often 90 % intervals hold the true effect, for learners
that have intervals. "Seconds" are what each takes once the new rows are there; "moved" is by how
much the effects of the other arms change, in standard deviations of all true effects of these arms.

- ``add_arm``: the rows are given to the fitted model;
- ``new fit``: HyperCATE is fitted anew, to the rows of all six arms;
- ``T ...``: the learner that EconML calls T, of controls and the new rows.

Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd

from hypercate import HyperCATE
from hypercate.benchmark import harness, peers, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import CausalSample, draw_arms_study
from hypercate.datasets.synthetic import SHARED
from hypercate.metrics import coverage

N_OLD, OLD_ROWS = 5, 100
NEW = N_OLD
BASELINE = "new fit"
KEY = ["arms share", "rows", "replication", "learner"]

Found = tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None, float]
"""Effects of the new arm, 90 % intervals of them, and by how much the others' moved."""


class Study:
    """Rows of arms that are fitted, those of a new one, and fresh rows with their effects."""

    def __init__(self, sharing: str, replication: int) -> None:
        split = draw_arms_study(N_OLD + 1, OLD_ROWS, sharing, replication)
        self.train, self.X, self.seed = split.train, split.test.X, replication
        effect = split.test.mu[:, 1:] - split.test.mu[:, [0]]
        self.effect, self.unit = effect[:, -1], effect[:, :-1].std()
        self.old = np.flatnonzero(self.train.treatment < NEW)

    def new(self, rows: int) -> np.ndarray:
        """The first rows of the new arm."""
        return np.flatnonzero(self.train.treatment == NEW)[:rows]

    def fit(self, rows: np.ndarray) -> HyperCATE:
        """HyperCATE at its defaults."""
        train = self.train
        return HyperCATE(random_state=self.seed, device="cpu").fit(
            train.X.iloc[rows], train.y[rows], train.treatment[rows]
        )

    def found(self, est: HyperCATE, before: HyperCATE) -> Found:
        """What a model says of the new arm, and otherwise of the old ones than before."""
        moved = est.predict(self.X)[:, : N_OLD - 1] - before.predict(self.X)
        interval = est.effect_interval(self.X, T1=NEW, alpha=0.1)
        return est.effect(self.X, T1=NEW), interval, float(np.sqrt(np.mean(moved**2)) / self.unit)


def _add_arm(study: Study, rows: int) -> tuple[float, Found]:
    before, train, new = study.fit(study.old), study.train, study.new(rows)
    est = deepcopy(before)
    start = time.perf_counter()
    est.add_arm(train.X.iloc[new], train.y[new], train.treatment[new])
    return time.perf_counter() - start, study.found(est, before)


def _new_fit(study: Study, rows: int) -> tuple[float, Found]:
    start = time.perf_counter()
    est = study.fit(np.concatenate([study.old, study.new(rows)]))
    return time.perf_counter() - start, study.found(est, study.fit(study.old))


def _t_learner(outcome: peers.Make) -> Callable[[Study, int], tuple[float, Found]]:
    def learn(study: Study, rows: int) -> tuple[float, Found]:
        train = study.train
        both = np.concatenate([np.flatnonzero(train.treatment == 0), study.new(rows)])
        code = (train.treatment[both] == NEW).astype(int)
        sample = CausalSample(train.X.iloc[both], code, train.y[both], None, randomized=None)
        start = time.perf_counter()
        peer = peers.fit_peer(lambda seed: peers.t_learner(outcome, seed), sample, study.seed)
        return time.perf_counter() - start, (peer.effect(study.X).ravel(), None, 0.0)

    return learn


LEARNERS: dict[str, Callable[[Study, int], tuple[float, Found]]] = {
    "add_arm": _add_arm,
    BASELINE: _new_fit,
    "T boosting": _t_learner(peers.boosting),
    "T Lasso": _t_learner(peers.lasso),
    "T Gaussian process": _t_learner(peers.gaussian_process),
}


def measure(sharing: str, rows: int, replication: int, learner: str) -> dict[str, object]:
    """Error, coverage and time of a learner of the new arm."""
    study = Study(sharing, replication)
    with harness.one_thread():
        seconds, (effect, interval, moved) = LEARNERS[learner](study, rows)
    return dict(zip(KEY, (sharing, rows, replication, learner), strict=True)) | {
        "error": np.sqrt(np.mean((effect - study.effect) ** 2)),
        "coverage": np.nan if interval is None else coverage(study.effect, *interval),
        "width": np.nan if interval is None else np.mean(interval[1] - interval[0]),
        "moved": moved,
        "effect_sd": study.effect.std(),
        "seconds": seconds,
    }


def to_markdown(results: pd.DataFrame) -> str:
    """Means and standard errors over replications, and the ratio of errors, paired."""
    lines = [
        f"| arms share | rows | learner | error | over {BASELINE} | 90 % intervals hold | width | "
        "others moved | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (sharing, rows, learner), own in results.groupby(KEY[:2] + KEY[3:], sort=False):
        same = (results[KEY[0]] == sharing) & (results.rows == rows)
        base = results[same & (results.learner == BASELINE)]
        both = own.merge(base, on=KEY[:3], suffixes=("", "_base"))
        ratio = np.exp(np.log(both.error / both.error_base).mean())
        intervals, moved = (" | ", "") if own.coverage.isna().all() else (
            f"{own.coverage.mean():.0%} | {own.width.mean():.2f}", f"{own.moved.mean():.3f}"
        )  # fmt: skip
        lines.append(
            f"| {sharing} | {rows} | {learner} | {own.error.mean():.3f} ± {own.error.sem():.3f} | "
            f"{ratio:.2f} | {intervals} | {moved} | {own.seconds.mean():.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sharing", nargs="+", choices=SHARED, default=["much", "little"])
    parser.add_argument("--rows", nargs="+", type=int, default=[50], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/add-arm"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (sharing, rows, replication, learner)
        for sharing in options.sharing
        for replication in options.replications
        for rows in options.rows
        for learner in options.learners
    ]
    scripts.measure_and_report(measure, wanted, KEY, to_markdown, options.out, options.jobs)


if __name__ == "__main__":
    main()
