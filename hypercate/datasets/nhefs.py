"""NHEFS: the effect of giving up smoking on weight and on survival.

References
----------
Hernan & Robins (2020), "Causal Inference: What If", Chapman & Hall/CRC, chapters 12 and 17.
"""

import pandas as pd

from hypercate.datasets.files import INSTALL_HINT
from hypercate.datasets.samples import CausalSample
from hypercate.encoding.checks import warn

OUTCOMES = ("death", "weight")
NUMBERS = ("age", "smokeintensity", "smokeyrs", "wt71", "ht")
CODES = ("sex", "race", "education", "exercise", "active", "asthma", "bronch", "diabetes", "hbp")
FOLLOWED = 120  # months, from January 1983 to December 1992


def load_nhefs(outcome: str = "death") -> CausalSample:
    """Load the follow-up of 1629 smokers: who had given up by 1982, and their later outcomes.

    Smokers aged 25 to 74 years were interviewed in 1971-75 and again in 1982; the treatment is
    whether they had given up smoking by then. The true effect is unknown.

    Parameters
    ----------
    outcome : {"death", "weight"}, default "death"
        ``"death"``: the time until death in months after December 1982, with ``event``; those who
        were alive at the end of 1992 are censored at 120 months. ``"weight"``: kilograms gained
        from 1971 to 1982.

    Returns
    -------
    CausalSample
        With 14 covariates from 1971; ``mu`` and ``randomized`` are None. For ``"death"`` it holds
        all 1629 people, for ``"weight"`` the 1566 people whose weight in 1982 is known.

    Raises
    ------
    ImportError
        If causaldata, which ships the table, is not installed.
    ValueError
        If `outcome` is unknown.

    Warns
    -----
    UserWarning
        If people are left out because their weight in 1982 is not known.

    Examples
    --------
    >>> from hypercate.datasets import load_nhefs
    >>> sample = load_nhefs(outcome="death")
    >>> sample.X.shape, int(sample.event.sum())
    ((1629, 14), 318)
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome={outcome!r} is unknown: use one of {', '.join(OUTCOMES)}")
    try:
        from causaldata import nhefs
    except ModuleNotFoundError as error:
        raise ImportError(f"NHEFS's table is shipped by causaldata: {INSTALL_HINT}") from error
    table = nhefs.load_pandas().data
    event = None
    if outcome == "death":
        event = table["death"].to_numpy() == 1
        month = 12 * (table["yrdth"] - 83) + table["modth"]
        y = month.where(event, FOLLOWED)
    else:
        known = table["wt82_71"].notna()
        warn(
            f"{(~known).sum()} of {len(table)} people are left out because their weight in 1982 is "
            "not known: the remaining people may differ from them"
        )
        table = table[known].reset_index(drop=True)
        y = table["wt82_71"]
    codes = table[list(CODES)].astype(int).astype(str).astype("category")
    return CausalSample(
        X=pd.concat([table[list(NUMBERS)].astype(float), codes], axis=1),
        treatment=table["qsmk"].to_numpy(dtype=int),
        y=y.to_numpy(dtype=float),
        mu=None,
        randomized=None,
        event=event,
    )
