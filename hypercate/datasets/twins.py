"""Twins: both potential outcomes are observed, one on each twin (Yoon et al., 2018).

References
----------
Almond, Chay & Lee (2005), "The costs of low birth weight", QJE 120:1031-1083.
Louizos et al. (2017), "Causal effect inference with deep latent-variable models", NeurIPS.
Yoon, Jordon & van der Schaar (2018), "GANITE: estimation of individualized treatment effects using
generative adversarial nets", ICLR.
"""

import io

import numpy as np
import pandas as pd
from scipy.special import expit

from hypercate.datasets.files import load
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

FILE = "twins/ganite_Twin_data.csv.gz"
COLUMNS = [
    *("dtotord", "anemia", "cardiac", "lung", "diabetes", "herpes", "hydra", "hemo", "chyper"),
    *("phyper", "eclamp", "incervix", "pre4000", "preterm", "renal", "rh", "uterine", "othermr"),
    *("cigar", "drink", "wtgain", "pldel", "gestat", "dmage", "dmeduc", "dmar", "resstatb"),
    *("mpcb", "nprevist", "adequacy"),
]
SURVIVED = 9999
TRAIN_ROWS = 9120


def load_twins(replication: int = 1) -> CausalSplit:
    """Load one replication of Twins: 11400 pairs of twins, 30 covariates, death in the first year.

    A row is a pair of twins; treatment 1 means being the heavier twin, and y is 1 if the twin died
    within a year of birth. Both outcomes are known, and ``mu`` holds them: 0 or 1, the outcomes
    themselves and not their expectations. Which twin is observed is drawn, as in Yoon et al.
    (2018), by

        treatment ~ Bernoulli(sigmoid(w'x + n))    w ~ U(-0.1, 0.1) for each column, n ~ N(0, 0.1^2)

    with x standardised over all pairs; this is our addition, and keeps the two arms about equally
    large.

    Parameters
    ----------
    replication : int, default 1
        Any integer >= 1: it seeds the assignment and the split. The pairs are always the same.

    Returns
    -------
    CausalSplit
        9120 training and 2280 test rows.

    Raises
    ------
    ImportError
        If a download needs the optional package pooch and it is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If `replication` is not an integer.
    ValueError
        If `replication` is below 1 or the file fails its checksum.

    Examples
    --------
    >>> from hypercate.datasets import load_twins
    >>> split = load_twins(replication=1)
    >>> split.train.X.shape, split.test.X.shape
    ((9120, 30), (2280, 30))
    """
    replication = check_count("replication", replication)
    table = load(FILE, _parse)
    X = table[COLUMNS]
    died = (table[["lighter", "heavier"]].to_numpy() < SURVIVED).astype(float)
    rng = np.random.default_rng(replication)
    logit = ((X - X.mean()) / X.std()).to_numpy() @ rng.uniform(-0.1, 0.1, size=len(COLUMNS))
    treatment = rng.binomial(1, expit(logit + rng.normal(0, 0.1, size=len(X))))
    pairs = CausalSample(X, treatment, died[np.arange(len(X)), treatment], died, randomized=None)
    rows = rng.permutation(len(X))
    return CausalSplit(
        "twins", replication, pairs.take(rows[:TRAIN_ROWS]), pairs.take(rows[TRAIN_ROWS:])
    )


def _parse(raw: bytes) -> pd.DataFrame:
    """Covariates, then days to death of both twins; the header's quotes are odd, so it is ours."""
    names = [*COLUMNS, "lighter", "heavier"]
    return pd.read_csv(io.BytesIO(raw), compression="gzip", header=0, names=names)
