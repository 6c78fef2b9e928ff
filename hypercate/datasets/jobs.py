"""Jobs: a job-training experiment combined with survey controls (LaLonde, 1986).

References
----------
LaLonde (1986), "Evaluating the econometric evaluations of training programs", AER 76:604-620.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect", ICML.
"""

import numpy as np
import pandas as pd

from hypercate.datasets.files import load_arrays
from hypercate.datasets.samples import CausalSample, CausalSplit, check_count

COLUMNS = [
    *("age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75"),
    *("age_squared", "age_cubed", "education_squared", "re74_squared", "re75_squared"),
    *("re74_zero", "re75_zero", "education_re74", "re74_zero_hispanic"),
]
REPLICATIONS = 10


def load_jobs(replication: int = 1) -> CausalSplit:
    """Load one of the ten published folds of Jobs: 3212 people, 297 treated, 17 covariates.

    The treatment is the National Supported Work job training (LaLonde, 1986), and the outcome is
    whether a person earned anything in 1978. The 722 rows of the randomised experiment
    (``randomized``) are combined with 2490 controls from the PSID survey. The true effect of a
    person is unknown.

    Parameters
    ----------
    replication : int, default 1
        Number of the fold, 1 to 10.

    Returns
    -------
    CausalSplit
        2570 training rows (578 randomised) and 642 test rows (144 randomised); ``mu`` is None.

    Raises
    ------
    ImportError
        If a download needs the optional package pooch and it is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If ``replication`` is not an integer.
    ValueError
        If ``replication`` is out of range or a file fails its checksum.

    Examples
    --------
    >>> from hypercate.datasets import load_jobs
    >>> split = load_jobs(replication=1)
    >>> split.train.X.shape, int(split.train.randomized.sum())
    ((2570, 17), 578)
    """
    replication = check_count("replication", replication, last=REPLICATIONS)
    train, test = (
        _sample(load_arrays(f"jobs/jobs_DW_bin.new.10.{part}.npz"), replication - 1)
        for part in ("train", "test")
    )
    return CausalSplit("jobs", replication, train, test)


def _sample(arrays: dict[str, np.ndarray], index: int) -> CausalSample:
    return CausalSample(
        X=pd.DataFrame(arrays["x"][:, :, index].copy(), columns=COLUMNS),
        treatment=arrays["t"][:, index].astype(int),
        y=arrays["yf"][:, index].copy(),
        mu=None,
        randomized=arrays["e"][:, index] == 1,
    )
