"""``hypercate predict``: effects of the rows of files, a block of rows at a time."""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypercate.commands.messages import about, require, say, warnings_heard
from hypercate.commands.options import completed, flags

if TYPE_CHECKING:
    from hypercate.commands.scoring import Scores


def add_to(commands: Any) -> None:
    """Declare the command and its options."""
    options = flags()
    options.add_argument(
        "--out", type=Path, metavar="FILE", help="file for the effects: .parquet or .csv; required"
    )
    options.add_argument(
        "--interval",
        type=level,
        metavar="LEVEL",
        help="add intervals of the effects at this level, such as 0.95",
    )
    options.add_argument("--outcomes", action="store_true", help="add the outcome under every arm")
    options.add_argument(
        "--id",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column to copy next to the effects; may be repeated",
    )
    options.add_argument(
        "--device", default="auto", help="device on which to predict (default: auto)"
    )
    parser = commands.add_parser(
        "predict",
        parents=[options],
        help="predict effects for the rows of files",
        allow_abbrev=False,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model that fit has written")
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="CSV or Parquet files, folders, globs"
    )
    parser.set_defaults(run=run, parser=parser, flags=options)


def level(text: str) -> float:
    """A level of confidence: a number between 0 and 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1, such as 0.95")
    return number


def run(options: argparse.Namespace) -> int:
    """Predict, block by block; return the exit code."""
    start = time.perf_counter()
    require("files", "pyarrow", "yaml")
    options = completed(options, "out")
    from tqdm import tqdm

    from hypercate import HyperCATE
    from hypercate.commands.estimate import of_prediction
    from hypercate.commands.files import BLOCK_ROWS, rows_known, tables_named
    from hypercate.commands.scoring import Scores
    from hypercate.commands.writing import WRITERS, check_out, table_written
    from hypercate.train.device import resolve_device

    if options.out.suffix not in WRITERS:
        options.parser.error(f"--out {options.out} must end in {' or '.join(WRITERS)}")
    try:
        device = resolve_device(options.device)
    except ValueError as error:
        options.parser.error(f"--{error}")
    files = tables_named(options.data)
    check_out(options.out, [options.model, *(file.path for file in files)])
    with about(options.model):
        est = HyperCATE.load(options.model, device=device)
    scores = Scores.of(est, files, options.id, options.interval, options.outcomes)
    expected = of_prediction(scores, BLOCK_ROWS)
    short = expected.tell("predict")
    rows = 0
    with (
        warnings_heard() as warned,
        table_written(options.out, scores.schema) as write,
        tqdm(
            total=rows_known(files), desc="predict", unit=" rows", unit_scale=True, disable=None
        ) as progress,
    ):
        for block in scores.blocks(BLOCK_ROWS):
            write(block)
            rows += len(block)
            progress.update(len(block))
    seconds = time.perf_counter() - start
    for text in warned:
        say("predict", f"warning: {text}")
    say("predict", f"{rows:,} rows in {seconds:.1f} s, written to {options.out}")
    if options.json:
        told = {"expected": expected.as_dict(), "warnings": [*short, *warned]}
        print(json.dumps(summary(options, scores, rows, seconds) | told))
    return 0


def summary(
    options: argparse.Namespace, scores: Scores, rows: int, seconds: float
) -> dict[str, Any]:
    """What was done, for machines."""
    return {
        "command": "predict",
        "model": str(options.model),
        "data": [str(file.path) for file in scores.files],
        "rows": rows,
        "arms": scores.answers.est.arms_.tolist(),
        "columns": scores.schema.names,
        "out": str(options.out),
        "seconds": round(seconds, 3),
        "version": version("hypercate"),
    }
