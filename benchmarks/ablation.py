"""One choice of HyperCATE changed at a time, and the degree of sharing that it learns.

    python benchmarks/ablation.py --jobs 2 --out results/ablation
    python benchmarks/ablation.py --studies sharing --variants generation --out results/sharing

The data is reported nowhere else, so that defaults may be chosen on it: npci replicates of IHDP
from 1101 on, draws of the study with many arms from 1101 on, and ACIC's simulations 6 to 10. Where
the data folder has only its simulations 1 to 5, those are taken, with a split of their rows (the
second) that is not reported: their surfaces are, so no default is to be chosen by that column.

Errors are out-of-sample sqrt-PEHE. *out / sd* is their mean over the mean standard deviation of
the true effect; *over the default* is the geometric mean of the ratios to the default on the same
replicate, with its standard error; below 1 is better. Results are kept as they come: the same
command resumes.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from hypercate import HyperCATE
from hypercate.benchmark import harness, panel, studies
from hypercate.datasets import CausalSample, CausalSplit
from hypercate.effort import EFFORTS
from hypercate.generator.outcome_net import ACTIVATIONS
from hypercate.generator.profiles import PROFILES
from hypercate.learners import LEARNERS
from hypercate.select import INPUTS

DEFAULT = "default"
DEFAULTS = HyperCATE().get_params()
CHOICES: dict[str, list[Any]] = {
    "learner": list(LEARNERS),
    "effort": list(EFFORTS),
    "inputs": ["auto", *INPUTS],
    "sharing": ["auto", *PROFILES],
    "pretrained": ["auto", "none"],
    "second_stage": ["auto", "none"],
    "generation": ["chunk", "component", "once", "none"],
    "n_heads": [1, 4],
    "activation": list(ACTIVATIONS),
    "outcome_hidden": [(100, 100), (64, 64), (32,) * 3, (32,) * 5, (64,) * 5],
    "widths": [(0.25, 0.5, 1.0)],
    "depths": [(0.2, 0.6, 1.0)],
    "n_members": [1, 5, 10],
    "patience": [DEFAULTS["patience"] // 2, 2 * DEFAULTS["patience"]],
    "learning_rate": [DEFAULTS["learning_rate"] / 2, 2 * DEFAULTS["learning_rate"]],
    "weight_decay": [0.1, 1.0],
    "hypernet_dropout": [0.0, 0.1],
    "hypernet_noise": [0.0, 0.03, 0.3],
    "spectral_norm": [False, True],
}
CONSTANTS: dict[str, dict[str, float]] = {
    "usual scale of the start": {"hypercate.generator.initialization.START_SCALE": 1.0},
    "departures alike in all layers": {
        "hypercate.generator.profiles.FIRST_DEPARTURE": 0.2,
        "hypercate.generator.profiles.LAST_DEPARTURE": 0.2,
    },
    "intercepts as the other weights": {"hypercate.generator.profiles.INTERCEPT_DEPARTURE": 1.0},
    "no averaging of weights": {"hypercate.train.families._AVERAGING": 0.0},
}
FIRST_DRAW = 1101
TIE = 1e-6  # relative difference below which two errors are the same but for rounding
UNREPORTED_ACIC = range(6, 11)  # simulations 6 to 10, first split
SECOND_SPLIT_ACIC = range(11, 16)  # simulations 1 to 5, second split
CHOICES_OF_MEMBERS = (*PROFILES, "none", *INPUTS)
CHOSEN = [f"chose {name}" for name in CHOICES_OF_MEMBERS]
FIGURES = [*studies.FIGURES, *CHOSEN]


@dataclass(frozen=True)
class Variant:
    """HyperCATE with some parameters, or constants of the package, that are not the default.

    Attributes
    ----------
    parameters : dict
    constants : dict
        Value by its dotted name, in place during the fit.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)

    def fit(self, train: CausalSample, seed: int) -> HyperCATE:
        estimator = HyperCATE(random_state=seed, device="cpu", **self.parameters)
        with ExitStack() as stack:
            for name, value in self.constants.items():
                stack.enter_context(mock.patch(name, value))
            return estimator.fit(train.X, train.y, train.treatment)


@dataclass(frozen=True)
class Study:
    """A data set of the benchmark with its options, named as the command line names them."""

    dataset: str
    options: dict[str, Any]

    def task(self, replication: int, variant: str) -> harness.Task:
        options = {"source": None, "treated": None} | self.options
        return harness.Task(
            dataset=self.dataset, replication=replication, learner=variant, **options
        )


def described(parameter: str, value: Any) -> str:
    widths = isinstance(value, tuple) and len(set(value)) == 1
    return f"{parameter}={f'({value[0]},)*{len(value)}' if widths else value}"


VARIANTS: dict[str, Variant] = {
    DEFAULT: Variant(),
    **{
        described(parameter, value): Variant({parameter: value})
        for parameter, values in CHOICES.items()
        for value in values
        if value != DEFAULTS[parameter]
    },
    **{
        f"generation=none, weight_decay={value:g}": Variant(
            {"generation": "none", "weight_decay": value}
        )
        for value in CHOICES["weight_decay"]
    },
    **{
        f"learner={name}, generation=none": Variant({"learner": name, "generation": "none"})
        for name in LEARNERS
        if name != DEFAULTS["learner"]
    },
    **{name: Variant(constants=constants) for name, constants in CONSTANTS.items()},
}
"""Every row of the table; a value that is the default has none."""

STUDIES: dict[str, Study] = {
    "ihdp": Study("ihdp", {"source": "npci"}),
    "ihdp-60": Study("ihdp", {"source": "npci", "treated": 60}),
    "ihdp-30": Study("ihdp", {"source": "npci", "treated": 30}),
    "acic-1000": Study("acic", {"rows": 1000}),
    "acic-500": Study("acic", {"rows": 500}),
    "acic-300": Study("acic", {"rows": 300}),
    **{
        f"{design}-500": Study("simulated", {"rows": 500, "design": design})
        for design in ("smooth", "stepped", "few", "null")
    },
    **{
        f"arms-{arms}-{share}": Study("arms", {"treated": 30, "arms": arms, "share": share})
        for arms in (3, 5, 20)
        for share in ("much", "little", "nothing")
    },
}
"""ihdp thinned to so many treated, others with so many rows, so many arms that share so much."""

STUDY_GROUPS = {
    "ablation": ["ihdp", "ihdp-30", "acic-1000", "arms-5-much", "arms-5-nothing"],
    "simulated": [name for name in STUDIES if STUDIES[name].dataset == "simulated"],
    "sharing": [name for name in STUDIES if STUDIES[name].dataset != "simulated"],
}
VARIANT_GROUPS = {
    "all": list(VARIANTS),
    **{
        parameter: [DEFAULT, *(name for name in VARIANTS if name.startswith(f"{parameter}="))]
        for parameter in CHOICES
    },
    "constants": [DEFAULT, *CONSTANTS],
}


def acic_replications() -> tuple[range, str]:
    """Replications of acic that are there, and a note of what was missing."""
    folder = os.environ.get("HYPERCATE_DATA")
    if not folder:
        return UNREPORTED_ACIC, ""
    there = [
        {number for number in numbers if Path(folder, f"acic2016/zymu_{number}.csv").exists()}
        for numbers in (range(6, 11), range(1, 6))
    ]
    if len(there[0]) == len(UNREPORTED_ACIC):
        return UNREPORTED_ACIC, ""
    if len(there[1]) == len(SECOND_SPLIT_ACIC):
        return SECOND_SPLIT_ACIC, (
            "ACIC: simulations 6 to 10 are not in the data folder; 1 to 5 with the second split "
            "of their rows."
        )
    return range(0), "ACIC: left out, its files are not in the data folder."


def measure(task: harness.Task, split: CausalSplit, variant: Variant) -> dict[str, float]:
    """The figures of the benchmark, and how many members chose what."""
    fitted: list[HyperCATE] = []

    def learner(train: CausalSample, seed: int) -> panel.Effect:
        fitted.append(variant.fit(train, seed))
        return fitted[0].predict

    figures = harness.measure(task, split, learner)
    chosen = pd.concat([fitted[0].sharing_["chosen"], fitted[0].inputs_["chosen"]])
    return figures | {f"chose {name}": (chosen == name).sum() for name in CHOICES_OF_MEMBERS}


PROTOCOL = harness.Protocol(VARIANTS, VARIANT_GROUPS, FIGURES, measure)


def run(tasks: dict[harness.Task, str], path: Path, n_jobs: int) -> pd.DataFrame:
    """Run what is not yet in the file; rows of `tasks`, with their ``study`` and ``variant``."""
    names = {task.key: study for task, study in tasks.items()}
    results = harness.run(list(tasks), path, n_jobs, PROTOCOL)
    keys = map(tuple, results[harness.KEY].to_numpy())
    return results.assign(study=[names[key] for key in keys], variant=results["learner"])


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """A row a variant of one study, in the order of `VARIANTS`.

    Returns
    -------
    DataFrame
        ``out`` (mean sqrt-PEHE), ``over_sd``, ``ratio`` to the default and its standard error
        ``ratio_se``, ``wins`` and ``pairs`` (replicates on which it was better than the default,
        of those on which both ran), ``fit_seconds`` (mean), ``n``, ``failed``.
    """
    errors = results.pivot(index="replication", columns="variant", values="pehe_out")
    rows = {}
    for variant in filter(set(results["variant"]).__contains__, VARIANTS):
        of_it = results[results["variant"] == variant]
        ran = of_it[of_it["pehe_out"].notna()]
        row = {
            "out": ran["pehe_out"].mean(),
            "over_sd": ran["pehe_out"].mean() / ran["effect_sd"].mean(),
            "fit_seconds": ran["fit_seconds"].mean(),
            "n": len(ran),
            "failed": len(of_it) - len(ran),
        }
        if DEFAULT in errors:
            pairs = errors[[variant]].assign(default=errors[DEFAULT]).dropna()
            log_ratio = np.log(pairs[variant] / pairs["default"])
            row |= {
                "ratio": np.exp(log_ratio.mean()),
                "ratio_se": np.exp(log_ratio.mean()) * log_ratio.sem(),
                "wins": (log_ratio < -TIE).sum(),
                "pairs": len(pairs),
            }
        rows[variant] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def sharing_learned(results: pd.DataFrame) -> pd.DataFrame:
    """A row a study: what the default's members chose, in shares, and the gain by sharing.

    Returns
    -------
    DataFrame
        ``members``, the share of each of `CHOSEN` among them, and mean error of the default over
        that of ``generation="none"``: ``over_none``, and ``over_best_none`` of the best of the
        rows that have it (best on these very replicates, so the bar is a high one).
    """
    rows = {}
    ran = results[results["pehe_out"].notna()]
    for study in STUDIES:
        of_it = ran[ran["study"] == study]
        default = of_it[of_it["variant"] == DEFAULT]
        if not len(default):
            continue
        counts = default[CHOSEN].sum()
        members = counts[[f"chose {name}" for name in INPUTS]].sum()
        out = of_it.groupby("variant")["pehe_out"].mean()
        alone = out[out.index.str.startswith("generation=none")]
        rows[study] = {
            "members": members,
            **counts / members,
            "over_none": out[DEFAULT] / out.get("generation=none", np.nan),
            "over_best_none": out[DEFAULT] / alone.min() if len(alone) else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def markdown(table: dict[str, pd.Series]) -> str:
    """A table of strings, without the columns that are empty."""
    shown = {heading: cells for heading, cells in table.items() if (cells != "").any()}
    lines = [f"| {' | '.join(shown)} |", "|" + " --- |" * len(shown)]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    return "\n".join(lines)


def cells(column: pd.Series, pattern: str) -> pd.Series:
    return column.map(lambda value: "" if pd.isna(value) else pattern.format(value))


def to_markdown(results: pd.DataFrame) -> str:
    """The ratios of all studies side by side, a table a study, and what was learned."""
    summaries = {
        study: summarise(results[results["study"] == study])
        for study in filter(set(results["study"]).__contains__, STUDIES)
    }
    ratios = {
        study: cells(summary["ratio"], "{:.3f}") + cells(summary["ratio_se"], " ± {:.3f}")
        for study, summary in summaries.items()
        if "ratio" in summary
    }
    parts = []
    if ratios:
        names = [name for name in VARIANTS if any(name in column for column in ratios.values())]
        side_by_side = {"": pd.Series(names)} | {
            study: column.reindex(names).fillna("") for study, column in ratios.items()
        }
        parts.append(f"## Error over the default's\n\n{markdown(side_by_side)}")
    for study, summary in summaries.items():
        columns = {
            "": summary.index.to_series(),
            "out": cells(summary["out"], "{:.3f}"),
            "out / sd": cells(summary["over_sd"], "{:.3f}"),
        }
        if study in ratios:
            columns["over the default"] = ratios[study]
            columns["better"] = cells(summary["wins"], "{:.0f}") + cells(
                summary["pairs"], " of {:.0f}"
            )
        columns["fit s"] = cells(summary["fit_seconds"], "{:.2f}")
        columns["failed"] = summary["failed"].map(lambda failed: str(failed) if failed else "")
        numbers = results.loc[results["study"] == study, "replication"]
        parts.append(
            f"## {study} ({numbers.min()} to {numbers.max()}, "
            f"n = {numbers.nunique()})\n\n{markdown(columns)}"
        )
    learned = sharing_learned(results)
    if len(learned):
        columns = {
            "study": learned.index.to_series(),
            "members": cells(learned["members"], "{:.0f}"),
        }
        for name in filter(lambda name: learned[name].any(), CHOSEN):
            columns[name.removeprefix("chose ")] = cells(learned[name], "{:.0%}")
        columns["over none"] = cells(learned["over_none"], "{:.3f}")
        columns["over the best none"] = cells(learned["over_best_none"], "{:.3f}")
        parts.append(f"## What the members chose at the default\n\n{markdown(columns)}")
    failures = results[results["pehe_out"].isna()]
    parts += [
        f"{row.study}, {row.variant}, {row.replication} failed: {row.error}"
        for row in failures.itertuples()
    ]
    return "\n\n".join(parts)


def named(text: str, names: dict[str, Any], groups: dict[str, list[str]], what: str) -> list[str]:
    """Names in a semicolon-separated list of names and groups, each once.

    Raises
    ------
    ValueError
        If a name is neither.
    """
    chosen: dict[str, None] = {}
    for name in filter(None, map(str.strip, text.split(";"))):
        if name not in names and name not in groups:
            known = f"there are {'; '.join(names)}; groups: {'; '.join(groups)}"
            raise ValueError(f"unknown {what} {name!r}; {known}")
        chosen.update(dict.fromkeys(groups.get(name, [name])))
    return list(chosen)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", default="ablation", metavar="LIST", help="'a;b', or a group")
    parser.add_argument("--variants", default="all", metavar="LIST", help="'a;b', or a group")
    parser.add_argument(
        "--replications", type=int, default=12, metavar="R", help="of each study (acic: at most 5)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/ablation"), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        chosen = named(options.studies, STUDIES, STUDY_GROUPS, "study")
        variants = named(options.variants, VARIANTS, VARIANT_GROUPS, "variant")
    except ValueError as error:
        parser.error(str(error))
    if options.replications < 1 or options.jobs < 1:
        parser.error("--replications and --jobs are at least 1")
    acic, note = acic_replications()
    draws = range(FIRST_DRAW, FIRST_DRAW + options.replications)
    tasks = {
        STUDIES[study].task(replication, variant): study
        for study in chosen
        for replication in (
            acic[: options.replications] if STUDIES[study].dataset == "acic" else draws
        )
        for variant in variants
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(run(tasks, options.out / "ablation.csv", options.jobs))
    if note and any(STUDIES[study].dataset == "acic" for study in chosen):
        text += f"\n\n{note}"
    print(text)
    (options.out / "ablation.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
