"""Settings of the process and of its threads, put back as they were though fits overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from threading import Lock
from typing import TypeVar

import torch
from joblib import Parallel, delayed, effective_n_jobs
from threadpoolctl import threadpool_limits

from hypercate.progress import stage

_TORCH = Lock()
T = TypeVar("T")
R = TypeVar("R")


class Shared:
    """A setting of the whole process: the first that enters makes it, the last to leave undoes it.

    Were each to save and restore it for itself, the second of two that overlap would save what the
    first had set, and restore that in the end.

    Parameters
    ----------
    setting : callable
        Gives a context manager that makes the setting and undoes it.
    """

    def __init__(self, setting: Callable[[], AbstractContextManager]) -> None:
        self._setting, self._lock = setting, Lock()
        self._inside, self._made = 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._made.enter_context(self._setting())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._made.close()


def mapped(function: Callable[[T], R], items: Sequence[T], n_jobs: int, name: str) -> list[R]:
    """What a function gives of each item, in several threads if there are to be more than one.

    It is a stage of this name, whose bar is drawn by the thread that waits for the others.
    """
    pool: AbstractContextManager[ThreadPoolExecutor | None]
    pool = nullcontext() if n_jobs == 1 else ThreadPoolExecutor(n_jobs)
    with stage(name, len(items), "fit") as bar, pool as threads:
        results = []
        for result in (threads.map if threads else map)(function, items):
            results.append(result)
            bar.update()
        return results


_BLAS = Shared(lambda: threadpool_limits(1, "blas"))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let this thread work alone, without threads of torch, of OpenMP and of BLAS.

    Those of BLAS are the whole process's, and come back when the last thread has left.
    """
    with own_threads(1), _BLAS, threadpool_limits(1, "openmp"):
        yield


def at_once(function: Callable[[T], R], items: Sequence[T], n_jobs: int | None) -> list[R]:
    """What a function gives of each item, by the joblib backend in use.

    Where there may be several calls at once, each has one thread, whatever the backend.
    """
    call = delayed(function if effective_n_jobs(n_jobs) == 1 else partial(_alone, function))
    return list(Parallel(n_jobs=n_jobs)(call(item) for item in items))


def _alone(function: Callable[[T], R], item: T) -> R:
    with one_thread():
        return function(item)


@contextmanager
def own_threads(n_jobs: int | None) -> Iterator[int]:
    """Let torch use so many threads for this thread's work; as many as before if None.

    Negative numbers count from all processors, as joblib does.
    """
    before = torch.get_num_threads()
    n_threads = before if n_jobs is None else effective_n_jobs(n_jobs)
    set_own_threads(n_threads)
    try:
        yield n_threads
    finally:
        set_own_threads(before)


def set_own_threads(n_threads: int) -> None:
    """Set how many threads torch uses for this thread's work, and for no other thread's.

    ``torch.set_num_threads`` sets the number of the calling thread and also that of every thread
    which has not used torch before. The latter is put back by a thread that lives for it alone.
    """
    if torch.get_num_threads() == n_threads:  # from here on this thread has a number of its own
        return
    with _TORCH, ThreadPoolExecutor(1) as fresh:
        of_new_threads = fresh.submit(torch.get_num_threads).result()
        torch.set_num_threads(n_threads)
        fresh.submit(torch.set_num_threads, of_new_threads).result()
