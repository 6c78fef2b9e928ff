"""Plots of the arms' networks: how similar arms are, and in which layers they differ.

As in `hypercate.plots`, every function draws on the axes that it gets, or on those of a new figure,
and returns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hypercate.inspection.similarity import ArmSimilarity
from hypercate.plots.style import (
    BLUE,
    DASHES,
    FAINT,
    INSTALL_HINT,
    colour_of,
    ink,
    legend_beside,
    title_and_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_WRITTEN = 12  # arms up to which every value is written
MOST_LINES = 10  # arms up to which every line is named
MOST_NAMED = 40  # arms up to which every row of a table is named
_TITLES = {
    "function": "How differently arms' outcomes vary",
    "embedding": "How alike the arms' embeddings are",
}
_MEANINGS = {
    "function": "distance (sd of outcomes)",
    "embedding": "cosine similarity",
}


def plot_arm_similarity(
    similarity: ArmSimilarity, *, space: str = "function", ax: Axes | None = None
) -> Axes:
    """The similarity of every pair of arms, as a heat map.

    Parameters
    ----------
    similarity : ArmSimilarity
        From `arm_similarity`.
    space : {"function", "embedding"}, default="function"
        Whether distances between the arms' outcomes are drawn, or similarities of embeddings.
    ax : Axes, optional

    Returns
    -------
    Axes
        With the values written in the cells if there are at most 12 arms.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If similarity is something else.
    ValueError
        If space is neither of the two, or if there are no embeddings because arms share in no
        member.

    Examples
    --------
    >>> from hypercate.inspection import arm_similarity, plot_arm_similarity
    >>> plot_arm_similarity(arm_similarity(est, X)).get_title(loc="left")
    "How differently arms' outcomes vary"
    """
    if not isinstance(similarity, ArmSimilarity):
        raise TypeError(
            f"similarity is a {type(similarity).__name__}: pass what arm_similarity returns"
        )
    if space not in _TITLES:
        raise ValueError(f"space={space!r} must be 'function' or 'embedding'")
    table = similarity.function if space == "function" else similarity.embedding
    values = table.to_numpy()
    if np.isnan(values).all():
        raise ValueError(
            "no member's arms share an embedding, so there is nothing to draw: "
            'space="function" draws distances between the arms\' outcomes'
        )
    side = float(np.clip(2.2 + 0.45 * len(table), 4.0, 9))
    ax = _axes(ax, (side + 1.2, side))
    if space == "function":
        colours: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": max(1.0, values.max())}
        dark = values > 0.6 * colours["vmax"]
    else:
        colours = {"cmap": "RdBu", "vmin": -1, "vmax": 1}
        dark = np.abs(values) > 0.6
    image = ax.imshow(values, **colours)
    if len(table) <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            colour = ink(ax) if np.isnan(value) else "white" if dark[row, column] else "black"
            text = f"{value:.2f}".replace("-0.00", "0.00")
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    if len(table) <= MOST_NAMED:
        names = [str(label) for label in table.index]
        crowded = sum(map(len, names)) > 5 * side
        ax.set_xticks(range(len(names)), names, rotation=90 if crowded else 0)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0)
        ax.set(xlabel="arm", ylabel="arm")
    else:
        ax.set(xlabel="arm, by its place in arms_", ylabel="arm, by its place in arms_")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label=_MEANINGS[space], shrink=0.85)
    ax.set_title(_TITLES[space], loc="left")
    return ax


def plot_layer_departures(departures: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How far each arm's weights depart from the arms' mean, from the first layer to the last.

    Parameters
    ----------
    departures : DataFrame, shape (n_arms, n_layers)
        From `layer_departures`.
    ax : Axes, optional

    Returns
    -------
    Axes
        With one line per arm; with more than 10 arms, all lines are thin and grey, and their mean
        is blue.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If departures is not a DataFrame.
    ValueError
        If departures has no rows or no columns.

    Examples
    --------
    >>> from hypercate.inspection import layer_departures, plot_layer_departures
    >>> plot_layer_departures(layer_departures(est)).get_xlabel()
    'layer of the outcome network'
    """
    if not isinstance(departures, pd.DataFrame):
        raise TypeError(
            f"departures is a {type(departures).__name__}: pass what layer_departures returns"
        )
    if departures.empty:
        raise ValueError("departures is empty: there is no arm or no layer to draw")
    few = len(departures) <= MOST_LINES
    ax = _axes(ax, (7.4 if few else 6.4, 4.2))
    ax.spines[["top", "right"]].set_visible(False)
    layer = np.arange(departures.shape[1])
    values = departures.to_numpy(dtype=float)
    if few:
        for place, (name, own) in enumerate(zip(departures.index, values, strict=True)):
            colour = colour_of(ax, place)
            dash = DASHES[place % len(DASHES)]
            ax.plot(layer, own, "o", ls=dash, color=colour, ms=4, lw=1.6, label=str(name))
    else:
        ax.plot(layer, values.T, color=FAINT, lw=0.7)
        label = f"mean of {len(values)} arms"
        ax.plot(layer, values.mean(axis=0), "o-", color=BLUE, ms=4, lw=2, label=label)
    names = [str(name) for name in departures.columns]
    names[-1] += "\n(output)"
    ax.set_xticks(layer, names)
    ax.set(xlabel="layer of the outcome network", ylabel="departure, relative to the arms' mean")
    top = values[np.isfinite(values)].max(initial=0.0)
    ax.set_ylim(0, 1.08 * top if top > 0 else 1)
    title = "Where the weights of the arms' networks differ"
    if few:
        ax.set_title(title, loc="left")
        legend_beside(ax, "arm")
    else:
        title_and_legend(ax, title)
    return ax


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes given, or those of a new figure of a size in inches."""
    if ax is None:
        try:
            from matplotlib import pyplot as plt
        except ModuleNotFoundError as error:
            raise ImportError(f"plots need matplotlib: {INSTALL_HINT}") from error
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax
