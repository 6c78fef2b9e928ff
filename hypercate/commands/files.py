"""Files of tables: which are meant, what columns they have, whole or in blocks of rows."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from hypercate.commands.kinds import BOOLEANS, kind_of
from hypercate.commands.messages import BadData, about
from hypercate.encoding.checks import listed

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv")
COMPRESSED = (".gz", ".bz2")
BLOCK_ROWS = 100_000
BUFFER_BYTES = 2**20  # read of each column at a time
CSV_BYTES = 2**22  # parsed at a time


@dataclass(frozen=True)
class TableFile(ABC):
    """A file that holds a table; what is raised of it names it."""

    path: Path

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of its columns; of CSV, types as its first rows have them."""
        with about(self.path):
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


class ParquetTable(TableFile):
    """Parquet: read a page at a time, however large its groups of rows are."""

    @property
    def n_rows(self) -> int:
        with about(self.path):
            return parquet.read_metadata(self.path).num_rows

    @property
    def labels_of_rows(self) -> set[str]:
        known = self.schema.pandas_metadata or {}
        return {name for name in known.get("index_columns", ()) if isinstance(name, str)}

    def table(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        with about(self.path), parquet.ParquetFile(self.path) as file:
            return file.read(columns=list(names)).select(names)

    def blocks(
        self, names: Sequence[str], types: Mapping[str, pa.DataType], rows: int
    ) -> Iterator[pa.Table]:
        with (
            about(self.path),
            parquet.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
        ):
            for block in _in_blocks(file.iter_batches(rows, columns=list(names)), rows):
                yield block.select(names)

    def _read_schema(self) -> pa.Schema:
        return parquet.read_schema(self.path)


class CsvTable(TableFile):
    """Comma-separated (or by the ending .tsv, tab-separated) values below a line of names."""

    def table(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        with self._named_columns():
            return csv.read_csv(
                self.path,
                parse_options=self._parsing,
                convert_options=_conversion(names, types),
            )

    def blocks(
        self, names: Sequence[str], types: Mapping[str, pa.DataType], rows: int
    ) -> Iterator[pa.Table]:
        with self._named_columns():
            types = {name: self._written(name, of) for name, of in types.items()}
            with csv.open_csv(
                self.path,
                read_options=csv.ReadOptions(block_size=CSV_BYTES),
                parse_options=self._parsing,
                convert_options=_conversion(names, types),
            ) as reader:
                yield from _in_blocks(reader, rows)

    def _written(self, name: str, of: pa.DataType) -> pa.DataType:
        """Numbers may be written as True and False."""
        found = self.schema.field(name).type
        return found if pa.types.is_floating(of) and kind_of(found) == BOOLEANS else of

    def _named_columns(self) -> AbstractContextManager[None]:
        return about(self.path, self._with_name)

    def _with_name(self, said: str) -> str:
        """Arrow's words, in which a column is a number, with its name."""
        return re.sub(
            r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to \w+",
            lambda found: f"column {self.schema.names[int(found[1])]!r}",
            said,
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


def tables_named(names: Sequence[str]) -> list[TableFile]:
    """The files that are meant, in the order in which they are read.

    Parameters
    ----------
    names : sequence of str
        Files, folders and globs, in the order given; files of a folder and of a glob in that of
        their names.

    Raises
    ------
    BadData
        If there is no such file, one is named twice, or one is by its name neither CSV nor Parquet.
    """
    paths = [path for name in names for path in _paths(name)]
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise BadData(f"{path} is named twice: its rows would count twice")
        seen.add(path.resolve())
    return [_table(path) for path in paths]


def rows_known(files: Sequence[TableFile]) -> int | None:
    """Rows of all files, where that is known before they are read."""
    known = [file.n_rows for file in files]
    return None if None in known else sum(filter(None, known))


def _paths(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if _format(file) and file.is_file())
        if not found:
            raise BadData(f"{name} is a folder without a file of CSV or Parquet")
        return found
    if path.exists() or not any(sign in name for sign in "*?["):
        return [path]
    found = sorted(map(Path, glob(name, recursive=True)))
    if not found:
        raise BadData(f"{name}: no file has such a name")
    return found


def _format(path: Path) -> type[TableFile] | None:
    ending = (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix.lower()
    if path.name.startswith((".", "_")):
        return None
    return ParquetTable if ending in PARQUET else CsvTable if ending in CSV else None


def _table(path: Path) -> TableFile:
    if not path.exists():
        raise BadData(f"{path}: no such file")
    kind = _format(path)
    if kind is None:
        endings = ", ".join((*PARQUET, *CSV))
        raise BadData(f"{path} is neither CSV nor Parquet by its name, which must end in {endings}")
    return kind(path)
