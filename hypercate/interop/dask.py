"""Effects of the rows of a Dask frame, one partition at a time, by the workers that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hypercate.estimator import HyperCATE
from hypercate.interop.workers import Sent


def predict(
    est: HyperCATE,
    frame: Any,
    *,
    interval: float | None = None,
    outcomes: bool = False,
    keep: Sequence[str] = (),
) -> Any:
    """Effects of every row, as a Dask frame that is not computed yet.

    Each worker gets the model once, whatever the number of partitions. The model is sent without
    evidence, so that no training row leaves the client, and runs on the worker's CPU, with one
    thread per partition. A partition is predicted as a whole: its effects are those of
    ``est.predict`` at the same rows, bit for bit on the same kind of processor.

    Parameters
    ----------
    est : HyperCATE
        Fitted to a frame whose columns have names.
    frame : dask.dataframe.DataFrame
        Frame with the columns of the fit, of the same kinds, in any order, and possibly others.
    interval : float in (0, 1), optional
        Level of the intervals of the effects, such as 0.95; no intervals by default.
    outcomes : bool, default=False
        Whether to add the outcome under every arm.
    keep : sequence of str, default=()
        Columns of the frame to copy before the answers.

    Returns
    -------
    dask.dataframe.DataFrame
        The kept columns, then float64 columns named as by ``hypercate predict``: ``effect_ARM``
        for each arm except control, ``ci_lower_ARM`` and ``ci_upper_ARM``, and ``outcome_ARM``.
        With several outcomes, the name of the outcome follows; with doses, the dose takes the place
        of the arm. Index, partitions and divisions are those of `frame`.

    Raises
    ------
    NotFittedError
        Before a fit.
    TypeError
        If est is not a HyperCATE, or frame is not a Dask frame.
    ValueError
        If the frame lacks a column or has it twice, if a kept column has the name of an answer, or
        if interval is not between 0 and 1. The values of columns are checked only when the result
        is computed.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from hypercate.interop.dask import predict
    >>> frame = dd.from_pandas(X, npartitions=2)
    >>> predict(est, frame, interval=0.95, keep=["age"]).compute().columns.tolist()
    ['age', 'effect_drug', 'ci_lower_drug', 'ci_upper_drug']
    """
    import dask
    import dask.dataframe as dd

    if not isinstance(frame, dd.DataFrame):
        raise TypeError(f"frame must be a dask.dataframe.DataFrame, but is a {type(frame)}")
    sent = Sent.of(est, list(frame.columns), interval, outcomes, keep)
    read = frame[list(dict.fromkeys([*sent.covariates, *keep]))]
    meta = _answered(dd.utils.make_meta(read), sent, keep)
    return read.map_partitions(_answered, dask.delayed(sent, pure=True), list(keep), meta=meta)


def _answered(part: pd.DataFrame, sent: Sent, keep: Sequence[str]) -> pd.DataFrame:
    """A partition's kept columns and answers."""
    answers = zip(sent.names, sent.values(part).T, strict=True)
    return part[list(keep)].assign(**dict(answers))
