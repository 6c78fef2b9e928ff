"""A shallow tree that summarises in a few rules for whom the effect is large or small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.validation import check_is_fitted

from hypercate.encoding.fingerprints import fingerprints
from hypercate.inference import averages
from hypercate.inference.averages import AverageInference
from hypercate.inference.tables import ShownAsText
from hypercate.inspection.columns import Columns, arms_of, effects_at, rounding
from hypercate.inspection.leaves import Branch, branches
from hypercate.inspection.splits import design, fit_splits
from hypercate.inspection.trained import fitted_of_arms

LEAST_GAIN = 0.01  # of the variance of predicted effects, that a split has to explain


class EffectTree(ShownAsText, BaseEstimator):
    """A shallow tree of predicted effects, with doubly robust averages in its leaves.

    The splits are found on the effects that the model predicts for the rows of X, by least squares
    (Breiman et al., 1984, "Classification and regression trees"); with several effects, on all
    together. A split is kept if it explains at least 1 % of their variance. So the splits show
    where the model sees effects differ. The estimate in a leaf is the average effect there by AIPW,
    with its standard error, and not the mean prediction.

    The rows that an average rests on depend on X:

    - If X holds the training rows, in their order, averages are by ``est.gate_inference``, from
      scores whose outcome models and propensities did not see the row in question. But the
      predictions, and therefore the splits, rest on the outcomes of all training rows. Groups that
      were chosen this way look a little more different than they are.
    - If X holds other rows, the splits are found in the same way, but no averages are known until
      `averages` gets rows with outcomes that neither est nor the tree has seen. Then none of the
      averaged outcomes has shaped a group or a score. `averages` can be used in both cases.

    Parameters
    ----------
    max_depth : int, default=3
        Largest number of splits from the root to a leaf.
    min_samples_leaf : int or float, default=50
        Smallest number of rows of X in a leaf; a float is a share of them. An average needs two
        rows of every arm, and many more for a useful standard error.

    Attributes
    ----------
    leaves_ : DataFrame, shape (n_leaves, 2 + n_effects)
        Indexed by the leaf's number, from 1, as printed: ``rule``, the number of ``rows`` of X, and
        the mean predicted effect, ``predicted`` or, with several effects, ``predicted (arm)``.
    inference_ : AverageInference or None
        Averages in the leaves over the training rows; None if X holds other rows, or if est was
        saved without evidence. `hypercate.plots.plot_group_effects` draws it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hypercate import HyperCATE
    >>> from hypercate.inspection import EffectTree
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": rng.normal(size=400), "site": rng.choice(["a", "b"], 400)})
    >>> arm = rng.integers(2, size=400)
    >>> y = X["age"] + 3 * arm * (X["site"] == "b") + 0.3 * rng.normal(size=400)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> EffectTree(max_depth=1).fit(est, X).leaves_["rule"].tolist()
    ['site is a', 'site is b']
    """

    def __init__(self, max_depth: int = 3, min_samples_leaf: int | float = 50):
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf

    def fit(self, est: Any, X: Any, *, T0: Any = None, T1: Any = None) -> Self:
        """Find the splits, and the leaves' averages if X holds the training rows.

        Parameters
        ----------
        est : HyperCATE
            Fitted, with arms as treatments.
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label, optional
            As in ``est.effect``: by default every other arm against control.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If est is not fitted.
        TypeError, ValueError
            If ``predict`` would refuse X, if est is a model of doses or of several outcomes, if an
            arm is unknown or no training row received it, if a decision tree would refuse a
            parameter, or if a leaf has fewer than two training rows of an arm, in which case a
            larger min_samples_leaf helps.

        Examples
        --------
        >>> from hypercate.inspection import EffectTree
        >>> EffectTree(max_depth=1).fit(est, X).leaves_.columns.tolist()
        ['rule', 'rows', 'predicted']
        """
        rows = Columns.of(est, X)
        fitted = fitted_of_arms(est)
        every = arms_of(est, T0, T1)
        control = est._control_received(T0)
        kept = [k for k, arm in enumerate(every) if arm in est._received]
        arms = [every[k] for k in kept]
        if not arms:
            raise ValueError(f"T1={T1!r} was received by no training row")
        effects = effects_at(est, rows.x, T0, T1)[:, kept]
        splits = fit_splits(rows.frame, effects.mean(axis=1))
        x = design(rows.frame, splits)
        least = LEAST_GAIN * effects.var(axis=0).mean() + rounding(est) ** 2
        model = DecisionTreeRegressor(
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf,
            min_impurity_decrease=least,
            random_state=0,
        ).fit(x, effects)
        root = branches(model.tree_, splits)
        number = _numbers(model, x, root)
        inference = None
        evidence = fitted.evidence
        if evidence is not None and np.array_equal(
            evidence.fingerprint[:, 0], fingerprints(rows.x)
        ):
            inference = _of_arms(est.gate_inference(number, T0=T0), arms)
        self._model, self._splits, self._root = model, splits, root
        self._est, self._control, self._arms = est, control, arms
        self.leaves_ = _table(root, number, effects, arms)
        self.inference_ = inference
        return self

    def apply(self, X: Any) -> np.ndarray:
        """Number of the leaf of each row, int of shape (n,).

        Rows with a level that did not occur in the fit of the tree go to the side where most rows
        went.

        Examples
        --------
        >>> from hypercate.inspection import EffectTree
        >>> EffectTree(max_depth=1).fit(est, X).apply(X).shape
        (300,)
        """
        check_is_fitted(self, "leaves_")
        return _numbers(
            self._model, design(Columns.of(self._est, X).frame, self._splits), self._root
        )

    def averages(self, X: Any, y: Any, treatment: Any) -> AverageInference:
        """Average effects of the leaves over rows that neither the model nor the tree has seen.

        Averages are by AIPW, with the model's outcomes and propensities, which did not see these
        rows; none of the averaged outcomes has shaped the leaves.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        y, treatment : array-like, shape (n,)

        Returns
        -------
        AverageInference
            One row for each leaf that has rows; with several effects, for each leaf and arm.

        Raises
        ------
        ValueError
            If these are training rows, or a leaf has fewer than two rows of an arm.

        Examples
        --------
        >>> from hypercate.inspection import EffectTree
        >>> est = HyperCATE(effort="instant", random_state=0).fit(X[:150], y[:150], treatment[:150])
        >>> tree = EffectTree(max_depth=1).fit(est, X[:150])
        >>> tree.averages(X[150:], y[150:], treatment[150:]).n_rows
        150
        """
        check_is_fitted(self, "leaves_")
        fresh = self._est._evidence_of_others(X, y, treatment, "averages(X, y, treatment)")
        received = self._est._received
        found = averages.group_effects(fresh, self.apply(X), self._control, received)
        return _of_arms(found, self._arms)

    def __str__(self) -> str:
        if not hasattr(self, "leaves_"):
            return super().__str__()
        n = int(self.leaves_["rows"].sum())
        known = "averages by AIPW" if self.inference_ is not None else "mean predictions"
        heading = f"Effects in {len(self.leaves_)} leaves of {n} rows: {known}"
        return f"{heading}\n{self._root.text(self._said)}"

    @property
    def drawn(self) -> tuple[Branch, Callable[[int], str]]:
        """The branches, and what is said of the leaf of a node."""
        check_is_fitted(self, "leaves_")
        return self._root, self._said

    def _said(self, node: int) -> str:
        """What is known of a leaf, in a line."""
        number = _number_of(self._root)[node]
        row = self.leaves_.loc[number]
        if self.inference_ is None:
            values = [f"{value:.4g}" for value in row.iloc[2:]]
        else:
            found, first = self.inference_, (number - 1) * len(self._arms)
            values = [
                f"{found.point_estimate[place]:.4g} (se {found.stderr[place]:.2g})"
                for place in range(first, first + len(self._arms))
            ]
        if len(values) > 1:
            values = [f"{arm} {value}" for arm, value in zip(self._arms, values, strict=True)]
        return f"{', '.join(values)}; {row['rows']} rows [leaf {number}]"


def _number_of(root: Branch) -> dict[int, int]:
    """Number of each leaf's node."""
    return {node: place for place, (node, _) in enumerate(root.leaves(), start=1)}


def _numbers(model: DecisionTreeRegressor, x: np.ndarray, root: Branch) -> np.ndarray:
    """Number of each row's leaf, (n,)."""
    number = np.zeros(model.tree_.node_count, dtype=np.int64)
    number[list(_number_of(root))] = list(_number_of(root).values())
    return number[model.apply(x)]


def _table(root: Branch, number: np.ndarray, effects: np.ndarray, arms: list) -> pd.DataFrame:
    leaf = pd.RangeIndex(1, len(_number_of(root)) + 1, name="leaf")
    table = pd.DataFrame({"rule": [rule for _, rule in root.leaves()]}, index=leaf)
    table["rows"] = np.bincount(number, minlength=len(leaf) + 1)[1:]
    for k, arm in enumerate(arms):
        name = "predicted" if len(arms) == 1 else f"predicted ({arm})"
        table[name] = pd.Series(effects[:, k]).groupby(number).mean()
    return table


def _of_arms(found: AverageInference, arms: list) -> AverageInference:
    """The leaves' averages, of some arms of several."""
    if found.index.nlevels == 1:
        return replace(found, index=found.index.rename("leaf"))
    kept = found.index.get_level_values(1).isin(arms)
    index = found.index[kept].set_names("leaf", level=0)
    return replace(
        found,
        point_estimate=found.point_estimate[kept],
        stderr=found.stderr[kept],
        dof=found.dof[kept],
        index=index if len(arms) > 1 else index.droplevel(1),
    )
