"""How far confounders that were not measured could move an average, and checks that should fail.

`sensitivity` bounds an average effect under confounding of a given strength, and `leave_out` says
how strong covariates that were measured are, for comparison. `e_value` is the like for ratios.
`refute` fits the model again where the answer is known.
"""

from hypercate.sensitivity.bounds import Sensitivity, sensitivity
from hypercate.sensitivity.e_values import e_value
from hypercate.sensitivity.left_out import leave_out
from hypercate.sensitivity.plots import plot_sensitivity
from hypercate.sensitivity.refuters import refute

__all__ = ["Sensitivity", "e_value", "leave_out", "plot_sensitivity", "refute", "sensitivity"]
