"""Where the arithmetic runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hypercate.threads import own_threads

WORK_FOR_THREADS = 1_000_000


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to use.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes a GPU if there is one; anything else is torch's name of a device.

    Raises
    ------
    ValueError
        If there is no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, dtype=torch.float32, device=resolved).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device={device!r} is not to be had on this machine ({error}); "
            "use device='cpu' or device='auto'"
        ) from error
    return resolved


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """One thread for little work: several wait longer for one another than they save.

    Parameters
    ----------
    work : int
        Elements of the largest tensor of a step.
    """
    with own_threads(None if work >= WORK_FOR_THREADS else 1):
        yield
