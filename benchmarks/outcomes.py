"""Effects on counts, positive outcomes, censored times, and two outcomes of the same people.

    python benchmarks/outcomes.py --rows 500 2000 --out results/outcomes
    python benchmarks/outcomes.py --kinds biomarker event --rows 200 500 --out results/two

Every learner fits the same simulated studies, in which the treatment multiplies the mean
(`hypercate.datasets.draw_outcome_study`), and is judged on 1000 fresh rows of each: by sqrt-PEHE in
units of the effects' standard deviation there, and by the root mean squared error of the log of the
ratio of both means, where the learner has means. T boosting with a log link is scikit-learn's
histogram boosting, an ensemble an arm, by the same deviance as HyperCATE's.

The kinds ``biomarker`` and ``event`` are the two outcomes of one study, which have much in common;
of those that end in ``-unshared`` they have nothing (`hypercate.datasets.draw_pair_study`).
"HyperCATE joint" is one fit of both outcomes, "HyperCATE" a fit of each.

Of times (`hypercate.datasets.draw_survival_study`), a third are censored before the horizon. Others
take these for times of the event ("as seen"), are told only the rows whose outcome is known
("known rows"), or have these weighed by one over the Kaplan-Meier estimate, an arm, of the
probability of not being censored before ("IPCW"; T boosting sees outcomes times weights, and 0 for
the other rows).

Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor

from hypercate import HyperCATE
from hypercate.benchmark import harness, panel, peers, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import (
    CausalSample,
    CausalSplit,
    draw_outcome_study,
    draw_pair_study,
    draw_survival_study,
)
from hypercate.datasets.rates import KINDS
from hypercate.datasets.survival import HORIZON
from hypercate.datasets.survival import OUTCOMES as TIMES
from hypercate.metrics import sqrt_pehe

KEY = ["kind", "rows", "replication", "learner"]
LOSS = {"count": "poisson", "positive": "gamma"}
PAIRS = {  # what is shared, and the outcome
    **{name: ("much", name) for name in ("biomarker", "event")},
    **{f"{name}-unshared": ("nothing", name) for name in ("biomarker", "event")},
}
JOINT = "HyperCATE joint"
_FITTED: dict[tuple[str, int, int], tuple[HyperCATE, float]] = {}
LEAST = 1e-3  # of a mean outcome, in units of the mean over the rows, so that it has a logarithm


def hypercate(train: CausalSample, seed: int, **parameters: object) -> panel.Outcomes:
    estimator = HyperCATE(random_state=seed, device="cpu", **parameters)
    event = train.event if parameters.get("outcome") in TIMES else None
    estimator.fit(train.X, train.y, train.treatment, event=event)
    return panel.Outcomes(estimator.predict_outcomes, estimator.predict)


def log_boosting(train: CausalSample, seed: int, loss: str) -> panel.Outcomes:
    arms = [
        HistGradientBoostingRegressor(loss=loss, random_state=seed).fit(
            train.X[train.treatment == arm], train.y[train.treatment == arm]
        )
        for arm in (0, 1)
    ]

    def outcomes(X: pd.DataFrame) -> np.ndarray:
        return np.column_stack([model.predict(X) for model in arms])

    return panel.Outcomes(outcomes, lambda X: outcomes(X) @ np.array([-1.0, 1.0]))


def joint(kind: str, train: CausalSample, seed: int) -> panel.Outcomes:
    """The part of a fit of both outcomes that is of one, from the rows of a study of one."""
    sharing, name = PAIRS[kind]
    estimator = fit_both(sharing, len(train), seed)[0].of(name)
    return panel.Outcomes(estimator.predict_outcomes, estimator.predict)


def fit_both(sharing: str, rows: int, replication: int) -> tuple[HyperCATE, float]:
    """A fit of both outcomes, once in a process, and its seconds."""
    key = sharing, rows, replication
    if key not in _FITTED:
        _FITTED[key] = _fit_both(*key)
    return _FITTED[key]


def _fit_both(sharing: str, rows: int, replication: int) -> tuple[HyperCATE, float]:
    pair = draw_pair_study(rows, sharing, replication)
    train = pair["event"].train
    y = pd.DataFrame({name: split.train.y for name, split in pair.items()})
    start = time.perf_counter()
    estimator = HyperCATE(random_state=replication, device="cpu").fit(train.X, y, train.treatment)
    return estimator, time.perf_counter() - start


def draw(kind: str, rows: int, replication: int) -> CausalSplit:
    if kind in TIMES:
        return draw_survival_study(kind, rows, replication)
    if kind not in PAIRS:
        return draw_outcome_study(kind, rows, replication)
    sharing, name = PAIRS[kind]
    return draw_pair_study(rows, sharing, replication)[name]


def as_seen(kind: str, train: CausalSample) -> CausalSample:
    """Outcomes up to the horizon, censored times taken for those of the event."""
    y = np.minimum(train.y, HORIZON) if kind == "time" else (train.y >= HORIZON).astype(float)
    return replace(train, y=y)


def known_rows(train: CausalSample) -> np.ndarray:
    """Rows whose outcome is known: the event was seen, or they were followed up to the horizon."""
    return np.flatnonzero(train.event | (train.y >= HORIZON))


def followed(train: CausalSample) -> np.ndarray:
    """Kaplan-Meier estimate of the probability, in its arm, that a row was not censored before."""
    probability = np.empty(len(train))
    for arm in (0, 1):
        own = train.treatment == arm
        lost = train.y[own & ~train.event]
        of_arm = stats.ecdf(stats.CensoredData(lost, right=train.y[own & train.event]))
        before = np.nextafter(np.minimum(train.y[own], HORIZON), 0)
        probability[own] = of_arm.sf.evaluate(before)
    return probability


def on_known_rows(kind: str, train: CausalSample, seed: int) -> panel.Outcomes:
    known = as_seen(kind, train).take(known_rows(train))
    return hypercate(known, seed, outcome="continuous")


def weighed_forest(kind: str, train: CausalSample, seed: int) -> panel.Effect:
    rows = known_rows(train)
    weight = 1 / followed(train)[rows]
    known = as_seen(kind, train).take(rows)
    return peers.fit_peer(peers.causal_forest, known, seed, sample_weight=weight).effect


def weighed_boosting(kind: str, train: CausalSample, seed: int) -> panel.Effect:
    seen, y = as_seen(kind, train), np.zeros(len(train))
    rows = known_rows(train)
    y[rows] = (seen.y / followed(train))[rows]
    return panel.LEARNERS["T boosting"](replace(seen, y=y), seed)


def learners_of_times(kind: str) -> dict[str, panel.Learner]:
    return {
        "HyperCATE": partial(hypercate, outcome=kind, horizon=HORIZON),
        "HyperCATE instant": partial(hypercate, outcome=kind, horizon=HORIZON, effort="instant"),
        "HyperCATE, as seen": lambda train, seed: hypercate(
            as_seen(kind, train), seed, outcome="continuous"
        ),
        "HyperCATE, known rows": partial(on_known_rows, kind),
        "CausalForestDML, IPCW": partial(weighed_forest, kind),
        "T boosting, IPCW": partial(weighed_boosting, kind),
        "true ATE": panel.LEARNERS["true ATE"],
    }


def learners(kind: str) -> dict[str, panel.Learner]:
    """Every learner of an outcome by its name in the table."""
    if kind in TIMES:
        return learners_of_times(kind)
    peers = ("T boosting", "X boosting", "CausalForestDML", "LinearDML", "true ATE")
    if kind in PAIRS:
        return {
            "HyperCATE": hypercate,
            JOINT: partial(joint, kind),
            **{name: panel.LEARNERS[name] for name in ("T Lasso", "X Lasso", *peers)},
        }
    return {
        "HyperCATE": partial(hypercate, outcome=kind),
        "HyperCATE instant": partial(hypercate, outcome=kind, effort="instant"),
        "HyperCATE continuous": partial(hypercate, outcome="continuous"),
        "T boosting, log link": partial(log_boosting, loss=LOSS[kind]),
        **{name: panel.LEARNERS[name] for name in peers},
    }


BASELINE, *_ = LEARNERS = tuple(
    dict.fromkeys([*learners("count"), *learners("event"), *learners("time")])
)


def measure(kind: str, rows: int, replication: int, learner: str) -> dict[str, object]:
    """Errors of a learner's effects and ratios."""
    split = draw(kind, rows, replication)
    test = split.test
    with harness.one_thread():
        start = time.perf_counter()
        fitted = learners(kind)[learner](split.train, replication)
        effect = fitted(test.X)
        seconds = time.perf_counter() - start
    if learner == JOINT:
        seconds = max(seconds, fit_both(PAIRS[kind][0], rows, replication)[1])
    log_ratio = np.nan
    if isinstance(fitted, panel.Outcomes) and kind not in PAIRS:
        outcomes = np.maximum(fitted.outcomes(test.X), LEAST * split.train.y.mean())
        missed = np.log(outcomes / test.mu) @ np.array([-1.0, 1.0])
        log_ratio = float(np.sqrt(np.mean(missed**2)))
    row: dict[str, object] = dict(zip(KEY, (kind, rows, replication, learner), strict=True))
    pehe = sqrt_pehe(test.effect, effect) / test.effect.std()
    return row | {"pehe": pehe, "log_ratio": log_ratio, "seconds": seconds}


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """A row for each kind, number of rows and learner, in the order in which they were run.

    Returns
    -------
    DataFrame
        Over the replications: mean and standard error of the error, and of its difference to
        `BASELINE`'s on the same replication; means of the others.
    """
    errors = results.pivot(index=KEY[:3], columns="learner", values="pehe")
    apart = errors.sub(errors[BASELINE], axis=0).stack().rename("apart")
    return (
        results.join(apart, on=KEY)
        .groupby(["kind", "rows", "learner"], sort=False)
        .agg(
            error=("pehe", "mean"),
            error_se=("pehe", "sem"),
            apart=("apart", "mean"),
            apart_se=("apart", "sem"),
            log_ratio=("log_ratio", "mean"),
            seconds=("seconds", "mean"),
        )
    )


def to_markdown(table: pd.DataFrame) -> str:
    lines = [
        "| outcome | rows | learner | sqrt-PEHE / sd | less HyperCATE's | error of log ratios | "
        "seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (kind, rows, learner), row in table.iterrows():
        ratio = f"{row.log_ratio:.3f}" if row.log_ratio == row.log_ratio else "none"
        lines.append(
            f"| {kind} | {rows} | {learner} | {row.error:.3f} ± {row.error_se:.3f} | "
            f"{row.apart:+.3f} ± {row.apart_se:.3f} | {ratio} | {row.seconds:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = (*KINDS, *PAIRS, *TIMES)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(KINDS))
    parser.add_argument("--rows", nargs="+", type=int, default=[500, 2000], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/outcomes"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (kind, rows, replication, learner)
        for kind in options.kinds
        for rows in options.rows
        for replication in options.replications
        for learner in options.learners
        if learner in learners(kind)
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
