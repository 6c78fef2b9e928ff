"""A part of a report: sentences, tables, pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBER = "{:.4g}".format


@dataclass(frozen=True)
class Section:
    """Sentences, tables and pictures under one heading; `print` shows all but the pictures.

    Attributes
    ----------
    name : str
        Short name, by which the section is found.
    title : str
    text : list of str
        Paragraphs.
    tables : dict of DataFrame
        Tables by their captions.
    pictures : dict of callable
        Functions by their captions: each draws on the axes that it gets.
    """

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    pictures: dict[str, Callable[[Axes], Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Sentences and tables as plain values, with None for values that are not finite."""
        tables = {
            caption: [
                {str(name): _plain(value) for name, value in row.items()}
                for row in table.reset_index().to_dict("records")
            ]
            for caption, table in self.tables.items()
        }
        return {"name": self.name, "title": self.title, "text": self.text, "tables": tables}

    def __str__(self) -> str:
        tables = [
            f"{caption}\n{table.to_string(float_format=NUMBER, na_rep='-')}"
            for caption, table in self.tables.items()
        ]
        return "\n\n".join([f"{self.title}\n{'-' * len(self.title)}", *self.text, *tables])


def drawn_by(draw: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[Axes], Any]:
    """A picture of a section: a plot that waits for its axes."""
    return lambda ax: draw(*arguments, **options, ax=ax)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)
