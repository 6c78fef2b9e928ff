"""The content of a report: one function for each of its sections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hypercate.fitted import Fitted
from hypercate.inference.tables import short_pvalue
from hypercate.inspection import EffectTree, effect_importance
from hypercate.inspection.columns import Columns, arms_of
from hypercate.overlap import arms_table, support_notes
from hypercate.plots import (
    plot_dose_response,
    plot_effect_by,
    plot_effects,
    plot_group_effects,
)
from hypercate.reporting.model import LIMITS, card, choices_of
from hypercate.reporting.section import Section, drawn_by
from hypercate.sensitivity import plot_sensitivity, sensitivity

MOST_ARMS = 6  # that have pictures of their own
LEVEL = 0.05  # of the test of heterogeneity
MOST_COLUMNS = 10  # whose importance is shown
NO_EVIDENCE = (
    "Not available: the model was saved without its training rows (evidence=False), which this "
    "rests on."
)
_UNITS = {
    "binary": "differences of the probability of {!r}",
    "time": "differences of the mean time up to the horizon",
    "survival": "differences of the probability of no event up to the horizon",
}


def sections_of(est: Any, X: Any, alpha: float) -> tuple[Section, ...]:
    """The sections of a report, those on X only if there is one."""
    fitted: Fitted = est.fitted_
    of_doses = fitted.doses is not None

    def of_training_rows(name: str, title: str, write: Callable[[], dict[str, Any]]) -> Section:
        known = fitted.evidence is not None
        return Section(name, title, **(write() if known else {"text": [NO_EVIDENCE]}))

    averages = (
        partial(_dose_averages, est, X, alpha) if of_doses else partial(_averages, est, alpha)
    )
    differ = []
    if not of_doses:
        heterogeneity = partial(_heterogeneity, est)
        differ = [of_training_rows("heterogeneity", "Do effects differ?", heterogeneity)]
    summary = partial(_summary, est, alpha, [line for part in differ for line in part.text[1:]])
    parts = [
        of_training_rows("summary", "Summary", summary),
        of_training_rows("data", "Data and overlap", partial(_data, est)),
        of_training_rows("averages", "Averages", averages),
        *differ,
    ]
    if X is not None:
        parts.append(Section("effects", "Effects, and who benefits", **_effects(est, X, alpha)))
    if not of_doses:
        confounding = partial(_confounding, est, alpha)
        title = "Unmeasured confounding"
        parts.append(of_training_rows("confounding", title, confounding))
    return (
        *parts,
        Section("choices", "What the models weighed and chose", **choices_of(est)),
        Section("limits", "Limits", LIMITS),
        Section("card", "Model card", **card(est)),
    )


def _summary(est: Any, alpha: float, differ: list[str]) -> dict[str, Any]:
    """Summary: the averages, whether effects differ, as tested below, and the overlap."""
    fitted = est.fitted_
    evidence, labels = fitted.evidence, fitted.conditions.received
    text = [f"{len(evidence.y):,} rows, {len(labels)} {_arms(est)}, outcome: {est.outcome_}."]
    if fitted.doses is None:
        table = est.ate_inference().summary_frame(alpha)
        text += [
            f"On average, {arm} instead of {labels[0]} changes the outcome by "
            f"{row['point_estimate']:.3g} ({1 - alpha:.0%} interval {row['ci_lower']:.3g} to "
            f"{row['ci_upper']:.3g})."
            for arm, row in table.iterrows()
        ]
    notes = support_notes(evidence.propensity, evidence.arm, evidence.weight, labels)
    enough = (
        f"The {_arms(est)} overlap: for each of them, at most 30 % of the other rows are of a kind "
        "that hardly ever receives it."
    )
    return {"text": [*text, *differ, *(notes or [enough])]}


def _data(est: Any) -> dict[str, Any]:
    fitted = est.fitted_
    evidence = fitted.evidence
    labels = pd.Index(fitted.conditions.received, name=_arms(est).removesuffix("s"))
    arms = arms_table(evidence.propensity, evidence.arm, evidence.weight, labels)
    mean = np.bincount(evidence.arm, evidence.weight * evidence.y)
    arms.insert(1, "mean_outcome", mean / np.bincount(evidence.arm, evidence.weight))
    text = [
        "effective rows: the effective number of rows after weighting by 1 / propensity. outside: "
        "share of the rows of the others that hardly ever receive this one, because their "
        "propensity is below the limit. smallest: the smallest propensity."
    ]
    return {"text": text, "tables": {"Rows, outcomes and overlap": arms.drop(columns="poor")}}


def _averages(est: Any, alpha: float) -> dict[str, Any]:
    everyone = est.ate_inference()
    of_each = {
        "everyone (ATE)": everyone,
        "the treated (ATT)": est.att_inference(),
        "the controls (ATC)": est.atc_inference(),
        "where arms overlap (ATO)": est.ato_inference(),
    }
    columns = ["point_estimate", "stderr", "ci_lower", "ci_upper", "pvalue"]
    table = pd.concat(
        {who: found.summary_frame(alpha)[columns] for who, found in of_each.items()},
        names=["average over"],
    )
    return {
        "text": [
            f"Effects against {est.arms_[0]}{_unit(est)}, by cross-fitted AIPW, with intervals at "
            f"{1 - alpha:.0%}.",
            *everyone.notes,
        ],
        "tables": {"Average effects": table},
        "pictures": {
            f"Average effects with {1 - alpha:.0%} intervals": drawn_by(
                plot_group_effects, everyone, alpha=alpha
            )
        },
    }


def _dose_averages(est: Any, X: Any, alpha: float) -> dict[str, Any]:
    title = f"Mean outcome over doses, with {1 - alpha:.0%} intervals"
    pictures = {} if X is None else {title: drawn_by(plot_dose_response, est, X, alpha=alpha)}
    return {
        "text": ["Mean outcome if everyone got a dose from the range, by cross-fitted AIPW."],
        "tables": {"Ranges of doses": est.average_dose_response(alpha)},
        "pictures": pictures,
    }


def _heterogeneity(est: Any) -> dict[str, Any]:
    table = est.heterogeneity_test()
    differ = table.xs("differential_prediction", level="term")["pvalue"]
    text = [
        "Doubly robust scores of rows are regressed on effects predicted by models that did not "
        "see the rows. If the coefficient of differential prediction is near 1, rows with larger "
        "predicted effects do have larger effects."
    ]
    for arm, pvalue in differ.items():
        seen = "Effects differ between rows, and predictions show it" if pvalue < LEVEL else (
            "It is not shown that effects differ between rows"
        )  # fmt: skip
        text.append(f"{seen} ({arm}: p-value {short_pvalue(pvalue)}).")
    return {"text": text, "tables": {"Test of heterogeneity": table}}


def _effects(est: Any, X: Any, alpha: float) -> dict[str, Any]:
    frame, arms = Columns.of(est, X).frame, arms_of(est, None, None)
    inference = est.effect_inference(X)
    lower, upper = (end.reshape(len(frame), -1) for end in inference.interval(alpha))
    effects = inference.point_estimate.reshape(len(frame), -1)
    spread = pd.DataFrame(
        {
            "mean": effects.mean(axis=0),
            "sd": effects.std(axis=0),
            **{f"{q}_%": np.percentile(effects, q, axis=0) for q in (10, 50, 90)},
            "interval_above_0": (lower > 0).mean(axis=0),
            "interval_below_0": (upper < 0).mean(axis=0),
        },
        index=pd.Index(arms, name="arm" if est.fitted_.doses is None else "dose"),
    )
    importance = effect_importance(est, X).head(MOST_COLUMNS)
    text = [
        f"{len(frame):,} rows. Interval above 0, below 0: share of rows whose {1 - alpha:.0%} "
        "interval lies entirely above or below 0. Importance: how much predicted effects change if "
        "a column is permuted, in units of their standard deviation."
    ]
    tables = {"Effects of rows": spread, "Columns that effects depend on": importance}
    pictures = {}
    several = len(arms) > 1
    top = importance.index[0] if importance["importance"].iloc[0] > 0 else None
    for arm in arms[:MOST_ARMS]:
        of_arm = {"arm": arm if several else None, "alpha": alpha}
        said = f" of {arm}" if several else ""
        pictures[f"Effects{said}, with intervals"] = drawn_by(plot_effects, inference, **of_arm)
        if top is not None:
            draw = drawn_by(plot_effect_by, inference, frame[top], **of_arm)
            pictures[f"Effects{said} by {top}"] = draw
    if len(arms) > MOST_ARMS:
        text.append(f"Pictures show the first {MOST_ARMS} of {len(arms)} arms.")
    if est.fitted_.doses is None:
        text.append(
            "Groups: a shallow tree of the predicted effects. The effect in a group must be "
            "estimated on rows that played no part in finding it."
        )
        tables["Groups with similar effects"] = EffectTree(max_depth=2).fit(est, X).leaves_
    return {"text": text, "tables": tables, "pictures": pictures}


def _confounding(est: Any, alpha: float) -> dict[str, Any]:
    found = sensitivity(est)
    table = found.summary_frame(alpha)
    text = [
        f"A confounder that explains {row['robustness_value']:.1%} of the outcome's remaining "
        f"variance and as much of the treatment weights' variance would move the average effect of "
        f"{arm} to {found.null:g}; {row['robustness_value_ci']:.1%} would move the end of its "
        f"{1 - alpha:.0%} interval there."
        for arm, row in table.iterrows()
    ]
    arms = list(table.index)
    pictures = {
        f"Average effect{f' of {arm}' if len(arms) > 1 else ''} under confounding": drawn_by(
            plot_sensitivity, found, arm=arm
        )
        for arm in arms[:MOST_ARMS]
    }
    return {
        "text": [*text, *found.notes],
        "tables": {"Bounds of the average effect": table},
        "pictures": pictures,
    }


def _arms(est: Any) -> str:
    return "arms" if est.fitted_.doses is None else "ranges of doses"


def _unit(est: Any) -> str:
    unit, classes = _UNITS.get(est.outcome_), [] if est.classes_ is None else est.classes_.tolist()
    return "" if unit is None else f" are {unit.format(*classes[1:])}"
