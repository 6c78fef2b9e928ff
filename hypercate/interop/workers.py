"""A fitted model on the workers of an engine that holds a frame in several parts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.answers.table import AnswerTable
from hypercate.encoding.checks import listed
from hypercate.estimator import HyperCATE
from hypercate.fitted import Fitted
from hypercate.several.fitted import FittedOutcomes
from hypercate.threads import one_thread


@dataclass(frozen=True)
class Sent:
    """What is sent to workers: a model without training rows, and what it has to predict.

    Attributes
    ----------
    answers : AnswerTable
    names : tuple of str
        Of the columns of answers.
    covariates : tuple of str
        Columns of the frame that the model reads.
    """

    answers: AnswerTable
    names: tuple[str, ...]
    covariates: tuple[str, ...]

    @classmethod
    def of(
        cls,
        est: HyperCATE,
        columns: Sequence[str],
        interval: float | None,
        outcomes: bool,
        keep: Sequence[str],
    ) -> Sent:
        """Look at the names of the frame's columns, before any row is read.

        Raises
        ------
        NotFittedError
            Before a fit.
        TypeError
            If est is not a HyperCATE.
        ValueError
            If the frame lacks a column or has it twice, a kept column has the name of an answer,
            the model has no names of columns or, where outcomes are wanted, no arms, or interval
            is not between 0 and 1.
        """
        if not isinstance(est, HyperCATE):
            raise TypeError(f"est must be a HyperCATE, but is a {type(est).__name__}")
        check_is_fitted(est, "fitted_")
        if interval is not None and not 0 < interval < 1:
            raise ValueError(f"interval={interval!r} must be None or between 0 and 1, such as 0.95")
        if outcomes and est.fitted_.doses is not None:
            raise ValueError(
                "outcomes=True needs arms, but the treatments of this model are doses: leave it out"
            )
        covariates = est.fitted_.features.feature_names_in_
        if covariates is None:
            raise ValueError(
                "the model was fitted to an array, and has no names by which to find columns in a "
                "frame: fit it to a frame"
            )
        if isinstance(keep, str):
            raise ValueError(f"keep={keep!r} must be a sequence of names: pass [{keep!r}]")
        _require(columns, covariates, "which the model needs")
        _require(columns, keep, "as keep says")
        answers = AnswerTable(_bare(est), interval, outcomes)
        names = answers.names
        if taken := [name for name in keep if name in names or list(keep).count(name) > 1]:
            why = "is the name of what is predicted" if taken[0] in names else "is given twice"
            raise ValueError(f"keep: {taken[0]!r} {why}: rename the column, or leave it out")
        return cls(answers, tuple(names), tuple(covariates))

    def values(self, X: pd.DataFrame) -> np.ndarray:
        """Answers at a part's rows, on one thread: ndarray of float64, shape (n, n_names)."""
        if not len(X):
            return np.empty((0, len(self.names)))
        with one_thread():
            return self.answers.values(X[list(self.covariates)])


def _require(columns: Sequence[str], names: Sequence[str], why: str) -> None:
    """Refuse a frame that lacks a column, or has two of its name."""
    found = list(columns)
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"the frame has no column {listed(map(repr, missing))}, {why}: its columns are "
            f"{listed(map(repr, found))}"
        )
    if twice := [name for name in names if found.count(name) > 1]:
        raise ValueError(f"the frame has more than one column {twice[0]!r}: rename or drop one")


def _bare(est: HyperCATE) -> HyperCATE:
    """What effects need of a model: without training rows, and models that may hold some."""
    bare = copy.copy(est)
    bare.model_outcome = bare.model_propensity = None
    bare.device = "cpu"
    fitted = est.fitted_
    bare.fitted_ = (
        FittedOutcomes(fitted.names, tuple(map(_without_rows, fitted.each)))
        if isinstance(fitted, FittedOutcomes)
        else _without_rows(fitted)
    )
    return bare


def _without_rows(fitted: Fitted) -> Fitted:
    without: dict[str, None] = {"evidence": None, "propensity": None}
    return replace(fitted, **without)  # type: ignore[arg-type]
