"""Averages over the controls and the overlap population, and effects projected on covariates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.averages import Averages, ends, unboxed
from hypercate.encoding import as_pandas, check_rows
from hypercate.encoding.checks import listed
from hypercate.inference import projection
from hypercate.inference.averages import AverageInference
from hypercate.inference.populations import effect_on_control, overlap_weighted_effect


class Populations(Averages):
    """Doubly robust averages over parts of the training rows, and how effects vary among them."""

    def atc(self, *, T0: Any = None) -> float | np.ndarray:
        """Average effect of every other arm against T0 over the training rows that received T0.

        It is what those who were not treated would have gained.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more

        Examples
        --------
        >>> 0.5 < est.atc() < 1.5
        True
        """
        return unboxed(self.atc_inference(T0=T0).point_estimate)

    def atc_interval(
        self, *, T0: Any = None, alpha: float = 0.05
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Confidence interval of `atc`, of level 1 - alpha.

        Examples
        --------
        >>> lower, upper = est.atc_interval()
        >>> lower < est.atc() < upper
        True
        """
        return ends(self.atc_inference(T0=T0), alpha)

    def atc_inference(self, *, T0: Any = None) -> AverageInference:
        """Average effects on the controls with standard errors, by cross-fitted AIPW.

        Examples
        --------
        >>> est.atc_inference().summary_frame().index.tolist()
        ['drug']
        """
        control, evidence = self._control_received(T0), self._evidence()
        return self._noted(effect_on_control(evidence, control, self._received), evidence)

    def ato(self, *, T0: Any = None) -> float | np.ndarray:
        """Overlap-weighted average effect of every other arm against T0.

        Training rows are weighted by how likely they could have received each of the arms, by
        ``e (1 - e)`` with two arms. Where overlap is poor, this is the average about which the data
        say most, and single rows hardly move it; its population is that of rows in equipoise.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more

        Examples
        --------
        >>> 0.5 < est.ato() < 1.5
        True
        """
        return unboxed(self.ato_inference(T0=T0).point_estimate)

    def ato_interval(
        self, *, T0: Any = None, alpha: float = 0.05
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Confidence interval of `ato`, of level 1 - alpha.

        Examples
        --------
        >>> lower, upper = est.ato_interval()
        >>> lower < est.ato() < upper
        True
        """
        return ends(self.ato_inference(T0=T0), alpha)

    def ato_inference(self, *, T0: Any = None) -> AverageInference:
        """Overlap-weighted average effects with standard errors, by cross-fitted AIPW.

        Examples
        --------
        >>> est.ato_inference().summary_frame().index.tolist()
        ['drug']
        """
        control, evidence = self._control_received(T0), self._evidence()
        return self._noted(overlap_weighted_effect(evidence, control, self._received), evidence)

    def number_needed_to_treat(self, *, T0: Any = None, alpha: float = 0.05) -> pd.DataFrame:
        """How many persons must be treated for one more event of a binary outcome.

        It is one divided by the average effect (Laupacis, Sackett & Roberts, 1988, NEJM
        318:1728-1733), with an interval of one divided by the ends of the effect's interval.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.
        alpha : float in (0, 1), default=0.05
            The interval has level 1 - alpha.

        Returns
        -------
        DataFrame
            One row for each other arm, with columns ``number_needed, ci_lower, ci_upper,
            excludes_zero``. A negative number is the number to treat for one event fewer. If the
            interval of the effect contains 0, ``excludes_zero`` is False, and the interval of the
            number consists of all numbers below ``ci_lower`` and all above ``ci_upper``, through
            infinity (Altman, 1998, BMJ 317:1309-1312).

        Raises
        ------
        ValueError
            If the outcome is not binary.

        Examples
        --------
        >>> est = HyperCATE(effort="instant", random_state=0).fit(X, (y > 6).astype(int), treatment)
        >>> est.number_needed_to_treat().columns.tolist()
        ['number_needed', 'ci_lower', 'ci_upper', 'excludes_zero']
        """
        found = self.ate_inference(T0=T0)
        if self.fitted_.family.classes is None:
            raise ValueError(
                "a number needed to treat needs a binary outcome, and this one is "
                f"{self.fitted_.family.kind}: use ate_inference"
            )
        lower, upper = found.interval(alpha)
        with np.errstate(divide="ignore"):
            of_lower, of_upper = 1 / lower, 1 / upper
            number = 1 / found.point_estimate
        excludes = (lower > 0) | (upper < 0)
        columns = {
            "number_needed": number,
            "ci_lower": np.where(excludes, of_upper, of_lower),
            "ci_upper": np.where(excludes, of_lower, of_upper),
            "excludes_zero": excludes,
        }
        return pd.DataFrame(columns, index=found.index)

    def best_linear_projection(self, covariates: Any, *, T0: Any = None) -> AverageInference:
        """How the effect varies along covariates: doubly robust scores regressed on them.

        Parameters
        ----------
        covariates : DataFrame, Series or array, shape (n,) or (n, p)
            Covariates of the rows of the frame that was fitted, in its order: columns of numbers or
            booleans, or of strings or categories, where every level except the first gets an
            indicator. A constant is added.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        AverageInference
            One row per term; with several other arms, one row per arm and term. See
            `hypercate.inference.projection`.

        Raises
        ------
        ValueError
            If a value is missing, if a covariate is constant or a combination of others, or if the
            rows are in another order than in the frame that was fitted.

        Examples
        --------
        >>> est.best_linear_projection(X).summary_frame().index.tolist()
        ['constant', 'age', 'site_south']
        """
        control, evidence = self._control_received(T0), self._evidence()
        check_rows(len(evidence.used), evidence.index_hash, covariates=covariates)
        design = _design(covariates)[evidence.used]
        found = projection.best_linear_projection(evidence, design, control, self._received)
        return self._noted(found, evidence)


def _design(covariates: Any) -> pd.DataFrame:
    """Columns of numbers, a constant first."""
    frame = as_pandas(covariates, "covariates")
    frame = pd.DataFrame(frame).reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    missing = frame.isna().any()
    if missing.any():
        names = listed(map(repr, frame.columns[missing]))
        raise ValueError(
            f"covariates {names} have missing values: fill them, or add an indicator of which are "
            "missing"
        )
    expanded = pd.get_dummies(frame, drop_first=True, dtype=float).astype(np.float64)
    if not np.isfinite(expanded.to_numpy()).all():
        raise ValueError("covariates hold infinite values (inf): correct or leave them out")
    expanded.insert(0, "constant", 1.0)
    return expanded
