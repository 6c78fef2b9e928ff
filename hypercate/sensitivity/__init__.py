"""How far unmeasured confounders could move an average, and fits whose answer is known.

`sensitivity` bounds an average effect under confounding of a given strength, and `leave_out`
measures how strong the measured covariates are as confounders, for comparison. `e_value` does the
same for ratios. `refute` fits the model again to data for which the answer is known.
"""

from hypercate.sensitivity.bounds import Sensitivity, sensitivity
from hypercate.sensitivity.e_values import e_value
from hypercate.sensitivity.left_out import leave_out
from hypercate.sensitivity.plots import plot_sensitivity
from hypercate.sensitivity.refuters import refute

__all__ = ["Sensitivity", "e_value", "leave_out", "plot_sensitivity", "refute", "sensitivity"]
