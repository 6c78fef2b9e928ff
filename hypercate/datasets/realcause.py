"""RealCause: LaLonde's people with outcomes drawn from a fitted model (Neal et al., 2020).

References
----------
LaLonde (1986), "Evaluating the econometric evaluations of training programs", AER 76:604-620.
Neal, Huang & Raghupathi (2020), "RealCause: realistic causal inference benchmarking",
arXiv 2011.15007.
"""

import io

import numpy as np
import pandas as pd

from hypercate.datasets.files import load
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

COLUMNS = ["age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75"]
SOURCES = ("psid", "cps")
SAMPLES = 100
TEST_SHARE = 0.2


def load_realcause(replication: int = 1, source: str = "psid") -> CausalSplit:
    """Load one of RealCause's samples of LaLonde's study: 8 covariates, poor overlap, heavy tails.

    Covariates are those of the treated of the job-training experiment and of the controls of a
    survey. Treatments, and earnings in 1978 in dollars, were drawn from generative models that were
    fitted to the real ones. Both outcomes of a person were drawn, and ``mu`` holds them: the
    outcomes themselves, with their noise, and not their expectations. Their difference can rank
    learners, but cannot be used to judge intervals of the effect at x.

    There is no published split. Ours permutes the rows with the seed `replication`; the first fifth
    of the rows is the test sample.

    Parameters
    ----------
    replication : int, default 1
        An integer from 1 to 100, for the published samples 0 to 99.
    source : {"psid", "cps"}, default "psid"
        The survey: 2675 people, with controls of the Panel Study of Income Dynamics, or 16177
        people, with controls of the Current Population Survey.

    Returns
    -------
    CausalSplit

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
    >>> from hypercate.datasets import load_realcause
    >>> split = load_realcause(replication=1, source="psid")
    >>> split.train.X.shape, split.test.X.shape
    ((2140, 8), (535, 8))
    """
    replication = check_count("replication", replication, last=SAMPLES)
    if source not in SOURCES:
        raise ValueError(f"source={source!r} is unknown: use one of {', '.join(SOURCES)}")
    table = load(f"realcause/lalonde_{source}_sample{replication - 1}.csv", _parse)
    people = CausalSample(
        X=table[COLUMNS],
        treatment=table["t"].to_numpy(dtype=int),
        y=table["y"].to_numpy(),
        mu=table[["y0", "y1"]].to_numpy(),
        randomized=None,
    )
    rows = np.random.default_rng(replication).permutation(len(people))
    n_test = round(TEST_SHARE * len(people))
    return CausalSplit(
        f"realcause-{source}",
        replication,
        train=people.take(rows[n_test:]),
        test=people.take(rows[:n_test]),
    )


def _parse(raw: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(raw), dtype=float)
