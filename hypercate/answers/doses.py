"""What outcomes do as the dose grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.answers.outcomes import Outcomes
from hypercate.encoding.doses import Doses, read_doses
from hypercate.inference.averages import mean_outcomes
from hypercate.train.device import resolve_device


class DoseResponses(Outcomes):
    """Curves of models with ``treatment_kind="dose"``."""

    def dose_response(self, X: Any, doses: Any, *, derivative: bool = False) -> np.ndarray:
        """Mean outcome of each row at each of some doses.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        doses : array-like, shape (n_doses,)
            Between the least and the greatest dose of the fit.
        derivative : bool, default=False
            How much the outcome grows with the dose, for each unit of it, in place of the outcome.

        Returns
        -------
        ndarray, shape (n, n_doses)
            In the units of y, or probabilities of ``classes_[1]``.

        Raises
        ------
        ValueError
            If treatments are arms, or a dose lies outside those of the fit.

        Examples
        --------
        >>> est = HyperCATE(treatment_kind="dose").fit(X, y, dose)  # doctest: +SKIP
        >>> est.dose_response(X, np.linspace(0, 10, 21)).mean(axis=0)  # doctest: +SKIP
        """
        of_fit = self._doses("dose_response")
        x, at = self._encode(X), of_fit.within(read_doses(doses, "doses"), "doses")
        networks, device = self.fitted_.networks, resolve_device(self.device)
        if not derivative:
            return networks.at_doses(of_fit.splines(at)).predict(x, device)
        about = of_fit.slopes(at)
        outcomes = networks.at_doses(of_fit.splines(about.ravel())).predict(x, device)
        return np.diff(outcomes.reshape(len(x), -1, 2), axis=2)[..., 0] / np.diff(about)[:, 0]

    def average_dose_response(self, alpha: float = 0.05) -> pd.DataFrame:
        """Mean outcome were everyone given a dose of each range, doubly robust.

        Parameters
        ----------
        alpha : float in (0, 1), default=0.05
            Intervals have level 1 - alpha.

        Returns
        -------
        DataFrame, a row a range of doses, from the least
            ``least`` and ``greatest`` dose of it, the mean outcome as ``point_estimate`` with its
            ``stderr``, and its interval from ``ci_lower`` to ``ci_upper``: by
            cross-fitted AIPW, as averages of arms are (`hypercate.inference.averages`), with the
            range for an arm. The outcome model is blended over the range's doses as those that
            were received, and errors count that it makes at the dose that each row received.

        Raises
        ------
        ValueError
            If treatments are arms.
        """
        of_fit, evidence = self._doses("average_dose_response"), self._evidence()
        conditions = self.fitted_.conditions
        found = mean_outcomes(evidence, conditions.labels.tolist())
        table = found.summary_frame(alpha).iloc[np.argsort(conditions.place)]
        table.index.name = "dose"
        table.insert(0, "least", of_fit.ends[:-1])
        table.insert(1, "greatest", of_fit.ends[1:])
        return table.drop(columns=["zstat", "pvalue"])

    def _doses(self, method: str) -> Doses:
        check_is_fitted(self, "fitted_")
        if self.fitted_.doses is None:
            raise ValueError(
                f"{method} is of doses, and the treatments of this model are arms: fit with "
                "treatment_kind='dose' if they are amounts"
            )
        return self.fitted_.doses
