"""Averages of effects, over all rows or those treated, and whether effects differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.arguments import require_treatment
from hypercate.answers.effects import Effects
from hypercate.encoding import check_rows, index_of
from hypercate.encoding.fingerprints import combined, fingerprints
from hypercate.evidence import Evidence
from hypercate.inference import averages, heterogeneity, ratios
from hypercate.inference.averages import AverageInference
from hypercate.inference.effects import against
from hypercate.inference.groups import shortage
from hypercate.inference.populations import trimmed
from hypercate.overlap import support_notes
from hypercate.train.device import resolve_device


class Averages(Effects):
    """Doubly robust averages, each with its interval and its table."""

    def ate(
        self,
        X: Any = None,
        *,
        T0: Any = None,
        scale: str = "difference",
        trim: float | None = None,
    ) -> float | np.ndarray:
        """Average effect of every other arm against T0, doubly robust.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features), optional
            Rows to average over; by default the training rows. Training rows are recognised, in
            any order: if X holds only some of them, such as a subgroup that was chosen before
            outcomes were seen, the average and its standard error are those of this subgroup, as
            with `gate`. All other X, also mixtures, are treated as new rows.
        T0 : label, optional
            The arm compared with; control by default.
        scale : {"difference", "ratio", "odds"}, default="difference"
            As in `effect`, but for average outcomes: a ratio of averages, not an average of ratios.
            The odds ratio of averages is nearer to 1 than the odds ratios of the rows.
        trim : float, optional
            Leave out training rows for which the probability of some arm is below this number, such
            as 0.1 (Crump, Hotz, Imbens & Mitnik, 2009, Biometrika 96:187-199); only without X. The
            average is then over the other rows, for which there are comparable rows in every arm.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more
            In the units of y, or risk differences. For new rows, this is the mean effect by all
            models, corrected by the mean error of the out-of-fold predictions over the training
            rows: valid if the new rows come from the training population.

        Examples
        --------
        >>> 0.5 < est.ate() < 1.5
        True
        """
        found = self.ate_inference(X, T0=T0, scale=scale, trim=trim)
        return unboxed(found.point_estimate)

    def ate_interval(
        self,
        X: Any = None,
        *,
        T0: Any = None,
        alpha: float = 0.05,
        scale: str = "difference",
        trim: float | None = None,
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Confidence interval of `ate`, for the population that the rows are a sample of.

        Parameters
        ----------
        X, T0, scale, trim
            As in `ate`.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : float for two arms, ndarray of shape (n_arms - 1,) for more

        Examples
        --------
        >>> lower, upper = est.ate_interval(alpha=0.1)
        >>> lower < est.ate() < upper
        True
        """
        return ends(self.ate_inference(X, T0=T0, scale=scale, trim=trim), alpha)

    def ate_inference(
        self,
        X: Any = None,
        *,
        T0: Any = None,
        scale: str = "difference",
        trim: float | None = None,
    ) -> AverageInference:
        """Average effects with standard errors; ``print`` shows them as a table.

        Parameters
        ----------
        X, T0, scale, trim
            As in `ate`; for ratios, standard errors are those of their logarithms.

        Returns
        -------
        AverageInference
            By cross-fitted AIPW; see `hypercate.inference.averages` and
            `hypercate.inference.ratios`. The standard error is NaN for a single row, and for a
            subgroup of the training rows in which an arm has fewer than two rows.

        Examples
        --------
        >>> est.ate_inference().summary_frame().index.tolist()
        ['drug']
        """
        control, evidence, on = self._control_received(T0), self._evidence(), self._scale(scale)
        labels = self._received

        def of_training(rows: Evidence) -> AverageInference:
            if on.is_ratio:
                return self._noted(ratios.average_ratio(rows, on, control, labels), rows)
            return self._noted(averages.average_effect(rows, control, labels), rows)

        if trim is not None:
            if X is not None:
                raise ValueError("trim leaves out training rows, so it is allowed only without X")
            return of_training(trimmed(evidence, trim))
        if X is None:
            return of_training(evidence)
        x = self._encode(X)
        some, too_few = self._known_again(fingerprints(x), with_arm=False)
        if some is not None and too_few is None:
            return of_training(some)
        outcomes = self._outcomes_of_all_models(x)
        if on.is_ratio:
            found = ratios.average_ratio_at(evidence, outcomes, on, control, labels, too_few)
        else:
            effects = against(outcomes, control)
            found = averages.average_effect_at(evidence, effects, control, labels, too_few)
        return self._noted(found, evidence)

    def att(self, X: Any = None, treatment: Any = None, *, T0: Any = None) -> float | np.ndarray:
        """Average effect of every other arm against T0 over the rows that received it.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features), optional
            Rows to average over, as in `ate`; by default the training rows.
        treatment : array-like, shape (n,), optional
            Arm that each row of X received; required with X. Training rows are recognised only if
            they are passed with the arm that they had.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more

        Examples
        --------
        >>> 0.5 < est.att() < 1.5
        True
        """
        return unboxed(self.att_inference(X, treatment, T0=T0).point_estimate)

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

        Examples
        --------
        >>> lower, upper = est.att_interval()
        >>> lower < est.att() < upper
        True
        """
        return ends(self.att_inference(X, treatment, T0=T0), alpha)

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
            If no row received an arm other than T0.

        Examples
        --------
        >>> est.att_inference().summary_frame().index.tolist()
        ['drug']
        """
        control, evidence = self._control_received(T0), self._evidence()
        labels = self._received
        if X is None:
            if treatment is not None:
                raise TypeError("treatment is of the rows of X, so X is needed too")
            return self._noted(averages.effect_on_treated(evidence, control, labels), evidence)
        require_treatment(treatment, "att", "X, treatment")
        x = self._encode(X)
        check_rows(len(x), index_of(X), treatment=treatment)
        arm = self.fitted_.conditions.positions_received(treatment, "att(X, treatment)")
        some, too_few = self._known_again(combined([fingerprints(x), arm]), with_arm=True)
        if some is not None and too_few is None:
            return self._noted(averages.effect_on_treated(some, control, labels), some)
        effects = against(self._outcomes_of_all_models(x), control)
        found = averages.effect_on_treated_at(evidence, effects, arm, control, labels, too_few)
        return self._noted(found, evidence)

    def heterogeneity_test(self, *, T0: Any = None) -> pd.DataFrame:
        """Test whether effects differ between rows and the predictions capture the differences.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        DataFrame
            See `hypercate.inference.heterogeneity.heterogeneity_test`.

        Examples
        --------
        >>> est.heterogeneity_test().columns.tolist()
        ['coefficient', 'stderr', 'tstat', 'pvalue']
        """
        control = self._control_received(T0)
        return heterogeneity.heterogeneity_test(self._evidence(), control, self._received)

    def _known_again(
        self, fingerprint: np.ndarray, with_arm: bool
    ) -> tuple[Evidence | None, str | None]:
        """Evidence of rows that are all training rows, and what it lacks for a standard error."""
        evidence = self._evidence()
        times = evidence.times_among(fingerprint, with_arm)
        if times is None:
            return None, None
        if (times == 1).all():
            return evidence, None
        if not times.any():
            return evidence, "for rows of weight 0"
        some = evidence.repeated(times)
        return some, shortage(some, self._received)

    def _noted(self, found: AverageInference, evidence: Evidence) -> AverageInference:
        """With what has to be known of the support, and of which of the training rows it is."""
        labels = self.fitted_.conditions.received
        notes = support_notes(evidence.propensity, evidence.arm, evidence.weight, labels)
        if evidence is not self._evidence():
            found = replace(found, estimand=f"{found.estimand} of some training rows")
        return replace(found, notes=(*found.notes, *notes))

    def _outcomes_of_all_models(self, x: np.ndarray) -> np.ndarray:
        """Mean outcomes by all models, members or not, whose errors at judged rows are averaged."""
        outcomes = self.fitted_.of_conditions.by_model(x, resolve_device(self.device)).mean(axis=0)
        return outcomes[:, : self.fitted_.conditions.n_received]


def ends(found: AverageInference, alpha: float) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Ends of the interval of level 1 - alpha: numbers if there is a single average."""
    lower, upper = found.interval(alpha)
    return unboxed(lower), unboxed(upper)


def unboxed(value: np.ndarray) -> float | np.ndarray:
    return float(value[0]) if len(value) == 1 else value
