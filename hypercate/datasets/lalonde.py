"""LaLonde: a randomised effect, to be recovered with survey controls (Dehejia & Wahba, 1999).

References
----------
LaLonde (1986), "Evaluating the econometric evaluations of training programs", AER 76:604-620.
Dehejia & Wahba (1999), "Causal effects in nonexperimental studies", JASA 94:1053-1062.
"""

import numpy as np
import pandas as pd

from hypercate.datasets.files import INSTALL_HINT
from hypercate.datasets.samples import CausalSample, CausalSplit

COLUMNS = {
    "age": "age",
    "educ": "education",
    "black": "black",
    "hisp": "hispanic",
    "marr": "married",
    "nodegree": "nodegree",
    "re74": "re74",
    "re75": "re75",
}


def load_lalonde() -> CausalSplit:
    """Load the study: the treated of the job-training experiment, with controls of the CPS survey.

    The outcome is earnings in 1978, in dollars. `train` holds the 185 treated of the randomised
    experiment, as Dehejia & Wahba (1999) chose them, and 15992 people of the Current Population
    Survey as controls. `test` holds the experiment: the same 185 treated and the 260 randomised
    controls. Their difference in means, $1,794.34, is the effect on the treated that is to be
    estimated from `train`. So, unlike in the other data sets, the two samples share rows.

    Returns
    -------
    CausalSplit
        With 8 covariates; ``mu`` is None and ``randomized`` marks the rows of the experiment.

    Raises
    ------
    ImportError
        If causaldata, which ships the tables, is not installed.

    Examples
    --------
    >>> from hypercate.datasets import load_lalonde
    >>> split = load_lalonde()
    >>> split.train.X.shape, split.test.X.shape
    ((16177, 8), (445, 8))
    """
    try:
        from causaldata import cps_mixtape, nsw_mixtape
    except ModuleNotFoundError as error:
        raise ImportError(f"LaLonde's tables are shipped by causaldata: {INSTALL_HINT}") from error
    experiment = _sample(nsw_mixtape.load_pandas().data, randomized=True)
    treated = experiment.take(np.flatnonzero(experiment.treatment == 1))
    survey = _sample(cps_mixtape.load_pandas().data, randomized=False)
    return CausalSplit("lalonde-cps", 1, train=_join(treated, survey), test=experiment)


def _sample(table: pd.DataFrame, randomized: bool) -> CausalSample:
    return CausalSample(
        X=table[list(COLUMNS)].rename(columns=COLUMNS).astype(float),
        treatment=table["treat"].to_numpy(dtype=int),
        y=table["re78"].to_numpy(dtype=float),
        mu=None,
        randomized=np.full(len(table), randomized),
    )


def _join(treated: CausalSample, controls: CausalSample) -> CausalSample:
    parts = (treated, controls)
    return CausalSample(
        X=pd.concat([part.X for part in parts], ignore_index=True),
        treatment=np.concatenate([part.treatment for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        mu=None,
        randomized=np.concatenate([part.randomized for part in parts]),
    )
