"""A file that holds a table: its columns, and its rows at once or in blocks."""

from __future__ import annotations

import bz2
import gzip
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from hypercate.commands.kinds import BOOLEANS, kind_of
from hypercate.commands.messages import BadData, about
from hypercate.encoding.checks import listed

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress}
BUFFER_BYTES = 2**20  # read of each column at a time
CSV_BYTES = 2**22  # parsed at a time
NOT_UTF8 = "is not in UTF-8: write the file in this encoding"


@dataclass(frozen=True)
class TableFile(ABC):
    """A file that holds a table; what is raised of it names it.

    What is said of a file before its rows are read has to hold while they are: a file that has
    changed since it was looked at first is refused.
    """

    path: Path

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of its columns; of CSV, types as its first rows have them."""
        with self._reading():
            schema = self._read_schema()
        twice = {name for name in schema.names if schema.names.count(name) > 1}
        if twice:
            raise BadData(f"{self.path} has more than one column named {min(twice)!r}: rename one")
        return schema

    @property
    def n_rows(self) -> int | None:
        """Rows of it, where that is known before it is read."""
        return None

    @property
    @abstractmethod
    def rows_about(self) -> int:
        """Rows of it, or as many as its size lets expect."""

    @property
    def labels_of_rows(self) -> set[str]:
        """Columns that were the index of a pandas frame, and no columns of it."""
        return set()

    def require(self, names: Iterable[str], what: str = "") -> None:
        """Refuse a file that lacks a column; `what` it is for ends the sentence."""
        missing = [name for name in names if name not in self.schema.names]
        if missing:
            raise BadData(
                f"{self.path} has no column {missing[0]!r}{what}: it has "
                f"{listed(map(repr, self.schema.names))}"
            )

    @abstractmethod
    def table(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Some columns of all rows; those of `types`, if this is CSV, read as of them."""

    @abstractmethod
    def blocks(
        self, names: Sequence[str], types: Mapping[str, pa.DataType], rows: int
    ) -> Iterator[pa.Table]:
        """The same, so many rows at a time, in their order."""

    @abstractmethod
    def _read_schema(self) -> pa.Schema: ...

    @abstractmethod
    def _worded(self, said: str) -> str:
        """What the reader said of the file's content, and what to do."""

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Name the file in what is raised of it inside, and refuse it if it has changed."""
        self._check_unchanged()
        try:
            with about(self.path, self._worded):
                yield
        except BadData:
            self._check_unchanged()
            raise
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        with about(self.path):
            same = _state_of(self.path) == self._state
        if not same:
            raise BadData(
                f"{self.path} was changed while it was read: run this again once it stays as it is"
            )

    @cached_property
    def _state(self) -> tuple[int, ...]:
        """By which a file is known again, as it was looked at first."""
        return _state_of(self.path)


class ParquetTable(TableFile):
    """Parquet: read a page at a time, however large its groups of rows are.

    Checksums of pages are compared, where the file has them.
    """

    @property
    def n_rows(self) -> int:
        with self._reading():
            return parquet.read_metadata(self.path).num_rows

    @property
    def rows_about(self) -> int:
        return self.n_rows

    @property
    def labels_of_rows(self) -> set[str]:
        with self._reading():
            known = self.schema.pandas_metadata or {}
        return {name for name in known.get("index_columns", ()) if isinstance(name, str)}

    def table(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        with self._reading(), self._opened() as file:
            return _sound(file.read(columns=list(names)).select(names))

    def blocks(
        self, names: Sequence[str], types: Mapping[str, pa.DataType], rows: int
    ) -> Iterator[pa.Table]:
        with (
            self._reading(),
            self._opened(buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
        ):
            for block in _in_blocks(file.iter_batches(rows, columns=list(names)), rows):
                yield _sound(block.select(names))

    def _read_schema(self) -> pa.Schema:
        return parquet.read_schema(self.path)

    def _opened(self, **options: Any) -> parquet.ParquetFile:
        return parquet.ParquetFile(self.path, page_checksum_verification=True, **options)

    def _worded(self, said: str) -> str:
        return f"{said.rstrip('.')}. It may be damaged or cut short: write or copy it again"


def _sound(table: pa.Table) -> pa.Table:
    """A table of Parquet whose values are what their types say, without what pandas says of it."""
    table.validate(full=True)
    return table.replace_schema_metadata()


class CsvTable(TableFile):
    """Comma-separated (or by the ending .tsv, tab-separated) values below a line of names."""

    @property
    def rows_about(self) -> int:
        with self._reading(), pa.input_stream(str(self.path)) as stream:
            first = stream.read(BUFFER_BYTES)
        n_lines = first.count(b"\n")
        if len(first) < BUFFER_BYTES:
            return max(0, n_lines - first.endswith(b"\n"))
        compress = COMPRESSED.get(self.path.suffix)
        taken = len(compress(first) if compress else first)
        return round(n_lines * self.path.stat().st_size / taken)

    def table(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        with self._reading():
            table = csv.read_csv(
                self.path,
                parse_options=self._parsing,
                convert_options=_conversion(names, types),
            )
            self._check_text(table.schema)
            self._check_whole()
        return table

    def blocks(
        self, names: Sequence[str], types: Mapping[str, pa.DataType], rows: int
    ) -> Iterator[pa.Table]:
        with self._reading():
            types = {name: self._written(name, of) for name, of in types.items()}
            with csv.open_csv(
                self.path,
                read_options=csv.ReadOptions(block_size=CSV_BYTES),
                parse_options=self._parsing,
                convert_options=_conversion(names, types),
            ) as reader:
                self._check_text(reader.schema)
                yield from _in_blocks(reader, rows)
            self._check_whole()

    def _written(self, name: str, of: pa.DataType) -> pa.DataType:
        """Numbers may be written as True and False."""
        found = self.schema.field(name).type
        return found if pa.types.is_floating(of) and kind_of(found) == BOOLEANS else of

    def _worded(self, said: str) -> str:
        """Arrow's words, in which a column is a number, with its name."""
        found = re.search(
            r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (.*)", said
        )
        if not found:
            return f"{said.rstrip('.')}. Correct it, or write it again if it was cut short"
        type_, _, what = found[2].partition(": ")
        column = f"column {self.schema.names[int(found[1])]!r}"
        if "UTF8" in what:
            return f"{column} {NOT_UTF8}"
        if type_ == "null":
            return (
                f"{column} is empty in the first rows, and what it holds cannot be told: write the "
                "file as Parquet, which says so, or leave the column out (--drop)"
            )
        return (
            f"{column}: {what}, where others are of type {type_}: correct it, leave it empty, or "
            "fit the column as text (--category)"
        )

    def _check_text(self, schema: pa.Schema) -> None:
        for name, type_ in zip(schema.names, schema.types, strict=True):
            if pa.types.is_binary(type_):
                raise BadData(f"{self.path}: column {name!r} {NOT_UTF8}")

    def _check_whole(self) -> None:
        """Warn of a last line without an end: that is how a file looks that was cut short."""
        if self.path.suffix in COMPRESSED:
            return
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() not in b"\r\n":
                warnings.warn(
                    f"{self.path} does not end with the end of a line: if it was cut short, its "
                    "last row and those after it are not whole",
                    stacklevel=2,
                )

    def _read_schema(self) -> pa.Schema:
        with csv.open_csv(
            self.path, parse_options=self._parsing, convert_options=_conversion()
        ) as reader:
            return reader.schema

    @property
    def _parsing(self) -> csv.ParseOptions:
        return csv.ParseOptions(
            delimiter="\t" if ".tsv" in self.path.suffixes else ",", newlines_in_values=True
        )


def _state_of(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _conversion(
    names: Sequence[str] = (), types: Mapping[str, pa.DataType] | None = None
) -> csv.ConvertOptions:
    return csv.ConvertOptions(
        include_columns=list(names), column_types=types or {}, strings_can_be_null=True
    )


def _in_blocks(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Batches of any sizes as tables of so many rows each; the last one has what is left."""
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        held, n = [*held, batch], n + len(batch)
        while n >= rows:
            table = pa.Table.from_batches(held)
            yield table.slice(0, rows)
            held, n = table.slice(rows).to_batches(), n - rows
    if n:
        yield pa.Table.from_batches(held)
