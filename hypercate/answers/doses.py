"""What outcomes do as the dose grows."""

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
    """Curves of models with ``treatment_kind="dose"``."""

    def dose_response(
        self, X: Any, doses: Any, *, arm: Any = None, derivative: bool = False
    ) -> np.ndarray:
        """Mean outcome of each row at each of some doses.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        doses : array-like, shape (n_doses,)
            Between the least and the greatest dose of the fit, or of the arm.
        arm : label, optional
            Which of the arms, where treatment had a column of these beside the doses.
        derivative : bool, default=False
            How much the outcome grows with the dose, for each unit of it, in place of the outcome.

        Returns
        -------
        ndarray, shape (n, n_doses)
            In the units of y, or probabilities of ``classes_[1]``.

        Raises
        ------
        ValueError
            If treatments are arms, a dose lies outside those of the fit, or `arm` is none of the
            arms, is lacking, or has one dose, where there is no slope.

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
                f"arm={arm!r} was given in one dose alone, {of_curve.control:.6g}, where there is "
                "no slope"
            )
        about = of_curve.slopes(at)
        outcomes = networks.at_doses(splines(about.ravel())).predict(x, device)
        return np.diff(outcomes.reshape(len(x), -1, 2), axis=2)[..., 0] / np.diff(about)[:, 0]

    def average_dose_response(self, alpha: float = 0.05) -> pd.DataFrame:
        """Mean outcome were everyone given a dose of each range, doubly robust.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            Intervals have level 1 - alpha.

        Returns
        -------
        DataFrame, a row a range of doses, from the least, arm by arm
            ``arm``, where there are several, ``least`` and ``greatest`` dose of it, the mean
            outcome as ``point_estimate`` with its ``stderr``, and its interval from ``ci_lower`` to
            ``ci_upper``: by cross-fitted AIPW, as averages of arms are
            (`hypercate.inference.averages`), with the range for an arm. The outcome model is
            blended over the range's doses as those that were received, and errors count that it
            makes at the dose that each row received.

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
                f"{method} is of doses, and the treatments of this model are arms: fit with "
                "treatment_kind='dose' if they are amounts"
            )
        return self.fitted_.doses
