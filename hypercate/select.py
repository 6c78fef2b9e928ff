"""What every model tries, and takes: degrees of sharing crossed with views of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hypercate.generator.hypernetwork import PERTURBATIONS
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import Profile, profiles
from hypercate.nuisance.views import Views
from hypercate.progress import LOG, counted
from hypercate.train.search import Found

TRIED_DEGREES = ("intercept", "weak", "independent")  # the last among more than two arms
INPUTS = ("raw", "boosted")


@dataclass(frozen=True)
class Candidates:
    """Pairs of a degree of sharing and a way to see the inputs.

    Attributes
    ----------
    sharing, inputs : list of str, one entry per candidate
    """

    sharing: list[str]
    inputs: list[str]

    @classmethod
    def of(
        cls,
        generation: str,
        sharing: str,
        inputs: str,
        uncertainty: str,
        n_arms: int,
        of_learner: str | None = None,
        tried: tuple[str, ...] = TRIED_DEGREES,
        all_received: bool = True,
    ) -> Candidates:
        """All pairs that the estimator's parameters allow.

        `of_learner` is the one degree that a learner stands for, if it does; `tried` are those of
        ``sharing="auto"``, without independent arms where there are two, which "weak" leaves free
        enough, and where draws differ by a perturbation of the generator alone, which does not
        reach them. Where some arms were not received by any row, neither independent arms nor the
        trees' predictions of each arm say anything of them.
        """
        degrees = tried if sharing == "auto" else (sharing,)
        if inputs == "auto" and not all_received:
            inputs = "raw"
        if sharing == "auto" and (n_arms == 2 or uncertainty in PERTURBATIONS or not all_received):
            degrees = tuple(name for name in degrees if name != "independent")
        if generation == "none":
            degrees = ("none",)
        if of_learner is not None:
            degrees = (of_learner,)
        pairs = product(degrees, INPUTS if inputs == "auto" else (inputs,))
        return cls(*map(list, zip(*pairs, strict=True)))

    def of_effects(self, n_effects: int) -> Candidates:
        """For networks of effects: a single one shares with none, so that one degree will do."""
        if n_effects > 1 or len(set(self.sharing)) == 1:
            return self
        inputs = list(dict.fromkeys(self.inputs))
        return Candidates(["weak"] * len(inputs), inputs)

    @property
    def need_trees(self) -> bool:
        return set(self.inputs) != {"raw"}

    def profiles(self, net: OutcomeNet) -> list[Profile]:
        """How far arms may depart from one another, for each candidate."""
        return profiles(["independent" if name == "none" else name for name in self.sharing], net)

    def input_scale(self, views: Views, n_codes: np.ndarray) -> Tensor:
        """Factor of each input, for each candidate.

        Parameters
        ----------
        views : Views
            What the models read beside the covariates.
        n_codes : ndarray of int64, shape (n_inputs,)
            Of covariates that are codes of levels, which networks do not read; 0 for numbers.

        Returns
        -------
        Tensor, shape (n_models * n_candidates, n_inputs + n_last)
            Model by model.
        """
        relevance = np.where(n_codes > 0, 0.0, views.relevance)
        numbers = np.broadcast_to(n_codes == 0, relevance.shape)
        every_last = np.ones((len(relevance), views.n_last))
        but_trees = every_last * (np.arange(views.n_last) < views.n_last - views.n_boosted)
        raw = np.hstack([numbers, but_trees])
        boosted = np.hstack([relevance, every_last])
        each = np.stack([raw if name == "raw" else boosted for name in self.inputs], axis=1)
        return torch.as_tensor(each.reshape(-1, each.shape[2]), dtype=torch.float32, device="cpu")

    def log_choice(self, of: str, found: Found, chosen: np.ndarray) -> None:
        """Tell which candidates the models took, and at DEBUG by which losses."""
        names = list(zip(self.sharing, self.inputs, strict=True))
        taken = counted(" and ".join(names[k]) for k in chosen)
        LOG.info("networks of the %s, sharing and inputs by models: %s", of, taken)
        for name, loss in zip(names, found.loss.T, strict=True):
            LOG.debug("loss of %s on the models' validation rows: %s", " and ".join(name), loss)
