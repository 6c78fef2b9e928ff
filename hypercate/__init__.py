"""Heterogeneous treatment effects by hypernetworks."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypercate.estimator import HyperCATE
    from hypercate.overlap import OverlapWarning, overlap_report
    from hypercate.reporting import report
    from hypercate.sampling import Sample, sample_rows
else:  # so that the command line starts without torch

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


__version__ = version("hypercate")

__all__ = [
    "HyperCATE",
    "OverlapWarning",
    "Sample",
    "__version__",
    "overlap_report",
    "report",
    "sample_rows",
]

_HOMES = {
    "HyperCATE": "estimator",
    "OverlapWarning": "overlap",
    "overlap_report": "overlap",
    "report": "reporting",
    "Sample": "sampling",
    "sample_rows": "sampling",
}
"""Modules that names come from once they are asked for."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
