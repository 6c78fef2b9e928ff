"""A test of whether effects differ between rows and the predictions capture the differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hypercate.evidence import Evidence
from hypercate.inference.groups import difference, everyone_of, inverse_propensity, other_arms

LEAST_SPREAD = 1e-6  # of predicted effects, in sds of the outcome; below are rounding errors


def potential_outcome_scores(fit: Evidence) -> np.ndarray:
    """AIPW scores, whose weighted mean estimates each arm's mean potential outcome.

    Parameters
    ----------
    fit : Evidence

    Returns
    -------
    ndarray of float64, shape (n, n_arms)
    """
    inverse = inverse_propensity(fit)
    inverse /= np.average(inverse, axis=0, weights=fit.weight)
    residual = fit.y[:, None] - fit.mean_outcomes
    mean = np.average(inverse * residual, axis=0, weights=fit.weight)
    return fit.mean_outcomes + mean + inverse * (residual - mean)


def heterogeneity_test(
    fit: Evidence, control: int = 0, arms: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Test whether predicted effects separate rows with larger from rows with smaller effects.

    AIPW scores of the effect are regressed on two terms: the mean predicted effect, and the
    predicted effect minus its mean over the rows that were held out from the same model. (The means
    of the models differ because different rows are left out of each, and this is not
    heterogeneity.) It is the best linear predictor of Chernozhukov, Demirer, Duflo & Fernandez-Val
    (2018, "Generic machine learning inference on heterogeneous treatment effects"), as in grf's
    ``test_calibration``. If the first coefficient is 1, the mean is right; if the second is 1, the
    spread is right; and if the second is above 0, effects differ and the predictions capture it.

    Parameters
    ----------
    fit : Evidence
    control : int
        Position of the arm compared against.
    arms : sequence, optional
        Labels of the arms; by default their positions.

    Returns
    -------
    DataFrame
        Rows ``mean_prediction`` and ``differential_prediction`` for every other arm (index levels
        ``arm`` and ``term``). Columns ``coefficient``, ``stderr`` (of the leave-one-cluster-out
        jackknife; without clusters this is HC3: MacKinnon & White, 1985), ``tstat`` and ``pvalue``,
        one-sided, against a coefficient above 0. If the predictions are constant, up to a millionth
        of the outcome's standard deviation, or their mean is 0, the coefficient does not exist: it
        is NaN and its ``pvalue`` is 1.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows.
    """
    everyone = everyone_of(fit, arms)  # refuses too few rows
    score = difference(potential_outcome_scores(fit), control)
    weight = fit.weight[:, None] / fit.weight.sum()
    mean = (weight * difference(fit.mean_outcomes, control)).sum(axis=0)
    apart = fit.mean_by_row(fit.less_model_means(difference(fit.outcomes, control)))
    regressors = np.stack(
        [np.broadcast_to(mean, apart.shape), apart - (weight * apart).sum(axis=0)]
    )
    least = LEAST_SPREAD * np.sqrt(np.cov(fit.y, aweights=fit.weight))
    size = np.sqrt((weight * regressors**2).sum(axis=1))
    exists = size > least
    size = np.where(exists, size, np.nan)
    first, second = np.nan_to_num(regressors / size[:, None])  # orthonormal: each its own fit
    slope = np.stack([(weight * part * score).sum(axis=0) for part in (first, second)])
    error = score - slope[0] * first - slope[1] * second
    rest = [1 - everyone.by_cell(weight * part**2) for part in (first, second)]
    common = everyone.by_cell(weight * first * second)
    pull = [everyone.by_cell(weight * part * error) for part in (first, second)]
    # what leaving a cell out changes, by Cramer's rule
    change = np.stack([rest[1] * pull[0] + common * pull[1], rest[0] * pull[1] + common * pull[0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        change = change / (rest[0] * rest[1] - common**2)
        coefficient, stderr = slope / size, np.sqrt((change**2).sum(axis=1)) / size
        tstat = coefficient / stderr
    dof = np.maximum(everyone.n_cells - exists.sum(axis=0), 1)
    pvalue = np.where(exists, stats.t.sf(tstat, dof), 1.0)
    terms = pd.Index(["mean_prediction", "differential_prediction"], name="term")
    table = {"coefficient": coefficient, "stderr": stderr, "tstat": tstat, "pvalue": pvalue}
    return pd.DataFrame(
        {name: column.T.ravel() for name, column in table.items()},
        index=pd.MultiIndex.from_product([other_arms(fit, control, arms), terms]),
    )
