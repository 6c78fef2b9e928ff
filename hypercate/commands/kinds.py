"""Kinds of columns: which Arrow types are treated alike, and whether files agree in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from hypercate.commands.messages import BadData

if TYPE_CHECKING:
    from hypercate.commands.tables import TableFile

NUMBERS, BOOLEANS, TEXT, CATEGORIES, NOTHING = (
    "numbers",
    "booleans",
    "text",
    "categories that are not text",
    "nothing",
)


def kind_of(type_: pa.DataType) -> str:
    """One of the kinds above, or the type's own name if it is of none."""
    of = pa.types
    if of.is_dictionary(type_):
        return TEXT if kind_of(type_.value_type) == TEXT else CATEGORIES
    if of.is_string(type_) or of.is_large_string(type_) or of.is_string_view(type_):
        return TEXT
    if of.is_integer(type_) or of.is_floating(type_) or of.is_decimal(type_):
        return NUMBERS
    return BOOLEANS if of.is_boolean(type_) else NOTHING if of.is_null(type_) else str(type_)


def check_alike(files: Sequence[TableFile], schemas: Sequence[pa.Schema]) -> None:
    """Refuse files in which a column holds another kind than in earlier files.

    Raises
    ------
    BadData
        That names the column, both files, and what they hold.
    """
    first: dict[str, tuple[str, TableFile]] = {}
    for file, schema in zip(files, schemas, strict=True):
        for name, type_ in zip(schema.names, schema.types, strict=True):
            kind = kind_of(type_)
            if kind == NOTHING:
                continue
            known, of = first.setdefault(name, (kind, file))
            if kind != known:
                raise BadData(
                    f"{file.path}: column {name!r} holds {kind}, but {known} in {of.path}: make "
                    "them alike"
                )


def check_as_fitted(file: TableFile, is_text: Mapping[str, bool], typed: bool) -> None:
    """Refuse a file in which a column holds another kind than in the fit.

    Parameters
    ----------
    file : TableFile
    is_text : mapping of str to bool
        Whether the model saw text or categories, or else numbers, in each of its columns.
    typed : bool
        Whether the file says what types its columns have; otherwise all can be read as text.

    Raises
    ------
    BadData
        That names the file and the column.
    """
    file.require(is_text, ", which the model needs")
    for name, text in is_text.items():
        type_ = file.schema.field(name).type
        kind = kind_of(type_)
        fits = (
            (kind in (TEXT, CATEGORIES) or pa.types.is_integer(type_) or not typed)
            if text
            else kind in (NUMBERS, BOOLEANS)
        )
        if not fits and kind != NOTHING:
            raise BadData(
                f"{file.path}: column {name!r} holds {kind}, but the model was fitted to "
                f"{TEXT if text else NUMBERS} there"
            )


def with_plain_text(table: pa.Table) -> pa.Table:
    """Text as of one type, however it is kept, and decimal numbers as floats."""
    for place, (name, type_) in enumerate(zip(table.schema.names, table.schema.types, strict=True)):
        plain = pa.string() if kind_of(type_) == TEXT else type_
        plain = pa.float64() if pa.types.is_decimal(type_) else plain
        if plain != type_:
            table = table.set_column(place, name, table.column(place).cast(plain))
    return table


def covariates_of(table: pa.Table) -> pd.DataFrame:
    """Columns as a model is fitted to them and asked about them: text as categories."""
    return table.to_pandas(strings_to_categorical=True, ignore_metadata=True)
