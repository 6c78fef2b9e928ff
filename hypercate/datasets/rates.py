"""Simulated studies whose outcomes are counts or positive numbers: effects multiply the mean."""

from __future__ import annotations

import numpy as np

from hypercate.datasets.samples import CausalSample, CausalSplit, check_count
from hypercate.datasets.synthetic import (
    LEAST_ROWS,
    OVERSAMPLING,
    TEST_ROWS,
    covariates,
    propensity_of,
    random_surface,
    split_of,
)

KINDS = ("count", "positive")
LEVEL = {"count": np.log(2.0), "positive": np.log(1000.0)}
CONTROL_SD = 0.6
RATIO_MEAN, RATIO_SD = 0.3, 0.3
FRAILTY_SHAPE = 4.0
GAMMA_SHAPE = 2.0


def draw_outcome_study(kind: str = "count", rows: int = 500, replication: int = 1) -> CausalSplit:
    """Draw a confounded study of two arms whose outcome is a count, or positive.

    Covariates, and random surfaces f and h of mean 0 and variance 1, are those of
    :func:`draw_arms_study`: linear in eight columns, with bumps. The treatment multiplies the mean,

        log mu_0(x) = log c + 0.6 f(x)        log(mu_1(x) / mu_0(x)) = 0.3 + 0.3 h(x)

    and a row is treated with probability ``expit(a + f(x))``, where a is such that half are
    treated: the higher the outcome without treatment, the more likely the treatment. The outcomes
    are

    - ``"count"``: c = 2, ``y ~ Poisson(mu_t u)`` with ``u ~ Gamma(4, 1/4)``: overdispersed counts,
      because people with the same covariates differ;
    - ``"positive"``: c = 1000, ``y ~ Gamma(2, mu_t / 2)``: like costs, with a standard deviation
      proportional to the mean.

    Parameters
    ----------
    kind : {"count", "positive"}, default "count"
    rows : int, default 500
        Training rows, at least 40.
    replication : int, default 1
        Any integer >= 1: the seed.

    Returns
    -------
    CausalSplit
        `rows` training rows and 1000 test rows, with ``mu`` known.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range or `kind` is unknown.

    Examples
    --------
    >>> from hypercate.datasets import draw_outcome_study
    >>> split = draw_outcome_study("count", rows=100)
    >>> split.train.X.shape, bool((split.train.y >= 0).all())
    ((100, 20), True)
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    rows = check_count("rows", rows, first=LEAST_ROWS)
    replication = check_count("replication", replication)
    rng = np.random.default_rng(replication)
    n_people = TEST_ROWS + OVERSAMPLING * rows
    X, z = covariates(rng, n_people)
    control, ratio = random_surface(rng, z), random_surface(rng, z)
    treatment = (rng.uniform(size=n_people) < propensity_of(control, 0.5)).astype(int)
    log_mean = LEVEL[kind] + CONTROL_SD * control
    mu = np.exp(np.column_stack([log_mean, log_mean + RATIO_MEAN + RATIO_SD * ratio]))
    mean = mu[np.arange(n_people), treatment]
    if kind == "count":
        y = rng.poisson(mean * rng.gamma(FRAILTY_SHAPE, 1 / FRAILTY_SHAPE, n_people))
    else:
        y = rng.gamma(GAMMA_SHAPE, mean / GAMMA_SHAPE)
    people = CausalSample(X, treatment, y, mu, randomized=None)
    train = np.arange(TEST_ROWS, TEST_ROWS + rows)
    return split_of(f"{kind}-{rows}", replication, people, train)
