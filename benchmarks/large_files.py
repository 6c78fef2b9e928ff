"""Time, memory and error of ``hypercate fit --max-rows`` as files and samples grow.

    python benchmarks/large_files.py --rows 4000000 --max-rows 100000,300000,1000000,all
    python benchmarks/large_files.py --rows 20000000 --max-rows 1000000
    python benchmarks/large_files.py --rows 5000 --columns 10 --arms 5 --max-rows all

Beside what was measured stands what the command had said before it began.

The rows are those of the study of `speed.py`, with numbers of 4 bytes, in files of Parquet of a
million rows each. Every fit is a process of its own: its memory is the peak of its resident set, as
the system counts it (Linux), and its time includes starting Python and reading the files. ``all``
is the same fit with all rows in memory. The error is the sqrt-PEHE on 20,000 fresh rows, over the
standard deviation of their effects; the error of the average effect is that of the fit's AIPW
estimate, over the same. Rows and fresh rows are drawn by seeds of `--repeat`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from score_parquet import measure
from speed import LEAST_COLUMNS, draw, markdown

from hypercate import HyperCATE
from hypercate.commands.options import positive
from hypercate.metrics import sqrt_pehe

PIECE, FRESH = 1_000_000, 20_000
COLUMNS = [
    *("rows", "columns", "arms", "repeat", "files_mib", "max_rows", "seconds", "peak_mib"),
    *("least_seconds", "most_seconds", "expected_mib", "error", "error_ate", "stderr_ate"),
]


def write_files(folder: Path, rows: int, columns: int, arms: int, repeat: int) -> float:
    """Write the files, a piece at a time, and say how many MiB they have.

    With more than two arms, the treated rows are divided among all but the control at random.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(repeat)
    for start in range(0, rows, PIECE):
        X, y, treatment, _ = draw(min(PIECE, rows - start), columns, [repeat, start])
        table = {f"x{j}": column for j, column in enumerate(X.T.astype(np.float32))}
        treatment = treatment * rng.integers(1, arms, len(y))
        path = folder / f"{start // PIECE:04}.parquet"
        parquet.write_table(pa.table(table | {"y": y, "treatment": treatment}), path)
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


def fit(folder: Path, out: Path, max_rows: str, repeat: int) -> tuple[float, float]:
    """Seconds of a fit, and the peak of its resident set in MiB."""
    line = ["fit", str(folder), "--outcome", "y", "--treatment", "treatment", "--json"]
    line += ["--random-state", str(repeat), "--out", str(out)]
    if max_rows != "all":
        line += ["--max-rows", max_rows]
    return measure(line, f"{out}.json")


def run(
    rows: int, columns: int, arms: int, sizes: list[str], repeat: int, out: Path
) -> pd.DataFrame:
    """A row of figures for each sample; files are removed again."""
    folder, model = out / "rows", out / "model.hypercate"
    files_mib = write_files(folder, rows, columns, arms, repeat)
    X, _, _, effect = draw(FRESH, columns, [repeat, rows, 1])
    fresh = pd.DataFrame(X).add_prefix("x")
    figures = []
    try:
        for size in sizes:
            seconds, peak = fit(folder, model, size, repeat)
            summary = json.loads(Path(f"{model}.json").read_text())
            average = summary["ate"][0]
            effects = HyperCATE.load(model).predict(fresh).reshape(FRESH, -1)
            error = sqrt_pehe(np.tile(effect, arms - 1), effects.T.ravel()) / effect.std()
            expected = summary["expected"]
            off = (average["point_estimate"] - 2) / effect.std()  # the true average effect is 2
            figures.append(
                [rows, columns, arms, repeat, files_mib, size, seconds, peak, *expected["seconds"],
                 expected["memory_mib"], error, off, average["stderr"] / effect.std()]
            )  # fmt: skip
            Path(f"{model}.json").unlink()
    finally:
        shutil.rmtree(folder)
        model.unlink(missing_ok=True)
    return pd.DataFrame(figures, columns=COLUMNS)


def to_markdown(results: pd.DataFrame) -> str:
    sizes = results["max_rows"].map(lambda size: size if size == "all" else f"{int(size):,}")
    return markdown(
        {
            "rows": results["rows"].map("{:,}".format),
            "sample": sizes,
            "seconds": results["seconds"].map("{:,.0f}".format),
            "expected": results["least_seconds"].map("{:,.0f} to ".format)
            + results["most_seconds"].map("{:,.0f}".format),
            "peak memory, MiB": results["peak_mib"].map("{:,.0f}".format),
            "expected, MiB": results["expected_mib"].map("{:,.0f}".format),
            "sqrt-PEHE / sd": results["error"].map("{:.3f}".format),
            "ATE's error / sd": results["error_ate"].map("{:+.4f}".format),
            "its standard error": results["stderr_ate"].map("{:.4f}".format),
        }
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=positive, default=4_000_000, metavar="N")
    parser.add_argument("--columns", type=positive, default=50, metavar="P")
    parser.add_argument("--arms", type=positive, default=2, metavar="K")
    parser.add_argument("--max-rows", default="1000000,all", metavar="LIST")
    parser.add_argument("--repeat", type=positive, default=1, metavar="SEED")
    parser.add_argument("--out", type=Path, default=Path("results/large-files"), metavar="DIR")
    options = parser.parse_args(arguments)
    sizes = options.max_rows.split(",")
    try:
        for size in sizes:
            if size != "all":
                positive(size)
    except argparse.ArgumentTypeError as error:
        parser.error(f"--max-rows: {error}")
    if options.columns < LEAST_COLUMNS:
        parser.error(f"at least {LEAST_COLUMNS} columns are needed")
    if options.arms < 2:
        parser.error("at least 2 arms are needed")
    options.out.mkdir(parents=True, exist_ok=True)
    results = run(options.rows, options.columns, options.arms, sizes, options.repeat, options.out)
    path = options.out / "large_files.csv"
    if path.exists():
        results = pd.concat([pd.read_csv(path), results], ignore_index=True)
    results.to_csv(path, index=False)
    print(to_markdown(results))


if __name__ == "__main__":
    main()
