"""Doubly robust scores of the training rows, and probabilities of the arms, as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.outcomes import Outcomes
from hypercate.encoding.fingerprints import fingerprints
from hypercate.encoding.frames import index_of
from hypercate.inference.groups import scores_of


class Scores(Outcomes):
    """What decisions rest on: see `hypercate.metrics` and `hypercate.policy`."""

    def scores_frame(self, X: Any = None) -> pd.DataFrame:
        """Doubly robust (AIPW) scores of the outcome under each arm, of the training rows.

        A score is the outcome predicted by models that did not see the row, plus, for the arm that
        the row received, the residual of its own outcome divided by the probability of that arm
        (Robins, Rotnitzky & Zhao, 1994, JASA 89:846-866). The weights of the residuals are scaled
        to mean 1 in each arm, so that weighted means of the scores' differences are those of `ate`.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features), optional
            The frame that was fitted, whose index the scores then have; without it, rows are
            numbered from 0.

        Returns
        -------
        DataFrame, shape (n, n_arms)
            In the units of y, or of the probability of ``classes_[1]``; one column for each arm
            that rows received, control first. NaN in rows of weight 0.

        Raises
        ------
        ValueError
            If X has other rows than the frame that was fitted, or the same rows in another order,
            or if the model was saved without evidence.

        Examples
        --------
        >>> from hypercate.policy import PolicyTree
        >>> scores = est.scores_frame(X)
        >>> scores.shape, scores.columns.tolist()
        ((300, 2), ['control', 'drug'])
        >>> PolicyTree(max_depth=1).fit(X, scores).arms_.tolist()
        ['control', 'drug']
        """
        evidence = self._evidence()
        index: Any = pd.RangeIndex(len(evidence.used))
        if X is not None:
            if not np.array_equal(fingerprints(self._encode(X)), evidence.fingerprint[:, 0]):
                raise ValueError(
                    "X is not the frame that was fitted: it has other rows, or the same in another "
                    "order. Pass that frame, or leave X out"
                )
            given = index_of(X)
            index = index if given is None else given
        scores = np.full((len(evidence.used), evidence.n_arms), np.nan)
        scores[evidence.used] = scores_of(evidence)
        return pd.DataFrame(scores, index, self._arms_index)

    def propensity(self, X: Any) -> pd.DataFrame:
        """Probability of each arm given the covariates.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            New rows, since the model has already seen the arms of the training rows.

        Returns
        -------
        DataFrame, shape (n, n_arms)
            With the index of X and one column for each arm that rows of the fit received, control
            first. If known probabilities were passed to ``fit`` and differ by row, those of new
            rows are estimated.

        Examples
        --------
        >>> est.propensity(X).columns.tolist()
        ['control', 'drug']
        """
        x = self._encode(X)
        index = index_of(X)
        rows = pd.RangeIndex(len(x)) if index is None else index
        return pd.DataFrame(self.fitted_.propensities(x), rows, self._arms_index)

    @property
    def _arms_index(self) -> pd.Index:
        return pd.Index(self.fitted_.conditions.received, name="arm")
