"""Overlap: which rows could have received which arm, and how well weighting balances the arms."""

from __future__ import annotations

import html
import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from hypercate.compat import num_samples, rows_of
from hypercate.encoding import (
    Conditions,
    FeatureEncoder,
    as_pandas,
    check_rows,
    check_sample_weight,
    index_of,
)
from hypercate.encoding.columns import CategoryColumn
from hypercate.folds import Folds
from hypercate.nuisance.propensity import fit_propensity
from hypercate.parting import parting_columns

RELATIVE_LIMIT = 0.2  # of an arm's share: 0.1 in a trial of two equal arms
POOR_SHARE = 0.3
N_PARTS = 5  # of the rows, for the report's own propensities
NO_SPREAD = 1e-6  # of encoded covariates, whose standard deviation is about 1
_ADVICE = (
    "Look at hypercate.overlap_report(X, treatment), and keep to the rows of its common_support, "
    "or drop the arm"
)
_ADVICE_OF_DOSES = (
    "Look at hypercate.overlap_report(X, ranges), with ranges such as pandas.qcut(doses, "
    "3).astype(str), and keep to the rows of its common_support, or drop the doses of that range"
)


_percent = "{:.1%}".format
_FORMATTERS = {
    "effective_rows": "{:.1f}".format,
    "limit": "{:.3g}".format,
    "outside": _percent,
    "smallest": "{:.2g}".format,
}


class OverlapWarning(UserWarning):
    """An arm has poor support: many of the other arms' rows hardly ever receive it.

    Examples
    --------
    >>> import warnings
    >>> from hypercate import OverlapWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", OverlapWarning)
    ...     est = HyperCATE(effort="instant", random_state=0).fit(X, y, X["age"] > 50)
    """


@dataclass(frozen=True, repr=False, eq=False)
class OverlapReport:
    """How far the arms overlap; `print` shows a summary.

    Attributes
    ----------
    propensity : DataFrame, shape (n, n_arms)
        Probability of each arm given the covariates, by models that did not see the row, with the
        index of X; control first.
    received : Series, shape (n,)
        Arm that each row received.
    common_support : Series of bool, shape (n,)
        Rows inside the support of every arm; ``X[report.common_support]`` keeps only these.
    arms : DataFrame, one row per arm
        ``rows``, their number; ``effective_rows``, their effective number with weights ``w = 1 /
        propensity``, ``sum(w) ** 2 / sum(w ** 2)`` (Kish, 1965, "Survey sampling"); ``limit``, the
        propensity below which a row is outside the arm's support; ``outside``, the share of the
        other arms' rows that are outside, where predictions for the arm are extrapolations;
        ``smallest``, the smallest propensity; and ``poor``, whether support is poor, because more
        than 30 % are outside. For an arm with poor support, ``parted_by`` names the columns, such
        as "age" or "site=A", each of which alone shows that so many rows are outside.
    balance : DataFrame, one row for each arm except control and each encoded covariate
        Standardised mean difference from control ``before`` and ``after`` weighting by
        ``1 / propensity``; infinite if a covariate differs but varies in neither arm.

    Notes
    -----
    A row is outside an arm's support if its propensity is below 0.2 times the arm's share of all
    rows. With two equally large arms this is the rule of Crump et al. (2009), to keep propensities
    between 0.1 and 0.9; in units of the share it also works for rare arms, and for more than two.

    Rows of weight 0 are not counted anywhere, but have a propensity.

    References
    ----------
    Crump, Hotz, Imbens & Mitnik (2009), "Dealing with limited overlap in estimation of average
    treatment effects", Biometrika 96:187-199.
    Austin (2009), "Balance diagnostics for comparing the distribution of baseline covariates
    between treatment groups in propensity-score matched samples", Statistics in Medicine
    28:3083-3107; differences above 0.1 are commonly held to be imbalance.

    Examples
    --------
    >>> from hypercate import overlap_report
    >>> report = overlap_report(X, treatment)
    >>> print(str(report).splitlines()[0])
    Overlap of 2 arms in 300 rows, of which ...% are in common support
    >>> inside = X[report.common_support]
    >>> report.propensity.columns.tolist(), report.arms["poor"].tolist()
    (['control', 'drug'], [False, False])
    """

    propensity: pd.DataFrame
    received: pd.Series
    common_support: pd.Series
    arms: pd.DataFrame
    balance: pd.DataFrame

    def __str__(self) -> str:
        return "\n\n".join(self._parts())

    def _table(self) -> pd.DataFrame:
        return self.arms.drop(columns=["poor", "parted_by"])

    def _parts(self) -> tuple[str, str, str]:
        """What is above the table of the arms, the table, and what is below."""
        heading = (
            f"Overlap of {len(self.arms)} arms in {self.arms['rows'].sum()} rows, of which "
            f"{_percent(self.common_support.mean())} are in common support"
        )
        lines = ["Largest standardised mean difference from control, before and after weighting:"]
        for label in self.arms.index[1:]:
            differences = self.balance.xs(label, level="arm").abs()
            worst = [f"{part.max():.2f} ({part.idxmax()})" for _, part in differences.items()]
            lines.append(f"  {label}: {' -> '.join(worst)}")
        poor = self.arms[self.arms["poor"].to_numpy()]
        for label, share, names in zip(
            poor.index.tolist(), poor["outside"], poor["parted_by"], strict=True
        ):
            lines += ["", f"{_describe(label, share)}.{_told_by(names)}"]
        return heading, self._table().to_string(formatters=_FORMATTERS), "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        before, _, after = map(html.escape, self._parts())
        table = self._table().to_html(formatters=_FORMATTERS, border=0)
        return f"<p><b>{before}</b></p>\n{table}\n<pre>{after}</pre>"


def overlap_report(
    X: Any,
    treatment: Any,
    *,
    control: Any = None,
    sample_weight: Any = None,
    random_state: int = 0,
) -> OverlapReport:
    """Check before a fit whether the arms can be compared at all.

    Parameters
    ----------
    X : DataFrame or array-like, shape (n, n_features)
        As in ``HyperCATE.fit``.
    treatment : array-like, shape (n,)
        Arm that each row received, as labels of any kind.
    control : label, optional
        The control arm; the first in sorted order by default.
    sample_weight : array-like, shape (n,), optional
    random_state : int, default=0
        Seed of the propensity model's folds.

    Returns
    -------
    OverlapReport

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used; the message names the column, arm or row.

    Examples
    --------
    >>> from hypercate import overlap_report
    >>> report = overlap_report(X, treatment)
    >>> int(report.arms["rows"].sum()), report.balance.columns.tolist()
    (300, ['before', 'after'])
    """
    if not isinstance(random_state, Integral):
        raise TypeError(f"random_state={random_state!r} must be an integer")
    row_labels = index_of(X)
    X = as_pandas(X, "X")
    features = FeatureEncoder.fit(X)
    arms = Conditions.fit(treatment, control, "overlap_report(X, treatment)")
    n = num_samples(X)
    check_rows(n, row_labels, treatment=treatment)
    weight = check_sample_weight(sample_weight, n, row_labels)
    used = weight > 0
    if not used.all():
        features = FeatureEncoder.fit(rows_of(X, np.flatnonzero(used)))
    arm = arms.positions(treatment)
    rows = np.bincount(arm[used], minlength=len(arms.labels))
    if rows.min() < 2:
        raise ValueError(
            f"arm {arms.labels[rows.argmin()].item()!r} has {rows.min()} row(s) of positive "
            "weight, but its propensity model needs at least 2, one to fit and one to predict: "
            "drop the arm or merge it with another"
        )
    x = features.transform(X)
    propensity = np.empty((n, len(rows)))
    folds = Folds.of(arm[used], N_PARTS, N_PARTS, int(random_state))
    model, propensity[used] = fit_propensity(x[used], features.n_codes, weight[used], folds)
    if not used.all():
        propensity[~used] = model.predict(x[~used])
    return _report(X, x, arm, weight, propensity, arms.labels, features)


def outside_support(propensity: np.ndarray, arm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of the other arms' rows that are outside each arm's support.

    A row is outside if its propensity of the arm is below 0.2 of the arm's share of all rows: see
    `OverlapReport`.

    Parameters
    ----------
    propensity : ndarray, shape (n, n_arms)
        Cross-fitted.
    arm : ndarray of int, shape (n,)
        Every arm is there.
    weight : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n_arms,)
    """
    of_others = weight[:, None] * (arm[:, None] != np.arange(propensity.shape[1]))
    outside = propensity < _limit(arm, weight)
    return (of_others * outside).sum(axis=0) / of_others.sum(axis=0)


def poor_support(propensity: np.ndarray, arm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Whether more than 30 % of the other arms' rows are outside an arm's support.

    Few effective rows alone are not taken as poor support: one unlikely row makes them few, and
    arms that are wholly apart have the most.

    Parameters
    ----------
    propensity, arm, weight
        As in `outside_support`.

    Returns
    -------
    ndarray of bool, shape (n_arms,)
    """
    return outside_support(propensity, arm, weight) > POOR_SHARE


def warn_of_poor_support(
    propensity: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    labels: np.ndarray,
    features: FeatureEncoder,
    x: np.ndarray,
    stacklevel: int = 2,
    *,
    of_doses: bool = False,
) -> None:
    """Warn of each arm with poor support, the columns that separate it, and what to do.

    Parameters
    ----------
    propensity, arm, weight
        As in `outside_support`.
    labels : ndarray, shape (n_arms,)
    features : FeatureEncoder
    x : ndarray of float32, shape (n, n_outputs)
        Encoded covariates.
    stacklevel : int
        As of `warnings.warn`, seen from the caller.
    of_doses : bool, default=False
        Whether arms are ranges of doses.

    Warns
    -----
    OverlapWarning
    """
    outside = outside_support(propensity, arm, weight)
    parted_by = _parted_by(features, x, arm, weight, outside)
    advice = _ADVICE_OF_DOSES if of_doses else _ADVICE
    for label, share, names in zip(labels.tolist(), outside, parted_by, strict=True):
        if share > POOR_SHARE:
            message = f"{_describe(label, share)}.{_told_by(names)} {advice}"
            warnings.warn(message, OverlapWarning, stacklevel=stacklevel + 1)


def support_notes(
    propensity: np.ndarray, arm: np.ndarray, weight: np.ndarray, labels: np.ndarray
) -> tuple[str, ...]:
    """Notes that averages show about each arm with poor support.

    Parameters
    ----------
    propensity, arm, weight
        As in `outside_support`.
    labels : ndarray, shape (n_arms,)
    """
    outside = outside_support(propensity, arm, weight)
    return tuple(
        f"Poor support: {_describe(label, share)}. Averages that involve this arm rest on "
        "predictions there that no row can correct, and intervals do not include that error."
        for label, share in zip(labels.tolist(), outside, strict=True)
        if share > POOR_SHARE
    )


def arms_table(
    propensity: np.ndarray, arm: np.ndarray, weight: np.ndarray, labels: pd.Index
) -> pd.DataFrame:
    """Rows and support of every arm, as `OverlapReport.arms` has them.

    Parameters
    ----------
    propensity, arm, weight
        As in `outside_support`.
    labels : Index, shape (n_arms,)
    """
    received = arm[:, None] == np.arange(len(labels))
    inverse = weight[:, None] * received / propensity
    outside = outside_support(propensity, arm, weight)
    return pd.DataFrame(
        {
            "rows": ((weight > 0)[:, None] & received).sum(axis=0),
            "effective_rows": inverse.sum(axis=0) ** 2 / (inverse**2).sum(axis=0),
            "limit": _limit(arm, weight),
            "outside": outside,
            "smallest": propensity[weight > 0].min(axis=0),
            "poor": outside > POOR_SHARE,
        },
        index=labels,
    )


def _report(
    X: Any,
    x: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    propensity: np.ndarray,
    labels: np.ndarray,
    features: FeatureEncoder,
) -> OverlapReport:
    index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(arm))
    names = pd.Index(labels, name="arm")
    received = arm[:, None] == np.arange(len(labels))
    plain = weight[:, None] * received
    arms = arms_table(propensity, arm, weight, names)
    arms["parted_by"] = _parted_by(features, x, arm, weight, arms["outside"].to_numpy())
    return OverlapReport(
        propensity=pd.DataFrame(propensity, index=index, columns=names),
        received=pd.Series(labels[arm], index=index, name="received"),
        common_support=pd.Series(
            (propensity >= arms["limit"].to_numpy()).all(axis=1), index=index, name="common_support"
        ),
        arms=arms,
        balance=_balance(x.astype(np.float64), plain, plain / propensity, names, features),
    )


def _balance(
    x: np.ndarray,
    plain: np.ndarray,
    weighted: np.ndarray,
    labels: pd.Index,
    features: FeatureEncoder,
) -> pd.DataFrame:
    """Differences of the arms' means, in the same unit before and after weighting.

    The unit is the root mean of the two arms' unweighted variances, so that what changes is the
    difference alone.
    """
    mean = _arm_means(x, plain, features)
    variance = np.maximum(_arm_means(x**2, plain, features, x) - mean**2, 0.0)
    unit = np.sqrt((variance[1:] + variance[0]) / 2)
    columns = {}
    for name, means in (("before", mean), ("after", _arm_means(x, weighted, features))):
        difference = means[1:] - means[0]
        difference[np.abs(difference) < NO_SPREAD] = 0.0
        apart = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
        spread = unit > NO_SPREAD
        columns[name] = np.where(spread, difference / np.where(spread, unit, 1.0), apart).ravel()
    covariates = [
        name
        for column in features.columns
        for name in (
            column.code_names if isinstance(column, CategoryColumn) else column.output_names
        )
    ]
    rows = pd.MultiIndex.from_product([labels[1:], covariates], names=["arm", "covariate"])
    return pd.DataFrame(columns, index=rows)


def _arm_means(
    values: np.ndarray, weight: np.ndarray, features: FeatureEncoder, x: np.ndarray | None = None
) -> np.ndarray:
    """Weighted mean of every covariate in each arm, for a coded one the share of each level.

    Parameters
    ----------
    values : ndarray, shape (n, n_outputs)
    weight : ndarray, shape (n, n_arms)
        0 outside the arm.
    features : FeatureEncoder
    x : ndarray, shape (n, n_outputs), optional
        Where the codes stand; by default in `values`.

    Returns
    -------
    ndarray, shape (n_arms, n_covariates)
    """
    x = values if x is None else x
    share = weight / weight.sum(axis=0)
    means = share.T @ values
    parts = [
        np.stack([np.bincount(x[:, j].astype(np.int64), s, n + 1)[:n] for s in share.T])
        if n
        else means[:, [j]]
        for j, n in enumerate(features.n_codes.tolist())
    ]
    return np.hstack(parts)


def _limit(arm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Propensity below which a row is outside each arm's support."""
    return RELATIVE_LIMIT * np.bincount(arm, weight) / weight.sum()


def _describe(label: Any, share: float) -> str:
    return (
        f"arm {label!r} has poor support: {share:.0%} of the other arms' rows are of a kind that "
        "hardly ever receives it, so its predictions for them are extrapolations"
    )


def _parted_by(
    features: FeatureEncoder,
    x: np.ndarray,
    arm: np.ndarray,
    weight: np.ndarray,
    outside: np.ndarray,
) -> list[str]:
    """Columns that part each arm of poor support from the others, as text."""
    limit = _limit(arm, weight)
    return [
        ", ".join(parting_columns(features, x, arm == k, weight, limit[k], POOR_SHARE))
        if share > POOR_SHARE
        else ""
        for k, share in enumerate(outside)
    ]


def _told_by(names: str) -> str:
    return f" Each of these alone separates such rows: {names}." if names else ""
