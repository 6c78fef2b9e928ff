"""Files to what ``HyperCATE.fit`` is given: covariates, and the columns that are something else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from hypercate.commands.files import BLOCK_ROWS, rows_known
from hypercate.commands.kinds import (
    NUMBERS,
    check_alike,
    covariates_of,
    kind_of,
    with_plain_text,
)
from hypercate.commands.messages import BadData, about
from hypercate.commands.options import value_of
from hypercate.commands.tables import CsvTable, TableFile
from hypercate.sampling import sample_rows


@dataclass(frozen=True)
class Rows:
    """Rows of files, as a fit takes them.

    Attributes
    ----------
    covariates : DataFrame, shape (n, n_covariates)
    arguments : dict of str to Series, or DataFrame of several outcomes, of n rows
        The other arguments of a fit.
    source : str
        The files, in words.
    n_read : int
        Rows of the files, of which these may be a sample; those of weight 0 too.
    """

    covariates: pd.DataFrame
    arguments: Mapping[str, Any]
    source: str
    n_read: int

    def with_columns(self, said: str) -> str:
        """What is said of arguments of a fit, with the columns that they are."""
        told = [
            f"{argument} is column {values.name!r}"
            for argument, values in self.arguments.items()
            if isinstance(values, pd.Series) and re.search(rf"\b{argument}\b", said)
        ]
        return f"{said} ({', '.join(told)})" if told else said


@dataclass(frozen=True)
class Columns:
    """Which columns of some files are what.

    Attributes
    ----------
    given : dict of str to list of str
        Columns of each argument of a fit but the covariates.
    covariates : list of str
    coded : sequence of str
        Columns whose numbers are codes.
    """

    given: Mapping[str, list[str]]
    covariates: list[str]
    coded: Sequence[str]

    @classmethod
    def of(
        cls,
        files: Sequence[TableFile],
        roles: Mapping[str, str | Sequence[str] | None],
        dropped: Sequence[str],
        coded: Sequence[str],
    ) -> Columns:
        """Look at the columns of all files, before any row is read.

        Parameters
        ----------
        files : sequence of TableFile
        roles : mapping
            Column of each argument of a fit but the covariates, or None; of ``y`` a sequence.
        dropped, coded : sequence of str
            Columns that are no covariates, and columns whose numbers are codes.

        Raises
        ------
        BadData
            If a file cannot be read, lacks a column that is named or that the first file has, or
            has one more.
        """
        given = {
            argument: [columns] if isinstance(columns, str) else list(columns)
            for argument, columns in roles.items()
            if columns
        }
        named = {name for columns in given.values() for name in columns}
        first = files[0]
        first.require([*sorted(named), *dropped, *coded], ", which the options name")
        left_out = {*dropped, *named} | first.labels_of_rows
        covariates = [name for name in first.schema.names if name not in left_out]
        if not covariates:
            raise BadData(f"{first.path} has no column left that could be a covariate")
        known = {*first.schema.names, *dropped}
        for file in files[1:]:
            file.require([*covariates, *sorted(named)], f", which {first.path} has")
            others = [name for name in file.schema.names if name not in known | file.labels_of_rows]
            if others:
                raise BadData(
                    f"{file.path} has a column {others[0]!r}, which {first.path} has not: leave it "
                    "out with --drop, or add it there"
                )
        return cls(given, covariates, coded)

    @property
    def read(self) -> list[str]:
        """All of them."""
        return [
            *self.covariates,
            *dict.fromkeys(name for own in self.given.values() for name in own),
        ]


def rows_of(files: Sequence[TableFile], columns: Columns, sampling: Sampling | None = None) -> Rows:
    """Read the rows of some files, or a sample that stands for them.

    Parameters
    ----------
    files : sequence of TableFile
    columns : Columns
    sampling : Sampling, optional
        Without it all rows are read.

    Raises
    ------
    BadData
        If a file cannot be read, or holds something else in a column than those before it.
    """
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    source = f"{files[0].path}{more}"
    if sampling is not None:
        return _sample_of(files, columns, sampling, source)
    coded = columns.coded
    tables = [_plain(file, file.table(columns.read, _as_text(coded)), coded) for file in files]
    check_alike(files, [table.schema for table in tables])
    with about(source):
        whole = pa.concat_tables(tables, promote_options="permissive")
        arguments = {
            role: _argument(whole.select(names).to_pandas(ignore_metadata=True))
            for role, names in columns.given.items()
        }
        X = covariates_of(whole.select(columns.covariates))
    return Rows(X, arguments, source, len(X))


@dataclass(frozen=True)
class Sampling:
    """How many rows are sampled, and how.

    Attributes
    ----------
    max_rows : int
    seed : int or None
    by_arm : bool
        Whether each arm has as many places as any other.
    verbose : bool
        Whether a bar is shown.
    """

    max_rows: int
    seed: int | None
    by_arm: bool
    verbose: bool


def _sample_of(
    files: Sequence[TableFile], columns: Columns, sampling: Sampling, source: str
) -> Rows:
    """A sample of rows that are read a block at a time."""
    given, coded = columns.given, columns.coded
    n_read = 0

    def blocks() -> Iterator[pd.DataFrame]:
        nonlocal n_read
        for file in files:
            types = _as_floats(file, columns.covariates) | _as_text(coded)
            for block in file.blocks(columns.read, types, BLOCK_ROWS):
                yield covariates_of(_plain(file, block, coded))
                n_read += len(block)

    def column(role: str) -> str | None:
        return given[role][0] if role in given else None

    empty = (file.schema.empty_table().select(columns.read) for file in files)
    schemas = [_plain(file, table, coded).schema for file, table in zip(files, empty, strict=True)]
    check_alike(files, schemas)
    with about(source):
        sample = sample_rows(
            blocks(),
            column("treatment") if sampling.by_arm else None,
            max_rows=sampling.max_rows,
            weight=column("sample_weight"),
            groups=column("groups"),
            random_state=sampling.seed,
            total=rows_known(files),
            verbose=sampling.verbose,
        )
    rows = sample.rows.reset_index(drop=True)
    arguments = {role: _argument(rows[names]) for role, names in given.items()}
    if len(rows) < n_read:
        arguments["sample_weight"] = sample.weight.reset_index(drop=True)
    return Rows(rows[columns.covariates], arguments, source, n_read)


def _as_text(coded: Sequence[str]) -> dict[str, pa.DataType]:
    return dict.fromkeys(coded, pa.string())


def _as_floats(file: TableFile, covariates: Sequence[str]) -> dict[str, pa.DataType]:
    """Types of numbers in CSV: of whole ones in the first rows, later ones may have decimals."""
    numbers = (name for name in covariates if kind_of(file.schema.field(name).type) == NUMBERS)
    return dict.fromkeys(numbers, pa.float64()) if isinstance(file, CsvTable) else {}


def _plain(file: TableFile, table: pa.Table, coded: Sequence[str]) -> pa.Table:
    """A table with text of one type, and codes as text."""
    with about(file.path):
        table = with_plain_text(table)
    for name in coded:
        with about(f"{file.path}, column {name!r}"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
    return table


def label_as_held(text: str, labels: pd.Series) -> Any:
    """A label as its column holds it: a number or a boolean where that holds such."""
    return value_of(text) if labels.dtype.kind in "biuf" else text


def _argument(frame: pd.DataFrame) -> pd.Series | pd.DataFrame:
    """A column as a series, several as a frame."""
    return frame if frame.shape[1] > 1 else frame.iloc[:, 0]
