"""HyperCATE as an estimator of EconML, for EconML's scorers, tests, interpreters and bootstrap."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

try:
    from econml._cate_estimator import LinearCateEstimator, TreatmentExpansionMixin
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "hypercate.interop.econml needs EconML: pip install econml"
    ) from error

from hypercate.estimator import HyperCATE
from hypercate.inference.averages import AverageInference
from hypercate.interop.econml_inference import OwnInference
from hypercate.interop.econml_inputs import column, given, name_of, named, names_of
from hypercate.interop.pairs import of_pair
from hypercate.several.fitted import FittedOutcomes


def as_econml(est: HyperCATE) -> HyperCATEEconML:
    """Wrap a model as an estimator of EconML.

    Parameters
    ----------
    est : HyperCATE
        If it is fitted, the wrapper answers at once; otherwise fit the wrapper. It is never
        changed: the wrapper's `fit` fits a clone of it.

    Returns
    -------
    HyperCATEEconML

    Raises
    ------
    TypeError
        If est is not a HyperCATE.
    ValueError
        If it is a model of doses or of several outcomes, or has arms that no row received.

    Examples
    --------
    >>> from hypercate.interop.econml import as_econml
    >>> as_econml(est).effect(X, T0="control", T1="drug").shape
    (300,)
    """
    return HyperCATEEconML(est)


class HyperCATEEconML(TreatmentExpansionMixin, LinearCateEstimator):
    """A HyperCATE with the methods, arguments and shapes of EconML's estimators.

    Treatments are arms, named by the labels in T: ``T0=0, T1=1``, EconML's defaults, are labels
    too. Effects of K arms have K - 1 columns, in the order of ``model_.arms_[1:]``, also for two
    arms. Frames keep their column names; the columns of plain arrays, which EconML's tools pass,
    are taken as those of the fit, in the same order.

    Parameters
    ----------
    est : HyperCATE
        See `as_econml`.

    Attributes
    ----------
    model_ : HyperCATE
        The fitted model, with all its own answers.

    Examples
    --------
    >>> from hypercate.interop.econml import as_econml
    >>> ours = as_econml(HyperCATE(effort="instant", random_state=0)).fit(y, treatment, X=X)
    >>> ours.effect(X, T0="control", T1="drug").shape, ours.const_marginal_effect(X).shape
    ((300,), (300, 1))
    >>> bool(ours.ate(X, T0="control", T1="drug") == ours.const_marginal_ate(X)[0])
    True
    >>> ours.marginal_ate(treatment, X).shape, ours.score(y, treatment, X) < 1
    ((1,), True)
    """

    def __init__(self, est: HyperCATE) -> None:
        if not isinstance(est, HyperCATE):
            raise TypeError(f"as_econml wraps a HyperCATE, but got {type(est).__name__}")
        if est.treatment_kind == "dose":
            raise ValueError(
                "as_econml wraps models of arms, and with treatment_kind='dose' there are none"
            )
        self._est = est
        self._inference: Any = None
        self._names_of_arrays: np.ndarray | None = None
        if hasattr(est, "fitted_"):
            self._adopt(est, None, None)
            self._inference = OwnInference(self)

    def _gen_allowed_missing_vars(self):
        return ["X"]

    def _get_inference_options(self):
        return {**super()._get_inference_options(), "auto": OwnInference}

    def _strata(self, Y, T, *args, **kwargs):
        return np.ravel(T)

    def _expand_treatments(self, X=None, *Ts, transform=True):
        return (X, *Ts)

    def fit(
        self,
        Y: Any,
        T: Any,
        *,
        X: Any = None,
        W: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        inference: Any = "auto",
    ) -> Self:
        """Fit a clone of the model.

        Parameters
        ----------
        Y : array-like, shape (n,) or (n, 1)
            One outcome.
        T : array-like, shape (n,) or (n, 1)
            Label of the arm that each row received.
        X : DataFrame or array-like, shape (n, n_features)
            All covariates: confounders as well as those by which effects differ.
        W : None
            Refused: HyperCATE does not separate controls from features. Put the columns of W into
            X; effects may then differ by them, and predictions need their values.
        sample_weight, groups : array-like, shape (n,), optional
            As in `HyperCATE.fit`.
        inference : {"auto", "bootstrap"}, Inference or None, default="auto"
            ``"auto"``: the model's own standard errors, at no extra cost. ``"bootstrap"``, or
            EconML's `BootstrapInference`: the model is fitted again to each bootstrap sample; rows
            are drawn without regard to groups. None: no intervals.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As in `HyperCATE.fit`, and if X is missing, W is given or Y has several columns.
        """
        if W is not None:
            raise ValueError(
                "W holds controls apart from X, which HyperCATE does not have: put the columns of "
                "W into X, X=[X, W], and ask for effects at the values of both"
            )
        Y, T = column(Y, "Y"), column(T, "T")
        inference = self._get_inference(inference)
        names = self._names_of_arrays
        model = clone(self._est).fit(
            named(given(X), names), Y, T, sample_weight=sample_weight, groups=groups
        )
        before = dict(self.__dict__)
        try:
            self._adopt(model, Y, T)
            if inference is not None:
                # a bootstrap draws from bare arrays, and copies of a row must stay together
                self._names_of_arrays = names_of(model)
                units = np.arange(len(model.fitted_.evidence.used)) if groups is None else groups
                inference.fit(self, Y, T, X=X, sample_weight=sample_weight, groups=units)
        except BaseException:
            self.__dict__ = before
            raise
        self._inference, self._names_of_arrays = inference, names
        return self

    def _adopt(self, model: HyperCATE, Y: Any, T: Any) -> None:
        """Take a fitted model, and set what EconML reads of its shapes and names."""
        if isinstance(model.fitted_, FittedOutcomes):
            raise ValueError(
                "as_econml wraps a model of one outcome: pass est.of(name) for one of several"
            )
        if not model.fitted_.conditions.all_received:
            raise ValueError("as_econml wraps a model each of whose arms rows received")
        self.model_ = model
        self._d_y, self._d_t, self._d_t_in = (), (len(model.arms_) - 1,), ()
        names = names_of(model)
        numbered = [f"X{number}" for number in range(model.n_features_in_)]
        self._input_names = {
            "feature_names": numbered if names is None else list(names),
            "output_names": [name_of(Y, "Y0")],
            "treatment_names": [f"{name_of(T, 'T0')}_{arm}" for arm in model.arms_[1:].tolist()],
        }

    def _model_and(self, X: Any) -> tuple[HyperCATE, Any]:
        if not hasattr(self, "model_"):
            raise NotFittedError("this HyperCATEEconML is not fitted: call fit(Y, T, X=X) first")
        return self.model_, named(given(X), names_of(self.model_))

    def const_marginal_effect(self, X: Any = None) -> np.ndarray:
        """Effects of every other arm against control, shape (n, n_arms - 1).

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        """
        model, X = self._model_and(X)
        return model.effect(X).reshape(-1, *self._d_t)

    def effect(self, X: Any = None, *, T0: Any = 0, T1: Any = 1) -> np.ndarray:
        """Effects of arm T1 against arm T0, shape (n,).

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label, or array-like of labels, shape (n,)
        """
        model, X = self._model_and(X)
        return model.effect(X, T0=column(T0, "T0"), T1=column(T1, "T1"))

    def ate(self, X: Any = None, *, T0: Any = 0, T1: Any = 1) -> float:
        """Average effect of arm T1 against arm T0 over the rows of X, doubly robust.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            Rows to average over, as in `HyperCATE.ate`, which recognises training rows. Unlike
            EconML's, the result is not the mean of `effect`, but this mean corrected for its error.
        T0, T1 : label
        """
        return float(self._average(X, T0, T1).point_estimate[0])

    def const_marginal_ate(self, X: Any = None) -> np.ndarray:
        """Average effects of every other arm against control, doubly robust: see `ate`.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n_arms - 1,)
        """
        model, X = self._model_and(X)
        return model.ate_inference(X).point_estimate

    def marginal_ate(self, T: Any, X: Any = None) -> np.ndarray:
        """The same as `const_marginal_ate`; T has no effect on it."""
        return self.const_marginal_ate(X)

    def score(
        self, Y: Any, T: Any, X: Any = None, W: None = None, sample_weight: Any = None
    ) -> float:
        """R-score at new rows: 1 is perfect, 0 as good as constant effects.

        It is `HyperCATE.score`, on the same scale as EconML's `RScorer`; the score of EconML's DML
        estimators is a loss.

        Parameters
        ----------
        Y, T, X, W, sample_weight
            As in `fit`.
        """
        if W is not None:
            raise ValueError("W is refused, as by fit: put its columns into X")
        model, X = self._model_and(X)
        return model.score(X, column(Y, "Y"), column(T, "T"), sample_weight=sample_weight)

    @property
    def dowhy(self):
        """Refused: use HyperCATE in DoWhy through `hypercate.interop.dowhy`."""
        raise AttributeError(
            "DoWhy takes HyperCATE by its own interface: CausalModel(...).estimate_effect(..., "
            "method_name='backdoor.hypercate.interop.dowhy.HyperCATEEstimator')"
        )

    def _average(self, X: Any, T0: Any, T1: Any) -> AverageInference:
        model, X = self._model_and(X)
        if np.ndim(T0) or np.ndim(T1):
            raise ValueError("an average compares two arms: pass a label each as T0 and T1")
        return of_pair(model, model.ate_inference(X, T0=T0), T0, T1)
