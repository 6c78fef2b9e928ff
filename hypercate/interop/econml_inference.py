"""Our standard errors in EconML's classes: Student's t for effects, and AIPW for averages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from econml.inference import NormalInferenceResults, PopulationSummaryResults
from scipy import stats

from hypercate.inference.averages import AverageInference
from hypercate.inference.effects import EffectInference
from hypercate.interop.econml_inputs import column


class EffectResults(NormalInferenceResults):
    """Effects at rows with their standard errors, as EconML's results.

    Intervals and p-values are by Student's t where `EffectInference` has finite degrees of freedom,
    and intervals of risk differences stay between -1 and 1.

    Parameters
    ----------
    own : EffectInference
        With effects of shape (n,) or (n, d_t).
    d_t : int or None
        Arms other than control; None for effects of one arm against another.
    names : dict
        ``feature_names``, ``output_names`` and ``treatment_names`` of tables.
    """

    def __init__(self, own: EffectInference, d_t: int | None, names: dict[str, Any]) -> None:
        super().__init__(d_t, 1, own.point_estimate, own.stderr, None, "effect", None, **names)
        self._own = own

    def conf_int(self, alpha=0.05):
        """Intervals of level 1 - alpha: a tuple of two arrays of the shape of the effects."""
        now = replace(self._own, point_estimate=self.pred, stderr=self.pred_stderr)
        return now.interval(alpha)

    def pvalue(self, value=0):
        """Two-sided p-values for an effect of `value`."""
        return 2 * stats.t.sf(np.abs(self.zstat(value)), self._own.dof)

    def translate(self, offset):
        """Add an offset to the effects, in place."""
        super().translate(offset)
        self._own = replace(self._own, bound=np.inf)

    def scale(self, factor):
        """Multiply effects and standard errors by a factor, in place."""
        super().scale(factor)
        self._own = replace(self._own, bound=np.inf)


class AverageResults(PopulationSummaryResults):
    """Doubly robust averages over rows, as EconML's summary of a population.

    Parameters
    ----------
    own : AverageInference
        An average for each arm other than control, or for one.
    effects : EffectResults
        Effects at the same rows, whose spread the summary shows.
    """

    def __init__(self, own: AverageInference, effects: EffectResults) -> None:
        of_one = effects.d_t is None
        super().__init__(
            pred=effects.pred,
            pred_stderr=effects.pred_stderr,
            mean_pred_stderr=own.stderr[0] if of_one else own.stderr,
            d_t=effects.d_t,
            d_y=1,
            output_names=effects.output_names,
            treatment_names=effects.treatment_names,
        )
        self._mean = own.point_estimate[0] if of_one else own.point_estimate
        self._dof = own.dof[0] if of_one else own.dof

    @property
    def mean_point(self):
        """The averages: a float, or an array of shape (d_t,)."""
        return self._mean

    def pvalue(self, *, value=None):
        """Two-sided p-values for an average of `value`."""
        return 2 * stats.t.sf(np.abs(self.zstat(value=value)), self._dof)

    def conf_int_mean(self, *, alpha=None):
        """Confidence intervals of the averages, of level 1 - alpha."""
        half = stats.t.isf((self.alpha if alpha is None else alpha) / 2, self._dof)
        half = half * self.stderr_mean
        return self._mean - half, self._mean + half


class OwnInference:
    """The model's own standard errors, where EconML asks its inference for them.

    Parameters
    ----------
    estimator : HyperCATEEconML, optional
        A fitted one; `fit` sets another.
    """

    def __init__(self, estimator: Any = None) -> None:
        self._estimator = estimator

    def prefit(self, estimator, *args, **kwargs):
        """Do nothing: no information is needed before the fit."""

    def fit(self, estimator, *args, **kwargs):
        self._estimator = estimator

    def effect_inference(self, X, *, T0, T1):
        wrapper = self._estimator
        model, X = wrapper._model_and(X)
        T0, T1 = column(T0, "T0"), column(T1, "T1")
        return EffectResults(model.effect_inference(X, T0=T0, T1=T1), None, wrapper._input_names)

    def effect_interval(self, X, *, T0, T1, alpha=0.05):
        return self.effect_inference(X, T0=T0, T1=T1).conf_int(alpha)

    def const_marginal_effect_inference(self, X):
        wrapper = self._estimator
        model, X = wrapper._model_and(X)
        own = model.effect_inference(X)
        shape = (-1, *wrapper._d_t)
        own = replace(
            own, point_estimate=own.point_estimate.reshape(shape), stderr=own.stderr.reshape(shape)
        )
        return EffectResults(own, wrapper._d_t[0], wrapper._input_names)

    def const_marginal_effect_interval(self, X, *, alpha=0.05):
        return self.const_marginal_effect_inference(X).conf_int(alpha)

    def ate_inference(self, X, *, T0, T1):
        own = self._estimator._average(X, T0, T1)
        return AverageResults(own, self.effect_inference(X, T0=T0, T1=T1))

    def ate_interval(self, X, *, T0, T1, alpha=0.05):
        lower, upper = self._estimator._average(X, T0, T1).interval(alpha)
        return float(lower[0]), float(upper[0])

    def const_marginal_ate_inference(self, X):
        model, named = self._estimator._model_and(X)
        return AverageResults(model.ate_inference(named), self.const_marginal_effect_inference(X))

    def const_marginal_ate_interval(self, X, *, alpha=0.05):
        model, X = self._estimator._model_and(X)
        return model.ate_inference(X).interval(alpha)

    def marginal_ate_inference(self, T, X):
        return self.const_marginal_ate_inference(X)

    def marginal_ate_interval(self, T, X, *, alpha=0.05):
        return self.const_marginal_ate_interval(X, alpha=alpha)
