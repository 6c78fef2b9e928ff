"""Conformal intervals of a new person's own outcome and effect."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hypercate.answers.arguments import check_choice, is_every_other_arm
from hypercate.answers.outcomes import Outcomes
from hypercate.encoding import index_of
from hypercate.inference import conformal, independent
from hypercate.train.device import resolve_device

_EFFECT_INTERVALS = {
    "any": conformal.individual_effect_interval,
    "independent": independent.individual_effect_interval,
}


class Persons(Outcomes):
    """Intervals of a new person's own outcome and effect, which include the outcomes' noise."""

    def predict_outcome_interval(
        self, X: Any, *, arm: Any = None, alpha: float = 0.05
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of a new person's own outcome under an arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        arm : label or array-like of labels, shape (n,), optional
            Control by default.
        alpha : float in (0, 1), default=0.05
            Share of persons whose outcome may lie outside; see `hypercate.inference.conformal`.

        Returns
        -------
        lower, upper : ndarray, shape (n,)
            In the units of y. Where the data say nothing, these are the bounds of y itself. For a
            binary outcome, this is the range of classes that cannot be excluded, coded as 0 and 1
            for the two of ``classes_``.

        Examples
        --------
        >>> lower, upper = est.predict_outcome_interval(X, arm="drug", alpha=0.2)
        >>> bool((lower < upper).all())
        True
        """
        outcomes, propensity = self._outcomes_and_propensity(X)
        rows = np.arange(len(propensity))
        codes = self._codes_received("arm", arm, len(rows), index_of(X))
        return conformal.outcome_interval(
            conformal.HeldOutErrors.of(self._evidence()),
            codes,
            outcomes[:, rows, codes],
            propensity[rows, codes],
            alpha,
            binary=self.fitted_.family.classes is not None,
            n_predicting=self.fitted_.networks.n_members,
            support=self.fitted_.family.support,
        )

    def individual_effect_interval(
        self,
        X: Any,
        *,
        T0: Any = None,
        T1: Any = None,
        alpha: float = 0.05,
        dependence: Literal["any", "independent"] = "any",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of a new person's own effect, outcome under T1 minus outcome under T0.

        Much wider than `effect_interval`, because it includes the noise of both outcomes.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        alpha : float in (0, 1), default=0.05
            Share of persons whose effect may lie outside; see `hypercate.inference.conformal`.
        dependence : {"any", "independent"}, default="any"
            What is assumed about the joint distribution of a person's two potential outcomes, given
            the covariates. ``"any"``: nothing; coverage is then usually far above the nominal
            level. ``"independent"``: given the covariates, the two outcomes are independent.
            Intervals are then much narrower (hardly so for a binary outcome), with coverage of
            about ``1 - alpha``. But **no data can check this assumption**, because nobody's two
            outcomes are both seen, and where it is wrong, coverage may be lower. See
            `hypercate.inference.independent`.

        Returns
        -------
        lower, upper : ndarray
            With the shape of `effect`; infinite where the data say nothing and y has no bounds.

        Raises
        ------
        ValueError
            If alpha or dependence has another value than these, or as in `effect`.

        Examples
        --------
        >>> lower, upper = est.individual_effect_interval(X, alpha=0.2)
        >>> of_the_mean = est.effect_interval(X, alpha=0.2)
        >>> bool((upper - lower).mean() > (of_the_mean[1] - of_the_mean[0]).mean())
        True
        """
        check_choice("dependence", dependence, _EFFECT_INTERVALS)
        outcomes, propensity = self._outcomes_and_propensity(X)
        n, index = len(propensity), index_of(X)
        every_other_arm = is_every_other_arm(T0, T1)
        control = self._codes_received("T0", T0, n, index)[:, None]
        if every_other_arm:
            treated = np.delete(
                np.arange(self.fitted_.conditions.n_received), self._control_received(T0)
            )
        else:
            treated = self._codes_received("T1", T1, n, index)[:, None]
        lower, upper = _EFFECT_INTERVALS[dependence](
            conformal.HeldOutErrors.of(self._evidence()),
            control,
            treated,
            outcomes,
            propensity,
            alpha,
            binary=self.fitted_.family.classes is not None,
            n_predicting=self.fitted_.networks.n_members,
            support=self.fitted_.family.support,
        )
        return (lower[:, 0], upper[:, 0]) if lower.shape[1] == 1 else (lower, upper)

    def _outcomes_and_propensity(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Outcomes by every model, (n_models, n, n_arms), and probabilities of the arms."""
        x = self._encode(X)
        self._evidence()  # refuses early
        instead = "effect_interval(X, T0=, T1=)"
        self._require_arms("an interval of a person", instead)
        self._require_uncensored("an interval of a person", f"{instead}, for the mean effect")
        outcomes = self.fitted_.networks.by_model(x, resolve_device(self.device))
        return outcomes[..., : self.fitted_.conditions.n_received], self.fitted_.propensities(x)
