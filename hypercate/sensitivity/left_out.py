"""How strong covariates that were measured are as confounders, by leaving them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from hypercate.encoding import as_pandas
from hypercate.sensitivity.bounds import sensitivity
from hypercate.threads import at_once


def leave_out(
    est: Any,
    X: Any,
    y: Any,
    treatment: Any,
    covariates: Sequence[Any] | Mapping[Any, Sequence[Any]] | None = None,
    *,
    estimand: str = "ate",
    T0: Any = None,
    n_jobs: int | None = None,
    **fit_params: Any,
) -> pd.DataFrame:
    """Strength that covariates would have as confounders if they had not been measured.

    The model is fitted again without each of them. An unmeasured confounder that is comparable to a
    covariate, and independent of the other covariates, would have about its strength; see
    `sensitivity`.

    Parameters
    ----------
    est : HyperCATE
        Fitted to these rows; the other fits use its parameters.
    X : DataFrame, shape (n, n_features)
    y, treatment : array-like, shape (n,)
    covariates : sequence, or mapping of name to sequence, optional
        Columns of X to leave out one at a time, or named groups of columns to leave out together;
        by default all columns, one at a time.
    estimand, T0
        As in `sensitivity`.
    n_jobs : int, optional
        Number of fits at once, as in `refute`.
    **fit_params
        Passed to `fit`, such as sample_weight and groups.

    Returns
    -------
    DataFrame
        One row for each arm and covariate, or for each covariate if there is one other arm, with
        columns ``cf_y, cf_d, rho``, as in `Sensitivity.bounds`, and ``change``, the average without
        the covariates minus the average with them. With R2 the explained share of the outcome's
        variance, nu2 the mean square of alpha, and a prime for the fit without the covariates,
        ``cf_y = (R2 - R2') / (1 - R2)`` and ``cf_d`` is ``1 - nu2' / nu2`` divided by
        ``nu2' / nu2`` (Chernozhukov et al., 2022, section 4.3). Either is 0 if leaving the
        covariates out improves the fit.

    Raises
    ------
    TypeError
        If X is not a frame.
    ValueError
        If a covariate is not a column of X, if a group is empty, if no column would be left, or if
        X has other rows than the fit.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hypercate import HyperCATE
    >>> from hypercate.sensitivity import leave_out
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(300, 3)), columns=["age", "dose", "other"])
    >>> arm = (rng.random(300) < 1 / (1 + np.exp(-X["age"]))).astype(int)
    >>> y = X["age"] + arm + rng.normal(size=300)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> strength = leave_out(est, X, y, arm, ["age", "other"])
    >>> bool(strength.loc["age", "cf_y"] > strength.loc["other", "cf_y"])
    True
    """
    frame = as_pandas(X, "X")
    if not isinstance(frame, pd.DataFrame):
        raise TypeError("X must be a frame, so that covariates have names to leave out by")
    groups = _groups(frame, covariates)
    full = sensitivity(est, estimand=estimand, T0=T0)
    if len(est._evidence().used) != len(frame):
        raise ValueError(
            f"X has {len(frame)} rows, but est was fitted to {len(est._evidence().used)}: pass "
            "the rows of the fit"
        )
    model = clone(est)

    def without(columns: list) -> pd.DataFrame:
        short = clone(model).fit(frame.drop(columns=columns), y, treatment, **fit_params)
        return _gain(full, sensitivity(short, estimand=estimand, T0=T0))

    tables = at_once(without, list(groups.values()), n_jobs)
    table = (
        pd.concat(dict(zip(groups, tables, strict=True)), names=["covariates"])
        .swaplevel()
        .sort_index(level=0, sort_remaining=False)
    )
    return table.droplevel(0) if len(full.index) == 1 else table


def _groups(frame: pd.DataFrame, covariates: Any) -> dict[Any, list]:
    if covariates is None:
        covariates = list(frame.columns)
    if isinstance(covariates, str):
        raise ValueError(f"covariates={covariates!r} must be a sequence: pass [{covariates!r}]")
    if isinstance(covariates, Mapping):
        groups = {name: list(columns) for name, columns in covariates.items()}
    else:
        groups = {name: [name] for name in covariates}
    if not groups:
        raise ValueError("covariates is empty: name at least one column")
    for name, columns in groups.items():
        unknown = [column for column in columns if column not in frame.columns]
        if unknown:
            raise ValueError(f"X has no column {unknown[0]!r}: its columns are {list(frame)}")
        if not columns or len(set(columns)) == frame.shape[1]:
            what = "no column" if not columns else "every column"
            raise ValueError(f"covariates {name!r} name {what} of X: leave out some")
    return groups


def _gain(full: Any, short: Any) -> pd.DataFrame:
    """Strength of what the second of two has less, an arm a row."""
    long, less = full.parts, short.parts
    cf_y = (long.explained - less.explained) / (1 - long.explained)
    kept = less.representer / long.representer
    change = less.estimate - long.estimate
    gained = np.maximum(less.noise - long.noise, 0) * np.maximum(
        long.representer - less.representer, 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.where(gained > 0, np.clip(change / np.sqrt(gained), -1, 1), np.sign(change))
    columns = {
        "cf_y": np.clip(cf_y, 0, 1),
        "cf_d": np.clip((1 - kept) / kept, 0, 1),
        "rho": rho,
        "change": change,
    }
    return pd.DataFrame(columns, index=full.index)
