"""Simulated studies whose outcome is the time until an event, censored for many rows."""

from __future__ import annotations

import numpy as np
from scipy import special

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

OUTCOMES = ("time", "survival")
HORIZON = 10.0
SHAPE = 1.5
LEVEL = np.log(8.0)
CONTROL_SD = 0.5
RATIO_MEAN, RATIO_SD = 0.2, 0.4
CENSORING = np.log(1 / 25)
CENSORING_SD, CENSORING_ARM = 0.5, 0.7
LONGEST = 15.0


def draw_survival_study(
    outcome: str = "time", rows: int = 500, replication: int = 1
) -> CausalSplit:
    """Draw a confounded study of two arms with times until death and censoring.

    Covariates, and random surfaces f and h of mean 0 and variance 1, are those of
    :func:`draw_arms_study`: linear in eight columns, with bumps. Times until death have a Weibull
    distribution of shape 1.5, and the treatment multiplies its scale,

        log s_0(x) = log 8 + 0.5 f(x)        log(s_1(x) / s_0(x)) = 0.2 + 0.4 h(x)

    and a row is treated with probability ``expit(a - f(x))``, where a is such that half are
    treated: the sooner death without treatment, the more likely the treatment. Times until a row is
    lost to follow-up are exponential, with rate ``exp(0.5 f(x) + 0.7 t) / 25``: people who would
    live long and treated people are lost sooner. Follow-up ends after 15 units of time.

    Parameters
    ----------
    outcome : {"time", "survival"}, default "time"
        The content of ``mu``: mean times up to a horizon of 10, or probabilities of surviving
        beyond it. The rows are the same.
    rows : int, default 500
        Training rows, at least 40.
    replication : int, default 1
        Any integer >= 1: the seed.

    Returns
    -------
    CausalSplit
        `rows` training rows and 1000 test rows, with ``event`` and with ``mu`` known; ``y`` is the
        time up to which a row was followed.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range or `outcome` is unknown.

    Examples
    --------
    >>> from hypercate.datasets import draw_survival_study
    >>> split = draw_survival_study("time", rows=100)
    >>> split.train.X.shape, split.train.event.dtype.name
    ((100, 20), 'bool')
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, got {outcome!r}")
    rows = check_count("rows", rows, first=LEAST_ROWS)
    replication = check_count("replication", replication)
    rng = np.random.default_rng(replication)
    n_people = TEST_ROWS + OVERSAMPLING * rows
    X, z = covariates(rng, n_people)
    control, ratio = random_surface(rng, z), random_surface(rng, z)
    treatment = (rng.uniform(size=n_people) < propensity_of(-control, 0.5)).astype(int)
    log_scale = LEVEL + CONTROL_SD * control
    scale = np.exp(np.column_stack([log_scale, log_scale + RATIO_MEAN + RATIO_SD * ratio]))
    died = scale[np.arange(n_people), treatment] * rng.weibull(SHAPE, n_people)
    log_rate = CENSORING + CENSORING_SD * control + CENSORING_ARM * treatment
    lost = np.minimum(rng.exponential(np.exp(-log_rate)), LONGEST)
    hazard = (HORIZON / scale) ** SHAPE  # cumulative, at the horizon
    mu = np.exp(-hazard)
    if outcome == "time":
        mu = scale * special.gamma(1 + 1 / SHAPE) * special.gammainc(1 / SHAPE, hazard)
    people = CausalSample(
        X, treatment, np.minimum(died, lost), mu, randomized=None, event=died <= lost
    )
    train = np.arange(TEST_ROWS, TEST_ROWS + rows)
    return split_of(f"{outcome}-{rows}", replication, people, train)
