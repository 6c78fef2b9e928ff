"""Arguments that callers pass: refused early, or turned into what computations need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

_SEEDS = np.iinfo(np.int32).max


def require_treatment(treatment: Any, method: str, arguments: str = "X, y, treatment") -> None:
    """Refuse a call without treatment."""
    if treatment is None:
        raise TypeError(
            f"treatment is missing: pass the arm that each row received, {method}({arguments}). A "
            "Pipeline, a search or a cross-validation passes it on only with scikit-learn's "
            "metadata routing: call sklearn.set_config(enable_metadata_routing=True) first. Both "
            "fit and score then request it by themselves"
        )


def draw_seed(random_state: Any) -> int:
    """A seed; None asks the system for one, so that numpy's global state stays as it is."""
    if random_state is None:
        return int(np.random.default_rng().integers(_SEEDS))
    return int(check_random_state(random_state).randint(_SEEDS))


def is_every_other_arm(T0: Any, T1: Any) -> bool:
    """Whether every other arm is compared with T0, one label, rather than T1 with T0."""
    if T1 is None and np.ndim(T0) > 0:
        raise ValueError("T0 differs by row, so T1 is needed too: pass a label or n labels")
    return T1 is None


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse what is none of the choices, by a ValueError."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, choices))}")
