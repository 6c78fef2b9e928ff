"""How much of the effects' variation a fitted model explains, at rows with outcomes."""

from __future__ import annotations

from typing import Any

import torch

from hypercate.answers.arguments import require_treatment
from hypercate.answers.outcomes import Outcomes
from hypercate.encoding import check_rows, check_sample_weight, index_of
from hypercate.inference.effects import against
from hypercate.outcomes.reading import read_outcome
from hypercate.scoring import r_score
from hypercate.train.device import resolve_device


class RScores(Outcomes):
    """The score by which models are compared without true effects."""

    def score(self, X: Any, y: Any, treatment: Any = None, *, sample_weight: Any = None) -> float:
        """R-score: how much of the effects' variation is explained; higher is better.

        The true effects are not needed; see `hypercate.scoring.r_score`.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        y : array-like, shape (n,)
        treatment : array-like, shape (n,)
            Required.
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float, at most 1; 0 is as good as constant effects

        Examples
        --------
        >>> X_new = pd.DataFrame({"age": [40, 45, 50, 55, 60, 65], "site": ["north", "south"] * 3})
        >>> est.score(X_new, [4, 5, 7, 5, 6, 7], ["control", "drug", "drug"] * 2) < 1
        True
        """
        require_treatment(treatment, "score")
        self._require_arms("score", "the error of dose_response at held-out rows")
        self._require_uncensored("score", "heterogeneity_test(), which rests on held-out rows")
        x = self._encode(X)
        fitted = self.fitted_
        outcomes = fitted.outcomes(x, resolve_device(self.device))
        effects = against(outcomes[:, : fitted.conditions.n_received])
        n, index = len(effects), index_of(X)
        check_rows(n, index, y=y, treatment=treatment)
        weight = check_sample_weight(sample_weight, n, index)
        target = fitted.family.encode(read_outcome(y))
        used = weight > 0
        return r_score(
            effects.reshape(n, -1)[used],
            x[used],
            fitted.features.n_codes,
            target[used],
            fitted.conditions.positions_received(treatment, "score(X, y, treatment)")[used],
            weight[used],
            fitted.seed,
            torch.get_num_threads(),
        )
