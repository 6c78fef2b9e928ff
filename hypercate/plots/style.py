"""What pictures have in common: axes, colours, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#808080"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
DASHES = ("-", "--", ":", "-.")
ALPHA = 0.05
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


def zero_line(ax: Axes, direction: str) -> None:
    draw = ax.axhline if direction == "h" else ax.axvline
    draw(0, color=BLACK, lw=0.8, zorder=1)


def legend(ax: Axes, **where: Any) -> None:
    ax.legend(frameon=False, fontsize="small", **where)


def style_of(place: int, filled: bool) -> dict[str, Any]:
    """Colour of the arm in this place, with dashes where colours are used up."""
    colour = COLOURS[place % len(COLOURS)]
    if filled:
        return {"color": colour, "alpha": 0.5}
    return {"color": colour, "lw": 1.6, "ls": DASHES[place // len(COLOURS) % len(DASHES)]}


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def effect_label(arm: Any) -> str:
    return f"effect{'' if arm is None else f' of {arm}'} (units of the outcome)"


def chosen(arm: Any, arms: list) -> Any:
    if arm is None and len(arms) == 1:
        return arms[0]
    if arm is None:
        raise ValueError(f"there are several arms, {arms}: pass one of them as arm=")
    if arm not in arms:
        raise ValueError(f"arm={arm!r} is not an arm: the arms are {arms}")
    return arm
