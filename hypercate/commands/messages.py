"""What a command tells its user, on stderr: one line for an error, warnings, progress."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

INTERRUPTED = 130
REFUSALS = (
    ArithmeticError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
)
"""What the package, pyarrow and the system raise of data and files that cannot be used."""


class BadData(Exception):
    """An error that ends a command with exit code 1: its text says in one line what is wrong."""


@contextmanager
def about(subject: object, worded: Callable[[str], str] = str) -> Iterator[None]:
    """Turn errors about data or files that are raised inside into `BadData` naming the subject.

    Parameters
    ----------
    subject : object
        Usually a file.
    worded : callable, optional
        Turns the error's text into the text for the user; the system's own texts stay.
    """
    try:
        yield
    except REFUSALS as error:
        if isinstance(error, MemoryError):
            said = "there is not enough memory"
        else:
            system = getattr(error, "strerror", None)
            said = system or worded(" ".join(str(error).split()))
        named = said if str(subject) in said else f"{subject}: {said}"
        raise BadData(named) from error


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """A list that on leaving holds the warnings to users that were given inside, each once."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    meant = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    texts.extend(" ".join(text.split()) for text in dict.fromkeys(meant))


def say(command: str, text: object) -> None:
    """A line on stderr."""
    print(f"hypercate {command}: {text}", file=sys.stderr)


def require(extra: str, *packages: str) -> None:
    """Refuse a command whose packages are not installed, and say what to install.

    Raises
    ------
    BadData
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise BadData(f'{", ".join(missing)} not installed: pip install "hypercate[{extra}]"')
