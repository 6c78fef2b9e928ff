"""Simulated studies: many arms that share much, little or nothing; and two arms, for intervals."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, softmax

from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

N_COLUMNS = 20
N_BINARY = 10
CORRELATION = 0.3
CONTROLS_PER_TREATED = 4
TEST_ROWS = 1000
RANK = 2
SHARED = {"much": 0.9, "little": 0.5, "nothing": 0.0}
NOISE_SD = np.sqrt(3 / 7)
OVERSAMPLING = 8
DESIGNS = ("smooth", "stepped", "few", "randomised", "null")
TREATED_SHARE = 0.5
FEW_TREATED_SHARE = 0.05
LEAST_ROWS = 40
EFFECT_MEAN = 0.5
EFFECT_SD = 0.5
N_STEPS = 4


def draw_arms_study(
    n_arms: int = 5, rows_per_arm: int = 30, sharing: str = "much", replication: int = 1
) -> CausalSplit:
    """Draw a confounded study of many arms with few rows each.

    Covariates are 20 columns of ``N(0, R)`` with ``R_ij = 0.3 ** abs(i - j)``, of which the last 10
    are replaced by whether they are positive (0 or 1). With z the standardised covariates and s the
    shared part of the variance, the outcome of arm k is

        mu_k(x) = c_k + sqrt(s) f(x) + sqrt(1 - s) d_k(x)        y = mu_k(x) + N(0, 3/7)

    where c_k ~ N(0, 0.5^2) and f is a random surface, linear in 8 random columns, plus 4 bumps,

        f(x) = z'b + sum_m a_m tanh(z'w_m)        standardised to mean 0 and variance 1

    with b, a_m ~ N(0, 1), and w_m ~ N(0, 1) on 3 random columns each, all other entries 0.
    What d_k is, and s, depend on `sharing`:

    - ``"much"``: s = 0.9 and ``d_k = cos(u_k) h_1 + sin(u_k) h_2`` with u_k uniform on the circle:
      the arms differ by a combination of two surfaces h that are common to all arms;
    - ``"little"``: s = 0.5, and each d_k is a separate random surface;
    - ``"nothing"``: s = 0, and each d_k is a separate random surface.

    So every surface has variance near 1, and the outcomes have an R2 near 0.7. An arm is assigned
    with probability ``softmax_k(z'g_k)``, g_k ~ N(0, 0.1^2); from the people drawn, the training
    sample keeps the requested number of each arm.

    Parameters
    ----------
    n_arms : int, default 5
        Number of arms, at least 2: the control and n_arms - 1 treatments.
    rows_per_arm : int, default 30
        Number of training rows of each treatment; there are four times as many controls.
    sharing : {"much", "little", "nothing"}, default "much"
        How much the arms' surfaces have in common.
    replication : int, default 1
        Any integer >= 1: the seed.

    Returns
    -------
    CausalSplit
        ``(n_arms + 3) * rows_per_arm`` training rows and 1000 test rows, with ``mu`` known.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range or `sharing` is unknown.

    Examples
    --------
    >>> from hypercate.datasets import draw_arms_study
    >>> split = draw_arms_study(n_arms=3, rows_per_arm=10)
    >>> split.train.X.shape, split.test.effect.shape
    ((60, 20), (1000, 2))
    """
    n_arms = check_count("n_arms", n_arms, first=2)
    rows_per_arm = check_count("rows_per_arm", rows_per_arm)
    replication = check_count("replication", replication)
    if sharing not in SHARED:
        raise ValueError(f"sharing must be one of {', '.join(SHARED)}, got {sharing!r}")
    rng = np.random.default_rng(replication)
    n_rows = TEST_ROWS + OVERSAMPLING * CONTROLS_PER_TREATED * n_arms * rows_per_arm
    X, z = covariates(rng, n_rows)
    mu = _surfaces(rng, z, n_arms, sharing)
    assigned = softmax(z @ rng.normal(0, 0.1, size=(N_COLUMNS, n_arms)), axis=1).cumsum(axis=1)
    treatment = (rng.uniform(size=(n_rows, 1)) > assigned[:, :-1]).sum(axis=1)
    y = mu[np.arange(n_rows), treatment] + rng.normal(0, NOISE_SD, size=n_rows)
    people = CausalSample(X, treatment, y, mu, randomized=None)
    rows_of_arm = np.full(n_arms, rows_per_arm)
    rows_of_arm[0] *= CONTROLS_PER_TREATED
    train = first_of_arms(treatment, rows_of_arm)
    return split_of(f"arms-{n_arms}-{sharing}", replication, people, train)


def draw_interval_study(
    design: str = "smooth", rows: int = 500, replication: int = 1
) -> CausalSplit:
    """Draw a study of two arms with a known effect, to judge intervals of the effect.

    Covariates, and random surfaces f and h of mean 0 and variance 1, are those of
    :func:`draw_arms_study`. The outcome is

        mu_0(x) = f(x)    mu_1(x) = f(x) + tau(x)    y = mu_t(x) + N(0, 3/7)

    and a row is treated with probability ``expit(c + f(x))``: the higher the outcome without
    treatment, the more likely the treatment. Each design differs from the first in one respect:

    - ``"smooth"``: confounded, ``tau = 0.5 + 0.5 h``, and c such that half are treated;
    - ``"stepped"``: ``h = sum_m a_m [z_m > c_m]`` instead, standardised, with four random columns
      m, c_m ~ U(-1, 1) and a_m ~ N(0, 1);
    - ``"few"``: c such that 5 % are treated;
    - ``"randomised"``: everyone is treated with probability 1/2;
    - ``"null"``: ``tau = 0``.

    The training sample has exactly the share of treated rows that the population has.

    Parameters
    ----------
    design : {"smooth", "stepped", "few", "randomised", "null"}, default "smooth"
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
        If a number is out of range or `design` is unknown.

    Examples
    --------
    >>> from hypercate.datasets import draw_interval_study
    >>> split = draw_interval_study("smooth", rows=100)
    >>> split.train.X.shape, split.test.effect.shape
    ((100, 20), (1000,))
    """
    if design not in DESIGNS:
        raise ValueError(f"design must be one of {', '.join(DESIGNS)}, got {design!r}")
    rows = check_count("rows", rows, first=LEAST_ROWS)
    replication = check_count("replication", replication)
    rng = np.random.default_rng(replication)
    share = FEW_TREATED_SHARE if design == "few" else TREATED_SHARE
    n_treated = round(share * rows)
    n_people = TEST_ROWS + OVERSAMPLING * rows
    X, z = covariates(rng, n_people)
    control = random_surface(rng, z)
    confounding = np.zeros(n_people) if design == "randomised" else control
    treatment = (rng.uniform(size=n_people) < propensity_of(confounding, share)).astype(int)
    mu = np.column_stack([control, control + _effect(rng, z, design)])
    y = mu[np.arange(n_people), treatment] + rng.normal(0, NOISE_SD, size=n_people)
    people = CausalSample(X, treatment, y, mu, randomized=None)
    train = first_of_arms(treatment, (rows - n_treated, n_treated))
    return split_of(f"simulated-{design}-{rows}", replication, people, train)


def first_of_arms(treatment: np.ndarray, counts: Iterable[int]) -> np.ndarray:
    """The first rows after the test rows that received each arm, as many as asked for, in order."""
    each = [
        TEST_ROWS + np.flatnonzero(treatment[TEST_ROWS:] == arm)[:count]
        for arm, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(each))


def split_of(
    name: str, replication: int, people: CausalSample, train: np.ndarray | None = None
) -> CausalSplit:
    """Some people as the training sample, by default all but the first, who are the test sample."""
    if train is None:
        train = np.arange(TEST_ROWS, len(people))
    test = np.arange(TEST_ROWS)
    return CausalSplit(name, replication, train=people.take(train), test=people.take(test))


def propensity_of(confounding: np.ndarray, share: float) -> np.ndarray:
    """Probabilities ``expit(c + confounding)`` with the mean given."""
    c = brentq(lambda c: expit(c + confounding).mean() - share, -20, 20)
    return expit(c + confounding)


def _effect(rng: np.random.Generator, z: np.ndarray, design: str) -> np.ndarray:
    """True effects (n,) of a design."""
    if design == "null":
        return np.zeros(len(z))
    surface = _step_surface(rng, z) if design == "stepped" else random_surface(rng, z)
    return EFFECT_MEAN + EFFECT_SD * surface


def _step_surface(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """A surface (n,) of mean 0 and variance 1: a step in each of four columns."""
    columns = rng.choice(N_COLUMNS, N_STEPS, replace=False)
    steps = z[:, columns] > rng.uniform(-1, 1, size=N_STEPS)
    return standardise(steps @ rng.normal(size=N_STEPS))


def covariates(rng: np.random.Generator, n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Covariates (n, 20) and the same standardised."""
    place = np.arange(N_COLUMNS)
    correlation = CORRELATION ** np.abs(place[:, None] - place)
    X = rng.standard_normal((n_rows, N_COLUMNS)) @ np.linalg.cholesky(correlation).T
    X[:, -N_BINARY:] = X[:, -N_BINARY:] > 0
    return pd.DataFrame(X, columns=[f"x{number + 1}" for number in place]), standardise(X)


def _surfaces(rng: np.random.Generator, z: np.ndarray, n_arms: int, sharing: str) -> np.ndarray:
    """Potential outcomes (n, n_arms)."""
    intercept = rng.normal(0, 0.5, size=n_arms)
    common = random_surface(rng, z)[:, None]
    if sharing == "much":
        angle = rng.uniform(0, 2 * np.pi, size=n_arms)
        directions = np.column_stack([random_surface(rng, z) for _ in range(RANK)])
        own = directions @ np.stack([np.cos(angle), np.sin(angle)])
    else:
        own = np.column_stack([random_surface(rng, z) for _ in range(n_arms)])
    share = SHARED[sharing]
    return intercept + np.sqrt(share) * common + np.sqrt(1 - share) * own


def random_surface(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """A surface (n,) of mean 0 and variance 1: eight columns linearly, and four bumps of three."""
    linear = rng.normal(size=N_COLUMNS) * _choose(rng, 8)
    bumps = np.stack([rng.normal(size=N_COLUMNS) * _choose(rng, 3) for _ in range(4)], axis=1)
    return standardise(z @ linear + np.tanh(z @ bumps) @ rng.normal(size=4))


def _choose(rng: np.random.Generator, n_columns: int) -> np.ndarray:
    chosen = np.zeros(N_COLUMNS)
    chosen[rng.choice(N_COLUMNS, n_columns, replace=False)] = 1
    return chosen


def standardise(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)
