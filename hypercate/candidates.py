"""What every member tries: degrees of sharing, crossed with ways to see the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hypercate.hypernet.initialization import DEGREES

TRIED_DEGREES = ("intercept", "moderate", "weak")
INPUTS = ("raw", "boosted")


@dataclass(frozen=True)
class Candidates:
    """Pairs of a degree of sharing and a way to see the inputs.

    Attributes
    ----------
    sharing, inputs : list of str, one an entry for each candidate
    """

    sharing: list[str]
    inputs: list[str]

    @classmethod
    def of(cls, generation: str, sharing: str, inputs: str) -> Candidates:
        """All pairs that the estimator's parameters allow."""
        degrees = TRIED_DEGREES if sharing == "auto" else (sharing,)
        if generation == "none":
            degrees = ("none",)
        pairs = product(degrees, INPUTS if inputs == "auto" else (inputs,))
        return cls(*map(list, zip(*pairs, strict=True)))

    @property
    def need_trees(self) -> bool:
        return set(self.inputs) != {"raw"}

    def choose(self, loss: np.ndarray) -> np.ndarray:
        """The candidate of each member, by its held-out loss.

        Each member takes its own best, unless effects that differ between rows do not pay: all
        members keep to arms that differ by a constant where the best of the others is not better
        by more than one standard error of the difference over the members' folds (the
        one-standard-error rule of Breiman, Friedman, Olshen & Stone, 1984, section 3.4.3, for the
        log of the loss).

        Parameters
        ----------
        loss : ndarray, shape (n_members, n_candidates)

        Returns
        -------
        ndarray of int, shape (n_members,)
        """
        constant = np.array(self.sharing) == "intercept"
        if constant.any() and not constant.all() and len(loss) > 1:
            least, others = loss[:, constant].min(1), loss[:, ~constant].min(1)
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = np.log(least) - np.log(others)
                too_little = gain.mean() <= gain.std(ddof=1) / len(gain) ** 0.5
            if np.isfinite(least).all() and (too_little or np.isinf(others).any()):
                loss = np.where(constant, loss, np.inf)
        return np.argmin(loss, axis=1)

    def degrees(self) -> Tensor:
        """Factor of the arms' departures, shape (n_candidates,)."""
        factors = [DEGREES.get(name, torch.nan) for name in self.sharing]
        return torch.tensor(factors, dtype=torch.float32, device="cpu")

    def input_scale(self, relevance: np.ndarray, n_boosted: int) -> Tensor:
        """Factor of each input, shape (n_candidates, n_inputs + n_boosted)."""
        plain = np.append(np.ones_like(relevance), np.zeros(n_boosted))
        boosted = np.append(relevance, np.ones(n_boosted))
        rows = np.stack([plain if name == "raw" else boosted for name in self.inputs])
        return torch.as_tensor(rows, dtype=torch.float32, device="cpu")
