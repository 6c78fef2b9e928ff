"""What says that two fits train the same networks on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from hypercate.checkpoints import digest
from hypercate.study import Encoded

_FREE = ("verbose", "n_jobs", "device")  # parameters that do not say what is trained


def identity_of(
    parameters: Mapping[str, Any], each: Sequence[Encoded], device: torch.device, n_threads: int
) -> dict[str, str]:
    """What says that two fits train the same: versions, parameters, device, threads and data.

    Parameters
    ----------
    parameters : mapping
        Of the estimator. Of models, which may have no text of their own, the class is told: what
        they predict is compared when training begins.
    each : sequence of Encoded, one per outcome
    device : torch.device
    n_threads : int

    Returns
    -------
    dict of str to str
    """
    encoded = each[0]
    study = encoded.study
    data = {
        "X": (study.x, study.n_codes),
        "y": [one.study.y for one in each],
        "treatment": (study.condition, study.splines),
        "sample_weight": (study.weight,),
        "groups": (study.cluster,),
        "event": (study.event,),
        "propensity": (encoded.propensity,),
        "arm_features": (encoded.arm_codes,),
    }
    return {
        "hypercate": version("hypercate"),
        "torch": str(torch.__version__),
        "device": str(device),
        "n_jobs": str(n_threads),
        **{name: _text(value) for name, value in parameters.items() if name not in _FREE},
        **{name: digest(arrays) for name, arrays in data.items()},
    }


def _text(value: Any) -> str:
    if hasattr(value, "fit"):
        return type(value).__name__
    return repr(tuple(value) if isinstance(value, list) else value)
