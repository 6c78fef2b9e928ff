"""HyperCATE as an estimator of DoWhy, for use with its identification, estimates and refuters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd

try:
    from dowhy.causal_estimator import CausalEstimate, CausalEstimator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("hypercate.interop.dowhy needs DoWhy: pip install dowhy") from error

from hypercate.encoding.checks import listed
from hypercate.estimator import HyperCATE
from hypercate.inference.averages import AverageInference
from hypercate.interop.pairs import of_pair

_ADJUSTMENTS = ("backdoor", "general_adjustment")
_OF_ROWS = ("sample_weight", "groups")
_FROM_MODEL = {"hypercate_estimator", "fit_params"}
_AVERAGES = ("ate", "att", "atc")


class HyperCATEEstimator(CausalEstimator):
    """Doubly robust average effects by HyperCATE, with the adjustment set that DoWhy found.

    Covariates are the adjustment set and the effect modifiers together. Columns may be of any kind
    that HyperCATE reads, and need not be encoded.

    Parameters
    ----------
    identified_estimand : IdentifiedEstimand
        Identified by adjustment (backdoor), not by instruments or the front door.
    init_params : dict, optional
        Parameters of `HyperCATE`.
    **options
        DoWhy's options for every estimator, such as ``confidence_intervals``.

    Attributes
    ----------
    estimator : HyperCATE
        After `fit`: the fitted model, with all its answers.

    Raises
    ------
    TypeError
        If an option or a parameter is unknown.

    Examples
    --------
    >>> from dowhy import CausalModel
    >>> data = X.assign(drug=treatment == "drug", y=y)
    >>> model = CausalModel(data, "drug", "y", common_causes=["age", "site"])
    >>> estimate = model.estimate_effect(
    ...     model.identify_effect(proceed_when_unidentifiable=True),
    ...     method_name="backdoor.hypercate.interop.dowhy.HyperCATEEstimator",
    ...     method_params={"init_params": {"effort": "instant", "random_state": 0}},
    ... )
    >>> 0.5 < estimate.value < 1.5
    True
    """

    def __init__(
        self,
        identified_estimand: Any,
        *,
        init_params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        known = signature(CausalEstimator.__init__).parameters.keys() | _FROM_MODEL
        unknown = sorted(options.keys() - known)
        if unknown:
            raise TypeError(
                f"{listed(map(repr, unknown))} is not an option of DoWhy's estimators; parameters "
                "of HyperCATE go into init_params"
            )
        super().__init__(identified_estimand, **options)
        self.estimator = HyperCATE(**init_params or {})

    def fit(
        self, data: pd.DataFrame, effect_modifier_names: list[str] | None = None, **columns: str
    ) -> Self:
        """Fit the model to the data; DoWhy calls this.

        Parameters
        ----------
        data : DataFrame
        effect_modifier_names : list of str, optional
        **columns : str
            The content of ``method_params["fit_params"]``: names of the columns of `data` for
            ``sample_weight`` and ``groups``. Without groups, rows with the same index label, as a
            bootstrap draws them, form a group.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the estimand is not identified by adjustment, if there are several treatments or
            outcomes, or if there is nothing to adjust for and no effect modifier.
        TypeError, KeyError
            If columns are unknown.
        """
        estimand = self._target_estimand
        if not str(estimand.identifier_method).startswith(_ADJUSTMENTS):
            raise ValueError(
                f"HyperCATE estimates by adjustment, and the effect is identified by "
                f"{estimand.identifier_method!r}: use a method_name that starts with 'backdoor.'"
            )
        for what, names in {
            "treatment": estimand.treatment_variable,
            "outcome": estimand.outcome_variable,
        }.items():
            if len(names) != 1:
                raise ValueError(f"there are several {what}s, {listed(names)}: name one of them")
        unknown = sorted(columns.keys() - set(_OF_ROWS))
        if unknown:
            raise TypeError(
                f"fit_params holds {listed(map(repr, unknown))}, and may hold "
                f"{listed(map(repr, _OF_ROWS))}, each the name of a column"
            )
        self._effect_modifier_names = [n for n in effect_modifier_names or [] if n in data]
        self._observed_common_causes_names = list(estimand.get_adjustment_set())
        self._observed_common_causes = data[self._observed_common_causes_names]
        self._covariates = list(
            dict.fromkeys([*self._observed_common_causes_names, *self._effect_modifier_names])
        )
        if not self._covariates:
            raise ValueError(
                "there is no covariate: the graph has nothing to adjust for and no effect modifier"
            )
        self._fit_params = columns
        (self._treatment,) = estimand.treatment_variable
        (self._outcome,) = estimand.outcome_variable
        of_rows = {argument: data[name].to_numpy() for argument, name in columns.items()}
        if data.index.has_duplicates:  # a bootstrap's copies of a row, which must stay together
            of_rows = {"groups": data.index.to_numpy(), **of_rows}
        self.estimator.fit(
            data[self._covariates].reset_index(drop=True),
            data[self._outcome].to_numpy(),
            data[self._treatment].to_numpy(),
            **of_rows,
        )
        self.symbolic_estimator = self.construct_symbolic_estimator(estimand)
        return self

    def estimate_effect(
        self,
        data: pd.DataFrame,
        treatment_value: Any = 1,
        control_value: Any = 0,
        target_units: Any = None,
        **_: Any,
    ) -> CausalEstimate:
        """The average effect over the target units; DoWhy calls this.

        Parameters
        ----------
        data : DataFrame
            Rows to average over; rows of the fit are recognised, and others are treated as new.
        treatment_value, control_value : label
            The arms that are compared.
        target_units : {"ate", "att", "atc"}, callable or DataFrame, default="ate"
            All rows, the treated rows, or the control rows; or rows where a function of the data
            is true; or new rows, with all covariates.

        Returns
        -------
        CausalEstimate
            ``value`` is the doubly robust average; ``cate_estimates`` holds the effects at the
            rows, and ``effect_intervals`` their intervals, if ``confidence_intervals`` was true.

        Raises
        ------
        ValueError
            If the values are not arms, or target_units has another value.
        """
        self.update_input(
            treatment_value, control_value, "ate" if target_units is None else target_units
        )
        rows = data
        if isinstance(target_units, pd.DataFrame):
            rows = target_units
        elif callable(target_units):
            rows = data[np.asarray(target_units(data), dtype=bool)]
        elif self._target_units not in _AVERAGES:
            raise ValueError(
                f"target_units={target_units!r} must be one of {listed(map(repr, _AVERAGES))}, a "
                "function of the data, or a frame"
            )
        X = rows[self._covariates].reset_index(drop=True)
        self._average = self._average_of(X, rows)
        pair = {"T0": control_value, "T1": treatment_value}
        intervals = None
        if self._confidence_intervals:
            intervals = self.estimator.effect_interval(X, **pair, alpha=1 - self.confidence_level)
        estimate = CausalEstimate(
            data=data,
            treatment_name=[self._treatment],
            outcome_name=[self._outcome],
            estimate=float(self._average.point_estimate[0]),
            control_value=control_value,
            treatment_value=treatment_value,
            target_estimand=self._target_estimand,
            realized_estimand_expr=self.symbolic_estimator,
            cate_estimates=self.estimator.effect(X, **pair),
            effect_intervals=intervals,
        )
        estimate.add_estimator(self)
        return estimate

    def construct_symbolic_estimator(self, estimand: Any) -> str:
        """What is estimated from what, as DoWhy prints it."""
        modifiers = ", ".join(self._effect_modifier_names)
        causes = "+".join([self._treatment, *estimand.get_adjustment_set()])
        return f"b: {self._outcome}~{causes}" + (f" | {modifiers}" if modifiers else "")

    def _average_of(self, X: pd.DataFrame, rows: pd.DataFrame) -> AverageInference:
        model, control, treated = self.estimator, self._control_value, self._treatment_value
        units = self._target_units
        if not isinstance(units, str) or units == "ate":
            return of_pair(model, model.ate_inference(X, T0=control), control, treated)
        received = rows[self._treatment].to_numpy()
        if units == "att":
            own = model.att_inference(X, received, T0=control)
            return of_pair(model, own, control, treated)
        own = of_pair(model, model.att_inference(X, received, T0=treated), treated, control)
        return replace(own, point_estimate=-own.point_estimate)

    def _estimate_confidence_intervals(self, confidence_level=None, method=None, **_):
        level = self.confidence_level if confidence_level is None else confidence_level
        lower, upper = self._average.interval(1 - level)
        return float(lower[0]), float(upper[0])

    def _estimate_std_error(self, method=None, **_):
        return float(self._average.stderr[0])

    def _test_significance(self, estimate_value, method=None, **_):
        return {"p_value": float(self._average.summary_frame()["pvalue"].iloc[0])}
