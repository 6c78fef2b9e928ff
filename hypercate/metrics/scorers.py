"""Metrics of decisions as scorers, to which scikit-learn's searches pass treatments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from hypercate.encoding.checks import check_rows
from hypercate.encoding.frames import index_of
from hypercate.metrics.scores import aipw_scores


class UpliftScorer(BaseEstimator):
    """A metric of decisions, called as ``scorer(estimator, X, y, treatment)``.

    Parameters
    ----------
    metric : callable
    control : label, optional
    greater_is_better : bool, default=True
    options : dict, optional
        Keyword arguments of the metric.

    Examples
    --------
    >>> from hypercate.metrics import UpliftScorer, qini_score
    >>> scorer = UpliftScorer(qini_score, control="control")
    >>> scorer(est, X, y, treatment) == scorer.score(est, X, y, treatment)
    True
    """

    __metadata_request__score: ClassVar = {"treatment": True, "sample_weight": True}

    def __init__(
        self,
        metric: Callable[..., Any],
        *,
        control: Any = None,
        greater_is_better: bool = True,
        options: Mapping[str, Any] | None = None,
    ):
        self.metric = metric
        self.control = control
        self.greater_is_better = greater_is_better
        self.options = options

    def __call__(
        self, estimator: Any, X: Any, y: Any, treatment: Any = None, sample_weight: Any = None
    ) -> float:
        """The metric for the effects that an estimator predicts at X; mean over several arms."""
        if treatment is None:
            raise TypeError(
                "treatment is missing: pass the arm that each row received, scorer(estimator, X, "
                "y, treatment). A search or a cross-validation passes it on only with "
                "scikit-learn's metadata routing: call sklearn.set_config("
                "enable_metadata_routing=True) first, and pass params={'treatment': ...} or "
                "fit(..., treatment=...)"
            )
        index = index_of(X)
        effects = np.asarray(estimator.predict(X))
        check_rows(len(effects), index, y=y, treatment=treatment, sample_weight=sample_weight)
        control, given = self.control, effects
        arms = getattr(_last(estimator), "arms_", None)
        if arms is not None:
            labels = np.asarray(arms).tolist()
            control = labels[0] if control is None else control
            if effects.ndim == 2:
                given = pd.DataFrame(effects, columns=labels[1:])
        if isinstance(given, pd.DataFrame) and index is not None:
            given.index = index
        options = {**(self.options or {}), "sample_weight": sample_weight}
        if "scores" in signature(self.metric).parameters:
            scores = aipw_scores(y, treatment, control=control, sample_weight=sample_weight)
            value = self.metric(given, scores, **options)
        else:
            value = self.metric(y, given, treatment, control=control, **options)
        mean = float(np.mean(np.asarray(value, dtype=np.float64)))
        return mean if self.greater_is_better else -mean

    def score(
        self, estimator: Any, X: Any, y: Any, treatment: Any = None, sample_weight: Any = None
    ) -> float:
        """The same as calling it, under the name by which scikit-learn routes metadata."""
        return self(estimator, X, y, treatment, sample_weight)


def make_uplift_scorer(
    metric: Callable[..., Any],
    *,
    control: Any = None,
    greater_is_better: bool = True,
    **options: Any,
) -> UpliftScorer:
    """A metric of decisions as a scorer for scikit-learn's searches and cross-validation.

    The scorer requests ``treatment`` and ``sample_weight`` by metadata routing, which has to be
    switched on, and scores what ``predict`` of any estimator of effects returns.

    Parameters
    ----------
    metric : callable
        `qini_score`, `auuc_score`, `uplift_at_k`, or a metric based on doubly robust scores:
        `rate_score`, `dr_score`, `calibration_error`. The latter get `aipw_scores` with the arms'
        shares as propensities, which is right for an experiment in which everyone had the same
        probabilities of the arms.
    control : label, optional
        The control arm; by default that of the estimator, if it has ``arms_``, otherwise the first
        in sorted order.
    greater_is_better : bool, default=True
        Pass False for an error, whose sign is then reversed.
    **options
        Keyword arguments of the metric.

    Returns
    -------
    UpliftScorer
        With several arms, it returns the mean over the arms.

    Examples
    --------
    >>> from sklearn import config_context
    >>> from sklearn.model_selection import cross_val_score
    >>> from hypercate.metrics import make_uplift_scorer, qini_score
    >>> scorer = make_uplift_scorer(qini_score, normalize="total")
    >>> options = {"scoring": scorer, "params": {"treatment": treatment}, "cv": 2}
    >>> with config_context(enable_metadata_routing=True):
    ...     scores = cross_val_score(HyperCATE(effort="instant"), X, y, **options)
    >>> scores.shape
    (2,)
    """
    return UpliftScorer(
        metric, control=control, greater_is_better=greater_is_better, options=options
    )


def _last(estimator: Any) -> Any:
    """The last step of a pipeline, any other estimator itself."""
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else estimator
