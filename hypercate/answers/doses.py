"""How outcomes change with the dose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.answers.outcomes import Outcomes
from hypercate.encoding import ArmDoses, Doses
from hypercate.encoding.doses import read_doses
from hypercate.inference.averages import mean_outcomes
from hypercate.train.device import resolve_device


class DoseResponses(Outcomes):
    """Dose-response curves of models with ``treatment_kind="dose"``."""

    def dose_response(
        self, X: Any, doses: Any, *, arm: Any = None, derivative: bool = False
    ) -> np.ndarray:
        """Mean outcome of each row at each of the given doses.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        doses : array-like, shape (n_doses,)
            Doses between the smallest and the largest dose in the fit, or of the arm.
        arm : label, optional
            The arm whose curve is wanted; needed if treatment had a column of arms besides the
            doses.
        derivative : bool, default=False
            If True, return the slope, the change of the outcome per unit of the dose, instead of
            the outcome.

        Returns
        -------
        ndarray, shape (n, n_doses)
            In the units of y, or probabilities of ``classes_[1]``.

        Raises
        ------
        ValueError
            If treatments are arms, if a dose lies outside the range of the fit, or if `arm` is
            unknown, is missing, or has a single dose, so that there is no slope.

        Examples
        --------
        >>> mg = np.linspace(0, 10, 300)
        >>> est = HyperCATE(treatment_kind="dose", effort="fast", max_epochs=5, random_state=0)
        >>> est.fit(X, y + mg, mg).dose_response(X, [0, 5, 10]).shape
        (300, 3)
        >>> given = pd.DataFrame({"drug": treatment, "mg": np.where(treatment == "drug", mg, 0)})
        >>> est.fit(X, y, given).dose_response(X, [5, 8], arm="drug").shape
        (300, 2)
        """
        of_curve, splines = self._doses("dose_response").curve(arm)
        x, at = self._encode(X), of_curve.within(read_doses(doses, "doses"), "doses")
        networks, device = self.fitted_.networks, resolve_device(self.device)
        if not derivative:
            return networks.at_doses(splines(at)).predict(x, device)
        if of_curve.is_one:
            raise ValueError(
                f"arm={arm!r} was given at a single dose, {of_curve.control:.6g}, so there is "
                "no slope"
            )
        about = of_curve.slopes(at)
        outcomes = networks.at_doses(splines(about.ravel())).predict(x, device)
        return np.diff(outcomes.reshape(len(x), -1, 2), axis=2)[..., 0] / np.diff(about)[:, 0]

    def average_dose_response(self, alpha: float = 0.05) -> pd.DataFrame:
        """Mean outcome if everyone were given a dose from a range, for each range, doubly robust.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            Intervals have level 1 - alpha.

        Returns
        -------
        DataFrame, one row per range of doses, in increasing order, arm by arm
            Columns are ``arm``, if there are several, the ``least`` and ``greatest`` dose of the
            range, the mean outcome as ``point_estimate`` with its ``stderr``, and its interval from
            ``ci_lower`` to ``ci_upper``. Estimates are by cross-fitted AIPW, as averages of arms
            are (`hypercate.inference.averages`), with each range in the role of an arm. The
            outcome model is averaged over the doses that were received in the range, and the
            correction uses its errors at the dose that each row received.

        Raises
        ------
        ValueError
            If treatments are arms.

        Examples
        --------
        >>> mg = np.linspace(0, 10, 300)
        >>> est = HyperCATE(treatment_kind="dose", effort="fast", max_epochs=5, random_state=0)
        >>> est.fit(X, y + mg, mg).average_dose_response().columns.tolist()
        ['least', 'greatest', 'point_estimate', 'stderr', 'ci_lower', 'ci_upper']
        """
        of_fit, evidence = self._doses("average_dose_response"), self._evidence()
        conditions = self.fitted_.conditions
        found = mean_outcomes(evidence, conditions.labels.tolist())
        table = found.summary_frame(alpha).drop(columns=["zstat", "pvalue"])
        table.index.name = "dose"
        ranges = of_fit.ranges()
        table = table.iloc[conditions.position_of(ranges.index.to_numpy())]
        return pd.concat([ranges.set_axis(table.index), table], axis=1)

    def _doses(self, method: str) -> Doses | ArmDoses:
        check_is_fitted(self, "fitted_")
        if self.fitted_.doses is None:
            raise ValueError(
                f"{method} needs doses, but the treatments of this model are arms: fit with "
                "treatment_kind='dose' if they are amounts"
            )
        return self.fitted_.doses
