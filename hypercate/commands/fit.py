"""``hypercate fit``: a model fitted to the rows of files, written to one file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypercate.commands.messages import about, require, say, warnings_heard
from hypercate.commands.options import assignment, completed, flags, positive, value_of

if TYPE_CHECKING:
    import pandas as pd

    from hypercate import HyperCATE

ROLES = {
    "outcome": "y",
    "treatment": "treatment",
    "groups": "groups",
    "weight": "sample_weight",
    "event": "event",
    "propensity": "propensity",
}
"""Options that name a column, and the argument of ``HyperCATE.fit`` that it is."""
PARAMETERS = {
    "control": "control",
    "outcome_kind": "outcome",
    "treatment_kind": "treatment_kind",
    "learner": "learner",
    "effort": "effort",
    "horizon": "horizon",
    "random_state": "random_state",
    "n_jobs": "n_jobs",
    "device": "device",
}
"""Options that are parameters of ``HyperCATE``."""


def add_to(commands: Any) -> None:
    """Declare the command and its options."""
    options = flags()
    options.add_argument("--out", type=Path, metavar="FILE", help="of the model; required")
    columns = options.add_argument_group(
        "columns", "every other column is a covariate, by which effects may differ"
    )
    columns.add_argument(
        "--outcome",
        action="append",
        default=[],
        metavar="COLUMN",
        help="required; may be repeated for several outcomes",
    )
    columns.add_argument("--treatment", metavar="COLUMN", help="arm of each row, or dose; required")
    columns.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN",
        help="no covariate, such as what names a row; may be repeated",
    )
    columns.add_argument(
        "--category",
        action="append",
        default=[],
        metavar="COLUMN",
        help="whose numbers are codes, not amounts; may be repeated",
    )
    columns.add_argument("--groups", metavar="COLUMN", help="clusters of rows")
    columns.add_argument("--weight", metavar="COLUMN", help="weights of rows")
    columns.add_argument("--event", metavar="COLUMN", help="whether the event was seen")
    columns.add_argument(
        "--propensity", metavar="COLUMN", help="known probability of the treatment, of two arms"
    )
    options.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FOLDER",
        help="where training is kept, and from where it goes on if the command was ended; needs "
        "--random-state",
    )
    model = options.add_argument_group("model", "parameters of HyperCATE, with its defaults")
    model.add_argument("--control", metavar="ARM", help="default: the first in sorted order")
    model.add_argument("--outcome-kind", type=value_of, metavar="KIND", help="such as count")
    model.add_argument("--treatment-kind", metavar="KIND", help="dose, where treatment is amounts")
    model.add_argument("--learner", metavar="NAME", help="such as t, x, dr")
    model.add_argument("--effort", metavar="NAME", help="instant, fast, balanced or thorough")
    model.add_argument("--horizon", type=float, metavar="TIME", help="of times until an event")
    model.add_argument("--random-state", type=int, metavar="SEED")
    model.add_argument("--n-jobs", type=int, metavar="N", help="threads; -1 for all processors")
    model.add_argument("--device", metavar="NAME", help="such as cpu or cuda")
    model.add_argument(
        "--max-rows",
        type=positive,
        metavar="N",
        help="fit a sample of so many rows that stands for all, read a block at a time",
    )
    model.add_argument(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="NAME=VALUE",
        help="any other parameter, such as n_members=10; may be repeated",
    )
    parser = commands.add_parser(
        "fit", parents=[options], help="a model of effects from files", allow_abbrev=False
    )
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="files of CSV or Parquet, folders, globs"
    )
    parser.set_defaults(run=run, parser=parser, flags=options)


def run(options: argparse.Namespace) -> int:
    """Read, fit, write, and say what was fitted; the exit code."""
    start = time.perf_counter()
    require("files", "pyarrow", "yaml")
    options = completed(options, "outcome", "treatment", "out")
    est = estimator(options)
    from hypercate.checkpoints import Checkpoint
    from hypercate.commands.estimate import of_fit
    from hypercate.commands.files import tables_named
    from hypercate.commands.reading import Columns, Sampling, label_as_held, rows_of
    from hypercate.commands.writing import check_out, undone_by_signals

    files = tables_named(options.data)
    check_out(options.out, [file.path for file in files])
    roles = {argument: getattr(options, name) for name, argument in ROLES.items()}
    columns = Columns.of(files, roles, options.drop, options.category)
    expected = of_fit(files, columns, est, options.max_rows, timed=not options.set)
    short = expected.tell("fit")
    sampling = None
    if options.max_rows is not None:
        sampling = Sampling(
            options.max_rows, options.random_state, est.treatment_kind != "dose", est.verbose
        )
    with warnings_heard() as of_files:
        rows = rows_of(files, columns, sampling)
    n, n_columns = rows.covariates.shape
    sampled = "" if n == rows.n_read else f", of which a sample of {n:,} is fitted"
    say("fit", f"{rows.n_read:,} rows and {n_columns} covariates in {rows.source}{sampled}")
    if options.control is not None:
        est.set_params(control=label_as_held(options.control, rows.arguments["treatment"]))
    with about(rows.source, rows.with_columns), warnings_heard() as warned:
        checkpoint = Checkpoint(options.checkpoint)
        est.fit(rows.covariates, **rows.arguments, checkpoint=checkpoint)
        average = est.ate_inference()
    warned = [*of_files, *warned]
    with about(options.out), undone_by_signals():
        est.set_params(verbose=False).save(options.out)
        checkpoint.clear()
    seconds = time.perf_counter() - start
    for text in warned:
        say("fit", f"warning: {text}")
    say("fit", f"written to {options.out} in {seconds:.1f} s")
    counts = rows_by_arm(est)
    of_all = "" if n == rows.n_read else f" of {rows.n_read:,}"
    if not options.json:
        print(f"{n:,} rows{of_all}, {n_columns} covariates\n\n{counts.to_string()}\n\n{average}")
        return 0
    summary = {
        "command": "fit",
        "data": [str(file.path) for file in files],
        "rows": n,
        "rows_read": rows.n_read,
        "columns": rows.covariates.columns.tolist(),
        "arms": counts.index.tolist(),
        "rows_by_arm": counts.tolist(),
        "ate": json.loads(average.summary_frame().reset_index().to_json(orient="records")),
        "out": str(options.out),
        "expected": expected.as_dict(),
        "warnings": [*short, *warned],
        "seconds": round(seconds, 3),
        "version": version("hypercate"),
    }
    print(json.dumps(summary))
    return 0


def estimator(options: argparse.Namespace) -> HyperCATE:
    """The estimator with its parameters, which are checked before any row is read.

    Raises
    ------
    SystemExit
        With code 2 and a message, if one cannot be used.
    """
    from hypercate import HyperCATE
    from hypercate.train.device import resolve_device

    known = HyperCATE().get_params(deep=False).keys() - {"verbose"}
    of_flags = {parameter: flag for flag, parameter in PARAMETERS.items()}
    for name in options.set:
        if name in of_flags:
            options.parser.error(f"--set {name}: use --{of_flags[name].replace('_', '-')}")
        if name not in known:
            options.parser.error(f"--set {name}: HyperCATE has no such parameter")
    given = {
        parameter: getattr(options, flag)
        for flag, parameter in PARAMETERS.items()
        if flag != "control" and getattr(options, flag) is not None
    }
    est = HyperCATE(**given | options.set, verbose=sys.stderr.isatty())
    if options.checkpoint is not None and options.random_state is None:
        options.parser.error("--checkpoint needs --random-state, of which the fit draws the same")
    try:
        est._check_parameters()
        resolve_device(est.device)
    except (TypeError, ValueError) as error:
        options.parser.error(" ".join(str(error).split()))
    return est


def rows_by_arm(est: HyperCATE) -> pd.Series:
    """How many rows each arm had, control first."""
    import pandas as pd

    one = getattr(est.fitted_, "each", [est.fitted_])[0]
    place = pd.Series(one.evidence.arm).value_counts().reindex(range(len(est.arms_)), fill_value=0)
    return place.set_axis(pd.Index(est.arms_, name="arm")).rename("rows")
