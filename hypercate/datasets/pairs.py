"""Simulated studies with two outcomes: an informative biomarker, and an event."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from hypercate.datasets.samples import CausalSample, CausalSplit, check_count
from hypercate.datasets.synthetic import (
    LEAST_ROWS,
    NOISE_SD,
    OVERSAMPLING,
    TEST_ROWS,
    covariates,
    propensity_of,
    random_surface,
    split_of,
)

OUTCOMES = ("biomarker", "event")
CORRELATION = {"much": 0.8, "nothing": 0.0}
NOISE_CORRELATION = 0.5
EFFECT_MEAN, EFFECT_SD = 0.5, 0.5
EVENT_LEVEL, EVENT_SD = -0.8, 0.6


def draw_pair_study(
    rows: int = 500, sharing: str = "much", replication: int = 1
) -> dict[str, CausalSplit]:
    """Draw a confounded study of two arms and two outcomes of the same people.

    Covariates, and random surfaces f, g, h and k of mean 0 and variance 1, are those of
    :func:`draw_arms_study`. The outcomes are

    - ``"biomarker"``: ``mu_0 = f(x)``, ``mu_1 = mu_0 + 0.5 + 0.5 h(x)``, with normal noise of
      standard deviation sqrt(3/7);
    - ``"event"``, 0 or 1: ``mu_t = Phi(-0.8 + 0.6 f'(x) + t (0.5 + 0.5 h'(x)))``, with
      ``f' = r f + sqrt(1 - r^2) g`` and ``h' = r h + sqrt(1 - r^2) k``, where r is 0.8 if much is
      shared, and 0 otherwise. The noise of the event (on the probit scale) has a correlation of 0.5
      with the noise of the biomarker.

    A row is treated with probability ``expit(a + f(x))``, where a is such that half are treated.

    Parameters
    ----------
    rows : int, default 500
        Training rows, at least 40.
    sharing : {"much", "nothing"}, default "much"
        What the outcomes have in common: their levels without treatment, and their effects.
    replication : int, default 1
        Any integer >= 1: the seed.

    Returns
    -------
    dict of CausalSplit, by outcome
        `rows` training rows and 1000 test rows, the same in both, with ``mu`` known.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range or `sharing` is unknown.

    Examples
    --------
    >>> from hypercate.datasets import draw_pair_study
    >>> study = draw_pair_study(rows=100)
    >>> list(study), study["event"].train.X.shape
    (['biomarker', 'event'], (100, 20))
    """
    if sharing not in CORRELATION:
        raise ValueError(f"sharing must be one of {', '.join(CORRELATION)}, got {sharing!r}")
    rows = check_count("rows", rows, first=LEAST_ROWS)
    replication = check_count("replication", replication)
    rng = np.random.default_rng(replication)
    n_people = TEST_ROWS + OVERSAMPLING * rows
    X, z = covariates(rng, n_people)
    level, other_level, effect, other_effect = (random_surface(rng, z) for _ in range(4))
    treatment = (rng.uniform(size=n_people) < propensity_of(level, 0.5)).astype(int)
    noise, other_noise = rng.normal(size=(2, n_people))
    arms = np.arange(2)

    def mixed(one: np.ndarray, other: np.ndarray, correlation: float) -> np.ndarray:
        return correlation * one + np.sqrt(1 - correlation**2) * other

    def received(of_arms: np.ndarray) -> np.ndarray:
        return of_arms[np.arange(n_people), treatment]

    r = CORRELATION[sharing]
    marker = level[:, None] + arms * (EFFECT_MEAN + EFFECT_SD * effect)[:, None]
    index = EVENT_LEVEL + EVENT_SD * mixed(level, other_level, r)[:, None]
    index = index + arms * (EFFECT_MEAN + EFFECT_SD * mixed(effect, other_effect, r))[:, None]
    happens = received(index) + mixed(noise, other_noise, NOISE_CORRELATION) > 0
    y = {"biomarker": received(marker) + NOISE_SD * noise, "event": happens.astype(float)}
    mu = {"biomarker": marker, "event": ndtr(index)}
    train = np.arange(TEST_ROWS, TEST_ROWS + rows)
    people = {name: CausalSample(X, treatment, y[name], mu[name], None) for name in OUTCOMES}
    return {
        name: split_of(f"pair-{sharing}-{name}-{rows}", replication, one, train)
        for name, one in people.items()
    }
