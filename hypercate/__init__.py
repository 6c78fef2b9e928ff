"""Heterogeneous treatment effects by hypernetworks."""

from importlib.metadata import version

from hypercate.estimator import HyperCATE

__version__ = version("hypercate")

__all__ = ["HyperCATE", "__version__"]
