"""Hillstrom: an e-mail campaign with three randomised arms (Hillstrom, 2008).

References
----------
Hillstrom (2008), "The MineThatData e-mail analytics and data mining challenge".
Radcliffe (2008), "Hillstrom's MineThatData email analytics challenge: an approach using uplift
modelling", Stochastic Solutions.
"""

import io

import numpy as np
import pandas as pd

from hypercate.datasets.files import load
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

FILE = "hillstrom/hillstrom.csv"
ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
OUTCOMES = ("visit", "conversion", "spend")
COLUMNS = (
    *("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel"),
)


def load_hillstrom(replication: int = 1, outcome: str = "spend") -> CausalSplit:
    """Load the campaign: 64,000 customers, 8 covariates, no e-mail or one of two kinds.

    The arms are 0, no e-mail; 1, an e-mail for men's merchandise; and 2, an e-mail for women's
    merchandise. Each customer was assigned to one of them at random, with a probability of one
    third. The true effect of a customer is unknown.

    Parameters
    ----------
    replication : int, default 1
        Any integer >= 1: the seed of the split into halves.
    outcome : {"spend", "visit", "conversion"}, default "spend"
        Dollars spent within two weeks, or whether the customer visited the site, or bought
        something, within two weeks.

    Returns
    -------
    CausalSplit
        32,000 training and 32,000 test rows; ``mu`` is None and all rows are randomised. The
        columns history_segment, zip_code and channel are categories, as in the file.

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
        If an argument is out of range or the file fails its checksum.

    Examples
    --------
    >>> from hypercate.datasets import load_hillstrom
    >>> split = load_hillstrom(outcome="visit")
    >>> split.train.X.shape, split.test.X.shape
    ((32000, 8), (32000, 8))
    """
    replication = check_count("replication", replication)
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome={outcome!r} is unknown: use one of {', '.join(OUTCOMES)}")
    table = load(FILE, _parse)
    customers = CausalSample(
        X=table[list(COLUMNS)],
        treatment=pd.Categorical(table["segment"], ARMS).codes.astype(int),
        y=table[outcome].to_numpy(dtype=float),
        mu=None,
        randomized=np.ones(len(table), dtype=bool),
    )
    rows = np.random.default_rng(replication).permutation(len(customers))
    half = len(customers) // 2
    return CausalSplit(
        "hillstrom", replication, customers.take(rows[half:]), customers.take(rows[:half])
    )


def _parse(raw: bytes) -> pd.DataFrame:
    categories = dict.fromkeys(("history_segment", "zip_code", "channel"), "category")
    return pd.read_csv(io.BytesIO(raw), dtype=categories)
