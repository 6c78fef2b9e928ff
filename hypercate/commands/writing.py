"""Tables to files, one block at a time; a file is written completely or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pyarrow as pa
from pyarrow import csv, parquet

from hypercate.commands.messages import BadData, about
from hypercate.whole import replacing

WRITERS = {".parquet": parquet.ParquetWriter, ".csv": csv.CSVWriter}


@contextmanager
def table_written(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends a block to a file, which stands at `path` once all is written.

    Parameters
    ----------
    path : Path
        Ending in one of `WRITERS`.
    schema : Schema
        Of every block.
    """
    writer = WRITERS[path.suffix]
    with about(path), undone_by_signals(), replacing(path) as part, writer(part, schema) as file:
        yield file.write_table


@contextmanager
def undone_by_signals() -> Iterator[None]:
    """Leave by SystemExit, which undoes what is under way, where a signal would end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    ending = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, leave) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_out(path: Path, sources: Sequence[Path]) -> None:
    """Refuse an output path that cannot be written or is an input, before the work starts.

    Raises
    ------
    BadData
    """
    if not path.parent.is_dir():
        raise BadData(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise BadData(f"{path} is a folder: name a file in it")
    if path.resolve() in {source.resolve() for source in sources}:
        raise BadData(f"{path} is read by this command: name another file with --out")
