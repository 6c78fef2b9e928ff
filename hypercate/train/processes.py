"""Networks trained by several processes, each of which trains its share of them.

Networks never wait for one another in training, so that processes meet only when a stage of it
ends, to exchange what they found. Lightning Fabric starts the processes and gives each its device.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing import ProcessRaisedException

from hypercate.checkpoints import State
from hypercate.progress import are_shown, bars
from hypercate.threads import own_threads

STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_fork")
_TASK, _RESULT = "task", "result"
R = TypeVar("R")


@dataclass(frozen=True)
class Share:
    """The networks that this process trains.

    Attributes
    ----------
    device : torch.device
        Where it trains them.
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    def of(self, n_nets: int) -> Tensor:
        """Which of the networks are trained here, consecutive ones: bool, (n_nets,), on the CPU."""
        net = torch.arange(n_nets, device="cpu")
        return net * self.size // n_nets == self.rank

    def named(self, name: str) -> str:
        """A name that no other process uses."""
        return name if self.size == 1 else f"{name}_{self.rank}_of_{self.size}"

    def joined(self, compute: Callable[[], State]) -> State:
        """What all processes compute of their networks, one after the other.

        Raises
        ------
        Exception
            The first that any of them met, in all of them.
        """
        if self.size == 1:
            return compute()
        own: State | Exception
        try:
            own = _on(torch.device("cpu"), compute())
        except Exception as error:
            own = error
        each: list[Any] = [None] * self.size
        dist.all_gather_object(each, own)
        for other in each:
            if isinstance(other, Exception):
                raise other
        return _on(self.device, _concatenated(each))


WHOLE = Share(torch.device("cpu"))
"""All networks, by this process alone."""


@dataclass(frozen=True)
class Processes:
    """Where networks are trained: in this process, or in several.

    Attributes
    ----------
    device : torch.device
        Where this process does all else.
    fabric : lightning_fabric.Fabric or None
        None for this process alone.
    together : bool
        Whether each of the processes runs the whole program.
    """

    device: torch.device
    fabric: Any = None
    together: bool = False

    @classmethod
    def of(cls, devices: int | str | list[int] | None, strategy: str, device: torch.device) -> Self:
        """Processes that are started when they are needed, or that were started together.

        Parameters
        ----------
        devices : int, list of int, "auto" or None
            As Fabric takes them; None for this process alone.
        strategy : str
            One of `STRATEGIES`. With ``"auto"``, processes that a launcher such as torchrun started
            train together; else this process starts others, by spawning them, or by forking where
            Python is interactive.
        device : torch.device
            Its kind is that of all devices.

        Raises
        ------
        ImportError
            If Lightning Fabric is not installed.
        ValueError
            If there are no such devices.
        """
        if devices is None:
            return cls(device)
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise ImportError(
                f"devices={devices!r} needs Lightning Fabric: pip install lightning-fabric, or "
                "leave devices out"
            ) from error

        def fabric_of(strategy: str) -> Any:
            try:
                return Fabric(accelerator=device.type, devices=devices, strategy=strategy)
            except (RuntimeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"devices={devices!r} and strategy={strategy!r} cannot be used with the device "
                    f"{device.type!r}: {error}"
                ) from error

        if strategy == "auto" and hasattr(sys, "ps1"):
            strategy = "ddp_fork"
        fabric = fabric_of("ddp" if strategy == "auto" else strategy)
        together = strategy == "ddp"
        if strategy == "auto":
            together = fabric.strategy.cluster_environment.creates_processes_externally
            if not together:
                fabric = fabric_of("ddp_spawn")
        if together:
            fabric.launch()
            return cls(fabric.device, fabric, together=True)
        return cls(device, fabric)

    @property
    def name(self) -> str:
        """Of this process among those that run the same program; empty if there are none."""
        return f"{dist.get_rank()}_of_{dist.get_world_size()}" if self.together else ""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports."""
        return not self.together or dist.get_rank() == 0

    def run(self, function: Callable[..., R], *args: Any) -> R:
        """What a function gives of this process's share of the networks, and of other arguments.

        Its results have to be the same in all processes, as those of `Share.joined` are.
        """
        if self.fabric is None:
            return function(Share(self.device), *args)
        if self.together:
            return function(Share(self.device, dist.get_rank(), dist.get_world_size()), *args)
        with TemporaryDirectory(prefix="hypercate-") as name, _environment():
            folder = Path(name)  # by files, since shared memory is often small, and pipes block
            torch.save((function, args, torch.get_num_threads(), are_shown()), folder / _TASK)
            try:
                self.fabric.launch(_run, folder)
            except ProcessRaisedException as raised:
                raise torch.load(_error(folder, raised.error_index), weights_only=False) from raised
            return torch.load(folder / _RESULT, map_location=self.device, weights_only=False)


def _run(fabric: Any, folder: Path) -> None:
    """Run a task in a process that was started for it; the first one writes the result."""
    function, args, n_threads, shown = torch.load(
        folder / _TASK, map_location="cpu", mmap=True, weights_only=False
    )
    share = Share(fabric.device, fabric.global_rank, fabric.world_size)
    try:
        with bars(shown and share.rank == 0), own_threads(max(1, n_threads // share.size)):
            result = function(share, *args)
    except Exception as error:
        torch.save(error, _error(folder, share.rank))
        raise
    if share.rank == 0:
        torch.save(result, folder / _RESULT)


def _error(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}"


@contextmanager
def _environment() -> Iterator[None]:
    """Leave the variables of the process's environment as they were."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _on(device: torch.device, state: State) -> State:
    return {
        name: _on(device, value) if isinstance(value, dict) else value.detach().to(device)
        for name, value in state.items()
    }


def _concatenated(states: Sequence[State]) -> State:
    """States of the same names, one after the other along the first axis."""
    return {
        name: (
            _concatenated([state[name] for state in states])
            if isinstance(value, dict)
            else torch.cat([state[name] for state in states])
        )
        for name, value in states[0].items()
    }
