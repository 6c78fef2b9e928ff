"""Run learners over replications, each result kept the moment it is there."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.parallel import get_active_backend
from tqdm import tqdm

from hypercate.benchmark.panel import GROUPS, LEARNERS, Learner, Outcomes
from hypercate.benchmark.studies import FIGURES, STUDIES, Predictions
from hypercate.datasets import CausalSample, CausalSplit
from hypercate.threads import one_thread

KEY = [
    *("dataset", "source", "design", "treated", "rows", "arms", "share"),
    *("replication", "learner"),
]


@dataclass(frozen=True)
class Task:
    """One learner on one replication.

    Attributes
    ----------
    dataset, learner : str
        A key of `STUDIES`, and the name of a learner of the protocol that it is run by.
    source, design, rows, arms, share : optional
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
    design: str | None = None

    @property
    def key(self) -> tuple[str | int, ...]:
        return (
            self.dataset,
            self.source or "-",
            self.design or "-",
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


@dataclass(frozen=True)
class Protocol:
    """What is asked of a learner, and kept of its answers.

    Attributes
    ----------
    learners : dict
        Learners by name.
    groups : dict
        Names that stand for several learners.
    figures : list of str
        Of which a study has some.
    measure : callable ``(task, split, learner) -> figures``
    """

    learners: Mapping[str, Any]
    groups: Mapping[str, list[str]]
    figures: list[str]
    measure: Callable[[Task, CausalSplit, Any], Mapping[str, float]]

    @property
    def columns(self) -> list[str]:
        """Of a file of results."""
        return [*KEY, *self.figures, "error"]


def measure(task: Task, split: CausalSplit, learner: Learner) -> dict[str, float]:
    """Fit, predict, and judge the effects by the study's figures."""
    start = time.perf_counter()
    effect = learner(split.train, task.replication)
    fitted = time.perf_counter()
    inside, outside = effect(split.train.X), effect(split.test.X)
    predicted = time.perf_counter()
    outcomes = effect.outcomes(split.test.X) if isinstance(effect, Outcomes) else None
    return STUDIES[task.dataset].measure(split, Predictions(inside, outside, outcomes)) | {
        "fit_seconds": fitted - start,
        "predict_seconds": predicted - fitted,
    }


EFFECTS = Protocol(LEARNERS, GROUPS, FIGURES, measure)
"""What ``hypercate benchmark`` asks of each learner."""


def run_task(task: Task, protocol: Protocol = EFFECTS) -> dict[str, object]:
    """Measure on one thread; a learner's failure is a row that says so."""
    row: dict[str, object] = dict.fromkeys(protocol.columns, np.nan)
    row |= dict(zip(KEY, task.key, strict=True)) | {"error": ""}
    split = task.load()
    with one_thread():
        try:
            row |= protocol.measure(task, split, protocol.learners[task.learner])
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return row


def run(
    tasks: list[Task], results: Path, n_jobs: int | None = None, protocol: Protocol = EFFECTS
) -> pd.DataFrame:
    """Run what is not yet in the file `results`, and give all rows of `tasks` that are there.

    Parameters
    ----------
    tasks : list of Task
    results : Path
        A CSV to which each finished task is appended.
    n_jobs : int, optional
        Tasks at once, by the joblib backend in use, each on one thread; by default what
        `joblib.parallel_config` says, or else 1.
    protocol : Protocol

    Raises
    ------
    ValueError
        If the file holds other columns, or the data cannot be loaded as a task says.
    OSError
        If the data cannot be read or downloaded.
    """
    done = set(map(tuple, _read(results, protocol)[KEY].to_numpy()))
    missing = [task for task in tasks if task.key not in done]
    finished = append(run_task, [(task, protocol) for task in missing], results, n_jobs)
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), unit="fit") as progress:
        for row in finished:
            progress.set_postfix_str(f"{row['learner']}, replication {row['replication']}")
            progress.update()
    return collect(tasks, results, protocol)


def append(
    function: Callable[..., Any], arguments: list[tuple], results: Path, n_jobs: int | None
) -> Iterator[Any]:
    """Call by the joblib backend in use, and append each call's row, or rows, to a CSV as it comes.

    Parameters
    ----------
    function : callable
        Gives a row as a dict, or a list of them.
    arguments : list of tuple
        Of each call.
    results : Path
    n_jobs : int, optional

    Yields
    ------
    dict or list of dict
        What a call gave, once it is in the file.
    """
    for rows in _finished([joblib.delayed(function)(*each) for each in arguments], n_jobs):
        table = pd.DataFrame(rows if isinstance(rows, list) else [rows])
        text = table.to_csv(header=not begun(results), index=False, lineterminator="\n")
        with results.open("a", encoding="utf-8", newline="") as file:
            file.write(text)  # at once: an interrupt leaves no half of a row
        yield rows


def _finished(calls: list[Any], n_jobs: int | None) -> Iterator[Any]:
    """What calls give as they are done, or round by round where a backend cannot say so (Ray's)."""
    if get_active_backend()[0].supports_return_generator:
        workers = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
        with _deaf_to_interrupts():
            finished = workers(calls)
        yield from finished
        return
    at_once = joblib.effective_n_jobs(n_jobs)
    with joblib.Parallel(n_jobs=n_jobs) as workers:
        for first in range(0, len(calls), at_once):
            yield from workers(calls[first : first + at_once])


def collect(tasks: list[Task], results: Path, protocol: Protocol = EFFECTS) -> pd.DataFrame:
    """Rows of `tasks` that the file holds."""
    wanted = {task.key for task in tasks}
    table = _read(results, protocol)
    return table[np.array([key in wanted for key in map(tuple, table[KEY].to_numpy())], dtype=bool)]


def begun(results: Path) -> bool:
    """Whether the file has a header: an interrupt can leave it empty."""
    return results.exists() and results.stat().st_size > 0


def _read(results: Path, protocol: Protocol) -> pd.DataFrame:
    if not begun(results):
        return pd.DataFrame(columns=protocol.columns)
    text = dict.fromkeys([name for name in KEY if name != "replication"] + ["error"], str)
    table = pd.read_csv(results, dtype=text, keep_default_na=False, na_values=[""])
    if list(table.columns) != protocol.columns:
        raise ValueError(
            f"{results} was written by another version: move it, or choose another folder"
        )
    return table.drop_duplicates(KEY)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C: it is the parent that ends them.

    Otherwise a worker that is idle or still starting prints a traceback of its own.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
