"""Plots of decisions: curves over the share of rows treated, and policy trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from hypercate.inference.effects import check_alpha
from hypercate.metrics.curves import Curve
from hypercate.plots.style import (
    ALPHA,
    GREY,
    colour_of,
    count_of,
    dash_of,
    new_axes,
    percent,
    title_and_legend,
    zero_line,
)
from hypercate.policy.rules import Question, Rule
from hypercate.policy.tree import PolicyTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAF_WIDTH, LEVEL_HEIGHT = 1.9, 1.1  # inches


def plot_qini(
    curve: Curve, *, arm: Any = None, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Qini curve: incremental outcomes among the treated, by the share of rows treated.

    Draw several models on the same axes to compare them.

    Parameters
    ----------
    curve : Curve
        From `hypercate.metrics.qini_curve`.
    arm : label, optional
        The arm whose curve is drawn; all arms by default.
    label : str, optional
        Name of the model in the legend.
    ax : Axes, optional

    Returns
    -------
    Axes
        With a dotted line for a random order.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If curve is something else.
    ValueError
        If curve is of another kind, or arm is unknown.

    Examples
    --------
    >>> from hypercate import metrics, plots
    >>> curve = metrics.qini_curve(y, est.predict(X), treatment)
    >>> plots.plot_qini(curve, label="HyperCATE").get_ylabel()
    'incremental outcomes'
    """
    return _draw(curve, "qini", arm, label, None, ax)


def plot_uplift(
    curve: Curve, *, arm: Any = None, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Uplift curve: outcomes gained, by the share of rows treated.

    Parameters
    ----------
    curve : Curve
        From `hypercate.metrics.uplift_curve`.
    arm, label, ax
        As in `plot_qini`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError, TypeError, ValueError
        As `plot_qini`.

    Examples
    --------
    >>> from hypercate import metrics, plots
    >>> plots.plot_uplift(metrics.uplift_curve(y, est.predict(X), treatment)).get_ylabel()
    'incremental outcomes'
    """
    return _draw(curve, "uplift", arm, label, None, ax)


def plot_toc(
    curve: Curve,
    *,
    alpha: float = ALPHA,
    arm: Any = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """TOC curve: how much more the rows ranked first by predicted effects gain than all rows.

    Parameters
    ----------
    curve : Curve
        From `hypercate.metrics.toc_curve`.
    alpha : float in (0, 1), default=0.05
        The band is of pointwise intervals of level 1 - alpha.
    arm, label, ax
        As in `plot_qini`.

    Returns
    -------
    Axes
        The first hundredths, where few rows are averaged, are left out.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `plot_qini`, or if alpha is not inside (0, 1).

    Examples
    --------
    >>> from hypercate import metrics, plots
    >>> plots.plot_toc(metrics.toc_curve(est.predict(X), est.scores_frame(X))).get_ylabel()
    'average effect of the first rows, minus that of all'
    """
    return _draw(curve, "toc", arm, label, alpha, ax)


def plot_profit(
    curve: Curve,
    *,
    alpha: float = ALPHA,
    arm: Any = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Profit per row, by the share of rows treated, and where it is largest.

    Parameters
    ----------
    curve : Curve
        From `hypercate.policy.profit_curve`.
    alpha : float in (0, 1), default=0.05
        The band is of pointwise intervals of level 1 - alpha.
    arm, label, ax
        As in `plot_qini`.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError, TypeError, ValueError
        As `plot_qini`, or if alpha is not inside (0, 1).

    Examples
    --------
    >>> from hypercate import plots, policy
    >>> plots.plot_profit(policy.profit_curve(est.predict(X), est.scores_frame(X))).get_ylabel()
    'profit per row'
    """
    return _draw(curve, "profit", arm, label, alpha, ax)


def plot_policy_tree(tree: PolicyTree, *, ax: Axes | None = None) -> Axes:
    """A policy tree: its questions, and the arms that it chooses with their training rows.

    Parameters
    ----------
    tree : PolicyTree
        Fitted.
    ax : Axes, optional

    Returns
    -------
    Axes
        Without axis scales; rows for which the answer to a question is yes go left.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If tree is something else.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from hypercate import plots, policy
    >>> tree = policy.PolicyTree(max_depth=1).fit(X, est.scores_frame(X))
    >>> plots.plot_policy_tree(tree).get_title(loc="left")
    'Policy: who gets which arm'
    """
    if not isinstance(tree, PolicyTree):
        raise TypeError(f"tree is a {type(tree).__name__}: pass a fitted PolicyTree")
    check_is_fitted(tree, "tree_")
    places: list[tuple[Rule, float, int]] = []
    n_leaves, depth = _lay_out(tree.tree_, 0, 0, places)
    size = max(6.4, LEAF_WIDTH * n_leaves), max(2.4, LEVEL_HEIGHT * (depth + 1))
    ax = new_axes(ax, size[1], size[0])
    ax.spines[:].set_visible(False)
    arms = tree.arms_.tolist()
    where = {id(rule): (x, -level) for rule, x, level in places}
    paper = ax.get_facecolor()
    box: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "zorder": 3}
    for rule, x, level in places:
        frame = {"boxstyle": "round,pad=0.4", "fc": paper, "ec": GREY}
        if isinstance(rule, Question):
            text = rule.answers[0] if rule.column.is_number else rule.answers[1]
            parts = (rule.left, rule.right) if rule.column.is_number else (rule.right, rule.left)
            for part, answer in zip(parts, ("yes", "no"), strict=True):
                ends = where[id(part)]
                ax.plot([x, ends[0]], [-level, ends[1]], color=GREY, lw=0.8, zorder=1)
                middle = (x + ends[0]) / 2, (ends[1] - level) / 2
                ax.text(*middle, answer, **box, bbox={"fc": paper, "ec": "none", "pad": 1})
            ax.text(x, -level, f"{text} ?", bbox=frame, **box)
        else:
            colour = colour_of(ax, rule.arm)
            text = f"{arms[rule.arm]}\n{rule.n_rows} rows"
            ax.text(x, -level, text, bbox={**frame, "ec": colour, "lw": 1.8}, **box)
    ax.set(xlim=(-0.6, n_leaves - 0.4), ylim=(-depth - 0.5, 0.5), xticks=[], yticks=[])
    ax.set_title("Policy: who gets which arm", loc="left")
    return ax


def _lay_out(
    rule: Rule, n_leaves: int, level: int, places: list[tuple[Rule, float, int]]
) -> tuple[int, int]:
    """Leaves and deepest level so far; those that answer yes to the left."""
    if not isinstance(rule, Question):
        places.append((rule, float(n_leaves), level))
        return n_leaves + 1, level
    parts = (rule.left, rule.right) if rule.column.is_number else (rule.right, rule.left)
    middle, deepest = [], level
    for part in parts:
        n_leaves, depth = _lay_out(part, n_leaves, level + 1, places)
        middle.append(places[-1][1])
        deepest = max(deepest, depth)
    places.append((rule, float(np.mean(middle)), level))
    return n_leaves, deepest


def _draw(
    curve: Curve, kind: str, arm: Any, label: str | None, alpha: float | None, ax: Axes | None
) -> Axes:
    """Curves of the arms, those of later calls on the same axes in other colours."""
    if not isinstance(curve, Curve):
        raise TypeError(f"curve is a {type(curve).__name__}: pass what {kind}_curve returns")
    if curve.kind != kind:
        raise ValueError(f"this is a {curve.kind} curve: draw it by plot_{curve.kind}")
    if arm is not None and arm not in curve.arms:
        raise ValueError(f"arm={arm!r} has no curve: those are {curve.arms}")
    if alpha is not None:
        check_alpha(alpha)
    ax = new_axes(ax)
    arms = curve.arms if arm is None else [arm]
    for name in arms:
        place = count_of(ax, kind)
        colour, dash = colour_of(ax, place), dash_of(place)
        table = curve.of(name)
        if kind == "toc":
            table = table[table["share"] >= 0.02]
        share = 100 * table["share"]
        text = " ".join(filter(None, [label, str(name) if len(curve.arms) > 1 else None]))
        if alpha is not None:
            wide = Curve(kind, table, curve.title, curve.label).summary_frame(alpha)
            ends = wide["ci_lower"], wide["ci_upper"]
            ax.fill_between(share, *ends, color=colour, alpha=0.15, lw=0, zorder=1)
        ax.plot(share, table["value"], dash, color=colour, lw=1.8, gid=kind, zorder=3,
                label=text or "by predicted effect")  # fmt: skip
        if kind != "toc":
            ax.plot(share, table["random"], ":", color=colour, lw=1.2, zorder=2,
                    label="_" if place else "at random")  # fmt: skip
        if kind == "profit":
            best = table.loc[table["value"].idxmax()]
            ax.plot(100 * best["share"], best["value"], "o", color=colour, ms=6, zorder=4,
                    label=f"best: {percent(best['share'])} treated")  # fmt: skip
    zero_line(ax, "h")
    ax.set(xlim=(0, 100), xlabel="rows treated, largest effect first (%)", ylabel=curve.label)
    title = curve.title
    if alpha is not None:
        title += f" with {percent(1 - alpha)} intervals"
    title_and_legend(ax, title)
    return ax
