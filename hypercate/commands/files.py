"""Which files are meant by the names that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from hypercate.commands.messages import BadData
from hypercate.commands.tables import COMPRESSED, CsvTable, ParquetTable, TableFile

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv")
BLOCK_ROWS = 100_000


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
