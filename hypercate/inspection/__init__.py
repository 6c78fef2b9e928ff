"""A look inside a fitted model: how similar its arms are, and what its effects depend on.

For the arms: how similar they are, in which layers they differ, and how many parameters the
generator saves. For the effects: which columns matter, how the effect depends on one column, a tree
that summarises them, and SHAP values.

Everything here works on a model that was just fitted or loaded from a file, with or without
evidence; nothing here changes a prediction.
"""

from hypercate.inspection.departures import layer_departures
from hypercate.inspection.dependence import EffectDependence, effect_dependence
from hypercate.inspection.importance import effect_importance
from hypercate.inspection.parameters import compression
from hypercate.inspection.pictures import plot_effect_dependence, plot_effect_tree
from hypercate.inspection.plots import plot_arm_similarity, plot_layer_departures
from hypercate.inspection.shapley import shap_values
from hypercate.inspection.similarity import ArmSimilarity, arm_similarity
from hypercate.inspection.steps import along_step
from hypercate.inspection.tree import EffectTree

__all__ = [
    "ArmSimilarity",
    "EffectDependence",
    "EffectTree",
    "along_step",
    "arm_similarity",
    "compression",
    "effect_dependence",
    "effect_importance",
    "layer_departures",
    "plot_arm_similarity",
    "plot_effect_dependence",
    "plot_effect_tree",
    "plot_layer_departures",
    "shap_values",
]
