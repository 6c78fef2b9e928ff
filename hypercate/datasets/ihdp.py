"""IHDP: real covariates and treatments, simulated outcomes (Hill, 2011).

References
----------
Hill (2011), "Bayesian nonparametric modeling for causal inference", JCGS 20:217-240.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect", ICML.
"""

import functools
import importlib.resources
import os
from pathlib import Path

import numpy as np
import pandas as pd

from hypercate.datasets.files import DATA_VARIABLE, INSTALL_HINT, load_arrays
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

COLUMNS = [
    *("bw", "b_head", "preterm", "birth_o", "nnhealth", "momage", "sex", "twin", "b_marr"),
    *("mom_lths", "mom_hs", "mom_scoll", "cig", "first", "booze", "drugs", "work_dur", "prenatal"),
    *(f"site{number}" for number in range(1, 8)),
]
CONTINUOUS = COLUMNS[:6]
TRAIN_ROWS = 672
ATT = 4.0
PUBLISHED_REPLICATIONS = 100
EXCERPT_REPLICATIONS = 25


def load_ihdp(replication: int = 1, source: str = "npci") -> CausalSplit:
    """Load one replication of IHDP: 747 children, 139 treated, 25 covariates, simulated outcomes.

    The covariates and treatments are those of the Infant Health and Development Program without
    the treated children of non-white mothers. The outcomes follow response surface B of Hill
    (2011), ``mu0 = exp((X + W) beta)`` and ``mu1 = X beta - omega``, with unit normal noise.

    Parameters
    ----------
    replication : int, default 1
        With ``"npci"`` any integer >= 1: it seeds the coefficients, the noise and the split. With
        ``"published"`` 1 to 100.
    source : {"npci", "published"}, default "npci"
        ``"npci"`` draws a replicate, without any download, from the covariates EconML ships.
        ``"published"`` reads IHDP-100 of Shalit, Johansson & Sontag (2017) with its own split.

    Returns
    -------
    CausalSplit
        672 training and 75 test rows, with ``mu`` known. The first six columns are standardised
        over all 747 rows and ``first`` is coded 1/2, as published.

    Raises
    ------
    ImportError
        If the source needs an optional package that is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If ``replication`` is not an integer.
    ValueError
        If ``replication`` is out of range, ``source`` is unknown, or a file fails its checksum.

    Examples
    --------
    >>> from hypercate.datasets import load_ihdp
    >>> split = load_ihdp(replication=1, source="npci")
    >>> split.train.X.shape, split.test.effect.shape
    ((672, 25), (75,))
    """
    if source == "npci":
        return _draw_npci(check_count("replication", replication))
    if source == "published":
        return _published(check_count("replication", replication, last=PUBLISHED_REPLICATIONS))
    raise ValueError(f'source must be "npci" or "published", got {source!r}')


@functools.cache
def _covariates() -> tuple[pd.DataFrame, np.ndarray]:
    """Covariates (747, 25), coded as published, and treatments (747,) from EconML's copy."""
    try:
        table = importlib.resources.files("econml").joinpath("data/ihdp/sim.csv")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"drawing an IHDP replicate needs the covariates shipped by EconML: {INSTALL_HINT}"
        ) from error
    with table.open(encoding="utf-8") as stream:
        children = pd.read_csv(stream).rename(columns=lambda column: column.replace(".", "_"))
    children = children[(children["treat"] == 0) | (children["momwhite"] == 1)]
    X = children[COLUMNS].astype(float).reset_index(drop=True)
    continuous = X[CONTINUOUS]
    X[CONTINUOUS] = (continuous - continuous.mean()) / continuous.std()
    X["first"] += 1
    return X, children["treat"].to_numpy(dtype=int)


def _draw_npci(replication: int) -> CausalSplit:
    """Draw response surface B (Hill, 2011) with the intercept of the NPCI package (Dorie, 2016).

    The intercept, uniform on -1, -0.75, ..., 1, is absent from Hill's description but present in
    the published replicates; the offset W is 0.5 for every covariate and 0 for the intercept.
    """
    X, treatment = _covariates()
    covariates = X.to_numpy()
    rng = np.random.default_rng(replication)
    intercept = rng.choice(np.linspace(-1, 1, 9))
    beta = rng.choice([0, 0.1, 0.2, 0.3, 0.4], size=X.shape[1], p=[0.6, 0.1, 0.1, 0.1, 0.1])
    control = np.exp(intercept + (covariates + 0.5) @ beta)
    linear = intercept + covariates @ beta
    omega = (linear - control)[treatment == 1].mean() - ATT
    mu = np.column_stack([control, linear - omega])
    y = mu[np.arange(len(X)), treatment] + rng.standard_normal(len(X))
    rows = rng.permutation(len(X))
    children = CausalSample(X, treatment, y, mu, randomized=None)
    return CausalSplit(
        "ihdp-npci", replication, children.take(rows[:TRAIN_ROWS]), children.take(rows[TRAIN_ROWS:])
    )


def _published(replication: int) -> CausalSplit:
    stem = _published_stem(replication)
    train, test = (
        _sample(load_arrays(f"{stem}.{part}.npz"), replication - 1) for part in ("train", "test")
    )
    return CausalSplit("ihdp-published", replication, train, test)


def _published_stem(replication: int) -> str:
    """Path of the IHDP-100 files, or of their excerpt 1-25 where the data folder has only that."""
    complete, excerpt = "ihdp/ihdp_npci_1-100", "ihdp/ihdp_npci_1-25"
    folder = os.environ.get(DATA_VARIABLE)
    if not folder or replication > EXCERPT_REPLICATIONS:
        return complete
    has_complete = Path(folder, f"{complete}.train.npz").exists()
    has_excerpt = Path(folder, f"{excerpt}.train.npz").exists()
    return excerpt if has_excerpt and not has_complete else complete


def _sample(arrays: dict[str, np.ndarray], index: int) -> CausalSample:
    return CausalSample(
        X=pd.DataFrame(arrays["x"][:, :, index].copy(), columns=COLUMNS),
        treatment=arrays["t"][:, index].astype(int),
        y=arrays["yf"][:, index].copy(),
        mu=np.column_stack([arrays["mu0"][:, index], arrays["mu1"][:, index]]),
        randomized=None,
    )
