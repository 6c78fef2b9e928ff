"""A fitted model compiled: the answers of `predict` and `predict_outcomes`, a row at a time."""

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
    """What `HyperCATE.compiled` makes: it answers what `predict` and `predict_outcomes` do, fast.

    All weights lie ready in one batch of matrices a layer, and all trees in one table, so that a
    row of plain values is answered without a frame, and without a call for each model of the
    ensemble. It is pickled as a whole; to keep a model in a file, save the estimator and compile
    what was loaded, which takes a moment.

    Attributes
    ----------
    features : FeatureEncoder
    arms_ : ndarray, shape (n_arms,)
        Labels of the arms, control first, or of the ranges of doses.
    each : dict of CompiledOutcome
        By the names of several outcomes; of one, by ``""``.
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
        """From what a fit left.

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
        """Effects, as `HyperCATE.predict` gives them but for rounding.

        Networks are evaluated in single precision in both: effects differ by less than a
        millionth of the size of the outcomes' variation.

        Parameters
        ----------
        X : dict, list of dict, DataFrame or array-like
            One row as a dict by the columns' names, or rows as `HyperCATE.predict` takes them. A
            dict of numbers, booleans, strings and None is answered fastest.

        Returns
        -------
        ndarray of float64, shape (n,) for two arms, (n, n_arms - 1) for more
            One row has n = 1. Of several outcomes with a last axis more, one each.

        Raises
        ------
        TypeError, ValueError
            As in `HyperCATE.predict`, where columns are missing, unknown or of another kind.

        Examples
        --------
        >>> est.compiled().predict({"age": 61.0, "site": "north"}).shape
        (1,)
        """
        return self._answer(X, against)

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes, as `HyperCATE.predict_outcomes` gives them but for rounding.

        Parameters
        ----------
        X : dict, list of dict, DataFrame or array-like
            As in `predict`.

        Returns
        -------
        ndarray of float64, shape (n, n_arms)
            Of several outcomes with a last axis more, one each.

        Raises
        ------
        TypeError, ValueError
            As in `predict`, or if treatments are amounts.

        Examples
        --------
        >>> rows = [{"age": 61.0, "site": "north"}, {"age": 40.0, "site": None}]
        >>> est.compiled().predict_outcomes(rows).shape
        (2, 2)
        """
        if self.of_doses:
            raise ValueError(
                "predict_outcomes is of arms, and this model is of doses (treatment_kind='dose'): "
                "use dose_response(X, doses) of the estimator"
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
