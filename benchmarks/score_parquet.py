"""Memory of ``hypercate predict`` as the rows of a Parquet file grow: it must not grow with them.

    python benchmarks/score_parquet.py --rows 1000000,3000000 --out results/score-parquet

A small model is fitted to 1000 rows of the study of `speed.py`, so that reading and writing count,
and files of further rows are drawn, in groups of 250,000 rows. Every prediction is a process of its
own, with intervals. Its memory is the peak of its resident set, as the system counts it (Linux),
and its time includes starting Python and importing torch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from speed import LEAST_COLUMNS, draw, markdown

from hypercate import HyperCATE
from hypercate.commands.options import positive

PIECE = 250_000
COLUMNS = ["rows", "columns", "file_mib", "peak_mib", "seconds", "rows_per_second"]


def write_rows(path: Path, rows: int, columns: int) -> None:
    """Draw a file, a piece at a time."""
    names = [f"x{j}" for j in range(columns)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PIECE):
            X = draw(min(PIECE, rows - start), columns, [1, start])[0]
            writer.write_table(pa.table(dict(zip(names, X.T, strict=True)), schema))


def measure(line: list[str], printed: str = os.devnull) -> tuple[float, float]:
    """Seconds of a command of hypercate, and the peak of its resident set in MiB.

    What it prints goes to the file `printed`.
    """
    command = [sys.executable, "-m", "hypercate", *line]
    start = time.perf_counter()
    with open(printed, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise RuntimeError(f"hypercate {' '.join(line)} ended with status {status}")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def run(rows: list[int], columns: int, out: Path) -> pd.DataFrame:
    """A row of figures for each size; files of rows are removed again."""
    X, y, treatment, _ = draw(1000, columns, 0)
    model, data, effects = (out / name for name in ("m.hypercate", "rows.parquet", "e.parquet"))
    small = {"outcome_hidden": (8, 8), "pretrained": "none", "second_stage": "none"}
    est = HyperCATE(n_members=2, max_epochs=20, inputs="raw", random_state=0, **small)
    est.fit(pd.DataFrame(X).add_prefix("x"), y, treatment).save(model)
    figures = []
    for n in rows:
        write_rows(data, n, columns)
        size = data.stat().st_size / 2**20
        line = ["predict", str(model), str(data), "--out", str(effects), "--interval", "0.95"]
        seconds, peak = measure(line)
        if parquet.read_metadata(effects).num_rows != n:
            raise RuntimeError(f"{effects} has not {n} rows")
        figures.append([n, columns, size, peak, seconds, n / seconds])
        data.unlink()
        effects.unlink()
    model.unlink()
    return pd.DataFrame(figures, columns=COLUMNS)


def to_markdown(results: pd.DataFrame) -> str:
    whole = {name: results[name].map("{:,.0f}".format) for name in COLUMNS}
    headings = ["rows", "columns", "file, MiB", "peak memory, MiB", "seconds", "rows a second"]
    return markdown(dict(zip(headings, whole.values(), strict=True)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1000000,3000000", metavar="LIST")
    parser.add_argument("--columns", type=positive, default=20, metavar="P")
    parser.add_argument("--out", type=Path, default=Path("results/score-parquet"), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        rows = [positive(text) for text in options.rows.split(",")]
    except argparse.ArgumentTypeError as error:
        parser.error(f"--rows: {error}")
    if options.columns < LEAST_COLUMNS:
        parser.error(f"at least {LEAST_COLUMNS} columns are needed")
    options.out.mkdir(parents=True, exist_ok=True)
    results = run(rows, options.columns, options.out)
    results.to_csv(options.out / "score_parquet.csv", index=False)
    text = to_markdown(results)
    print(text)
    (options.out / "score_parquet.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
