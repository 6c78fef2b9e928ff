"""Progress of a fit: every stage is logged, and has a progress bar if one was asked for.

Everything that the package logs goes through the logger ``hypercate``: at INFO which stage has
begun and what was chosen, at DEBUG how long it took and the figures behind a choice. No handler is
installed, so that nothing is printed unless the user asks `logging` for it. Warnings stay warnings.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

from tqdm import tqdm

LOG = logging.getLogger("hypercate")
LOG.addHandler(logging.NullHandler())
_SHOWN: ContextVar[bool] = ContextVar("shown", default=False)


@contextmanager
def bars(shown: bool) -> Iterator[None]:
    """Show, on standard error, a bar for each stage that begins inside, or none.

    It holds for the thread that enters, so that fits which overlap have each their own.
    """
    before = _SHOWN.set(shown)
    try:
        yield
    finally:
        _SHOWN.reset(before)


def are_shown() -> bool:
    """Whether a stage that begins now has a bar."""
    return _SHOWN.get()


@contextmanager
def stage(name: str, total: int, unit: str) -> Iterator[tqdm]:
    """A stage of so many steps; what is given is to be told of each by ``update()``.

    Parameters
    ----------
    name : str
    total : int
        Steps, at most.
    unit : str
        What a step is.
    """
    LOG.info("%s: up to %d %s%s", name, total, unit, "" if total == 1 else "s")
    began = perf_counter()
    with tqdm(total=total, desc=f"HyperCATE: {name}", unit=unit, disable=not are_shown()) as bar:
        yield bar
    LOG.debug("%s: done after %.2f s", name, perf_counter() - began)


def counted(values: Iterable[Hashable]) -> str:
    """How often each value occurs, in words, the most frequent first."""
    return ", ".join(f"{value} ({n})" for value, n in Counter(values).most_common())
