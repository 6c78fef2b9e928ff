"""Fits on a GPU, or by several processes, beside a fit by one process: time, memory and agreement.

    python benchmarks/devices.py --device cpu --rows 5000,50000 --processes 2 --out results/devices
    python benchmarks/devices.py --device cuda --rows 2000,10000,100000,1000000,10000000
        --precisions high,medium --minutes 10 --out results/devices

The study is that of `speed.py`. At each number of rows one process fits at full precision, which is
the reference; then as many processes as `--processes` says, and one process at each of the
precisions of matrix products that `torch.set_float32_matmul_precision` takes ("high" is TF32,
"medium" bfloat16), and at the first number of rows the processor. *difference* is the root mean
square difference of the effects of fresh rows from the reference, and *error* the sqrt-PEHE, both
over the standard deviation of the true effect. Before the first fit that counts, a small one pays
for imports and for the start of the device. Every fit has `--threads` threads in all.

A fit is left out if, growing from the last one in proportion to the rows, it would end after
`--minutes`. With several GPUs, `--processes` is how many of them to use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from speed import LEAST_COLUMNS, WARM_UP_ROWS, draw, markdown

from hypercate import HyperCATE
from hypercate.commands.options import positive
from hypercate.metrics import sqrt_pehe

MOST_FRESH = 10_000_000
FULL = "highest"
PRECISIONS = (FULL, "high", "medium")
COLUMNS = [
    *("rows", "columns", "device", "processes", "precision", "threads", "machine"),
    *("fit_seconds", "predict_rate", "device_peak_mib", "error", "difference"),
]


@contextmanager
def products_of(precision: str) -> Iterator[None]:
    """Matrix products of float32 at a precision, inside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def peak_mib(device: str) -> float:
    """Most memory of the device that was taken since it was last asked, MiB."""
    if device == "cpu":
        return np.nan
    peak = torch.cuda.max_memory_allocated() / 2**20
    torch.cuda.reset_peak_memory_stats()
    return peak


def machine_of(device: str) -> str:
    return "processor" if device == "cpu" else torch.cuda.get_device_name()


class Bench:
    """Fits of one study, as long as there is time.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.end = time.monotonic() + 60 * options.minutes
        self.rate: dict[tuple[str, int, str], float] = {}  # seconds a row, of the last fit
        self.results: list[dict[str, object]] = []

    def size(self, rows: int, first: bool) -> None:
        """All fits of a number of rows."""
        options = self.options
        X, y, treatment, _ = draw(rows, options.columns, [options.seed, 1])
        n_fresh = min(max(rows, 10_000), MOST_FRESH)
        fresh, _, _, effect = draw(n_fresh, options.columns, [options.seed, 2])
        cases = [(options.device, 1, FULL)]
        if options.processes > 1:
            cases.append((options.device, options.processes, FULL))
        cases += [(options.device, 1, precision) for precision in options.precisions]
        if first and options.device != "cpu":
            cases.append(("cpu", 1, FULL))
        reference = None
        for case in cases:
            seconds_needed = rows * self.rate.get(case, 0.0)
            if time.monotonic() + seconds_needed > self.end:
                print(f"{rows:,} rows, {case}: left out, it would end after --minutes", flush=True)
                continue
            figures, effects = self.fit(case, X, y, treatment, fresh)
            if case == cases[0]:
                reference = effects
            if reference is not None:
                figures["difference"] = sqrt_pehe(reference, effects) / effect.std()
            figures["error"] = sqrt_pehe(effect, effects) / effect.std()
            self.rate[case] = float(figures["fit_seconds"]) / rows
            self.results.append({"rows": rows} | figures)

    def fit(
        self,
        case: tuple[str, int, str],
        X: np.ndarray,
        y: np.ndarray,
        treatment: np.ndarray,
        fresh: np.ndarray,
    ) -> tuple[dict[str, object], np.ndarray]:
        """Figures of a fit, and the effects of fresh rows."""
        device, processes, precision = case
        options = self.options
        est = HyperCATE(
            device=device,
            devices=processes if processes > 1 else None,
            n_jobs=options.threads,
            random_state=options.seed,
        )
        with products_of(precision):
            est.fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS], treatment[:WARM_UP_ROWS])
            peak_mib(device)
            start = time.perf_counter()
            est.fit(X, y, treatment)
            fitted = time.perf_counter()
            effects = est.predict(fresh)
            predicted = time.perf_counter()
        figures: dict[str, object] = {
            "columns": options.columns,
            "device": device,
            "processes": processes,
            "precision": precision,
            "threads": options.threads,
            "machine": machine_of(device),
            "fit_seconds": fitted - start,
            "predict_rate": len(fresh) / (predicted - fitted),
            "device_peak_mib": peak_mib(device),
        }
        return figures, effects


def to_markdown(results: pd.DataFrame) -> str:
    return markdown(
        {
            "rows": results["rows"].map("{:,}".format),
            "device": results["device"],
            "processes": results["processes"].astype(str),
            "precision": results["precision"],
            "fit, seconds": results["fit_seconds"].map("{:,.1f}".format),
            "rows predicted per second": results["predict_rate"].map("{:,.0f}".format),
            "device memory, MiB": results["device_peak_mib"].map("{:,.0f}".format),
            "error": results["error"].map("{:.3f}".format),
            "difference": results["difference"].map("{:.1e}".format),
        }
    )


def sizes(text: str) -> list[int]:
    return [positive(size) for size in text.split(",")]


def precisions(text: str) -> list[str]:
    named = text.split(",")
    if not set(named) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"{text!r}: known are {', '.join(PRECISIONS)}")
    return named


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="such as cpu or cuda")
    parser.add_argument("--rows", type=sizes, default=[5000, 50_000], metavar="LIST")
    parser.add_argument("--columns", type=positive, default=50, metavar="P")
    parser.add_argument("--processes", type=positive, default=1, metavar="N")
    parser.add_argument("--precisions", type=precisions, default=[], metavar="LIST")
    parser.add_argument("--threads", type=positive, default=2, metavar="N")
    parser.add_argument("--minutes", type=positive, default=60, metavar="N")
    parser.add_argument("--seed", type=positive, default=1, metavar="SEED")
    parser.add_argument("--out", type=Path, default=Path("results/devices"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.columns < LEAST_COLUMNS:
        parser.error(f"at least {LEAST_COLUMNS} columns are needed")
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    path = options.out / "devices.csv"
    before = [pd.read_csv(path)] if path.exists() else []
    for rows in options.rows:
        bench.size(rows, first=rows == options.rows[0])
        own = pd.DataFrame(bench.results, columns=COLUMNS)
        pd.concat([*before, own], ignore_index=True).to_csv(path, index=False)
    print(to_markdown(own))


if __name__ == "__main__":
    main()
