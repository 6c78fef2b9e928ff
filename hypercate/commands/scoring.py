"""Predictions of a fitted model for the rows of files, as one table per block of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from hypercate import HyperCATE
from hypercate.answers.table import AnswerTable
from hypercate.commands.kinds import (
    NOTHING,
    check_alike,
    check_as_fitted,
    covariates_of,
    kind_of,
    with_plain_text,
)
from hypercate.commands.messages import BadData, about
from hypercate.commands.tables import ParquetTable, TableFile
from hypercate.encoding.columns import CategoryColumn


@dataclass(frozen=True)
class Scores:
    """Effects of every row of some files, in their order, next to columns that identify the rows.

    Attributes
    ----------
    answers : AnswerTable
    files : sequence of TableFile
    is_text : dict of str to bool
        Whether the model saw text or categories, or else numbers, in each of its columns.
    ids : dict of str to DataType
        Columns that are copied.
    """

    answers: AnswerTable
    files: Sequence[TableFile]
    is_text: Mapping[str, bool]
    ids: Mapping[str, pa.DataType]

    @classmethod
    def of(
        cls,
        est: HyperCATE,
        files: Sequence[TableFile],
        ids: list[str],
        interval: float | None,
        outcomes: bool,
    ) -> Scores:
        """Look at the columns of all files, before any row is read.

        Raises
        ------
        BadData
            If a file lacks a column, a column is of another kind than the model or a file before
            it has, or the model has no names of columns.
        """
        features = est.fitted_.features
        if features.feature_names_in_ is None:
            raise BadData(
                "the model was fitted to an array, and has no names by which to find columns in a "
                "file: fit it to a frame"
            )
        is_text = {column.name: isinstance(column, CategoryColumn) for column in features.columns}
        if twice := [name for name in ids if ids.count(name) > 1]:
            raise BadData(f"--id {twice[0]!r} is given twice")
        for file in files:
            check_as_fitted(file, is_text, typed=isinstance(file, ParquetTable))
            file.require(ids, ", as --id says")
        kept = [_as_copied(file, ids) for file in files]
        check_alike(files, kept)
        types = {
            name: next(
                (s.field(name).type for s in kept if kind_of(s.field(name).type) != NOTHING),
                pa.string(),
            )
            for name in ids
        }
        answers = AnswerTable(est, interval, outcomes)
        if taken := [name for name in ids if name in answers.names]:
            raise BadData(f"--id {taken[0]!r} is the name of what is predicted: rename the column")
        return cls(answers, files, is_text, types)

    @property
    def schema(self) -> pa.Schema:
        """Columns of every block: those that are copied, then answers."""
        return pa.schema(
            [*self.ids.items(), *((name, pa.float64()) for name in self.answers.names)]
        )

    def blocks(self, rows: int) -> Iterator[pa.Table]:
        """Tables of so many rows each at most."""
        read = self._read | {name: of for name, of in self.ids.items() if name not in self._read}
        for file in self.files:
            first = 0
            for block in file.blocks(list(read), read, rows):
                with about(f"{file.path}, in rows {first} to {first + len(block) - 1}"):
                    yield self._scored(block)
                first += len(block)

    def some_rows(self, most: int, block_rows: int) -> pd.DataFrame:
        """Covariates of so many rows at most, at even distances among all of them."""
        kept: list[pd.DataFrame] = []
        every, first = 1, 0
        for file in self.files:
            for block in file.blocks(list(self._read), self._read, block_rows):
                own = np.arange(-first % every, len(block), every)
                kept.append(self.covariates(block.take(own)))
                first += len(block)
                while sum(map(len, kept)) > most:
                    kept = [pd.concat(kept).iloc[::2]]
                    every *= 2
        return pd.concat(kept, ignore_index=True)

    def covariates(self, block: pa.Table) -> pd.DataFrame:
        """Rows as the model takes them."""
        table = with_whole_numbers_as_text(block.select(list(self.is_text)), self.is_text)
        return covariates_of(table)

    def _scored(self, block: pa.Table) -> pa.Table:
        copied = [
            with_plain_text(block.select([name])).column(0).cast(of)
            for name, of in self.ids.items()
        ]
        answers = self.answers.values(self.covariates(block))
        columns = [*copied, *(pa.array(answer) for answer in answers.T)]
        return pa.Table.from_arrays(columns, schema=self.schema)

    @property
    def _read(self) -> dict[str, pa.DataType]:
        """Types in which the covariates are read."""
        return {name: pa.string() if text else pa.float64() for name, text in self.is_text.items()}


def with_whole_numbers_as_text(table: pa.Table, is_text: Mapping[str, bool]) -> pa.Table:
    """Whole numbers as text where the model saw text: a code is a level, however it is kept."""
    for place, (name, text) in enumerate(is_text.items()):
        if text and pa.types.is_integer(table.schema.field(name).type):
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
    return table


def _as_copied(file: TableFile, ids: Sequence[str]) -> pa.Schema:
    """Types of columns to copy: of CSV as they are written, so that 007 stays 007."""
    schema = pa.schema([file.schema.field(name) for name in ids])
    if not isinstance(file, ParquetTable):
        return pa.schema([(name, pa.string()) for name in ids])
    plain = with_plain_text(schema.empty_table()).schema
    return pa.schema(
        [(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in plain]
    )
