"""What intervals are judged by: coverage, width, score, and what is gained by abstaining."""

from __future__ import annotations

import time

from hypercate.benchmark.harness import Protocol, Task
from hypercate.benchmark.interval_panel import GROUPS, LEARNERS, IntervalLearner
from hypercate.datasets import CausalSplit
from hypercate.metrics import coverage, interval_score, rejection_curve

LEVELS = (50, 80, 90, 95)
"""Nominal levels, per cent."""
SCORED = 90
"""The level of the interval score, and of the widths that rows are rejected by."""
REJECTED = (0, 10, 20, 50)
"""Shares of rows with the widest intervals that are rejected, per cent."""


def measure(task: Task, split: CausalSplit, learner: IntervalLearner) -> dict[str, float]:
    """Fit, and judge the intervals of the test rows.

    Returns
    -------
    dict
        ``coverage_`` and ``width_`` (mean, in units of the outcome) of each level;
        ``interval_score``; ``pehe_without_``: sqrt-PEHE without each share of the rows with the
        widest intervals, averaged over a row's contrasts; ``effect_sd`` of the test rows;
        ``outcome_sd`` of the training rows; ``fit_seconds``, and ``interval_seconds`` of one level.
    """
    X, true = split.test.X, split.test.effect
    start = time.perf_counter()
    fitted = learner(split.train, task.replication)
    ready = time.perf_counter()
    scored = fitted.interval(X, _alpha(SCORED))
    given = time.perf_counter()
    ends = {
        level: scored if level == SCORED else fitted.interval(X, _alpha(level)) for level in LEVELS
    }
    covered = {f"coverage_{level}": coverage(true, *ends[level]) for level in LEVELS}
    width = {level: upper - lower for level, (lower, upper) in ends.items()}
    doubt = width[SCORED].reshape(len(X), -1).mean(axis=1)
    kept = rejection_curve(true, fitted.effect(X), doubt, [share / 100 for share in REJECTED])
    return {
        **covered,
        **{f"width_{level}": float(width[level].mean()) for level in LEVELS},
        "interval_score": interval_score(true, *scored, _alpha(SCORED)),
        **{f"pehe_without_{share}": error for share, error in zip(REJECTED, kept, strict=True)},
        "effect_sd": float(true.std()),
        "outcome_sd": float(split.train.y.std()),
        "fit_seconds": ready - start,
        "interval_seconds": given - ready,
    }


def _alpha(level: int) -> float:
    return (100 - level) / 100


INTERVALS = Protocol(
    learners=LEARNERS,
    groups=GROUPS,
    figures=[
        *(f"coverage_{level}" for level in LEVELS),
        *(f"width_{level}" for level in LEVELS),
        "interval_score",
        *(f"pehe_without_{share}" for share in REJECTED),
        *("effect_sd", "outcome_sd", "fit_seconds", "interval_seconds"),
    ],
    measure=measure,
)
"""What ``hypercate benchmark --intervals`` asks of each learner."""
