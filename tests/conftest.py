"""One thread and no figure left open, whatever a file of tests does."""

import os
import sys

import pytest

# The suite's models are small, and two threads on a busy machine are slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def figures_closed():
    """Close pyplot's figures after each test: it warns where more than twenty are open."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
