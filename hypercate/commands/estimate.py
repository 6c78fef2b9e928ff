"""What a fit or a prediction will take, told before it starts.

Memory and time of fits are those of a few constants, measured on an AMD EPYC without a GPU, on
one and two threads, with numbers of 4 bytes in Parquet; ``benchmarks/large_files.py`` compares them
with fits. When training stops is not known before, and machines differ: hence a range of time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from hypercate import HyperCATE
from hypercate.commands.messages import say
from hypercate.commands.reading import Columns
from hypercate.commands.scoring import Scores
from hypercate.commands.tables import ParquetTable, TableFile
from hypercate.threads import own_threads
from hypercate.train.device import resolve_device

MIB, GIB = 2.0**20, 2.0**30
START_SECONDS, START_MIB = 4.0, 450.0  # Python, and what it imports
EPOCH_ROWS = 65_536  # that training meets in an epoch, at most
TRAINING_SECONDS, TRAINING_POWER = 0.04, 0.75
TRAINING_MIB = 1.4
TREE_ROWS, TREE_SECONDS = 200_000, 1e-5  # rows of an arm, at most; of a value
EFFORTS = {"instant": 0.1, "fast": 0.5, "balanced": 1.0, "thorough": 1.8}
THREADS_POWER = 0.4  # two threads are faster by a third
READ_SECONDS, KEPT_SECONDS = 4e-8, 8e-7  # of a value that is read, and that is fitted
KEPT_BYTES = 18.0  # of a value that is fitted, beside twice its own
TEXT_BYTES = 16.0
LOWER, UPPER = 0.6, 1.6  # times the estimate: what is told
FEWEST = 1000  # rows of a sample that is advised
FIRST_ROWS = 10_000  # that are looked at for the number of arms
TRIED_ROWS, TRIED_SHARE = 2000, 20  # predicted on trial, where there are so many times as many
PREDICTION_MIB, PREDICTED_BYTES = 570.0, 25.0  # without rows, and of a value of a block


@dataclass(frozen=True)
class Estimate:
    """What is to be expected.

    Attributes
    ----------
    n_rows, n_used, n_columns, n_files, n_threads : int
        Rows of the files, and of those the ones that are fitted or predicted.
    counted : bool
        Whether the rows were counted; else they are told from the sizes of files.
    memory : float
        Bytes, at the peak.
    row_memory : float
        Bytes of them that a row more takes.
    seconds : tuple of two floats, or None
        From and to, where it is known.
    """

    n_rows: int
    n_used: int
    n_columns: int
    n_files: int
    n_threads: int
    counted: bool
    memory: float
    row_memory: float
    seconds: tuple[float, float] | None

    def __str__(self) -> str:
        about = "" if self.counted else "about "
        files = "1 file" if self.n_files == 1 else f"{self.n_files} files"
        sample = f"; the fit uses a sample of {self.n_used:,}" if self.n_used < self.n_rows else ""
        on = "1 thread" if self.n_threads == 1 else f"{self.n_threads} threads"
        lasting = "" if self.seconds is None else f" and {_duration(*self.seconds)} on {on}"
        return (
            f"{about}{self.n_rows:,} rows of {self.n_columns} covariates in {files}{sample}. "
            f"Expect about {self.memory / GIB:.1f} GiB of memory{lasting}"
        )

    def shortage(self, available: float | None) -> str | None:
        """A warning, and what would fit, if so many bytes are too few."""
        if available is None or self.memory <= available:
            return None
        fits = 0
        if self.row_memory:
            fits = int(self.n_used - (self.memory - 0.9 * available) / self.row_memory)
        fits = math.floor(fits / (digit := 10 ** max(0, len(str(fits)) - 2))) * digit
        advice = f": --max-rows {fits} would fit a sample in it" if fits >= FEWEST else ""
        return (
            f"about {self.memory / GIB:.1f} GiB of memory are expected to be needed, and "
            f"{available / GIB:.1f} GiB are available{advice}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "rows": self.n_rows,
            "rows_are_counted": self.counted,
            "rows_used": self.n_used,
            "threads": self.n_threads,
            "memory_mib": round(self.memory / MIB),
            "seconds": None if self.seconds is None else [round(s, 1) for s in self.seconds],
        }

    def tell(self, command: str) -> list[str]:
        """Say it, and what is to be warned of, which is given back."""
        say(command, self)
        short = self.shortage(memory_available())
        if short is not None:
            say(command, f"warning: {short}")
        return [] if short is None else [short]


def of_fit(
    files: Sequence[TableFile],
    columns: Columns,
    est: HyperCATE,
    max_rows: int | None,
    *,
    timed: bool,
) -> Estimate:
    """What a fit will take.

    Training takes 0.04 seconds times rows ** 0.75, of 65,536 rows at most, and times the root of
    half the arms; trees go with the values, of 200,000 rows of an arm at most; both go with effort.
    Memory is that of Python, of training, which goes with the root of rows times arms, and of
    values: once as they are read, once as a frame, and as arrays.

    Parameters
    ----------
    files : sequence of TableFile
    columns : Columns
    est : HyperCATE
    max_rows : int or None
    timed : bool
        Whether time is to be told. It is not, either, of what was not measured: doses, several
        outcomes, and other devices than the processor.
    """
    n_rows = sum(file.rows_about for file in files)
    n_used = n_rows if max_rows is None else min(n_rows, max_rows)
    n_columns = len(columns.covariates)
    doses = est.treatment_kind == "dose"
    n_arms = 2 if doses else _arms(files[0], columns.given["treatment"])
    trained = min(n_used, EPOCH_ROWS)
    row_memory = n_columns * KEPT_BYTES + 2 * _bytes(files[0], columns.covariates)
    memory = MIB * (START_MIB + TRAINING_MIB * math.sqrt(n_arms * trained))
    training = TRAINING_SECONDS * trained**TRAINING_POWER * math.sqrt(n_arms / 2)
    trees = TREE_SECONDS * min(n_used, TREE_ROWS * n_arms) * n_columns
    with own_threads(est.n_jobs) as n_threads:
        faster = n_threads**THREADS_POWER
    seconds = START_SECONDS + EFFORTS[est.effort] * (training + trees) / faster
    seconds += n_columns * (n_rows * READ_SECONDS + n_used * KEPT_SECONDS)
    known = timed and not doses and len(columns.given["y"]) == 1
    known = known and resolve_device(est.device).type == "cpu"
    return Estimate(
        n_rows,
        n_used,
        n_columns,
        len(files),
        n_threads,
        all(isinstance(file, ParquetTable) for file in files),
        memory + n_used * row_memory,
        row_memory,
        _around(seconds) if known else None,
    )


def of_prediction(scores: Scores, block_rows: int) -> Estimate:
    """What predictions will take, so many rows at a time; time, by some rows on trial."""
    n_rows = sum(file.rows_about for file in scores.files)
    seconds = None
    if n_rows >= TRIED_SHARE * TRIED_ROWS:
        blocks = scores.blocks(TRIED_ROWS)
        next(blocks)  # the first takes longer
        start = time.perf_counter()
        n_tried = len(next(blocks, ()))
        tried = time.perf_counter() - start
        seconds = _around(tried * n_rows / n_tried) if n_tried else None
    row_memory = PREDICTED_BYTES * len(scores.is_text)
    return Estimate(
        n_rows,
        n_rows,
        len(scores.is_text),
        len(scores.files),
        torch.get_num_threads(),
        all(isinstance(file, ParquetTable) for file in scores.files),
        MIB * PREDICTION_MIB + min(n_rows, block_rows) * row_memory,
        0.0,
        seconds,
    )


def _around(seconds: float) -> tuple[float, float]:
    return LOWER * seconds, UPPER * seconds


def _bytes(file: TableFile, names: Sequence[str]) -> float:
    """Of these columns of a row."""
    types = [file.schema.field(name).type for name in names]
    return sum(
        type_.bit_width / 8 if pa.types.is_primitive(type_) else TEXT_BYTES for type_ in types
    )


def _arms(file: TableFile, treatment: Sequence[str]) -> int:
    """Arms among the first rows, and 2 at least."""
    first = next(file.blocks(treatment, {}, FIRST_ROWS), None)
    return 2 if first is None else max(2, len(first.column(0).unique()))


def memory_available() -> float | None:
    """Bytes that the system, and the group of processes that this one is in, can still give."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * float(line.split()[1]))
    except OSError:
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found.append(float((Path("/sys/fs/cgroup") / name).read_text()))
        except (OSError, ValueError):  # none, or no limit
            continue
    return min(found, default=None)


def _duration(lower: float, upper: float) -> str:
    """A range of seconds in words, such as 4 to 8 minutes."""
    size, unit = next(
        (size, unit)
        for size, unit in ((1, "second"), (60, "minute"), (3600, "hour"))
        if upper < 120 * size or unit == "hour"
    )
    first, last = (max(1, round(seconds / size)) for seconds in (lower, upper))
    return f"about 1 {unit}" if last == 1 else f"{first} to {last} {unit}s"
