"""Two-stage learners: effects have separate networks, fitted to pseudo-outcomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from hypercate.learners.t import TLearner

OTHER, REFERENCE, ARM = -1, 0, 1
"""What a row received, where one arm is compared with a reference."""


@dataclass(frozen=True)
class EffectLearner(TLearner, ABC):
    """Outcomes by a `TLearner`, and one network for the effect of each arm except a reference.

    A hypernetwork also generates the networks of the effects. They are fitted by weighted squared
    error to pseudo-outcomes, whose mean at x is the effect if the nuisances are right.
    """

    @abstractmethod
    def weight(self, received: np.ndarray, propensity: np.ndarray) -> np.ndarray:
        """Weights of the rows in the loss; rows of weight 0 are left out.

        Parameters
        ----------
        received : ndarray of int, shape (n,)
            `ARM`, `REFERENCE` or `OTHER`.
        propensity : ndarray, shape (n, 2)
            Propensities of the reference and of the arm.

        Returns
        -------
        ndarray, shape (n,)
        """

    @abstractmethod
    def target(
        self, y: np.ndarray, received: np.ndarray, propensity: np.ndarray, outcomes: np.ndarray
    ) -> np.ndarray:
        """Pseudo-outcomes.

        Parameters
        ----------
        y : ndarray, shape (n,)
        received : ndarray of int, shape (n,)
        propensity : ndarray, shape (n, 2)
        outcomes : ndarray, shape (..., n, 2)
            Mean outcomes under the reference and under the arm, by nuisance models that have not
            seen the row.

        Returns
        -------
        ndarray, shape (..., n)
        """


def received_of(condition: np.ndarray, arm: int, reference: int) -> np.ndarray:
    """What rows received, seen from an arm and its reference: int64, shape (n,)."""
    return np.select([condition == arm, condition == reference], [ARM, REFERENCE], OTHER)


def of_pair(propensity: np.ndarray) -> np.ndarray:
    """Probability (n,) of the arm among rows that received the arm or the reference."""
    return propensity[:, 1] / propensity.sum(axis=1)


def imputed(y: np.ndarray, received: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """What was observed, less the mean of what was not; the difference of means in other arms."""
    reference, arm = np.moveaxis(outcomes, -1, 0)
    return np.where(received == REFERENCE, arm - y, np.where(received == ARM, y, arm) - reference)
