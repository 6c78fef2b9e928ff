"""What a command tells its user, on stderr: one line for what is wrong, warnings, progress."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

INTERRUPTED = 130
REFUSALS = (ArithmeticError, LookupError, NotImplementedError, OSError, TypeError, ValueError)
"""What the package, pyarrow and the system raise of data and files that cannot be used."""


class BadData(Exception):
    """What ends a command with exit code 1: its text, one line, says what is wrong and where."""


@contextmanager
def about(subject: object, worded: Callable[[str], str] = str) -> Iterator[None]:
    """Turn what is raised of data or files inside into `BadData` that names the subject first.

    Parameters
    ----------
    subject : object
        A file, as a rule.
    worded : callable, optional
        From what the error says to what the user is told.
    """
    try:
        yield
    except REFUSALS as error:
        said = worded(" ".join((getattr(error, "strerror", None) or str(error)).split()))
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
    """Refuse a command of which packages are not installed, with what to install.

    Raises
    ------
    BadData
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise BadData(f'{", ".join(missing)} not installed: pip install "hypercate[{extra}]"')
