"""What a fit has trained so far, in a folder from which the same fit goes on if it was ended.

Networks in training are what a fit spends its time on, and all that is kept: the rest takes less
than a fifth of the time, and is computed anew when the fit is called again, with the same results.
The folder holds ``fit.json``, which says of which fit it is, and a sealed file
(`hypercate.sealed`) for each stage of training, with its state after an epoch. A file is replaced
once the next one is whole, so that there is a state to go on from whenever the process ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from torch import Tensor

from hypercate.progress import LOG
from hypercate.sealed import checked_header, sealed
from hypercate.whole import replacing

State: TypeAlias = dict[str, Any]
"""Tensors by their names, or further states."""

EVERY = 30.0
_FIT = "fit.json"
_OURS = re.compile(r"(fit\.json|\d\d-\w+\.safetensors)(\.[0-9a-f]{8})?")  # the last: half-written
_LEVEL = "/"
_LONGEST = 60  # text that a message repeats
_ANEW = "Delete the folder to start anew"


class Checkpoint:
    """Where a fit keeps what it has trained, stage by stage.

    Parameters
    ----------
    folder : path-like or None
        Made if it is not there; None keeps nothing.
    every : float
        Seconds after which a stage under way is kept again; its end is kept in any case.

    Notes
    -----
    Passed to ``HyperCATE.fit`` in place of a folder, it keeps what was trained until `clear`.
    """

    def __init__(self, folder: str | os.PathLike | None = None, every: float = EVERY) -> None:
        self.folder = None if folder is None else Path(folder)
        self.every = every
        self._own = self.folder
        self._fit, self._n_stages, self._kept_at = "", 0, 0.0

    @classmethod
    def of(cls, value: Any) -> Self:
        """What ``HyperCATE.fit`` was given, as a checkpoint.

        Raises
        ------
        TypeError
            If it is no path.
        """
        if isinstance(value, cls):
            return value
        if value is not None and not isinstance(value, str | os.PathLike):
            raise TypeError(f"checkpoint={value!r} must be the path of a folder")
        return cls(value)

    def begin(self, of: Callable[[], Mapping[str, str]], process: str = "") -> None:
        """Begin a fit, or one that goes on.

        Parameters
        ----------
        of : callable
            Gives what the fit is of, as `hypercate.identity.identity_of` does, if it is asked for.
        process : str, optional
            Name of a folder within for this process, where others run the same fit.

        Raises
        ------
        ValueError
            If the folder is of another fit.
        OSError
            If nothing can be written there.
        """
        if self.folder is None:
            return
        identity = of()
        text = json.dumps(identity, indent=1)
        self._fit, self._n_stages, self._kept_at = _digest(text.encode()), 0, monotonic()
        self._own = self.folder / process
        path = self._own / _FIT
        with _said_of(self._own):
            self._own.mkdir(parents=True, exist_ok=True)
            _remove(self._own, lambda name: not name.endswith((".json", ".safetensors")))
        if path.exists():
            self._compare(path, identity)
        else:
            self._write(path, text.encode())

    def next_stages(self) -> str:
        """What names of the next stages begin with; a fit has them in the same order each time."""
        self._n_stages += 1
        return f"{self._n_stages - 1:02}"

    def stage(self, name: str, inputs: Sequence[Tensor | np.ndarray | None]) -> Stage:
        """A stage of training.

        Parameters
        ----------
        name : str
            That no other stage of the fit has.
        inputs : sequence of Tensor, ndarray or None
            That it works on: should they differ when the fit goes on, its state is refused.
        """
        if self._own is None:
            return Stage(self, Path(), {})
        path = self._own / f"{name}.safetensors"
        return Stage(self, path, {"fit": self._fit, "inputs": digest(inputs)})

    def clear(self) -> None:
        """Remove what was kept; the folder stays."""
        if self._own is not None:
            _remove(self._own, lambda name: name != _FIT)
            _remove(self._own, lambda name: True)

    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return monotonic() - self._kept_at >= self.every

    def keep(self, path: Path, data: bytes) -> None:
        """Put a file in the place of the one before."""
        self._write(path, data)
        self._kept_at = monotonic()

    def _write(self, path: Path, data: bytes) -> None:
        with _said_of(path), replacing(path) as part:
            part.write_bytes(data)

    def _compare(self, path: Path, identity: Mapping[str, str]) -> None:
        try:
            before = dict(json.loads(path.read_bytes()))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged. {_ANEW}") from error
        differing = [
            name if len(value) > _LONGEST else f"{name} ({before.get(name)} there, {value} here)"
            for name, value in identity.items()
            if before.get(name) != value
        ]
        if differing:
            raise ValueError(
                f"the checkpoint in {self.folder} is of another fit: they differ in "
                f"{', '.join(differing)}. Pass what was passed there, name another folder, or "
                "delete it to start anew"
            )


class Stage:
    """A stage of training: its state, as it was kept and is to be kept.

    Parameters
    ----------
    checkpoint : Checkpoint
    path : Path
        Of its file.
    of : dict of str
        What the state is of; empty where nothing is kept.
    """

    def __init__(self, checkpoint: Checkpoint, path: Path, of: Mapping[str, str]) -> None:
        self._checkpoint, self._path, self._of = checkpoint, path, of

    def restore(self, device: torch.device) -> State | None:
        """The state that was kept last, on a device, or None.

        Raises
        ------
        ValueError
            If the file is damaged, or the state is of other networks or rows.
        """
        if not self._of or not self._path.exists():
            return None
        data = self._path.read_bytes()
        header = checked_header(data, self._path, "a state of a fit", _ANEW)
        try:
            of = json.loads(json.loads(header)["__metadata__"]["hypercate"])
            tensors = read_tensors(data)
        except (LookupError, SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{self._path} is not a state of a fit. {_ANEW}") from error
        if of != self._of:
            raise ValueError(
                f"{self._path} is of networks that were trained on something else. Propensities, "
                "trees or a model_propensity or model_outcome without a random_state came out "
                f"otherwise then, on this machine or another. {_ANEW}"
            )
        LOG.info("goes on from %s", self._path)
        return _nested(
            {name: torch.tensor(array, device=device) for name, array in tensors.items()}
        )

    def save(self, state: Callable[[], State], final: bool) -> None:
        """Keep a state if it is the final one or it is time to.

        Parameters
        ----------
        state : callable
            Gives it, if it is to be kept.
        final : bool

        Raises
        ------
        OSError
            If it cannot be written; what was kept before stays.
        """
        if self._of and (final or self._checkpoint.due()):
            tensors = {name: tensor.cpu().numpy() for name, tensor in _flat(state())}
            self._checkpoint.keep(self._path, sealed(tensors, json.dumps(self._of)))


NOWHERE = Checkpoint()
"""Keeps nothing."""


def digest(arrays: Sequence[Tensor | np.ndarray | None]) -> str:
    """A number of the bits of some arrays."""
    total = hashlib.sha256()
    for array in arrays:
        if array is None:
            total.update(b"none")
        else:
            own = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
            total.update(f"{own.dtype} {own.shape}".encode())
            total.update(np.ascontiguousarray(own).data)
    return total.hexdigest()


def _remove(folder: Path, which: Callable[[str], bool]) -> None:
    """Remove files of ours, and no others."""
    for path in sorted(folder.glob("*"), reverse=True):
        if _OURS.fullmatch(path.name) and which(path.name):
            path.unlink(missing_ok=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flat(state: State, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors by the names of all states that they are in."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}{_LEVEL}")
        else:
            yield f"{prefix}{name}", value.detach()


def _nested(flat: Mapping[str, Tensor]) -> State:
    """What `_flat` was given."""
    state: State = {}
    for name, tensor in flat.items():
        *parents, last = name.split(_LEVEL)
        within = state
        for parent in parents:
            within = within.setdefault(parent, {})
        within[last] = tensor
    return state


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Errors of the system that say what could not be done, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"no checkpoint can be written to {path}: {error.strerror}. Make room, or name another "
            "folder; what was kept before stays, and a fit that is called again goes on from it",
        ) from error
