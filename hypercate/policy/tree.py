"""A policy as a shallow tree that people can read and check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hypercate.compat import rows_of
from hypercate.encoding import FeatureEncoder
from hypercate.encoding.checks import warn
from hypercate.encoding.features import OWNER
from hypercate.encoding.fingerprints import fingerprints_with
from hypercate.encoding.frames import as_pandas
from hypercate.encoding.weights import check_sample_weight
from hypercate.inference.tables import ShownAsText
from hypercate.metrics.costs import read_costs
from hypercate.metrics.rows import check_aligned, read_table, refuse_missing
from hypercate.metrics.scores import ScoreInference, arms_of
from hypercate.metrics.value import policy_value
from hypercate.policy.rules import advised, lines_of, rule_of
from hypercate.policy.search import Node, find_tree
from hypercate.policy.splits import binned, split_columns


class PolicyTree(ShownAsText, BaseEstimator):
    """The shallow tree whose choice of arms has the largest value, on doubly robust scores.

    With depth 0 to 2 it is the best of all trees on the training rows, by exhaustive search (Zhou,
    Athey & Wager, 2023; Sverdrup et al., 2020); deeper trees are built one split at a time, looking
    two splits ahead.

    Parameters
    ----------
    max_depth : int, default=2
        Largest number of questions asked about a row.
    costs : dict, Series or array-like by arm, optional
        Cost of each arm, including control, in units of the outcome; subtracted from the scores.
        If costs differ by row, subtract them from the scores yourself.
    arms : sequence of labels, optional
        Labels of the columns if scores are an array; 0 to K - 1 by default.
    min_samples_leaf : int, default=10
        Smallest number of training rows in a leaf.
    max_thresholds : int or None, default=128
        Number of thresholds that are tried for a numeric column: quantiles if it has more values.
        None tries all, so that the search is exact; its time grows with the square of their number.

    Attributes
    ----------
    arms_ : ndarray, shape (K,)
    tree_ : Rule
        The root of the tree.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape ``(n_features_in_,)``
        Only if X was a frame with string column names.

    Notes
    -----
    Columns of strings and categories are split by whether a row has a certain level. A missing
    number is replaced by the column's mean, and whether it is missing can be a question of its own.
    A level that occurs only in `predict` counts as none of the known levels, or as the level that
    more than half of the training rows have.

    References
    ----------
    Zhou, Athey & Wager (2023), "Offline multi-action policy learning: generalization and
    optimization", Operations Research 71:148-183.
    Sverdrup, Kanodia, Zhou, Athey & Wager (2020), "policytree: policy learning via doubly robust
    empirical welfare maximization over trees", Journal of Open Source Software 5(50):2232.
    Athey & Wager (2021), "Policy learning with observational data", Econometrica 89:133-161.

    Examples
    --------
    >>> from hypercate.policy import PolicyTree
    >>> X = pd.DataFrame({"age": np.arange(40)})
    >>> scores = pd.DataFrame({"placebo": np.zeros(40), "drug": np.where(X["age"] > 24, 1, -1)})
    >>> tree = PolicyTree(max_depth=1).fit(X, scores)
    >>> print(tree.export_text())
    age <= 24: placebo (25 rows)
    age > 24: drug (15 rows)
    >>> others, worth = pd.DataFrame({"age": [20, 60]}), [[0.0, 2.0], [0.0, 4.0]]
    >>> tree.predict(others).tolist(), tree.value(others, worth), tree.score(others, worth)
    (['placebo', 'drug'], 2.0, 2.0)
    >>> tree.value_inference(others, worth, baseline="placebo").point_estimate.tolist()
    [2.0]
    """

    def __init__(
        self,
        *,
        max_depth: int = 2,
        costs: Any = None,
        arms: Sequence[Any] | None = None,
        min_samples_leaf: int = 10,
        max_thresholds: int | None = 128,
    ):
        self.max_depth = max_depth
        self.costs = costs
        self.arms = arms
        self.min_samples_leaf = min_samples_leaf
        self.max_thresholds = max_thresholds

    def fit(self, X: Any, scores: Any, sample_weight: Any = None) -> Self:
        """Find the tree.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            As for ``HyperCATE.fit``: numbers, booleans, strings and categories, with missing
            values.
        scores : DataFrame or array-like, shape (n, K)
            Doubly robust scores of every arm, such as from ``HyperCATE.scores_frame`` or
            `hypercate.metrics.aipw_scores`; a frame's columns are named by the arms.
        sample_weight : array-like, shape (n,), optional
            Rows of weight 0 need no scores.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data cannot be used; the message names the parameter, column or
            row, and the estimator stays as it was.
        """
        self._check_parameters()
        n, index = check_aligned(X=X, scores=scores, sample_weight=sample_weight)
        arms = self._arms(scores)
        weight = check_sample_weight(sample_weight, n, index)
        used = np.flatnonzero(weight > 0)
        table = read_table(scores, arms, "scores")[used]
        refuse_missing(table, "scores")
        worth = weight[used, None] * self._net(table, arms)
        given = rows_of(as_pandas(X, "X"), used)
        features = FeatureEncoder.fit(given)
        x = features.transform(given)
        columns = split_columns(features)
        node = Node(int(worth.sum(axis=0).argmax()), len(used))
        limits: list[np.ndarray] = []
        if columns:
            most = None if self.max_thresholds is None else int(self.max_thresholds)
            bins, limits = binned(columns, x, most)
            n_bins = np.array([len(part) + 1 for part in limits])
            depth, least = int(self.max_depth), int(self.min_samples_leaf)
            node = find_tree(bins, n_bins, worth, depth, least)
        self.arms_ = np.asarray(arms)
        self.features_ = features
        self.n_features_in_ = features.n_features_in_
        if features.feature_names_in_ is not None:
            self.feature_names_in_ = features.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.training_rows_ = np.unique(fingerprints_with(x, table))
        self.tree_ = rule_of(node, columns, limits)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The arm that the tree chooses for each row.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,)
            Labels.
        """
        x = self._encode(X)
        return self.arms_[advised(self.tree_, x)]

    def value(self, X: Any, scores: Any, sample_weight: Any = None) -> float:
        """Mean outcome under the tree's choices, minus costs, on rows that it was not fitted to.

        Parameters
        ----------
        X, scores, sample_weight
            As in `fit`, for other rows.

        Returns
        -------
        float
        """
        found = self.value_inference(X, scores, sample_weight=sample_weight)
        return float(found.point_estimate[0])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """`value`, under the name that scikit-learn's searches call; y holds the scores."""
        return self.value(X, y, sample_weight)

    def value_inference(
        self,
        X: Any,
        scores: Any,
        *,
        baseline: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> ScoreInference:
        """`value` with its standard error, or what the tree's choices gain over a baseline.

        Parameters
        ----------
        X, scores, sample_weight
            As in `fit`, for rows that the tree was not fitted to. To use all rows of a study, pass
            the choices of ``sklearn.model_selection.cross_val_predict(tree, X, scores)`` to
            `hypercate.metrics.policy_value`.
        baseline : label or array-like, shape (n,), optional
            An arm for everyone, or the arm of each row, to compare with.
        groups : array-like, shape (n,), optional
            Clusters; standard errors then treat rows of a cluster as dependent.

        Returns
        -------
        ScoreInference

        Warns
        -----
        UserWarning
            If some rows are among those that the tree was fitted to, where its value is too high.
        """
        check_is_fitted(self, "tree_")
        n, index = check_aligned(
            X=X, scores=scores, baseline=baseline if np.ndim(baseline) else None,
            sample_weight=sample_weight, groups=groups,
        )  # fmt: skip
        arms = self.arms_.tolist()
        table = read_table(scores, arms, "scores")
        known = int(np.isin(fingerprints_with(self._encode(X), table), self.training_rows_).sum())
        if known:
            warn(
                f"{known} of the {n} rows are among those that the tree was fitted to, where "
                "its value is too high: pass other rows, or judge the choices of "
                "cross_val_predict(tree, X, scores) by hypercate.metrics.policy_value"
            )
        return policy_value(
            {"tree": self.predict(X)},
            pd.DataFrame(table, index, columns=arms),
            baseline=baseline,
            costs=self.costs,
            sample_weight=sample_weight,
            groups=groups,
        )

    def export_text(self) -> str:
        """The tree as lines of text, one question or arm each, with the number of training rows."""
        check_is_fitted(self, "tree_")
        return "\n".join(lines_of(self.tree_, self.arms_.tolist()))

    def __str__(self) -> str:
        return self.export_text() if hasattr(self, "tree_") else repr(self)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "tree_")

    def _check_parameters(self) -> None:
        least = {"max_depth": 0, "min_samples_leaf": 1, "max_thresholds": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if name == "max_thresholds" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < smallest:
                raise ValueError(
                    f"{name}={value!r} must be a whole number of at least {smallest}"
                    + (", or None" if name == "max_thresholds" else "")
                )

    def _arms(self, scores: Any) -> list:
        found = arms_of(scores)
        if len(found) < 2:
            raise ValueError("scores has one column: pass one for each arm, also for control")
        if self.arms is None:
            return found
        arms = np.asarray(self.arms).tolist()
        if len(arms) != len(found) or len(set(arms)) < len(arms):
            raise ValueError(f"arms={arms} must be {len(found)} distinct labels, as scores has")
        return arms

    def _net(self, table: np.ndarray, arms: list) -> np.ndarray:
        """Scores less costs."""
        if self.costs is None:
            return table
        if not isinstance(self.costs, Mapping | pd.Series) and np.ndim(self.costs) != 1:
            raise ValueError("costs must be one number for each arm: a dict, Series or sequence")
        return table - read_costs(self.costs, arms, 1)

    def _encode(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "tree_")
        try:
            return self.features_.transform(X)
        except ValueError as error:
            raise ValueError(str(error).replace(OWNER, type(self).__name__)) from None
