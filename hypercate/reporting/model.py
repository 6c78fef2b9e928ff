"""What a report says about the model itself: its choices, its limits and its model card."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd

from hypercate.encoding.columns import CategoryColumn
from hypercate.fitted import Fitted
from hypercate.plots import plot_history
from hypercate.reporting.section import drawn_by

LIMITS = [
    "Effects are causal only if the covariates contain everything that drives both the treatment "
    "and the outcome. No data can confirm this, and no interval allows for it.",
    "Where an arm has hardly any rows like x, its outcome at x is an extrapolation, but intervals "
    "of the effect at x are hardly wider there than elsewhere.",
    "Intervals of the effect at x account for sampling, not for the bias of the models.",
    "Differences between effects are estimated as too small where the rows say little about them.",
    "Groups that were found by looking at outcomes, or at these effects, must be judged on other "
    "rows.",
]


def choices_of(est: Any) -> dict[str, Any]:
    """The candidates that each model weighed on rows that it was not fitted to, and its choice."""
    mean = est.weights_.mean()
    text = [
        "Each model averages the effects of its trained networks, of networks that a pre-trained "
        "generator emits, of a constant effect, and of boosted trees fitted to effects alone, by "
        "weights chosen on rows held out from its fit. "
        f"On average: trained {mean['trained']:.0%}, emitted {mean['emitted']:.0%}, constant "
        f"{mean['constant']:.0%}, boosted {mean['boosted']:.0%}."
    ]
    trained = len(est.history_) > 0
    return {
        "text": text,
        "tables": {"Weights": est.weights_} | ({"Sharing": est.sharing_} if trained else {}),
        "pictures": {"Loss in training": drawn_by(plot_history, est)} if trained else {},
    }


def card(est: Any) -> dict[str, Any]:
    """The model card: what the model is, its parameters and its covariates."""
    fitted: Fitted = est.fitted_
    seen = fitted.seen
    facts = {
        "estimator": f"HyperCATE of hypercate {version('hypercate')}",
        "rows learned from": "not known" if seen is None else f"{seen.rows.sum():,.0f}",
        "models": fitted.networks.n_models,
        "models that predict": fitted.networks.n_members,
        "trained parameters per model": est.n_parameters_["trained"],
        "generated weights per model": est.n_parameters_["generated"],
        "seed": fitted.seed,
        "pre-trained generator": "none" if fitted.pretrained is None else fitted.pretrained.sha256,
    }
    columns = pd.DataFrame(
        {
            "kind": [
                f"{len(column.levels)} levels" if isinstance(column, CategoryColumn) else "number"
                for column in fitted.features.columns
            ]
        },
        index=pd.Index([column.name for column in fitted.features.columns], name="covariate"),
    )
    given = {name: repr(value) for name, value in est.get_params().items()}
    return {
        "tables": {
            "The model": _listed(facts, "fact"),
            "Its parameters": _listed(given, "parameter"),
            "Its covariates": columns,
        }
    }


def _listed(values: dict[str, Any], name: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"value": list(map(str, values.values()))}, index=pd.Index(list(values), name=name)
    )
