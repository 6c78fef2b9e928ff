"""The command line: ``hypercate benchmark ihdp``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser("hypercate", description=__doc__)
    parser.add_argument("--version", action="version", version=version("hypercate"))
    commands = parser.add_subparsers(dest="command", required=True)
    benchmark = commands.add_parser(
        "benchmark", help="HyperCATE beside EconML's learners on the same splits"
    )
    benchmark.add_argument("dataset", choices=["ihdp"])
    benchmark.add_argument(
        "--source",
        choices=["npci", "published"],
        default="npci",
        help="npci: drawn here, no download (default); published: the IHDP-100 files",
    )
    benchmark.add_argument(
        "--replications",
        type=replications,
        default=[1, 2, 3],
        metavar="LIST",
        help="such as 1-25 or 1,3,9-12 (default: 1-3)",
    )
    benchmark.add_argument(
        "--learners",
        default="panel",
        metavar="LIST",
        help="names as in the table, or the groups panel (default), generation, options",
    )
    benchmark.add_argument(
        "--treated", type=positive, metavar="N", help="thin the treated training rows to N"
    )
    benchmark.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="worker processes (default: 1)"
    )
    benchmark.add_argument(
        "--out", type=Path, default=Path("results"), metavar="DIR", help="default: results"
    )
    options = parser.parse_args(arguments)
    missing = [name for name in ("econml", "matplotlib", "pooch") if find_spec(name) is None]
    if missing:
        print(
            f'hypercate benchmark needs {", ".join(missing)}: pip install "hypercate[benchmark]"',
            file=sys.stderr,
        )
        return 1
    return run_benchmark(options, benchmark)


def run_benchmark(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run what is missing, then write and print the report; the exit code."""
    from hypercate.benchmark import harness, panel, report

    try:
        learners = panel.select(options.learners)
    except ValueError as error:
        parser.error(str(error))
    tasks = [
        harness.Task(options.dataset, options.source, options.treated, replication, learner)
        for replication in options.replications
        for learner in learners
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.csv"
    code = 0
    try:
        results = harness.run(tasks, path, options.jobs)
    except KeyboardInterrupt:
        print(f"interrupted: {path} keeps what is done, the same command resumes", file=sys.stderr)
        results, code = harness.collect(tasks, path), INTERRUPTED
    except (OSError, ValueError) as error:
        print(f"hypercate benchmark: {error}", file=sys.stderr)
        return 1
    if len(results):
        table = report.to_markdown(results)
        print(table)
        (options.out / "report.md").write_text(table + "\n")
        thinned = f", {options.treated} treated" if options.treated else ""
        title = f"{options.dataset.upper()} ({options.source}{thinned})"
        report.draw(results, title, options.out / f"{options.dataset}.png")
    return code


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


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)
