"""A fit with a column of many levels that confound, beside the same fit without the column.

    python benchmarks/many_levels.py --rows 50000 --levels 2000

Rows are in sites, given as strings. A site shifts the outcome by twice what it adds to the log odds
of the treatment, so that without the column the average effect, which is 1, is far off. Prints
seconds of processor time and peak memory, each fit in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
from scipy import special

from hypercate import HyperCATE


def draw(rows: int, levels: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Twenty numbers and the site, the outcome, and the treatment; the effect is 1 + c1 / 2."""
    rng = np.random.default_rng(seed)
    site, shift = rng.integers(levels, size=rows), rng.normal(size=levels)
    numbers = rng.normal(size=(rows, 20))
    treatment = (rng.random(rows) < special.expit(shift[site])).astype(int)
    effect = 1 + 0.5 * numbers[:, 1]
    y = 2 * shift[site] + numbers[:, 0] + effect * treatment + rng.normal(size=rows)
    X = pd.DataFrame(numbers, columns=[f"c{j}" for j in range(20)])
    return X.assign(site=[f"site {k}" for k in site]), y, treatment


def measure(rows: int, levels: int, seed: int, with_sites: bool) -> list[float]:
    """Processor seconds, peak MiB, estimate and standard error of the ATE."""
    X, y, treatment = draw(rows, levels, seed)
    X = X if with_sites else X.drop(columns="site")
    start = time.process_time()
    average = HyperCATE(random_state=seed).fit(X, y, treatment).ate_inference()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [seconds, peak, *average.point_estimate, *average.stderr]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000, metavar="N", help="default: 50000")
    parser.add_argument("--levels", type=int, default=2000, metavar="N", help="default: 2000")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args(arguments)
    print(
        "| column of sites | processor s | peak MiB | ATE | s.e. |\n| --- | --- | --- | --- | --- |"
    )
    for with_sites in (False, True):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            task = (options.rows, options.levels, options.seed, with_sites)
            seconds, peak, estimate, error = pool.submit(measure, *task).result()
        name = "with" if with_sites else "without"
        print(
            f"| {name} | {seconds:.0f} | {peak:,.0f} | {estimate:.3f} | {error:.3f} |", flush=True
        )


if __name__ == "__main__":
    main()
