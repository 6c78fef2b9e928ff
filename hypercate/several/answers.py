"""Answers about several outcomes: those for each outcome, joined along one more axis."""

from __future__ import annotations

import copy
import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hypercate.encoding.checks import listed
from hypercate.inference.effects import Inference
from hypercate.inference.tables import ForPapers
from hypercate.several.fitted import FittedOutcomes
from hypercate.several.reading import columns_of

_OF_ALL = {
    *("arms_", "n_features_in_", "feature_names_in_", "encoded_names_", "outcomes_", "of"),
    "compiled",
}


class SeveralOutcomes:
    """Methods and attributes of a model that was fitted to a y with several columns."""

    outcome: Any
    fitted_: Any

    @property
    def outcomes_(self) -> list[str]:
        if not isinstance(getattr(self, "fitted_", None), FittedOutcomes):
            raise AttributeError("outcomes_: y had a single column in fit, or there was no fit")
        return list(self.fitted_.names)

    def of(self, outcome: str) -> Self:
        """The model of one of several outcomes, which has all methods of a model of one outcome.

        Parameters
        ----------
        outcome : str
            One of ``outcomes_``.

        Returns
        -------
        HyperCATE
            Fitted to that outcome, with this estimator's parameters.

        Raises
        ------
        ValueError
            If there is no such outcome, or the model has only one.

        Examples
        --------
        >>> outcomes = pd.DataFrame({"weight": y, "death": (y > 6).astype(int)})
        >>> est = HyperCATE(effort="instant", random_state=0).fit(X, outcomes, treatment)
        >>> est.effect(X).shape
        (300, 2)
        >>> est.of("death").ate_inference(scale="ratio").index.tolist()
        ['drug']
        """
        check_is_fitted(self, "fitted_")
        if not isinstance(self.fitted_, FittedOutcomes):
            raise ValueError(
                f"of({outcome!r}): this model has a single outcome, which all its methods are about"
            )
        one = copy.copy(self)
        one.fitted_ = self.fitted_.of(outcome)
        if not isinstance(self.outcome, str):
            one.outcome = one.fitted_.family.kind
        return one


@dataclass(frozen=True, repr=False, eq=False)
class OutcomesInference(ForPapers):
    """Estimates of several outcomes with their standard errors; `print` shows their tables.

    Attributes
    ----------
    each : dict of Inference
        By outcome: `EffectInference` or `AverageInference`.
    """

    each: dict[str, Inference]

    @property
    def point_estimate(self) -> np.ndarray:
        """The estimates, with the shape for one outcome and a last axis for the outcomes."""
        return joined({name: one.point_estimate for name, one in self.each.items()})

    @property
    def stderr(self) -> np.ndarray:
        return joined({name: one.stderr for name, one in self.each.items()})

    def of(self, outcome: str) -> Inference:
        """The result for one of the outcomes."""
        if outcome not in self.each:
            raise ValueError(f"{outcome!r} is none of the outcomes, {listed(map(repr, self.each))}")
        return self.each[outcome]

    def interval(self, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Central intervals of level 1 - alpha, for each estimate separately.

        Returns
        -------
        lower, upper : ndarray
            With the shape of `point_estimate`.
        """
        return joined({name: one.interval(alpha) for name, one in self.each.items()})

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The tables of all outcomes, one below the other; the first index level is ``outcome``."""
        return joined({name: one.summary_frame(alpha) for name, one in self.each.items()})

    def summary(self, alpha: float = 0.05) -> str:
        """The tables as text, each below the name of its outcome."""
        parts = [f"Outcome {name!r}\n{one.summary(alpha)}" for name, one in self.each.items()]
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The tables for a notebook."""
        parts = [(html.escape(str(name)), one) for name, one in self.each.items()]
        return "\n".join(f"<h4>{name}</h4>\n{one._repr_html_()}" for name, one in parts)


def joined(answers: dict[str, Any]) -> Any:
    """Join the answers about each outcome, given by name.

    Returns
    -------
    object
        Arrays and numbers: stacked on a last axis of outcomes. Tables: one below the other, with
        ``outcome`` as the first level of the index. Tuples: part by part. Tables of inference:
        `OutcomesInference`. Anything else: the dict.
    """
    values = list(answers.values())
    first = values[0]
    if isinstance(first, tuple):
        parts = zip(*values, strict=True)
        return tuple(joined(dict(zip(answers, part, strict=True))) for part in parts)
    if isinstance(first, np.ndarray | float):
        return np.stack(values, axis=-1)
    if isinstance(first, pd.DataFrame | pd.Series):
        return pd.concat(answers, names=["outcome"])
    if isinstance(first, Inference):
        return OutcomesInference(answers)
    return answers


def by_outcome(cls: type) -> type:
    """A class whose public methods and properties answer for each of several outcomes.

    But for those of `_OF_ALL`, which are not about an outcome. Where a method is given y, each
    outcome meets its own column of it; of scores it is the mean.
    """
    for name in dir(cls):
        member = getattr(cls, name)
        if name.startswith("_") or name in _OF_ALL:
            continue
        finish = _mean if name == "score" else joined
        if isinstance(member, property) and member.fget is not None:
            setattr(cls, name, property(_for_each(member.fget, finish)))
        elif callable(member):
            setattr(cls, name, _for_each(member, finish))
    return cls


def _for_each(method: Callable, finish: Callable[[dict[str, Any]], Any]) -> Callable:
    call = signature(method)

    @wraps(method)
    def answer(self: Any, *args: Any, **kwargs: Any) -> Any:
        fitted = getattr(self, "fitted_", None)
        if not isinstance(fitted, FittedOutcomes):
            return method(self, *args, **kwargs)
        given = call.bind(self, *args, **kwargs)
        columns = {}
        if given.arguments.get("y") is not None:
            columns = columns_of(given.arguments["y"], fitted.names)
        answers = {}
        for name in fitted.names:
            own = {"y": columns[name]} if columns else {}
            given.arguments.update({next(iter(call.parameters)): self.of(name), **own})
            answers[name] = method(*given.args, **given.kwargs)
        return finish(answers)

    return answer


def _mean(scores: dict[str, float]) -> float:
    return float(np.mean(list(scores.values())))
