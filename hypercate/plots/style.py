"""What plots have in common: axes, colours, legends."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from hypercate.inference.scales import DIFFERENCE, Scale
from hypercate.log_axis import label_decimals
from hypercate.several.answers import OutcomesInference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#808080"
FAINT = "#B0B0B0"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
DASHES = ("-", "--", ":", "-.")
ALPHA = 0.05
LONGEST_LABEL, LONGEST_TITLE = 48, 62  # letters in a line
INSTALL_HINT = 'pip install "hypercate[plots]"'


def new_axes(ax: Axes | None, height: float = 4.2, width: float = 6.4) -> Axes:
    """The axes given, or those of a new figure, without their upper and right frame."""
    if ax is None:
        try:
            from matplotlib import pyplot as plt
        except ModuleNotFoundError as error:
            raise ImportError(f"plots need matplotlib: {INSTALL_HINT}") from error
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def count_of(ax: Axes, gid: str) -> int:
    """How many lines of this kind are on the axes."""
    return sum(line.get_gid() == gid for line in ax.lines)


def ink(ax: Axes) -> Any:
    """The colour of the axes' title: dark on light paper, and light on dark."""
    return ax.title.get_color()


def written_blue(ax: Axes) -> str:
    """The blue in which small letters can be read: a lighter one on dark paper."""
    from matplotlib.colors import to_rgb

    return SKY if sum(to_rgb(ink(ax))) > 1.5 else BLUE


def colour_of(ax: Axes, place: int) -> Any:
    """Colour of the arm or model in this place, of which black is light on dark paper."""
    colour = COLOURS[place % len(COLOURS)]
    return ink(ax) if colour == BLACK else colour


def dash_of(place: int) -> str:
    """Dashes of a line in this place: another kind where colours are used up."""
    return DASHES[place // len(COLOURS) % len(DASHES)]


def zero_line(ax: Axes, direction: str, scale: Scale = DIFFERENCE) -> None:
    """A line of no effect, across an axis of effects, which is logarithmic if they are ratios.

    To be called after everything else is drawn.
    """
    draw = ax.axhline if direction == "h" else ax.axvline
    draw(1 if scale.is_ratio else 0, color=ink(ax), lw=0.8, zorder=1)
    if scale.is_ratio:
        axis = ax.yaxis if direction == "h" else ax.xaxis
        ax.set(**{f"{axis.axis_name}scale": "log"})
        label_decimals(axis)


def title_and_legend(ax: Axes, title: str) -> None:
    """A title, and between it and the axes, where it covers no data, a legend of few entries."""
    from matplotlib.font_manager import FontProperties

    letter = FontProperties(size="small").get_size_in_points()
    room = ax.bbox.width / ax.figure.dpi * 72 / (0.56 * letter)
    labels = _legend(ax, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, room=room)
    n_lines = max((sum(1 + each.count("\n") for each in column) for column in labels), default=0)
    pad = letter * (1.2 + 1.68 * n_lines) if n_lines else None
    ax.set_title(fill(title, LONGEST_TITLE), loc="left", pad=pad)


def legend_beside(ax: Axes, title: str) -> None:
    """A legend that covers no data, of many entries."""
    _legend(ax, loc="upper left", bbox_to_anchor=(1, 1), title=title, title_fontsize="small")


def _legend(ax: Axes, room: float = 0, **where: Any) -> list[list[str]]:
    """A legend in as many columns as there is room for, in letters; its labels by column."""
    handles, labels = ax.get_legend_handles_labels()
    labels = [fill(label, max(LONGEST_LABEL, int(room) - 9)) for label in labels]
    for n_columns in range(max(1, len(labels)), 0, -1):
        columns = [part.tolist() for part in np.array_split(labels, n_columns)]
        widths = [max(map(len, "\n".join(column).split("\n"))) for column in columns]
        if sum(9 + width for width in widths) <= room:  # 9 are its mark and the next gap
            break
    ax.legend(handles, labels, ncols=n_columns, frameon=False, fontsize="small", **where)
    return columns


def named_ticks(ax: Axes, at: Any, names: list[str]) -> None:
    """Names below the axes, upright where they would run into one another."""
    crowded = sum(map(len, names)) > 60
    ax.set_xticks(at, names, rotation=90 if crowded else 0)


def style_of(ax: Axes, place: int, filled: bool) -> dict[str, Any]:
    """Colour of the arm in this place, with dashes where colours are used up."""
    colour = colour_of(ax, place)
    if filled:
        return {"color": colour, "alpha": 0.5}
    return {"color": colour, "lw": 1.6, "ls": dash_of(place)}


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def effect_label(arm: Any, scale: Scale = DIFFERENCE) -> str:
    of_arm = "" if arm is None else f" of {arm}"
    if scale.is_ratio:
        return f"{'odds ratio' if scale.name == 'odds' else 'ratio of mean outcomes'}{of_arm}"
    return f"effect{of_arm} (units of the outcome)"


def chosen(arm: Any, arms: list) -> list:
    """The arms to draw: the one that is asked for, or all."""
    if arm is None:
        return arms
    if arm not in arms:
        raise ValueError(f"arm={arm!r} is not an arm: the arms are {arms}")
    return [arm]


def dodged(place: int, n: int, width: float) -> float:
    """How far the marks of one of n arms are moved, so that all are seen within a width."""
    return width * ((place + 0.5) / n - 0.5)


def refuse_several_outcomes(result: Any) -> None:
    """Refuse several outcomes: a plot has one axis, and each outcome has its own units."""
    if isinstance(result, OutcomesInference):
        name = next(iter(result.each))
        raise TypeError(
            "these are results of several outcomes, each in its own units: draw one of them, "
            f"such as result.of({name!r})"
        )
