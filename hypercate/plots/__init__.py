"""Plots of effects, their uncertainty, overlap and decisions, drawn with matplotlib.

Every function draws on the axes that it gets, or on those of a new figure, and returns them; none
shows or saves a figure, or changes a global setting. Colours are those of Okabe & Ito (2008), which
colour-blind readers can tell apart.
"""

from hypercate.plots.accuracy import plot_calibration, plot_rejection
from hypercate.plots.averages import plot_dose_response, plot_group_effects
from hypercate.plots.decisions import (
    plot_policy_tree,
    plot_profit,
    plot_qini,
    plot_toc,
    plot_uplift,
)
from hypercate.plots.effects import plot_effect_by, plot_effects
from hypercate.plots.overlap import plot_balance, plot_overlap
from hypercate.plots.style import BLACK as BLACK
from hypercate.plots.style import BLUE as BLUE
from hypercate.plots.style import COLOURS as COLOURS
from hypercate.plots.style import ORANGE as ORANGE
from hypercate.plots.training import plot_history

__all__ = [
    "plot_balance",
    "plot_calibration",
    "plot_dose_response",
    "plot_effect_by",
    "plot_effects",
    "plot_group_effects",
    "plot_history",
    "plot_overlap",
    "plot_policy_tree",
    "plot_profit",
    "plot_qini",
    "plot_rejection",
    "plot_toc",
    "plot_uplift",
]
