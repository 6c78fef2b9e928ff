"""Plots of what effects depend on: curves over a column, and a tree of effects.

As in `hypercate.plots`, every function draws on the axes that it gets, or on those of a new figure,
and returns them.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from hypercate.inspection.dependence import EffectDependence
from hypercate.inspection.leaves import Branch
from hypercate.inspection.tree import EffectTree
from hypercate.plots.effects import MOST_ROWS
from hypercate.plots.style import (
    ALPHA,
    GREY,
    chosen,
    colour_of,
    dodged,
    effect_label,
    legend_beside,
    named_ticks,
    new_axes,
    percent,
    title_and_legend,
    written_blue,
    zero_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDEST = 44  # letters of a line below a leaf


def plot_effect_dependence(
    result: EffectDependence, *, alpha: float = ALPHA, arm: Any = None, ax: Axes | None = None
) -> Axes:
    """The mean effect over values of a column, with its interval, and the curves of single rows.

    Parameters
    ----------
    result : EffectDependence
        From `effect_dependence`; with ``kind="individual"``, the curves of at most 250 rows, evenly
        spaced in the order of X, are drawn in grey.
    alpha : float in (0, 1), default=0.05
        The interval has level 1 - alpha.
    arm : label, optional
        The arm whose effect is drawn; by default all arms, each in a colour.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If result is something else.
    ValueError
        If alpha is not inside (0, 1), or arm is unknown.

    Examples
    --------
    >>> from hypercate.inspection import effect_dependence, plot_effect_dependence
    >>> plot_effect_dependence(effect_dependence(est, X, "age")).get_xlabel()
    'age'
    """
    if not isinstance(result, EffectDependence):
        raise TypeError(f"result is a {type(result).__name__}: pass effect_dependence(est, X, ...)")
    arms = chosen(arm, result.arms)
    alone, n = len(arms) == 1, len(result.index)
    of_arms = [values.reshape(n, -1) for values in (result.point_estimate, *result.interval(alpha))]
    at = result.index.to_numpy(float) if result.numeric else np.arange(n, dtype=float)
    order = np.argsort(at, kind="stable")
    level = percent(1 - alpha)
    ax = new_axes(ax)
    for place, each in enumerate(arms):
        k = result.arms.index(each)
        mean, lower, upper = (values[order, k] for values in of_arms)
        colour = colour_of(ax, place)
        label = f"mean of {result.n_rows} rows, {level} interval" if alone else str(each)
        if result.individual is not None:
            own = result.individual.reshape(*result.individual.shape[:2], -1)[..., k]
            some = np.linspace(0, len(own) - 1, min(len(own), MOST_ROWS // len(arms)))
            curves = own[np.unique(some.astype(int))][:, order].T
            ax.plot(at[order], curves, color=GREY if alone else colour, alpha=0.3, lw=0.6, zorder=1)
        if result.numeric:
            ax.fill_between(at[order], lower, upper, color=colour, alpha=0.2, lw=0)
            ax.plot(at[order], mean, "o-", color=colour, ms=3, label=label, zorder=3)
        else:
            moved = at + dodged(place, len(arms), 0.6)
            ax.vlines(moved, lower, upper, color=colour, lw=2.5, zorder=2)
            ax.plot(moved, mean, "o", color=colour, ms=7, label=label, zorder=3)
    if not result.numeric:
        names = ["missing" if value is None else str(value) for value in result.index]
        named_ticks(ax, at, names)
    zero_line(ax, "h")
    name = result.index.name
    named = alone and len(result.arms) > 1
    ax.set(xlabel=str(name), ylabel=effect_label(arms[0] if named else None))
    if alone:
        title_and_legend(ax, f"Effect by {name}, other columns as they are")
    else:
        ax.set_title(
            f"Effect by {name}, other columns as they are:\n"
            f"mean of {result.n_rows} rows, {level} intervals",
            loc="left",
        )
        legend_beside(ax, "arm")
    return ax


def plot_effect_tree(tree: EffectTree, *, ax: Axes | None = None) -> Axes:
    """A tree of effects, with its rules along the branches.

    Parameters
    ----------
    tree : EffectTree
        Fitted.
    ax : Axes, optional

    Returns
    -------
    Axes
        Leaves are drawn below one another, in the order in which they are printed, with their
        averages if these are known.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If tree is something else.
    NotFittedError
        If the tree is not fitted.

    Examples
    --------
    >>> from hypercate.inspection import EffectTree, plot_effect_tree
    >>> plot_effect_tree(EffectTree(max_depth=2).fit(est, X)).get_title(loc="left")
    'For whom the effect is large or small'
    """
    if not isinstance(tree, EffectTree):
        raise TypeError(f"tree is a {type(tree).__name__}: pass an EffectTree")
    root, said = tree.drawn
    n = sum(1 for _ in root.leaves())
    texts = {node: textwrap.fill(said(node), _WIDEST) for node, _ in root.leaves()}
    n_lines = max(text.count("\n") + 1 for text in texts.values())
    ax = new_axes(ax, height=1.2 + (0.6 + 0.2 * n_lines) * n, width=3.6 + 1.8 * _depth(root))
    heights = {node: float(-place) for place, (node, _) in enumerate(root.leaves())}

    def draw(branch: Branch, depth: int) -> float:
        own = [draw(below, depth + 1) for below in branch.below]
        height = float(np.mean(own)) if own else heights[branch.node]
        for below, at in zip(branch.below, own, strict=True):
            ax.plot([depth, depth, depth + 1], [height, at, at], color=GREY, lw=1)
            ax.text(depth + 0.05, at + 0.08, below.rule, va="bottom", fontsize="small")
        if not own:
            left = max(depth - 0.95, 0)
            look: dict[str, Any] = {"color": written_blue(ax), "fontsize": "small"}
            ax.text(left, height - 0.05, texts[branch.node], va="top", **look)
        return height

    draw(root, 0)
    ax.set_axis_off()
    ax.set(xlim=(-0.1, _depth(root) + 0.5), ylim=(-n + 0.4, 0.6))
    ax.set_title("For whom the effect is large or small", loc="left")
    return ax


def _depth(branch: Branch) -> int:
    return 1 + max(map(_depth, branch.below)) if branch.below else 0
