"""A fitted model made ready to answer single rows fast."""

from hypercate.serving.compiled import Compiled

__all__ = ["Compiled"]
