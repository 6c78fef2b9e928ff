"""Run learners over replications, each result kept the moment it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from hypercate.benchmark.panel import LEARNERS
from hypercate.datasets import CausalSample, CausalSplit, load_ihdp
from hypercate.metrics import ate_error, sqrt_pehe

LOADERS: dict[str, Callable[[int, str], CausalSplit]] = {"ihdp": load_ihdp}

KEY = ["dataset", "source", "treated", "replication", "learner"]
FIGURES = [
    "pehe_in",
    "pehe_out",
    "ate_error_in",
    "ate_error_out",
    "effect_sd",
    "fit_seconds",
    "predict_seconds",
]


@dataclass(frozen=True)
class Task:
    """One learner on one replication.

    Attributes
    ----------
    treated : int or None
        Number of treated rows that the training sample is thinned to.
    """

    dataset: str
    source: str
    treated: int | None
    replication: int
    learner: str

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        treated = "all" if self.treated is None else str(self.treated)
        return self.dataset, self.source, treated, self.replication, self.learner


def thin_treated(sample: CausalSample, n_treated: int, seed: int) -> CausalSample:
    """Keep all controls and a random `n_treated` of the treated.

    Raises
    ------
    ValueError
        If the sample has fewer treated rows.
    """
    treated = np.flatnonzero(sample.treatment > 0)
    if len(treated) < n_treated:
        raise ValueError(f"cannot thin to {n_treated} treated rows: there are {len(treated)}")
    chosen = np.random.default_rng(seed).permutation(treated)[:n_treated]
    rows = np.sort(np.concatenate([np.flatnonzero(sample.treatment == 0), chosen]))
    return replace(
        sample,
        X=sample.X.iloc[rows],
        treatment=sample.treatment[rows],
        y=sample.y[rows],
        mu=None if sample.mu is None else sample.mu[rows],
        randomized=None if sample.randomized is None else sample.randomized[rows],
    )


def run_task(task: Task) -> dict[str, object]:
    """Fit, predict and measure on one thread; a learner's failure is a row that says so."""
    row: dict[str, object] = dict(zip(KEY, task.key, strict=True))
    row |= dict.fromkeys(FIGURES, np.nan) | {"error": ""}
    split = LOADERS[task.dataset](task.replication, task.source)
    train, test = split.train, split.test
    if task.treated is not None:
        train = thin_treated(train, task.treated, task.replication)
    row["effect_sd"] = test.effect.std()
    with _one_thread():
        try:
            start = time.perf_counter()
            effect = LEARNERS[task.learner](train, task.replication)
            fitted = time.perf_counter()
            inside, outside = effect(train.X), effect(test.X)
            predicted = time.perf_counter()
            row |= {
                "pehe_in": sqrt_pehe(train.effect, inside),
                "pehe_out": sqrt_pehe(test.effect, outside),
                "ate_error_in": ate_error(train.effect, inside),
                "ate_error_out": ate_error(test.effect, outside),
                "fit_seconds": fitted - start,
                "predict_seconds": predicted - fitted,
            }
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return row


def run(tasks: list[Task], results: Path, n_jobs: int = 1) -> pd.DataFrame:
    """Run what is not yet in the file `results`, and give all rows of `tasks` that are there.

    Parameters
    ----------
    tasks : list of Task
    results : Path
        A CSV to which each finished task is appended.
    n_jobs : int
        Worker processes; each task runs on one thread.
    """
    done = set() if not results.exists() else set(map(tuple, _read(results)[KEY].to_numpy()))
    missing = [task for task in tasks if task.key not in done]
    finished = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)(
        joblib.delayed(run_task)(task) for task in missing
    )
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), unit="fit") as progress:
        for row in finished:
            pd.DataFrame([row]).to_csv(results, mode="a", header=not results.exists(), index=False)
            progress.set_postfix_str(f"{row['learner']}, replication {row['replication']}")
            progress.update()
    return collect(tasks, results)


def collect(tasks: list[Task], results: Path) -> pd.DataFrame:
    """Rows of `tasks` that the file holds."""
    wanted = {task.key for task in tasks}
    table = _read(results)
    return table[[key in wanted for key in map(tuple, table[KEY].to_numpy())]]


def _read(results: Path) -> pd.DataFrame:
    if not results.exists():
        return pd.DataFrame(columns=[*KEY, *FIGURES, "error"])
    return pd.read_csv(results, dtype={"treated": str, "error": str}, keep_default_na=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(n_threads)
