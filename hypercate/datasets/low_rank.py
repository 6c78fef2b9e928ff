"""A simulated study: many small arms whose effects are mixtures of two surfaces."""

import numpy as np

from hypercate.datasets.samples import CausalSample, CausalSplit, check_count
from hypercate.datasets.synthetic import (
    N_BINARY,
    N_COLUMNS,
    TEST_ROWS,
    covariates,
    random_surface,
    split_of,
    standardise,
)

RANK = 2


def draw_low_rank_study(
    n_arms: int = 20, rows_per_arm: int = 40, replication: int = 1
) -> CausalSplit:
    """Draw a randomised study of many arms whose effects lie in two common directions.

    Covariates and the random surface f, of mean 0 and variance 1, are those of
    :func:`draw_arms_study`. The outcome without treatment, and that of arm k, are

        mu_0(x) = f(x)    mu_k(x) = f(x) + a_k g_1(x) + b_k g_2(x)    y = mu_t(x) + N(0, 1)

    with a_k, b_k ~ N(0, 1/2). Each of the directions g_1 and g_2 is smooth in its own three
    columns, drawn from the ten continuous ones: with z the standardised covariates,

        g(x) = tanh(2 z_i) + sin(2 z_j) + z_l^2 / 2    standardised to mean 1 and variance 1

    So the effect of an arm has a standard deviation over the people near 1, like the noise, and its
    average is near a_k + b_k. Arms are assigned completely at random: in the training sample each
    arm to the same number of people, in the test sample each with the same probability.

    Parameters
    ----------
    n_arms : int, default 20
        Number of arms, at least 2: the control and n_arms - 1 treatments.
    rows_per_arm : int, default 40
        Number of training rows of each arm, including the control.
    replication : int, default 1
        Any integer >= 1: the seed.

    Returns
    -------
    CausalSplit
        ``n_arms * rows_per_arm`` training rows and 1000 test rows, with ``mu`` known.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from hypercate.datasets import draw_low_rank_study
    >>> split = draw_low_rank_study(n_arms=5, rows_per_arm=10)
    >>> split.train.X.shape, split.test.effect.shape
    ((50, 20), (1000, 4))
    """
    n_arms = check_count("n_arms", n_arms, first=2)
    rows_per_arm = check_count("rows_per_arm", rows_per_arm)
    replication = check_count("replication", replication)
    rng = np.random.default_rng(replication)
    n_rows = TEST_ROWS + n_arms * rows_per_arm
    X, z = covariates(rng, n_rows)
    baseline = random_surface(rng, z)[:, None]
    columns = rng.permutation(N_COLUMNS - N_BINARY)[: 3 * RANK].reshape(RANK, 3)
    directions = np.column_stack([_direction(z[:, of_one]) for of_one in columns])
    effects = directions @ rng.normal(0, np.sqrt(1 / RANK), size=(RANK, n_arms - 1))
    mu = np.hstack([baseline, baseline + effects])
    of_train = rng.permutation(np.repeat(np.arange(n_arms), rows_per_arm))
    treatment = np.concatenate([rng.integers(n_arms, size=TEST_ROWS), of_train])
    y = mu[np.arange(n_rows), treatment] + rng.standard_normal(n_rows)
    people = CausalSample(X, treatment, y, mu, randomized=None)
    return split_of(f"low-rank-{n_arms}", replication, people)


def _direction(z: np.ndarray) -> np.ndarray:
    """A smooth function (n,) of three columns, of mean 1 and variance 1."""
    first, second, third = z.T
    return 1 + standardise(np.tanh(2 * first) + np.sin(2 * second) + third**2 / 2)
