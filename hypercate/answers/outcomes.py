"""Potential outcomes by a fitted model, on which every other answer rests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from hypercate.encoding import check_rows
from hypercate.evidence import Evidence
from hypercate.fitted import Fitted
from hypercate.inference.jackknife import Calibration
from hypercate.outcomes import CENSORED
from hypercate.serving import Compiled
from hypercate.train.device import resolve_device


class Outcomes:
    """What ``fit`` has set, read from `fitted_`, and the outcomes that the model predicts."""

    device: str | torch.device
    fitted_: Fitted

    @property
    def arms_(self) -> np.ndarray:
        return self._known("arms_").conditions.labels

    @property
    def classes_(self) -> np.ndarray | None:
        return self._known("classes_").family.classes

    @property
    def outcome_(self) -> str:
        return self._known("outcome_").family.kind

    @property
    def n_features_in_(self) -> int:
        return self._known("n_features_in_").features.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        names = self._known("feature_names_in_").features.feature_names_in_
        if names is None:
            raise AttributeError("feature_names_in_: X had no string column names in fit")
        return names

    @property
    def encoded_names_(self) -> list[str]:
        return self._known("encoded_names_").features.output_names

    @property
    def calibration_(self) -> Calibration:
        return self._known("calibration_").calibration

    @property
    def sharing_(self) -> pd.DataFrame:
        choice = self._known("sharing_").choice
        return _choice_table(choice.sharing, choice.loss, choice.chosen)

    @property
    def inputs_(self) -> pd.DataFrame:
        choice = self._known("inputs_").choice
        return _choice_table(choice.inputs, choice.loss, choice.chosen)

    @property
    def widths_(self) -> np.ndarray:
        fitted = self._known("widths_")
        return _of_members(fitted, [generator.widths for generator in fitted.generators])

    @property
    def depths_(self) -> np.ndarray:
        fitted = self._known("depths_")
        return _of_members(fitted, [generator.depths for generator in fitted.generators])

    @property
    def weights_(self) -> pd.DataFrame:
        choice = self._known("weights_").choice
        kept, constant, *boosted = choice.effects.T
        emitted = choice.emitted * (self.fitted_.networks.effects is None)
        table = pd.DataFrame(
            {
                "trained": kept * (1 - emitted),
                "emitted": kept * emitted,
                "constant": constant,
                "boosted": sum(boosted),
            }
        )
        table.index.name = "member"
        return table

    @property
    def history_(self) -> pd.DataFrame:
        history = self._known("history_").choice.history
        table = pd.DataFrame(history, columns=["member", "epoch", "train_loss", "validation_loss"])
        return table.astype({"member": int, "epoch": int})

    @property
    def n_parameters_(self) -> dict[str, int]:
        fitted = self._known("n_parameters_")
        trained = sum(generator.n_parameters for generator in fitted.generators)
        generated = fitted.networks.theta.shape[1] * fitted.networks.n_generated
        return {"trained": trained, "generated": generated}

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_arms)
            In the units of y, or probabilities of ``classes_[1]``; columns in the order of
            ``arms_``.

        Examples
        --------
        >>> est.predict_outcomes(X).shape
        (300, 2)
        """
        self._require_arms("predict_outcomes", "dose_response(X, doses)")
        x = self._encode(X)
        return self.fitted_.outcomes(x, resolve_device(self.device))

    def compiled(self) -> Compiled:
        """The model compiled for fast predictions of single rows, as a web service needs them.

        Effects and outcomes are those of `predict` and `predict_outcomes`, many times as fast. The
        compiled model is a snapshot: it does not change when the estimator learns further rows or
        arms.

        Returns
        -------
        Compiled
            An object with `predict` and `predict_outcomes`. Every kind of model can be compiled:
            any learner; arms, described arms and doses; every kind of outcome, and several
            outcomes; models that learned further arms or rows after the fit.

        Examples
        --------
        >>> model = est.compiled()
        >>> model.predict({"age": 61, "site": "north"}).shape
        (1,)
        """
        check_is_fitted(self, "fitted_")
        return Compiled.of(self.fitted_)

    def _require_arms(self, method: str, instead: str) -> None:
        """Refuse a question of arms to a model of doses."""
        check_is_fitted(self, "fitted_")
        if self.fitted_.doses is not None:
            raise ValueError(
                f"{method} needs arms, but the treatments of this model are doses "
                f"(treatment_kind='dose'): use {instead}"
            )

    def _require_uncensored(self, method: str, instead: str) -> None:
        """Refuse a question of outcomes as they are seen to a model of pseudo-outcomes."""
        check_is_fitted(self, "fitted_")
        kind = self.fitted_.family.kind
        if kind in CENSORED:
            raise ValueError(
                f"{method} needs outcomes that are fully observed, and with outcome={kind!r} some "
                f"are censored: use {instead}"
            )

    def _known(self, name: str) -> Fitted:
        """The fitted model; before a fit there is no such attribute."""
        try:
            return self.fitted_
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no {name} before it is fitted"
            ) from None

    def _encode(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "fitted_")
        return self.fitted_.features.transform(X)

    def _evidence(self) -> Evidence:
        check_is_fitted(self, "fitted_")
        if self.fitted_.evidence is None:
            raise ValueError(
                "this model was saved without evidence, so it knows nothing about its training "
                "rows, which averages, intervals of persons and the test of heterogeneity need. "
                "Save it with evidence=True, or fit again"
            )
        return self.fitted_.evidence

    def _codes(self, name: str, label: Any, n: int, index: pd.Index | None) -> np.ndarray:
        """Positions of the arms of n rows with that index, given one label or one label per row."""
        conditions = self.fitted_.conditions
        if label is None or np.ndim(label) == 0:
            return np.full(n, 0 if label is None else conditions.position(label))
        check_rows(n, index, **{name: label})
        return conditions.positions(label, name)

    @property
    def _received(self) -> list:
        """Labels of the arms that rows of the fit received."""
        return self.fitted_.conditions.received.tolist()

    def _codes_received(self, name: str, label: Any, n: int, index: pd.Index | None) -> np.ndarray:
        """The same of arms that rows of the fit received."""
        codes = self._codes(name, label, n, index)
        self.fitted_.conditions.check_received(codes)
        return codes

    def _control_received(self, T0: Any) -> int:
        """The same of an arm that rows of the fit received."""
        check_is_fitted(self, "fitted_")
        return 0 if T0 is None else self.fitted_.conditions.position_received(T0, "T0")

    def _control(self, T0: Any) -> int:
        check_is_fitted(self, "fitted_")
        return 0 if T0 is None else self.fitted_.conditions.position(T0)


def _of_members(fitted: Fitted, shares: list[np.ndarray]) -> np.ndarray:
    """Shares of the arms' networks, the first ones, or 1 where nothing was trained."""
    n_members = fitted.networks.n_members
    return shares[0][:n_members] if shares else np.ones(n_members)


def _choice_table(names: tuple[str, ...], loss: np.ndarray, chosen: np.ndarray) -> pd.DataFrame:
    """Least loss of each member by the candidates' name, and the name it chose."""
    table = pd.DataFrame(loss.T, index=list(names)).groupby(level=0, sort=False).min().T
    table.index.name = "member"
    table["chosen"] = np.asarray(names)[chosen]
    return table
