"""A fitted model: one tree of arrays and plain values, which every answer reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hypercate.added.arms import AddedArms
from hypercate.encoding import ArmDoses, Conditions, Doses, FeatureEncoder
from hypercate.evidence import Evidence
from hypercate.generator.hypernetwork import HyperNet
from hypercate.inference.jackknife import Calibration, spread
from hypercate.networks import Networks
from hypercate.nuisance.assignment import Assignment
from hypercate.outcomes import Family


@dataclass(frozen=True, eq=False)
class Generator:
    """The hypernetworks that generated the models' weights.

    Attributes
    ----------
    hypernet : HyperNet
        Their shape.
    params, buffers : dict of ndarray
        Models on the leading axis; arms in the canonical order of `Conditions.place`.
    """

    hypernet: HyperNet
    params: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]

    @property
    def trained(self) -> list[str]:
        """Names of what one model trains: its generator, or its arms' own weights if none share."""
        apart = self.buffers.get("apart")
        if self.hypernet.generation == "none" or apart is None:
            return list(self.params)
        owned = bool(apart.any(axis=1).all())
        return [name for name in self.params if (name == "own") == owned]

    @property
    def widths(self) -> np.ndarray:
        """Share of the hidden units that each model's networks have, (n_models,)."""
        return self._taken("width", self.hypernet.widths)

    @property
    def depths(self) -> np.ndarray:
        """Share of the hidden layers that each model's networks have, (n_models,)."""
        return self._taken("depth", self.hypernet.depths)

    def _taken(self, name: str, shares: tuple[float, ...]) -> np.ndarray:
        n_models = len(next(iter(self.params.values())))
        largest = np.full(n_models, len(shares) - 1)
        return np.array(shares)[self.buffers.get(name, largest)]

    @property
    def n_parameters(self) -> int:
        """How many parameters that are."""
        return sum(self.params[name][0].size for name in self.trained)


@dataclass(frozen=True)
class Pretrained:
    """The generator that emitted networks, which is not a part of the model.

    Attributes
    ----------
    sha256 : str
        Of the file that it was read from.
    """

    sha256: str


@dataclass(frozen=True, eq=False)
class Choice:
    """What each member tried, how well it did on its stop rows, and what it took.

    Attributes
    ----------
    sharing, inputs : tuple of str, one per candidate
    loss : ndarray of float64, shape (n_members, n_candidates)
    chosen : ndarray of int64, shape (n_members,)
    history : ndarray of float64, shape (records, 4)
        Member, epoch, training loss and loss on the stop rows of the chosen candidates.
    emitted : ndarray of float64, shape (n_members,)
        Share of the networks that the pre-trained generator emits.
    effects : ndarray of float64, shape (n_members, 4)
        Weights of the networks' effects and of those of a second stage, of sum 1: see
        `hypercate.second_stage.COMPONENTS`.
    """

    sharing: tuple[str, ...]
    inputs: tuple[str, ...]
    loss: np.ndarray
    chosen: np.ndarray
    history: np.ndarray
    emitted: np.ndarray
    effects: np.ndarray

    def of_first(self, n_members: int) -> Choice:
        """What the first members tried and took."""
        return replace(
            self,
            loss=self.loss[:n_members],
            chosen=self.chosen[:n_members],
            history=self.history[self.history[:, 0] < n_members],
            emitted=self.emitted[:n_members],
            effects=self.effects[:n_members],
        )


@dataclass(frozen=True, eq=False)
class Seen:
    """How many rows a model has learned from.

    Attributes
    ----------
    rows : ndarray of float64, shape (n_arms,)
        Of each arm that rows received, by their weights; their sum is the number of rows.
    weight : float
        Mean of the sample weights of these, as they were given.
    """

    rows: np.ndarray
    weight: float

    def and_more(self, arm: np.ndarray, weight: np.ndarray) -> Seen:
        """With further rows, of given weights."""
        total = self.rows * self.weight + np.bincount(arm, weight, minlength=len(self.rows))
        mean = float(total.sum() / (self.rows.sum() + len(arm)))
        return Seen(total / mean, mean)


@dataclass(frozen=True, repr=False, eq=False)
class Fitted:
    """All that a fit leaves.

    Attributes
    ----------
    features : FeatureEncoder
    conditions : Conditions
    family : Family
        Of the outcome.
    networks : Networks
    generators : tuple of Generator
        Of the arms' networks and of the effects'; empty where nothing was trained.
    pretrained : Pretrained or None
        None where no emitted networks count.
    propensity : Propensity or SuppliedPropensity
        Of the arms in their canonical order.
    calibration : Calibration
    choice : Choice
    seed : int
    evidence : Evidence or None
        The training rows; None in a model that was saved without.
    doses : Doses, ArmDoses or None
        Where treatments are amounts; `conditions` are then their ranges.
    added : AddedArms or None
        Arms that came after the fit, the last ones of `conditions`; networks, generators and
        evidence are of the others.
    seen : Seen or None
        None in a file that was written before these were counted.
    """

    features: FeatureEncoder
    conditions: Conditions
    family: Family
    networks: Networks
    generators: tuple[Generator, ...]
    pretrained: Pretrained | None
    propensity: Assignment
    calibration: Calibration
    choice: Choice
    seed: int
    evidence: Evidence | None
    doses: Doses | ArmDoses | None = None
    added: AddedArms | None = None
    seen: Seen | None = None

    @property
    def of_conditions(self) -> Networks:
        """Networks whose outcomes are those of the conditions: of arms, or of the ranges of doses.

        Of a range it is the outcome that the mean blend of its doses gives.
        """
        if self.doses is None:
            return self.networks
        return self.networks.at_doses(self.doses.of_range[self.conditions.place])

    def without_evidence(self) -> Fitted:
        """The same, of which the training rows are not known."""
        return replace(self, evidence=None)

    def outcomes(self, x: np.ndarray, device: torch.device) -> np.ndarray:
        """Potential outcomes (n, n_arms) at encoded covariates."""
        return self.and_added(self.networks.predict(x, device), x)

    def deviations(
        self, networks: Networks, calibration: Calibration, x: np.ndarray, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray]:
        """Outcomes of some networks (n, n_arms), and calibrated deviations (b, n, n_arms)."""
        outcomes, deviations = networks.deviations(x, device)
        unit = self.family.unit_of_deviations(outcomes)
        return outcomes, unit * spread(deviations / unit, calibration)

    def and_added(self, outcomes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Outcomes (n, n_arms) with those of arms that came after the fit."""
        if self.added is None:
            return outcomes
        return np.hstack([outcomes, self.added.outcomes(outcomes, x)])

    def and_added_deviations(
        self, outcomes: np.ndarray, deviations: np.ndarray, x: np.ndarray
    ) -> np.ndarray:
        """Calibrated deviations (b, n, n_arms) from these with those of such arms, and more."""
        if self.added is None:
            return deviations
        of_added = self.added.deviations(outcomes, deviations, x)
        more = ((0, len(of_added) - len(deviations)), (0, 0), (0, 0))
        return np.concatenate([np.pad(deviations, more), of_added], axis=2)

    def propensities(self, x: np.ndarray) -> np.ndarray:
        """Probabilities of the arms that rows received, in the order of the estimator's."""
        return self.propensity.predict(x)[:, self.conditions.place_received]
