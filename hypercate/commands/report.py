"""``hypercate report``: one page about a fitted model, and the rows of files."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypercate.commands.messages import about, require, say, warnings_heard
from hypercate.commands.options import completed, flags
from hypercate.commands.predict import level


def add_to(commands: Any) -> None:
    """Declare the command and its options."""
    options = flags()
    options.add_argument(
        "--out", type=Path, metavar="FILE", help="file for the report: .html or .json; required"
    )
    options.add_argument("--title", default="Treatment effects", help="title of the page")
    options.add_argument(
        "--interval",
        type=level,
        default=0.95,
        metavar="LEVEL",
        help="level of the intervals (default: 0.95)",
    )
    parser = commands.add_parser(
        "report", parents=[options], help="write one page about a fitted model", allow_abbrev=False
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model that fit has written")
    parser.add_argument(
        "data",
        nargs="*",
        metavar="DATA",
        help="files whose rows the report describes: CSV or Parquet, folders, globs",
    )
    parser.set_defaults(run=run, parser=parser, flags=options)


def run(options: argparse.Namespace) -> int:
    """Write the report; return the exit code."""
    require("files", "pyarrow", "yaml")
    require("plots", "matplotlib")
    options = completed(options, "out")
    from hypercate import HyperCATE
    from hypercate.commands.files import BLOCK_ROWS, tables_named
    from hypercate.commands.scoring import Scores
    from hypercate.commands.writing import check_out
    from hypercate.reporting import MOST_ROWS, SUFFIXES, report

    if options.out.suffix not in SUFFIXES:
        options.parser.error(f"--out {options.out} must end in {' or '.join(SUFFIXES)}")
    files = tables_named(options.data) if options.data else []
    check_out(options.out, [options.model, *(file.path for file in files)])
    with about(options.model):
        est = HyperCATE.load(options.model)
    with warnings_heard() as warned:
        X = None
        if files:
            X = Scores.of(est, files, [], None, False).some_rows(MOST_ROWS, BLOCK_ROWS)
        with about(options.model):
            found = report(est, X, title=options.title, alpha=1 - options.interval)
        with about(options.out):
            found.save(options.out)
    for text in warned:
        say("report", f"warning: {text}")
    rows = "" if X is None else f" of {len(X):,} rows"
    say("report", f"written{rows} to {options.out}")
    if options.json:
        print(
            json.dumps(
                {
                    "command": "report",
                    "model": str(options.model),
                    "data": [str(file.path) for file in files],
                    "rows": 0 if X is None else len(X),
                    "sections": [part.name for part in found.sections],
                    "out": str(options.out),
                    "warnings": warned,
                    "version": version("hypercate"),
                }
            )
        )
    return 0
