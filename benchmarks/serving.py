"""Milliseconds that one row takes: by predict, compiled, in onnxruntime, and by other packages.

    python benchmarks/serving.py --rows 1000 --out results/serving

All answer the same row, 20 numbers and a column of four sites, with the effect, in one process on
one thread, by turns: call after call goes round, so that what else the machine does meets them all.
Beside the time that passed stands the processor's, which other work on the machine moves little.
The row is a frame for `predict`, a dict for the compiled model, a tensor a column for onnxruntime
and an array, its site encoded beforehand, for the others.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from threadpoolctl import threadpool_limits

from hypercate import HyperCATE
from hypercate.benchmark.peers import boosting, causal_forest, linear_dml, t_learner
from hypercate.interop.onnx import export

N_NUMBERS = 20
SITES = ("north", "south", "west", "east")
WARM_UP_CALLS = 20


def draw(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Covariates, outcomes and arms of a trial whose effect differs by a number and the site."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, N_NUMBERS)), columns=[f"x{j}" for j in range(N_NUMBERS)])
    X["site"] = rng.choice(SITES, n)
    arm = rng.integers(2, size=n)
    effect = 1 + X["x0"].to_numpy() + 2.0 * (X["site"] == "north").to_numpy()
    return X, X["x1"].to_numpy() + effect * arm + rng.normal(size=n), arm


def ways(n: int, **parameters: object) -> dict[str, Callable[[], np.ndarray]]:
    """What answers a row, by name; each is fitted to the same rows."""
    X, y, arm = draw(n)
    row = X.iloc[:1]
    est = HyperCATE(random_state=0, **parameters).fit(X, y, arm)
    record, model = row.to_dict("records")[0], est.compiled()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(export(est).SerializeToString(), options)
    tensors = {name: row[[name]].to_numpy() for name in X.columns[:-1]}
    tensors["site"] = row[["site"]].to_numpy(object)
    encoded = pd.get_dummies(X, dtype=float).to_numpy()
    answers: dict[str, Callable[[], np.ndarray]] = {
        "HyperCATE, predict": lambda: est.predict(row),
        "HyperCATE, predict of a dict": lambda: est.predict(record),
        "HyperCATE, compiled": lambda: model.predict(record),
        "HyperCATE, onnxruntime": lambda: session.run(["effects"], tensors)[0],
    }
    for name, peer in {
        "LinearDML": linear_dml(0),
        "CausalForestDML": causal_forest(0),
        "T histogram boosting": t_learner(boosting, 0),
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(y, arm, X=encoded)
        answers[name] = lambda peer=peer: peer.effect(encoded[:1])
    return answers


def measure(answers: dict[str, Callable[[], np.ndarray]], n_calls: int) -> np.ndarray:
    """Milliseconds of every call, that passed and of the processor: (n_calls, n_ways, 2)."""
    spent = np.empty((WARM_UP_CALLS + n_calls, len(answers), 2))
    for call in range(len(spent)):
        for place, answer in enumerate(answers.values()):
            start = time.perf_counter(), time.thread_time()
            answer()
            end = time.perf_counter(), time.thread_time()
            spent[call, place] = 1e3 * np.subtract(end, start)
    return spent[WARM_UP_CALLS:]


def summarise(spent: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Median and 99th percentile of the time that passed, and median of the processor's."""
    passed, processor = np.moveaxis(spent, 2, 0)
    return pd.DataFrame(
        {
            "median": np.median(passed, axis=0),
            "p99": np.quantile(passed, 0.99, axis=0),
            "processor": np.median(processor, axis=0),
        },
        index=pd.Index(names, name="one row by"),
    )


def to_markdown(table: pd.DataFrame) -> str:
    lines = [
        "| one row by | median ms | p99 ms | median of the processor, ms |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in table.iterrows():
        lines.append(
            f"| {name} | {row['median']:.2f} | {row['p99']:.2f} | {row['processor']:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, default=1000, metavar="N", help="that models learn from"
    )
    parser.add_argument("--calls", type=int, default=1000, metavar="N", help="of each way")
    parser.add_argument("--effort", default="balanced", help="of HyperCATE")
    parser.add_argument("--out", type=Path, default=Path("results/serving"), metavar="DIR")
    options = parser.parse_args(arguments)
    with threadpool_limits(1):
        answers = ways(options.rows, effort=options.effort)
        table = summarise(measure(answers, options.calls), list(answers))
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "results.csv")
    print(to_markdown(table))


if __name__ == "__main__":
    main()
