"""Logarithmic axes of pictures, labelled in plain decimals such as 0.3, 1, 3 and 10,000."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis

FEWEST_LABELS = 3
MOST_POWERS = 4
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 4.0, 6.0, 8.0))
"""Multiples of each power of ten that are labelled: as few as an axis needs."""


def label_decimals(axis: Axis) -> None:
    """Label an axis of logarithmic scale in decimals, as far apart as its present limits allow.

    Parameters
    ----------
    axis : Axis
        Such as ``ax.yaxis``, after all is drawn on it. Where the limits are so close that they
        hold less than three round numbers, labels are at even distances of the values.
    """
    from matplotlib import ticker

    low, high = np.sort(axis.get_view_interval())
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    locator: ticker.Locator = ticker.MaxNLocator(5)
    for steps in STEPS:
        places = np.multiply.outer(powers, steps)
        if np.sum((low <= places) & (places <= high)) >= FEWEST_LABELS:
            locator = ticker.LogLocator(subs=steps, numticks=MOST_POWERS)
            break
    axis.set_major_locator(locator)
    axis.set_major_formatter(ticker.FuncFormatter(decimal))
    axis.set_minor_formatter(ticker.NullFormatter())


def decimal(value: float, _: int | None = None) -> str:
    """Such as ``0.003`` or ``10,000``, whatever the size."""
    digits = max(0, 3 - int(np.floor(np.log10(abs(value))))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
