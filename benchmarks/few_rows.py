"""Effects where rows are few: HyperCATE, the parts that it averages, and EconML's learners.

    python benchmarks/few_rows.py --rows 100 250 500 --jobs 2 --out results/few-rows

Every learner fits the same simulated studies, and is judged on 1000 fresh rows of each: by
sqrt-PEHE, and by the coverage and interval score of its 90 % intervals if it has any. The studies
are the designs ``smooth``, ``stepped``, ``few`` and ``null`` of ``hypercate benchmark simulated``,
and two more whose formulas are below. None was seen by the pre-trained generator. Results are kept
as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from hypercate.benchmark import harness, interval_panel, panel, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import CausalSample, CausalSplit, draw_interval_study
from hypercate.metrics import coverage, interval_score, sqrt_pehe

TEST_ROWS = 1000
N_COLUMNS, N_TERMS = 10, 12  # of a random polynomial
BASELINE = "HyperCATE"
LEARNERS = (
    BASELINE, "HyperCATE trained", "HyperCATE instant", "T Gaussian process", "X Gaussian process",
    "T boosting", "X boosting", "DR boosting", "T Lasso", "X Lasso", "DR Lasso", "CausalForestDML",
)  # fmt: skip
KEY = ["study", "rows", "replication", "learner"]


def split_of(
    name: str, replication: int, rows: int, draw: Callable[[int], tuple], rng: np.random.Generator
) -> CausalSplit:
    """A study whose people are drawn as ``X, mu, propensity, noise_sd``."""

    def sample(n: int) -> CausalSample:
        x, mu, propensity, noise_sd = draw(n)
        treatment = (rng.random(n) < propensity).astype(int)
        y = mu[np.arange(n), treatment] + noise_sd * rng.normal(size=n)
        X = pd.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])])
        return CausalSample(X, treatment, y, mu, randomized=None)

    return CausalSplit(name, replication, train=sample(rows), test=sample(TEST_ROWS))


def sine(rows: int, replication: int) -> CausalSplit:
    """Five normal columns, effect ``1 + x1 + sin(2 x2) / 2``, outcome of controls ``x1 + x3``."""
    rng = np.random.default_rng(replication)

    def draw(n: int) -> tuple:
        x = rng.normal(size=(n, 5))
        control = x[:, 0] + x[:, 2]
        effect = 1 + x[:, 0] + 0.5 * np.sin(2 * x[:, 1])
        return x, np.column_stack([control, control + effect]), expit(x[:, 0]), 1.0

    return split_of("sine", replication, rows, draw, rng)


def polynomial(rows: int, replication: int) -> CausalSplit:
    """Random polynomials of the third degree of ten normal columns, each of twelve terms.

    Of standard deviation 1: the outcome of the controls, twice the effect, and the log odds of the
    treatment. The noise has standard deviation 1/2.
    """
    rng = np.random.default_rng(replication)
    terms = [
        list(term)
        for degree in (1, 2, 3)
        for term in combinations_with_replacement(range(N_COLUMNS), degree)
    ]
    drawn = [
        (rng.choice(len(terms), N_TERMS, replace=False), rng.normal(size=N_TERMS)) for _ in range(3)
    ]

    def surfaces(x: np.ndarray) -> np.ndarray:
        values = np.stack([x[:, term].prod(axis=1) for term in terms])
        return np.stack([weights @ values[chosen] for chosen, weights in drawn])

    of_many = surfaces(rng.normal(size=(20_000, N_COLUMNS)))
    mean, sd = of_many.mean(axis=1), of_many.std(axis=1)

    def draw(n: int) -> tuple:
        x = rng.normal(size=(n, N_COLUMNS))
        control, effect, logit = (surfaces(x) - mean[:, None]) / sd[:, None]
        return x, np.column_stack([control, control + effect / 2]), expit(logit), 0.5

    return split_of("polynomial", replication, rows, draw, rng)


STUDIES: dict[str, Callable[[int, int], CausalSplit]] = {
    **{
        design: partial(draw_interval_study, design)
        for design in ("smooth", "stepped", "few", "null")
    },
    "sine": sine,
    "polynomial": polynomial,
}


def measure(study: str, rows: int, replication: int, learner: str) -> dict[str, object]:
    """Error of a learner's effects and, if it has intervals, their coverage and score."""
    split = STUDIES[study](rows, replication)
    X, true = split.test.X, split.test.effect
    row: dict[str, object] = dict(zip(KEY, (study, rows, replication, learner), strict=True))
    row |= dict.fromkeys(("pehe", "seconds", "coverage", "interval_score"), np.nan)
    with harness.one_thread():
        start = time.perf_counter()
        if learner in interval_panel.LEARNERS:
            fitted = interval_panel.LEARNERS[learner](split.train, replication)
            effect, ends = fitted.effect(X), fitted.interval(X, 0.1)
            row["coverage"] = coverage(true, *ends)
            row["interval_score"] = interval_score(true, *ends, 0.1)
        else:
            effect = panel.LEARNERS[learner](split.train, replication)(X)
        row["seconds"] = time.perf_counter() - start
    return row | {"pehe": sqrt_pehe(true, effect)}


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """A row for each study, number of rows and learner, in the order in which they were run.

    Returns
    -------
    DataFrame
        Over the replications: mean, standard error and median of the error; mean and standard
        error of the difference to `BASELINE` on the same replication; means of the others.
    """
    errors = results.pivot(index=KEY[:3], columns="learner", values="pehe")
    if BASELINE in errors:
        apart = errors.sub(errors[BASELINE], axis=0).stack().rename("apart")
        results = results.join(apart, on=KEY)
    else:
        results = results.assign(apart=np.nan)
    return results.groupby(["study", "rows", "learner"], sort=False).agg(
        error=("pehe", "mean"),
        error_se=("pehe", "sem"),
        median=("pehe", "median"),
        apart=("apart", "mean"),
        apart_se=("apart", "sem"),
        coverage=("coverage", "mean"),
        interval_score=("interval_score", "mean"),
        seconds=("seconds", "mean"),
        n=("pehe", "count"),
    )


def to_markdown(table: pd.DataFrame) -> str:
    lines = [
        "| study | rows | learner | sqrt-PEHE | median | less HyperCATE's | coverage of 90 % | "
        "interval score | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (study, rows, learner), row in table.iterrows():
        intervals = [f"{row[name]:.3f}" if row[name] == row[name] else "none" for name in
                     ("coverage", "interval_score")]  # fmt: skip
        lines.append(
            f"| {study} | {rows} | {learner} | {row.error:.3f} ± {row.error_se:.3f} | "
            f"{row['median']:.3f} | {row.apart:+.3f} ± {row.apart_se:.3f} | "
            f"{' | '.join(intervals)} | {row.seconds:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--rows", nargs="+", type=int, default=[100, 250, 500], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-20", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/few-rows"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (study, rows, replication, learner)
        for study in options.studies
        for rows in options.rows
        for replication in options.replications
        for learner in options.learners
    ]
    scripts.measure_and_report(
        measure,
        wanted,
        KEY,
        lambda results: to_markdown(summarise(results)),
        options.out,
        options.jobs,
    )


if __name__ == "__main__":
    main()
