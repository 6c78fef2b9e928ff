"""What every member tries: degrees of sharing, crossed with ways to see the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hypercate.hypernet.hypernetwork import PERTURBATIONS
from hypercate.hypernet.initialization import DEGREES

TRIED_DEGREES = ("intercept", "moderate", "weak", "independent")
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
    def of(cls, generation: str, sharing: str, inputs: str, uncertainty: str) -> Candidates:
        """All pairs that the estimator's parameters allow.

        Where draws differ by a perturbation of the generator alone, ``"auto"`` leaves out
        independent arms, which it does not reach.
        """
        degrees: tuple[str, ...] = TRIED_DEGREES if sharing == "auto" else (sharing,)
        if uncertainty in PERTURBATIONS:
            degrees = tuple(name for name in degrees if name != "independent")
        if generation == "none":
            degrees = ("none",)
        pairs = product(degrees, INPUTS if inputs == "auto" else (inputs,))
        return cls(*map(list, zip(*pairs, strict=True)))

    @property
    def need_trees(self) -> bool:
        return set(self.inputs) != {"raw"}

    def choose(
        self, loss: np.ndarray, row_loss: np.ndarray, rows: np.ndarray, overlap: np.ndarray
    ) -> np.ndarray:
        """The candidate of each member, by its held-out losses.

        Each member takes its own best of what the one-standard-error rule leaves (Breiman,
        Friedman, Olshen & Stone, 1984, section 3.4.3): the mean difference between the members'
        best candidates of two kinds, over the held-out rows, against its standard error.

        - Arms that share nothing are left out where they are worse than others by more than that.
        - Effects that differ between rows are left out where they are not better, by more than
          that, than arms that differ by a constant. Here rows count by their overlap: those that
          could only have received one arm say nothing of effects.

        Parameters
        ----------
        loss : ndarray, shape (n_members, n_candidates)
            Infinite for a network that diverged.
        row_loss : ndarray, shape (n_members, n_candidates, n_held)
            At each row that the member held out.
        rows : ndarray of int, shape (n_members, n_held)
            Which rows these are.
        overlap : ndarray, shape (n,)
            Overlap weight of every row.

        Returns
        -------
        ndarray of int, shape (n_members,)
        """
        sharing = np.array(self.sharing)
        constant, apart = sharing == "intercept", sharing == "independent"
        shared, own = np.where(apart, np.inf, loss), np.where(apart, loss, np.inf)
        if _all_have(shared) and _all_have(own) and _pays(own, shared, row_loss, rows):
            loss = shared
        least, varying = np.where(constant, loss, np.inf), np.where(constant, np.inf, loss)
        if _all_have(least) and not (
            _all_have(varying) and _pays(least, varying, row_loss * overlap[rows][:, None], rows)
        ):
            loss = least
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


def _all_have(loss: np.ndarray) -> bool:
    """Whether every member has a candidate, and one that did not diverge."""
    return bool(np.isfinite(loss.min(axis=1)).all())


def _pays(loss: np.ndarray, other: np.ndarray, row_loss: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the members' best of `other` gains more than one standard error over that of `loss`.

    Both are shaped as the members' losses, infinite where a candidate is not of the kind; a row
    counts once, with its mean over the members that held it out.
    """
    members = np.arange(len(loss))
    best, best_other = (row_loss[members, kind.argmin(1)] for kind in (loss, other))
    gain = (best - best_other).astype(np.float64)
    times = np.bincount(rows.ravel())
    by_row = np.bincount(rows.ravel(), gain.ravel())[times > 0] / times[times > 0]
    return len(by_row) > 1 and by_row.mean() > by_row.std(ddof=1) / len(by_row) ** 0.5
