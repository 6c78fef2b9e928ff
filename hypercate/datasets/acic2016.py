"""ACIC 2016: real covariates, simulated treatments and outcomes (Dorie et al., 2019).

References
----------
Dorie, Hill, Shalit, Scott & Cervone (2019), "Automated versus do-it-yourself methods for causal
inference: lessons learned from a data analysis competition", Statistical Science 34:43-68.
"""

import io

import numpy as np
import pandas as pd

from hypercate.datasets.files import load
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

CATEGORICAL = ["x_2", "x_21", "x_24"]
SIMULATIONS = 10
TEST_ROWS = 1000
TRAIN_ROWS = 3802


def load_acic2016(simulation: int = 1, n_train: int | None = None, split: int = 1) -> CausalSplit:
    """Load one simulation of ACIC 2016: 4802 pregnancies, 58 covariates, a binary treatment.

    There is no published split. Ours is random: the rows are permuted with the seed
    ``[simulation, split]``; the first 1000 rows are the test sample, and the next `n_train` rows
    are the training sample. So the test rows are the same for each `n_train`, and a smaller
    training sample is part of a larger one.

    Parameters
    ----------
    simulation : int, default 1
        Number of the simulation, 1 to 10.
    n_train : int, optional
        Number of training rows, 1 to 3802; all 3802 by default.
    split : int, default 1
        Number of the split, at least 1.

    Returns
    -------
    CausalSplit
        With ``mu`` known and ``simulation`` as its replication. The columns x_2, x_21 and x_24 are
        categories, the same ones in both samples.

    Raises
    ------
    ImportError
        If a download needs the optional package pooch and it is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of range or a file fails its checksum.

    Examples
    --------
    >>> from hypercate.datasets import load_acic2016
    >>> split = load_acic2016(simulation=1, n_train=500)
    >>> split.train.X.shape, split.test.X.shape
    ((500, 58), (1000, 58))
    """
    simulation = check_count("simulation", simulation, last=SIMULATIONS)
    split = check_count("split", split)
    n_train = TRAIN_ROWS if n_train is None else check_count("n_train", n_train, last=TRAIN_ROWS)
    outcomes = load(f"acic2016/zymu_{simulation}.csv", _parse_outcomes)
    treatment = outcomes["z"].to_numpy()
    everyone = CausalSample(
        X=load("acic2016/x.csv", _parse_covariates),
        treatment=treatment,
        y=np.where(treatment == 1, outcomes["y1"], outcomes["y0"]),
        mu=outcomes[["mu0", "mu1"]].to_numpy(),
        randomized=None,
    )
    rows = np.random.default_rng([simulation, split]).permutation(len(everyone))
    return CausalSplit(
        "acic2016",
        simulation,
        train=everyone.take(rows[TEST_ROWS : TEST_ROWS + n_train]),
        test=everyone.take(rows[:TEST_ROWS]),
    )


def _parse_covariates(raw: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(raw), dtype=dict.fromkeys(CATEGORICAL, "category"))


def _parse_outcomes(raw: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(raw))
