"""A fitted model compiled for fast predictions of single rows."""

from hypercate.serving.compiled import Compiled

__all__ = ["Compiled"]
