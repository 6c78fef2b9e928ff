"""Effects at the rows' covariates (CATE): predicted, drawn, and with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.answers.arguments import draw_seed, is_every_other_arm
from hypercate.answers.outcomes import Outcomes
from hypercate.encoding import index_of
from hypercate.inference.effects import EffectInference, against, contrast
from hypercate.inference.jackknife import Calibration, mix, root_sum_of_squares
from hypercate.inference.scales import DIFFERENCE, LEAST_PROBABILITY, Scale, scale_of
from hypercate.networks import Networks
from hypercate.train.device import resolve_device


class Effects(Outcomes):
    """The effect of one arm against another, for persons with the covariates of a row."""

    def predict(self, X: Any) -> np.ndarray:
        """CATE of every arm against control.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) for two arms, (n, n_arms - 1) for more
            In the units of y, or risk differences for a binary outcome.

        Examples
        --------
        >>> est.predict(X).shape
        (300,)
        """
        return self.effect(X)

    def effect(
        self, X: Any, T0: Any = None, T1: Any = None, *, scale: str = "difference"
    ) -> np.ndarray:
        """CATE of arm T1 against arm T0.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0 : label or array-like of labels, shape (n,), optional
            The arm compared with; control by default.
        T1 : label or array-like of labels, shape (n,), optional
            By default every arm but T0, as in `predict`.
        scale : {"difference", "ratio", "odds"}, default="difference"
            How two mean outcomes are compared. ``"ratio"``: the mean outcome under T1 divided by
            that under T0, for a count, a positive or a binary outcome; ``"odds"``: the odds ratio,
            for a binary outcome. For ratios, probabilities are kept at least a millionth away from
            0 and 1.

        Returns
        -------
        ndarray, shape (n,); (n, n_arms - 1) with more than two arms and no T1

        Raises
        ------
        ValueError
            If T0 or T1 is not one of the arms, or the outcome cannot be compared on the scale.

        Examples
        --------
        >>> effect = est.effect(X, T0="control", T1="drug")
        >>> bool(effect[X["site"] == "north"].mean() > 1)
        True
        """
        on, x = self._scale(scale), self._encode(X)
        networks, contrast, _ = self._compared(T0, T1, len(x), index_of(X))
        outcomes = self.fitted_.and_added(networks.predict(x, resolve_device(self.device)), x)
        return on.back(contrast(on.link(self._inside(outcomes, on))))

    def sample_effects(
        self,
        X: Any,
        n_samples: int = 200,
        random_state: Any = None,
        *,
        T0: Any = None,
        T1: Any = None,
    ) -> np.ndarray:
        """Draws of the effect as a function of the covariates: each draw is one function.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        n_samples : int, default=200
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws at every call, from the seed of the fit.
        T0, T1 : label or array-like of labels, optional
            As in `effect`.

        Returns
        -------
        ndarray, shape (n_samples, n) or (n_samples, n, n_arms - 1)
            Draw s of the effects of all rows. The quantiles of the draws are the bounds of
            `effect_interval`, up to simulation error.

        Raises
        ------
        TypeError, ValueError
            If n_samples is not an integer of at least 1.

        Examples
        --------
        >>> est.sample_effects(X, n_samples=50).shape
        (50, 300)
        """
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"n_samples={n_samples!r} must be an integer")
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1")
        effects, deviations = self._deviations(self._encode(X), index_of(X), T0, T1)
        seed = self.fitted_.seed if random_state is None else draw_seed(random_state)
        draws = mix(effects, deviations, self.calibration_.dof, int(n_samples), seed)
        bound = self._largest_effect()
        return np.clip(draws, -bound, bound) if np.isfinite(bound) else draws

    def effect_interval(
        self,
        X: Any,
        *,
        T0: Any = None,
        T1: Any = None,
        alpha: float = 0.05,
        scale: str = "difference",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Confidence interval of the CATE at each row's covariates, not of a person's own effect.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        alpha : float in (0, 1), default=0.05
            The interval has nominal level 1 - alpha; see `hypercate.inference.jackknife` for how
            its width is derived, and what it assumes.
        scale : {"difference", "ratio", "odds"}, default="difference"
            As in `effect`. Intervals of ratios are symmetric on the log scale, by the delta
            method: see `hypercate.inference.scales`.

        Returns
        -------
        lower, upper : ndarray
            With the shape of `effect`.

        Examples
        --------
        >>> lower, upper = est.effect_interval(X, alpha=0.1)
        >>> bool((lower < upper).all())
        True
        """
        return self.effect_inference(X, T0=T0, T1=T1, scale=scale).interval(alpha)

    def effect_inference(
        self, X: Any, *, T0: Any = None, T1: Any = None, scale: str = "difference"
    ) -> EffectInference:
        """Effects with their standard errors; ``.summary_frame(alpha)`` is a table of them.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        scale : {"difference", "ratio", "odds"}, default="difference"
            As in `effect`; for ratios, standard errors are those of their logarithms.

        Returns
        -------
        EffectInference

        Examples
        --------
        >>> est.effect_inference(X).summary_frame().columns.tolist()
        ['point_estimate', 'stderr', 'zstat', 'pvalue', 'ci_lower', 'ci_upper']
        """
        on, doses = self._scale(scale), self.fitted_.doses
        effects, deviations = self._deviations(self._encode(X), index_of(X), T0, T1, on)
        if doses is not None:
            arms = doses.labels(T0, T1)
        elif T1 is None:
            arms = np.delete(self.arms_, self._control(T0)).tolist()
        else:
            arms = [T1] if np.ndim(T1) == 0 else []
        return EffectInference(
            point_estimate=on.back(effects),
            stderr=root_sum_of_squares(deviations, axis=0),
            dof=self.calibration_.dof,
            bound=self._largest_effect(),
            index=pd.RangeIndex(len(effects)) if index_of(X) is None else index_of(X),
            arms=arms,
            scale=on,
        )

    def reject(self, X: Any, share: float, *, T0: Any = None, T1: Any = None) -> np.ndarray:
        """The rows whose effects are least certain, so that a user may abstain from them.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        share : float in [0, 1)
            Share of the rows to reject, rounded down to whole rows.
        T0, T1 : label or array-like of labels, optional
            As in `effect`; with several effects, the largest standard error of the row is used.

        Returns
        -------
        ndarray of bool, shape (n,)
            True where the standard error is among the largest; among equal ones, later rows are
            rejected first.

        Raises
        ------
        ValueError
            If share is not a number of at least 0 and below 1.

        Examples
        --------
        >>> int(est.reject(X, share=0.2).sum())
        60
        """
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
            raise ValueError(f"share={share!r} must be a number of at least 0 and below 1")
        stderr = self.effect_inference(X, T0=T0, T1=T1).stderr
        certain_first = np.argsort(stderr.reshape(len(stderr), -1).max(axis=1), kind="stable")
        rejected = np.zeros(len(stderr), dtype=bool)
        rejected[certain_first[len(stderr) - int(share * len(stderr)) :]] = True
        return rejected

    def _contrast(
        self, outcomes: np.ndarray, T0: Any, T1: Any, index: pd.Index | None = None
    ) -> np.ndarray:
        n = outcomes.shape[-2]
        if is_every_other_arm(T0, T1):
            return against(outcomes, self._control(T0))
        return contrast(outcomes, self._codes("T0", T0, n, index), self._codes("T1", T1, n, index))

    def _scale(self, name: str) -> Scale:
        check_is_fitted(self, "fitted_")
        return scale_of(name, self.fitted_.family.kind)

    def _inside(self, outcomes: np.ndarray, scale: Scale) -> np.ndarray:
        """Outcomes that have links: probabilities of which some are 0 or 1, held inside."""
        if not scale.is_ratio or self.fitted_.family.classes is None:
            return outcomes
        return outcomes.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)

    def _deviations(
        self, x: np.ndarray, index: pd.Index | None, T0: Any, T1: Any, scale: Scale = DIFFERENCE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Effects, and their calibrated deviations on a leading axis, before ``scale.back``."""
        networks, contrast, calibration = self._compared(T0, T1, len(x), index)
        device = resolve_device(self.device)
        outcomes, deviations = self.fitted_.deviations(networks, calibration, x, device)
        deviations = self.fitted_.and_added_deviations(outcomes, deviations, x)
        outcomes = self._inside(self.fitted_.and_added(outcomes, x), scale)
        if scale.is_ratio:
            deviations = scale.slope(outcomes) * deviations
        return contrast(scale.link(outcomes)), contrast(deviations)

    def _compared(
        self, T0: Any, T1: Any, n: int, index: pd.Index | None
    ) -> tuple[Networks, Callable[[np.ndarray], np.ndarray], Calibration]:
        """Networks of what is compared, how their outcomes are, and their calibration."""
        fitted = self.fitted_
        if fitted.doses is None:
            return (
                fitted.networks,
                lambda outcomes: self._contrast(outcomes, T0, T1, index),
                fitted.calibration,
            )
        doses = fitted.doses
        splines = doses.of_pair(T0, T1, n, index)
        level = np.einsum("ck,ndk->cnd", fitted.calibration.level, splines)
        calibration = replace(fitted.calibration, level=level)
        return fitted.networks.at_doses(splines), against, calibration

    def _largest_effect(self) -> float:
        least, greatest = self.fitted_.family.support
        return greatest - least
