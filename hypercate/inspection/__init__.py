"""A look inside a fitted generator: how alike its arms are, where they part, what it saves.

Everything here reads the tree that a fit leaves, of a model just fitted or loaded from a file, with
or without evidence; nothing here changes a prediction.
"""

from hypercate.inspection.departures import layer_departures
from hypercate.inspection.parameters import compression
from hypercate.inspection.plots import plot_arm_similarity, plot_layer_departures
from hypercate.inspection.similarity import ArmSimilarity, arm_similarity
from hypercate.inspection.steps import along_step

__all__ = [
    "ArmSimilarity",
    "along_step",
    "arm_similarity",
    "compression",
    "layer_departures",
    "plot_arm_similarity",
    "plot_layer_departures",
]
