"""What a benchmark returns: a sample to fit on and a sample to predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class CausalSample:
    """Rows of one causal data set.

    Attributes
    ----------
    X : pandas.DataFrame of shape (n, d)
        Covariates, measured before treatment.
    treatment : ndarray of shape (n,), int
        Arm of each row, 0 to K - 1; 0 is the control arm.
    y : ndarray of shape (n,), float
        Observed (factual) outcome; if there is an `event`, the time up to which a row was followed.
    mu : ndarray of shape (n, K), float, or None
        Noiseless potential outcomes; None if they are not known.
    randomized : ndarray of shape (n,), bool, or None
        Whether a row comes from the randomised experiment; None if the data have no such part.
    event : ndarray of shape (n,), bool, or None
        Whether the event was seen at the time in y; None if outcomes are not times.

    Examples
    --------
    >>> from hypercate.datasets import CausalSample
    >>> X, mu = pd.DataFrame({"age": [40, 50]}), np.array([[1.0, 2.0], [1.0, 3.0]])
    >>> treatment, y = np.array([0, 1]), np.array([1.1, 3.2])
    >>> sample = CausalSample(X, treatment, y, mu, randomized=None)
    >>> sample.effect.tolist(), len(sample.take(np.array([1])))
    ([1.0, 2.0], 1)
    """

    X: pd.DataFrame
    treatment: np.ndarray
    y: np.ndarray
    mu: np.ndarray | None
    randomized: np.ndarray | None
    event: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def effect(self) -> np.ndarray:
        """True CATE against control: (n,) for two arms, (n, K - 1) for more.

        Raises
        ------
        ValueError
            If the potential outcomes are not known.
        """
        if self.mu is None:
            raise ValueError(
                "the true effect is unknown: this sample has no potential outcomes (mu is None); "
                "score it with policy_risk and att_error on its randomised rows"
            )
        contrast = self.mu[:, 1:] - self.mu[:, [0]]
        return contrast[:, 0] if contrast.shape[1] == 1 else contrast

    def take(self, rows: np.ndarray) -> CausalSample:
        """A copy of some rows, in the order given, with a fresh index.

        Parameters
        ----------
        rows : ndarray of shape (m,), int
            Positions of the rows.

        Returns
        -------
        CausalSample
            The m rows.
        """
        return CausalSample(
            X=self.X.iloc[rows].reset_index(drop=True),
            treatment=self.treatment[rows],
            y=self.y[rows],
            mu=None if self.mu is None else self.mu[rows],
            randomized=None if self.randomized is None else self.randomized[rows],
            event=None if self.event is None else self.event[rows],
        )


@dataclass(frozen=True, eq=False)
class CausalSplit:
    """One replication of a benchmark: a sample to fit on and a sample to predict.

    Attributes
    ----------
    name : str
        Data set and source, e.g. ``"ihdp-npci"``.
    replication : int
        Number of the replication, from 1.
    train, test : CausalSample
        Disjoint samples of the same population, unless the loader says otherwise.

    Examples
    --------
    >>> from hypercate.datasets import draw_interval_study
    >>> split = draw_interval_study("randomised", rows=100)
    >>> split.name, split.replication, len(split.train), len(split.test)
    ('simulated-randomised-100', 1, 100, 1000)
    """

    name: str
    replication: int
    train: CausalSample
    test: CausalSample


def check_count(name: str, value: int, first: int = 1, last: int | None = None) -> int:
    """The value as an int.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is below `first` or above `last`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < first or (last is not None and value > last):
        valid = f"at least {first}" if last is None else f"from {first} to {last}"
        raise ValueError(f"{name} must be {valid}, got {value}")
    return int(value)
