"""How much a fit tries, as multiples of what the estimator's parameters say."""

from __future__ import annotations

from dataclasses import dataclass

from hypercate.select import TRIED_DEGREES


@dataclass(frozen=True)
class Effort:
    """What a fit tries.

    Attributes
    ----------
    degrees : tuple of str
        Degrees of sharing that ``sharing="auto"`` tries.
    patience, batch_size, n_members : float
        Times the estimator's parameter.
    again : bool
        Whether the networks that a search chose are trained again, from two random starts, on all
        rows that their model is not judged on; else they stay as fitted on three quarters of these.
    """

    degrees: tuple[str, ...] = TRIED_DEGREES
    patience: float = 1.0
    batch_size: float = 1.0
    n_members: float = 1.0
    again: bool = True


EFFORTS = {
    "fast": Effort(("weak", "independent"), patience=0.5, batch_size=2.0, again=False),
    "balanced": Effort(),
    "thorough": Effort(n_members=2.0),
}
"""By the value of ``HyperCATE(effort=...)``; ``"instant"`` trains nothing."""
