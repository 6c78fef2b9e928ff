"""What a fitted model answers: potential outcomes, effects, and how sure they are."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from hypercate import averages, conformal
from hypercate.averages import AverageInference
from hypercate.boosting import BoostedTrees
from hypercate.crossfit import CrossFit
from hypercate.device import resolve_device
from hypercate.effects import EffectInference, against, contrast, potential_outcomes
from hypercate.encoding import (
    ArmEncoder,
    FeatureEncoder,
    OutcomeEncoder,
    check_rows,
    check_sample_weight,
)
from hypercate.hypernet.hypernetwork import HyperNet, Tensors
from hypercate.learners import TLearner
from hypercate.propensity import Propensity
from hypercate.scoring import r_score
from hypercate.uncertainty import Calibration, mix, networks, root_sum_of_squares, spread

_N_DRAWS = 200
_SEEDS = np.iinfo(np.int32).max


class Answers:
    """Questions to a fitted `hypercate.HyperCATE`; what they read is set by its ``fit``."""

    device: str | torch.device
    arms_: np.ndarray
    outcome_: str
    sharing_: pd.DataFrame
    calibration_: Calibration
    _arms: ArmEncoder
    _buffers: Tensors
    _crossfit: CrossFit
    _features: FeatureEncoder
    _hypernet: HyperNet
    _learner: TLearner
    _outcome: OutcomeEncoder
    _params: Tensors
    _propensity: Propensity
    _rank: np.ndarray
    _seed: int
    _source: str
    _trees: BoostedTrees | None
    _used: np.ndarray

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_arms)
            In the units of y, or probabilities of ``classes_[1]``; columns in the order of arms_.
        """
        return self._outcomes_of(self._encode(X))

    def predict(self, X: Any) -> np.ndarray:
        """CATE of every arm against control.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) for two arms, (n, n_arms - 1) for more
            In the units of y, or risk differences for a binary outcome.
        """
        return against(self.predict_outcomes(X))

    def effect(self, X: Any, T0: Any = None, T1: Any = None) -> np.ndarray:
        """CATE of arm T1 against arm T0.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0 : label or array-like of labels, shape (n,), optional
            The arm compared with; control by default.
        T1 : label or array-like of labels, shape (n,), optional
            By default every arm but T0, as in `predict`.

        Returns
        -------
        ndarray, shape (n,); (n, n_arms - 1) with more than two arms and no T1

        Raises
        ------
        ValueError
            If T0 or T1 is not one of the arms.
        """
        return self._contrast(self.predict_outcomes(X), T0, T1)

    def sample_effects(
        self,
        X: Any,
        n_samples: int = _N_DRAWS,
        random_state: Any = None,
        *,
        T0: Any = None,
        T1: Any = None,
    ) -> np.ndarray:
        """Draws of the effect as a function of the covariates: a draw is the same for all rows.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        n_samples : int, default=200
        random_state : int, RandomState instance or None, default=None
            None repeats the draws that the fit's seed gives.
        T0, T1 : label or array-like of labels, optional
            As in `effect`.

        Returns
        -------
        ndarray, shape (n_samples, n) or (n_samples, n, n_arms - 1)
            Their quantiles are the bounds of `effect_interval`, but for chance.

        Raises
        ------
        ValueError
            If there is nothing to draw from: one member, and no dropout.
        """
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"n_samples={n_samples!r} must be an integer")
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1")
        check_is_fitted(self)
        seed = self._seed if random_state is None else draw_seed(random_state)
        effects, deviations = self._deviations(X, T0, T1)
        draws = mix(effects, deviations, self.calibration_.dof, int(n_samples), seed)
        return self._possible(draws)

    def effect_interval(
        self, X: Any, *, T0: Any = None, T1: Any = None, alpha: float = 0.05
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the effect at each row's covariates (the CATE), not of a person's own.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        alpha : float in (0, 1), default=0.05
            The interval has nominal level 1 - alpha; see `hypercate.uncertainty` for the grounds
            of its width, and what it assumes.

        Returns
        -------
        lower, upper : ndarray
            Of the shape of `effect`.
        """
        return self.effect_inference(X, T0=T0, T1=T1).interval(alpha)

    def effect_inference(self, X: Any, *, T0: Any = None, T1: Any = None) -> EffectInference:
        """Effects with their standard errors; ``.summary_frame(alpha)`` is a table of them.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.

        Returns
        -------
        EffectInference
        """
        effects, deviations = self._deviations(X, T0, T1)
        if T1 is None:
            arms = np.delete(self.arms_, self._control(T0)).tolist()
        else:
            arms = [T1] if np.ndim(T1) == 0 else []
        return EffectInference(
            point_estimate=effects,
            stderr=root_sum_of_squares(deviations, axis=0),
            dof=self.calibration_.dof,
            bound=1.0 if self.outcome_ == "binary" else np.inf,
            index=_index_of(X, len(effects)),
            arms=arms,
        )

    def reject(self, X: Any, share: float, *, T0: Any = None, T1: Any = None) -> np.ndarray:
        """The rows whose effects are least certain, so that a user may abstain from them.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        share : float in [0, 1)
            Share of the rows to reject, rounded down to whole rows.
        T0, T1 : label or array-like of labels, optional
            As in `effect`; with several effects a row's largest standard error counts.

        Returns
        -------
        ndarray of bool, shape (n,)
            True where the standard error is among the largest; of equal ones, later rows first.

        Raises
        ------
        ValueError
            If share is not a number from 0 up to, but without, 1.
        """
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
            raise ValueError(f"share={share!r} must be a number of at least 0 and below 1")
        stderr = self.effect_inference(X, T0=T0, T1=T1).stderr
        certain_first = np.argsort(stderr.reshape(len(stderr), -1).max(axis=1), kind="stable")
        rejected = np.zeros(len(stderr), dtype=bool)
        rejected[certain_first[len(stderr) - int(share * len(stderr)) :]] = True
        return rejected

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
            Share of persons whose outcome may lie outside; see `hypercate.conformal`.

        Returns
        -------
        lower, upper : ndarray, shape (n,)
            In the units of y; infinite where nothing is known. For a binary outcome, the range of
            classes, as 0 and 1 for the two of ``classes_``, that cannot be excluded.
        """
        outcomes, propensity = self._outcomes_and_propensity(X)
        codes = self._codes("arm", arm, len(outcomes))
        rows = np.arange(len(outcomes))
        return conformal.outcome_interval(
            self._crossfit,
            codes,
            outcomes[rows, codes],
            propensity[rows, codes],
            alpha,
            binary=self.outcome_ == "binary",
        )

    def individual_effect_interval(
        self, X: Any, *, T0: Any = None, T1: Any = None, alpha: float = 0.05
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of a new person's own effect, outcome under T1 minus outcome under T0.

        Much wider than `effect_interval`, for it holds both outcomes' noise.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        alpha : float in (0, 1), default=0.05
            Share of persons whose effect may lie outside; see `hypercate.conformal`.

        Returns
        -------
        lower, upper : ndarray
            Of the shape of `effect`; infinite where nothing is known.
        """
        outcomes, propensity = self._outcomes_and_propensity(X)
        n = len(outcomes)
        pairs: list[tuple[Any, Any]]
        if _is_every_other_arm(T0, T1):
            control = self._control(T0)
            pairs = [(control, k) for k in range(len(self.arms_)) if k != control]
        else:
            pairs = [(self._codes("T0", T0, n), self._codes("T1", T1, n))]
        bounds = np.stack(
            [
                conformal.individual_effect_interval(
                    self._crossfit,
                    *pair,
                    outcomes,
                    propensity,
                    alpha,
                    binary=self.outcome_ == "binary",
                )
                for pair in pairs
            ],
            axis=2,
        )
        lower, upper = bounds[..., 0] if len(pairs) == 1 else bounds
        return lower, upper

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
            In the units of y, or risk differences. With X, the mean of ``effect(X)`` plus the mean
            error that out-of-fold predictions of the training rows show.
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
            By cross-fitted AIPW; see `hypercate.averages`.
        """
        control = self._control(T0)
        labels = self.arms_.tolist()
        if X is None:
            return averages.average_effect(self._crossfit, control, labels)
        effects = self.effect(X, T0=T0)
        return averages.average_effect_at(self._crossfit, effects, control, labels)

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
            return averages.effect_on_treated(self._crossfit, control, labels)
        require_treatment(treatment, "att", "X, treatment")
        effects = self.effect(X, T0=T0)
        check_rows(len(effects), treatment=treatment)
        arm = self._arms.transform(treatment)
        return averages.effect_on_treated_at(self._crossfit, effects, arm, control, labels)

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
            If a label is missing, or a group has fewer than two rows of an arm.
        """
        control = self._control(T0)
        labels = pd.Series(groups).reset_index(drop=True)
        check_rows(len(self._used), groups=labels)
        return averages.group_effects(
            self._crossfit, labels[self._used], control, self.arms_.tolist()
        )

    def heterogeneity_test(self, *, T0: Any = None) -> pd.DataFrame:
        """Test whether effects differ between rows, and predictions see it.

        Parameters
        ----------
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        DataFrame
            See `hypercate.averages.heterogeneity_test`.
        """
        control = self._control(T0)
        return averages.heterogeneity_test(self._crossfit, control, self.arms_.tolist())

    def score(self, X: Any, y: Any, treatment: Any = None, *, sample_weight: Any = None) -> float:
        """R-score: how much of the effects' variation is explained; higher is better.

        Never needs the true effect; see `hypercate.scoring.r_score`.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        y : array-like, shape (n,)
        treatment : array-like, shape (n,)
            Required.
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float, at most 1; 0 is as good as constant effects
        """
        require_treatment(treatment, "score")
        x = self._encode(X)
        effects = against(self._outcomes_of(x))
        n = len(effects)
        check_rows(n, y=y, treatment=treatment)
        weight = check_sample_weight(sample_weight, n)
        target = self._outcome.transform(y) * np.float64(self._outcome.scale)
        used = weight > 0
        return r_score(
            effects.reshape(n, -1)[used],
            x[used],
            target[used],
            self._arms.transform(treatment)[used],
            weight[used],
            self._seed,
        )

    def _encode(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._features.transform(X)

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        """Inputs of the networks, from encoded covariates; what no network looks at is 0."""
        if self._trees is not None:
            return np.hstack([x, self._trees.predict(x)])
        n_unseen = self._hypernet.net.n_inputs - x.shape[1]
        return np.pad(x, ((0, 0), (0, n_unseen))) if n_unseen else x

    def _tensors(self) -> tuple[Tensors, Tensors]:
        device = resolve_device(self.device)
        params = {name: tensor.to(device) for name, tensor in self._params.items()}
        buffers = {name: tensor.to(device) for name, tensor in self._buffers.items()}
        return params, buffers

    def _contrast(self, outcomes: np.ndarray, T0: Any, T1: Any) -> np.ndarray:
        n = outcomes.shape[-2]
        if _is_every_other_arm(T0, T1):
            return against(outcomes, self._control(T0))
        return contrast(outcomes, self._codes("T0", T0, n), self._codes("T1", T1, n))

    def _codes(self, name: str, label: Any, n: int) -> np.ndarray:
        if label is None or np.ndim(label) == 0:
            return np.full(n, 0 if label is None else self._arms.code(label))
        check_rows(n, **{name: label})
        return self._arms.transform(label, name)

    def _control(self, T0: Any) -> int:
        check_is_fitted(self)
        return 0 if T0 is None else self._arms.code(T0)

    def _outcomes_of(self, x: np.ndarray) -> np.ndarray:
        """Potential outcomes (n, n_arms) at encoded covariates."""
        params, buffers = self._tensors()
        theta = self._hypernet.generate(params, buffers)[:, self._rank]
        weight = torch.full((len(theta),), 1 / len(theta), dtype=torch.float64, device=theta.device)
        return potential_outcomes(
            self._hypernet.net, theta, self._inputs(x), self._learner.potential_outcome, weight
        )

    def _outcomes_and_propensity(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        x = self._encode(X)
        return self._outcomes_of(x), self._propensity.predict(x)[:, self._rank]

    def _deviations(self, X: Any, T0: Any, T1: Any) -> tuple[np.ndarray, np.ndarray]:
        """Effects, and their calibrated deviations on a leading axis."""
        x = self._inputs(self._encode(X))
        params, buffers = self._tensors()
        n_members = len(self.sharing_)
        if n_members == 1 and self._source != "dropout":
            raise ValueError(
                "one member has no spread to draw from: fit with n_members of 2 or more, or "
                "with uncertainty='dropout'"
            )
        theta, mixture = networks(self._hypernet, params, buffers, self._source, self._seed)
        outcomes = potential_outcomes(self._hypernet.net, theta, x, self._learner.potential_outcome)
        deviations = spread(np.tensordot(mixture, outcomes, 1), self.calibration_)
        effects = self._contrast(outcomes[:n_members].mean(axis=0)[:, self._rank], T0, T1)
        return effects, self._contrast(deviations[..., self._rank], T0, T1)

    def _possible(self, effects: np.ndarray) -> np.ndarray:
        """Risk differences are between -1 and 1."""
        return np.clip(effects, -1, 1) if self.outcome_ == "binary" else effects


def _is_every_other_arm(T0: Any, T1: Any) -> bool:
    """Whether every other arm is compared with T0, one label, rather than T1 with T0."""
    if T1 is None and np.ndim(T0) > 0:
        raise ValueError("T0 differs by row, so T1 is needed too: pass a label or n labels")
    return T1 is None


def require_treatment(treatment: Any, method: str, arguments: str = "X, y, treatment") -> None:
    """Refuse a call without treatment."""
    if treatment is None:
        raise TypeError(
            f"treatment is missing: pass the arm that each row received, "
            f"{method}({arguments}); inside a Pipeline or a search, enable scikit-learn's "
            "metadata routing"
        )


def draw_seed(random_state: Any) -> int:
    """A seed; None asks the system for one, so that numpy's global state stays as it is."""
    if random_state is None:
        return int(np.random.default_rng().integers(_SEEDS))
    return int(check_random_state(random_state).randint(_SEEDS))


def _index_of(X: Any, n: int) -> pd.Index:
    return X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(n)


def _unboxed(value: np.ndarray) -> float | np.ndarray:
    return float(value[0]) if len(value) == 1 else value
