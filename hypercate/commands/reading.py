"""Files to what ``HyperCATE.fit`` is given: covariates, and the columns that are something else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from hypercate.commands.files import TableFile
from hypercate.commands.kinds import check_alike, with_plain_text
from hypercate.commands.messages import BadData, about
from hypercate.commands.options import value_of


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
    """

    covariates: pd.DataFrame
    arguments: Mapping[str, Any]
    source: str

    def with_columns(self, said: str) -> str:
        """What is said of arguments of a fit, with the columns that they are."""
        told = [
            f"{argument} is column {values.name!r}"
            for argument, values in self.arguments.items()
            if isinstance(values, pd.Series) and re.search(rf"\b{argument}\b", said)
        ]
        return f"{said} ({', '.join(told)})" if told else said


def rows_of(
    files: Sequence[TableFile],
    roles: Mapping[str, str | Sequence[str] | None],
    dropped: Sequence[str],
    coded: Sequence[str],
) -> Rows:
    """Read all rows of some files.

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
        If a file cannot be read, lacks a column that is named or that the first file has, has one
        more, or holds something else in it.
    """
    given = {
        argument: [columns] if isinstance(columns, str) else list(columns)
        for argument, columns in roles.items()
        if columns
    }
    named = {name for columns in given.values() for name in columns}
    first = files[0]
    first.require([*sorted(named), *dropped, *coded], ", which the options name")
    left_out = {*dropped} - named | first.labels_of_rows - named
    names = [name for name in first.schema.names if name not in left_out]
    covariates = [name for name in names if name not in named]
    if not covariates:
        raise BadData(f"{first.path} has no column left that could be a covariate")
    known = {*first.schema.names, *dropped}
    for file in files[1:]:
        file.require(names, f", which {first.path} has")
        others = [name for name in file.schema.names if name not in known | file.labels_of_rows]
        if others:
            raise BadData(
                f"{file.path} has a column {others[0]!r}, which {first.path} has not: leave it "
                "out with --drop, or add it there"
            )
    as_text = dict.fromkeys(coded, pa.string())
    tables = []
    for file in files:
        table = with_plain_text(file.table(names, as_text))
        for name in coded:
            with about(f"{file.path}, column {name!r}"):
                place = table.schema.get_field_index(name)
                table = table.set_column(place, name, table.column(name).cast(pa.string()))
        tables.append(table)
    check_alike(files, [table.schema for table in tables])
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    source = f"{first.path}{more}"
    with about(source):
        whole = pa.concat_tables(tables, promote_options="permissive")
        arguments = {role: _pandas(whole.select(columns)) for role, columns in given.items()}
        X = whole.select(covariates).to_pandas(strings_to_categorical=True, ignore_metadata=True)
    return Rows(X, arguments, source)


def label_as_held(text: str, labels: pd.Series) -> Any:
    """A label as its column holds it: a number or a boolean where that holds such."""
    return value_of(text) if labels.dtype.kind in "biuf" else text


def _pandas(table: pa.Table) -> pd.Series | pd.DataFrame:
    """A column as a series, several as a frame."""
    frame = table.to_pandas(ignore_metadata=True)
    return frame if frame.shape[1] > 1 else frame.iloc[:, 0]
