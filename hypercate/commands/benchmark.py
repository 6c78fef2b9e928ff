"""``hypercate benchmark ihdp``, or another data set, or ``all``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hypercate.commands.messages import INTERRUPTED, require
from hypercate.commands.options import positive

if TYPE_CHECKING:
    from hypercate.benchmark.studies import Study

DATASETS = [
    "ihdp",
    "acic",
    "jobs",
    "twins",
    "lalonde",
    "realcause",
    "arms",
    "low-rank",
    "simulated",
]
OPTIONS = ["source", "treated", "rows", "arms", "share", "design"]


def add_to(commands: Any) -> None:
    """Declare the command and its options."""
    benchmark = commands.add_parser(
        "benchmark", help="compare HyperCATE with other learners on the same splits"
    )
    benchmark.add_argument("dataset", choices=[*DATASETS, "all"])
    benchmark.add_argument(
        "--source",
        choices=["npci", "published", "psid", "cps"],
        help="ihdp: npci, simulated here without a download (default), or published, the IHDP-100 "
        "files; realcause: the survey that the controls come from, psid (default) or cps",
    )
    benchmark.add_argument(
        "--replications",
        type=replications,
        default=[1, 2, 3],
        metavar="LIST",
        help="such as 1-25 or 1,3,9-12 (default: 1-3); acic: 1-10 are its simulations, 11-20 are "
        "the same with another split, and so on",
    )
    benchmark.add_argument(
        "--learners",
        default="panel",
        metavar="LIST",
        help="names as in the table, or the groups panel (default), generation, options, "
        "bayesian, forests; with --intervals the groups panel, bayesian, sources",
    )
    benchmark.add_argument(
        "--treated",
        type=positive,
        metavar="N",
        help="thin the treated training rows to N; arms: training rows of each treatment "
        "(default: 30); low-rank: of each arm (default: 40)",
    )
    benchmark.add_argument(
        "--rows",
        type=positive,
        metavar="N",
        help="training rows; acic: all 3802 by default; simulated: 500 by default",
    )
    benchmark.add_argument(
        "--arms",
        type=positive,
        metavar="K",
        help="arms, low-rank: number of arms, including the control (default: 5, 20)",
    )
    benchmark.add_argument(
        "--share",
        choices=["much", "little", "nothing"],
        help="arms: how much their surfaces have in common (default: much)",
    )
    benchmark.add_argument(
        "--design",
        choices=["smooth", "stepped", "few", "randomised", "null"],
        help="simulated: a smooth effect (default), a stepwise effect, few treated, randomised "
        "treatment, or no effect; all but randomised are confounded",
    )
    benchmark.add_argument(
        "--intervals",
        action="store_true",
        help="judge intervals of the effect instead, where the true effect is known: coverage, "
        "width, interval score, rejection",
    )
    benchmark.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="worker processes (default: 1, unless joblib.parallel_config says otherwise)",
    )
    benchmark.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder for the results (default: results)",
    )
    benchmark.set_defaults(run=run, parser=benchmark)


def run(options: argparse.Namespace) -> int:
    """Run what is missing, then write and print the report; return the exit code."""
    require("benchmark", "causaldata", "econml", "matplotlib", "pooch", "stochtree")
    from hypercate.benchmark import harness, interval_report, intervals, panel, report
    from hypercate.benchmark.studies import STUDIES

    datasets = DATASETS if options.dataset == "all" else [options.dataset]
    protocol = intervals.INTERVALS if options.intervals else harness.EFFECTS
    reporter: ModuleType = interval_report if options.intervals else report
    table, page, picture = (
        ("intervals.csv", "intervals.md", "{}-intervals.png")
        if options.intervals
        else ("results.csv", "report.md", "{}.png")
    )
    if options.intervals and options.dataset == "all":
        datasets = [name for name in DATASETS if STUDIES[name].effect_known]
    try:
        learners = panel.select(options.learners, protocol.learners, protocol.groups)
        settings = {name: study_settings(name, options, STUDIES[name]) for name in datasets}
    except ValueError as error:
        options.parser.error(str(error))
    tasks = [
        harness.Task(
            dataset=name,
            replication=replication,
            learner=learner,
            **dict.fromkeys(OPTIONS) | settings[name],
        )
        for name in datasets
        for replication in options.replications
        for learner in learners
        if learner not in STUDIES[name].left_out
    ]
    if not tasks:
        options.parser.error(f"{options.learners} has no meaning for {options.dataset}")
    path = options.out / table
    code = 0
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        results = harness.run(tasks, path, options.jobs, protocol)
    except KeyboardInterrupt:
        print(f"interrupted: {path} keeps the results, the same command resumes", file=sys.stderr)
        results, code = harness.collect(tasks, path, protocol), INTERRUPTED
    except (ImportError, OSError, ValueError) as error:
        print(f"hypercate benchmark: {error}", file=sys.stderr)
        return 1
    sections = []
    for name in datasets:
        rows = results[results["dataset"] == name]
        if len(rows):
            title = describe(STUDIES[name].title, settings[name])
            heading = f"## {title}\n\n" if options.dataset == "all" else ""
            sections.append(f"{heading}{reporter.to_markdown(rows)}\n")
            reporter.draw(rows, title, options.out / picture.format(name))
    if sections:
        text = "\n".join(sections)
        print(text, end="")
        (options.out / page).write_text(text, encoding="utf-8")
    return code


def study_settings(name: str, options: argparse.Namespace, study: Study) -> dict[str, Any]:
    """The study's options: as given, else its defaults.

    Raises
    ------
    ValueError
        If the study does not have a given option or replication, or if intervals are to be judged
        although the true effect is unknown; with ``all``, an option applies to the studies that
        have it.
    """
    if options.intervals and not study.effect_known:
        raise ValueError(
            f"--intervals does not apply to {name}: the true effects are not known, so whether an "
            "interval holds one cannot be seen"
        )
    given = {key: getattr(options, key) for key in OPTIONS if getattr(options, key) is not None}
    foreign = [key for key in given if key not in study.options]
    if foreign and options.dataset != "all":
        raise ValueError(f"--{foreign[0]} does not apply to {name}")
    last = study.last_replication
    if last is not None and max(options.replications) > last:
        raise ValueError(f"{name} has replications 1 to {last} only")
    return {key: given.get(key, default) for key, default in study.options.items()}


def describe(title: str, settings: Mapping[str, Any]) -> str:
    """A heading such as ``IHDP (npci, treated 30)``."""
    shown = [
        str(value) if key in ("source", "design") else f"{key} {value}"
        for key, value in settings.items()
        if value is not None
    ]
    return f"{title} ({', '.join(shown)})" if shown else title


def replications(text: str) -> list[int]:
    """Numbers in a list such as ``1,3,9-12``, sorted."""
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            bounds = int(first), int(last if dash else first)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{part!r} is neither a number nor a range such as 1-25"
            ) from None
        if not 1 <= bounds[0] <= bounds[1]:
            raise argparse.ArgumentTypeError(f"{part!r} must go up, from 1 or more")
        chosen.update(range(bounds[0], bounds[1] + 1))
    return sorted(chosen)
