"""Heterogeneous treatment effects by hypernetworks."""

from importlib.metadata import version

from hypercate.estimator import HyperCATE
from hypercate.overlap import OverlapWarning, overlap_report

__version__ = version("hypercate")

__all__ = ["HyperCATE", "OverlapWarning", "__version__", "overlap_report"]
