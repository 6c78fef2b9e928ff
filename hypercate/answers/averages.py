"""Averages of effects, over all rows, those treated or groups, and whether effects differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.arguments import require_treatment
from hypercate.answers.effects import Effects
from hypercate.encoding import check_rows, index_of
from hypercate.encoding.checks import as_series
from hypercate.inference import averages, heterogeneity
from hypercate.inference.averages import AverageInference
from hypercate.train.device import resolve_device


class Averages(Effects):
    """Doubly robust averages, each with its interval and its table."""

    def ate(self, X: Any = None, *, T0: Any = None) -> float | np.ndarray:
        """Average effect of every other arm against T0, doubly robust.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features), optional
            Other rows of the training population, to average over; by default the training rows.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more
            In the units of y, or risk differences. With X, the mean effect by all models plus the
            mean error that out-of-fold predictions of the training rows show.
        """
        return _unboxed(self.ate_inference(X, T0=T0).point_estimate)

    def ate_interval(
        self, X: Any = None, *, T0: Any = None, alpha: float = 0.05
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Confidence interval of `ate`, for the population that the rows are a sample of.

        Parameters
        ----------
        X, T0
            As in `ate`.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : float for two arms, ndarray of shape (n_arms - 1,) for more
        """
        lower, upper = self.ate_inference(X, T0=T0).interval(alpha)
        return _unboxed(lower), _unboxed(upper)

    def ate_inference(self, X: Any = None, *, T0: Any = None) -> AverageInference:
        """Average effects with standard errors; ``print`` shows them as a table.

        Parameters
        ----------
        X, T0
            As in `ate`.

        Returns
        -------
        AverageInference
            By cross-fitted AIPW; see `hypercate.inference.averages`.
        """
        control = self._control(T0)
        labels = self.arms_.tolist()
        if X is None:
            return averages.average_effect(self._evidence(), control, labels)
        effects = self._effects_of_all_models(X, T0)
        return averages.average_effect_at(self._evidence(), effects, control, labels)

    def att(self, X: Any = None, treatment: Any = None, *, T0: Any = None) -> float | np.ndarray:
        """Average effect of every other arm against T0 over the rows that received it.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features), optional
            Other rows of the training population; by default the training rows.
        treatment : array-like, shape (n,), optional
            Arm that each row of X received; required with X.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more
        """
        return _unboxed(self.att_inference(X, treatment, T0=T0).point_estimate)

    def att_interval(
        self, X: Any = None, treatment: Any = None, *, T0: Any = None, alpha: float = 0.05
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Confidence interval of `att`, for the population that the rows are a sample of.

        Parameters
        ----------
        X, treatment, T0
            As in `att`.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : float for two arms, ndarray of shape (n_arms - 1,) for more
        """
        lower, upper = self.att_inference(X, treatment, T0=T0).interval(alpha)
        return _unboxed(lower), _unboxed(upper)

    def att_inference(
        self, X: Any = None, treatment: Any = None, *, T0: Any = None
    ) -> AverageInference:
        """Average effects on the treated with standard errors, by cross-fitted AIPW.

        Parameters
        ----------
        X, treatment, T0
            As in `att`.

        Returns
        -------
        AverageInference

        Raises
        ------
        ValueError
            If fewer than two rows received one of the arms.
        """
        control = self._control(T0)
        labels = self.arms_.tolist()
        if X is None:
            if treatment is not None:
                raise TypeError("treatment is of the rows of X, so X is needed too")
            return averages.effect_on_treated(self._evidence(), control, labels)
        require_treatment(treatment, "att", "X, treatment")
        effects = self._effects_of_all_models(X, T0)
        check_rows(len(effects), index_of(X), treatment=treatment)
        arm = self.fitted_.conditions.positions(treatment, call="att(X, treatment)")
        return averages.effect_on_treated_at(self._evidence(), effects, arm, control, labels)

    def gate(self, groups: Any, *, T0: Any = None) -> pd.Series:
        """Average effect in each group of training rows.

        Parameters
        ----------
        groups : array-like, shape (n,)
            Label of each row of the frame that was fitted.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        Series
            On the groups; with several other arms on groups and arms.
        """
        inference = self.gate_inference(groups, T0=T0)
        return pd.Series(inference.point_estimate, inference.index, name="effect")

    def gate_interval(
        self, groups: Any, *, T0: Any = None, alpha: float = 0.05
    ) -> tuple[pd.Series, pd.Series]:
        """Confidence intervals of `gate`.

        Parameters
        ----------
        groups, T0
            As in `gate`.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : Series
        """
        inference = self.gate_inference(groups, T0=T0)
        lower, upper = inference.interval(alpha)
        return (
            pd.Series(lower, inference.index, name="lower"),
            pd.Series(upper, inference.index, name="upper"),
        )

    def gate_inference(self, groups: Any, *, T0: Any = None) -> AverageInference:
        """Average effects of groups with standard errors, by cross-fitted AIPW.

        Parameters
        ----------
        groups, T0
            As in `gate`.

        Returns
        -------
        AverageInference

        Raises
        ------
        ValueError
            If a label is missing, a group has fewer than two rows of an arm, or groups is a Series
            with the labels of the rows in another order.
        """
        control = self._control(T0)
        evidence = self._evidence()
        check_rows(len(evidence.used), evidence.index_hash, groups=groups)
        labels = as_series(groups, "groups").reset_index(drop=True)
        return averages.group_effects(evidence, labels[evidence.used], control, self.arms_.tolist())

    def heterogeneity_test(self, *, T0: Any = None) -> pd.DataFrame:
        """Test whether effects differ between rows, and predictions see it.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        DataFrame
            See `hypercate.inference.heterogeneity.heterogeneity_test`.
        """
        control = self._control(T0)
        return heterogeneity.heterogeneity_test(self._evidence(), control, self.arms_.tolist())

    def _effects_of_all_models(self, X: Any, T0: Any) -> np.ndarray:
        """Mean effects by all models, members or not, whose errors at judged rows are averaged."""
        x = self._encode(X)
        outcomes = self.fitted_.networks.by_model(x, resolve_device(self.device)).mean(axis=0)
        return self._contrast(outcomes, T0, None)


def _unboxed(value: np.ndarray) -> float | np.ndarray:
    return float(value[0]) if len(value) == 1 else value
