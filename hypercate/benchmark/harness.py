"""Run learners over replications, each result kept the moment it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from hypercate.benchmark.panel import LEARNERS, Outcomes
from hypercate.benchmark.studies import FIGURES, STUDIES, Predictions
from hypercate.datasets import CausalSample, CausalSplit

KEY = ["dataset", "source", "treated", "rows", "arms", "share", "replication", "learner"]
COLUMNS = [*KEY, *FIGURES, "error"]


@dataclass(frozen=True)
class Task:
    """One learner on one replication.

    Attributes
    ----------
    dataset, learner : str
        A key of `STUDIES` and one of `LEARNERS`.
    source, rows, arms, share : optional
        The study's options; None for those it has not.
    treated : int or None
        Number of treated training rows; None for all.
    """

    dataset: str
    source: str | None
    treated: int | None
    replication: int
    learner: str
    rows: int | None = None
    arms: int | None = None
    share: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str, str, int, str]:
        return (
            self.dataset,
            self.source or "-",
            str(self.treated or "all"),
            str(self.rows or "all"),
            str(self.arms or "-"),
            self.share or "-",
            self.replication,
            self.learner,
        )

    def load(self) -> CausalSplit:
        """The split, thinned if the task says so."""
        study = STUDIES[self.dataset]
        options = {name: getattr(self, name) for name in study.options}
        n_treated = options.pop("treated") if study.thinned else None
        split = study.load(self.replication, **options)
        if n_treated is None:
            return split
        return replace(split, train=thin_treated(split.train, n_treated, self.replication))


def thin_treated(sample: CausalSample, n_treated: int, seed: int) -> CausalSample:
    """Keep all controls and a random `n_treated` of the treated, in order and with their index.

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
    return replace(sample.take(rows), X=sample.X.iloc[rows])


def run_task(task: Task) -> dict[str, object]:
    """Fit, predict and measure on one thread; a learner's failure is a row that says so."""
    row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
    row |= dict(zip(KEY, task.key, strict=True)) | {"error": ""}
    split = task.load()
    with _one_thread():
        try:
            start = time.perf_counter()
            effect = LEARNERS[task.learner](split.train, task.replication)
            fitted = time.perf_counter()
            inside, outside = effect(split.train.X), effect(split.test.X)
            predicted = time.perf_counter()
            outcomes = effect.outcomes(split.test.X) if isinstance(effect, Outcomes) else None
            row |= STUDIES[task.dataset].measure(split, Predictions(inside, outside, outcomes))
            row |= {"fit_seconds": fitted - start, "predict_seconds": predicted - fitted}
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

    Raises
    ------
    ValueError
        If the file holds other columns, or the data cannot be loaded as a task says.
    OSError
        If the data cannot be read or downloaded.
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
    return table[np.array([key in wanted for key in map(tuple, table[KEY].to_numpy())], dtype=bool)]


def _read(results: Path) -> pd.DataFrame:
    if not results.exists():
        return pd.DataFrame(columns=COLUMNS)
    text = dict.fromkeys([name for name in KEY if name != "replication"] + ["error"], str)
    table = pd.read_csv(results, dtype=text)
    if list(table.columns) != COLUMNS:
        raise ValueError(f"{results} is of another version: move it, or choose another folder")
    return table.drop_duplicates(KEY)


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(n_threads)
