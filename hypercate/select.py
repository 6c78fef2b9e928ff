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
LEAST_GAIN = 0.5  # standard errors by which arms that share have to be better


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

    def choose(self, found: Found, cluster: np.ndarray) -> np.ndarray:
        """The candidate of each model, by the losses at its own stop rows.

        A model takes its best candidate, but for a rule after the one-standard-error rule
        (Breiman, Friedman, Olshen & Stone, 1984, section 3.4.3): arms that share nothing must not
        be worse than others by `LEAST_GAIN` standard errors of the mean difference over the
        clusters of its stop rows. That is below one standard error, since every model decides for
        itself and the ensemble takes the mean of what they decide.

        Parameters
        ----------
        found : Found
        cluster : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of int, shape (n_models,)
        """
        apart = np.array(self.sharing) == "independent"
        shared, own = np.where(apart, np.inf, found.loss), np.where(apart, found.loss, np.inf)
        worse = _gains(own, shared, found, cluster)
        return np.argmin(np.where(worse[:, None], shared, found.loss), axis=1)

    def log_choice(self, of: str, found: Found, chosen: np.ndarray) -> None:
        """Tell which candidates the models took, and at DEBUG by which losses."""
        names = list(zip(self.sharing, self.inputs, strict=True))
        taken = counted(" and ".join(names[k]) for k in chosen)
        LOG.info("networks of the %s, sharing and inputs by models: %s", of, taken)
        for name, loss in zip(names, found.loss.T, strict=True):
            LOG.debug("loss of %s on the models' validation rows: %s", " and ".join(name), loss)


def _gains(loss: np.ndarray, other: np.ndarray, found: Found, cluster: np.ndarray) -> np.ndarray:
    """Whether each model's best of `other` gains enough over its best of `loss`: (n_models,).

    Both are shaped as the models' losses, infinite where a candidate is not of the kind; False
    where a model has no candidate of either.
    """
    models = np.arange(len(loss))
    best, best_other = (found.row_loss[models, kind.argmin(axis=1)] for kind in (loss, other))
    gain = np.where(found.real, best - best_other, 0.0)
    pays = np.zeros(len(loss), dtype=bool)
    for m in np.flatnonzero(np.isfinite(loss.min(axis=1)) & np.isfinite(other.min(axis=1))):
        code = np.unique(cluster[found.rows[m]], return_inverse=True)[1]
        by_cluster = np.bincount(code, gain[m])[np.bincount(code, found.real[m]) > 0]
        error = by_cluster.std(ddof=1) * len(by_cluster) ** 0.5 if len(by_cluster) > 1 else np.inf
        pays[m] = by_cluster.sum() > LEAST_GAIN * error
    return pays
