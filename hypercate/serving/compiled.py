"""A fitted model, compiled: the answers of `predict` and `predict_outcomes`, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hypercate.encoding import FeatureEncoder
from hypercate.fitted import Fitted
from hypercate.inference.effects import against
from hypercate.serving.outcome import CompiledOutcome
from hypercate.several.answers import joined
from hypercate.several.fitted import FittedOutcomes


@dataclass(frozen=True, repr=False, eq=False)
class Compiled:
    """What `HyperCATE.compiled` returns: a fast `predict` and `predict_outcomes`.

    All weights are stored in one batch of matrices per layer, and all trees in one table, so that
    predictions for a row of plain values need no frame, and no call for each model of the ensemble.
    It can be pickled; to keep a model in a file, save the estimator, and compile it again after
    loading, which takes a moment.

    Attributes
    ----------
    features : FeatureEncoder
    arms_ : ndarray, shape (n_arms,)
        Labels of the arms, control first, or of the ranges of doses.
    each : dict of CompiledOutcome
        By the names of the outcomes; a single outcome has the name ``""``.
    of_doses : bool
        Whether treatments are amounts.

    Examples
    --------
    >>> import numpy as np
    >>> from hypercate import HyperCATE
    >>> rng = np.random.default_rng(0)
    >>> rows = [{"age": float(age)} for age in rng.normal(50, 10, 100)]
    >>> arm = rng.integers(2, size=100)
    >>> y = arm + rng.normal(size=100)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(rows, y, arm)
    >>> model = est.compiled()
    >>> model.predict({"age": 61.0}).shape
    (1,)
    >>> bool(np.allclose(model.predict(rows), est.predict(rows)))
    True
    """

    features: FeatureEncoder
    arms_: np.ndarray
    each: dict[str, CompiledOutcome]
    of_doses: bool

    @classmethod
    def of(cls, fitted: Fitted | FittedOutcomes) -> Compiled:
        """Compile what a fit has learned.

        Examples
        --------
        >>> from hypercate.serving import Compiled
        >>> Compiled.of(est.fitted_).arms_.tolist()
        ['control', 'drug']
        """
        if isinstance(fitted, FittedOutcomes):
            parts = dict(zip(fitted.names, fitted.each, strict=True))
        else:
            parts = {"": fitted}
        return cls(
            fitted.features,
            fitted.conditions.labels,
            {name: CompiledOutcome.of(one) for name, one in parts.items()},
            fitted.doses is not None,
        )

    def predict(self, X: Any) -> np.ndarray:
        """Effects, equal to those of `HyperCATE.predict` except for rounding.

        Both evaluate networks in single precision: effects differ by less than a millionth of the
        size of the outcomes' variation.

        Parameters
        ----------
        X : dict, list of dict, DataFrame or array-like
            One row as a dict with the columns' names as keys, or rows as `HyperCATE.predict` takes
            them. A dict of numbers, booleans, strings and None is fastest.

        Returns
        -------
        ndarray of float64, shape (n,) for two arms, (n, n_arms - 1) for more
            For a single row, n = 1. With several outcomes there is one more axis, the last.

        Raises
        ------
        TypeError, ValueError
            As in `HyperCATE.predict`, if columns are missing, unknown or of another kind.

        Examples
        --------
        >>> est.compiled().predict({"age": 61.0, "site": "north"}).shape
        (1,)
        """
        return self._answer(X, against)

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes, equal to those of `HyperCATE.predict_outcomes` except for rounding.

        Parameters
        ----------
        X : dict, list of dict, DataFrame or array-like
            As in `predict`.

        Returns
        -------
        ndarray of float64, shape (n, n_arms)
            With several outcomes there is one more axis, the last.

        Raises
        ------
        TypeError, ValueError
            As in `predict`, or if treatments are doses.

        Examples
        --------
        >>> rows = [{"age": 61.0, "site": "north"}, {"age": 40.0, "site": None}]
        >>> est.compiled().predict_outcomes(rows).shape
        (2, 2)
        """
        if self.of_doses:
            raise ValueError(
                "predict_outcomes needs arms, but the treatments of this model are doses "
                "(treatment_kind='dose'): use dose_response(X, doses) of the estimator"
            )
        return self._answer(X, lambda outcomes: outcomes)

    def _answer(self, X: Any, of_outcomes: Any) -> np.ndarray:
        x = self.features.transform(X)
        answers = {name: of_outcomes(one(x)) for name, one in self.each.items()}
        return answers[""] if "" in answers else joined(answers)

    def __repr__(self) -> str:
        n_models, n_trees = 0, 0
        for one in self.each.values():
            n_models += len(one.finish.model)
            n_trees += one.forest.width
        return f"Compiled({len(self.arms_)} arms, {n_models} models, {n_trees} trees)"
