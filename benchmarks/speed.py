"""Time and memory of fit and predict as the rows grow, beside what users would pick instead.

    python benchmarks/speed.py --rows 747,1000,10000,100000,1000000 --threads 2 --out results/speed

Every measurement is a process of its own, with the same number of threads for all learners. It
draws the data (`draw`), fits 100 rows once so that imports and thread pools are not timed, then
times one fit and one prediction of fresh rows. What is reported is the median over the repeats.

Memory is the peak of the resident set during the fit, less the resident set just before it (data
and libraries), over the bytes of X as handed over: float64, 8 * rows * columns. It is read from
/proc, whose peak is reset before the fit (Linux; elsewhere it is left out).

The arithmetic of HyperCATE's fit is what its outcome networks multiply. It is counted in the fit
that is timed: a matrix of i inputs and o outputs costs 2 * i * o operations a row forward, and as
much for each of its two gradients where it trains (the first layer needs only one). The
generator's products, activations and the optimiser are not counted, so that the figure is a lower
bound. Beside it stands how long so many operations take in large square products on the same
threads, the bound that no implementation of these steps beats.

A learner is skipped at a size where its fit, growing from its last size in proportion to the rows
(or faster, if it has), would take longer than ``--limit`` seconds. The file of results is
appended to: the same command resumes.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

LEAST_COLUMNS = 5
MOST_PREDICTED = 100_000
WARM_UP_ROWS = 100
START_SECONDS = 120  # of a process, on top of twice the limit
OURS = "HyperCATE"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FUNCTIONS = {  # of hypercate.estimator, and the stage of our fit that they are of
    "fit_assignment": "propensity_seconds",
    "model_views": "trees_seconds",
    "train_arms": "training_seconds",
    "fit_ensemble": "training_seconds",
}
STAGES = tuple(dict.fromkeys(FUNCTIONS.values()))
FIGURES = [
    *("fit_seconds", "predict_seconds", "predicted_rows", "fit_peak_mib", "predict_peak_mib"),
    *("device_peak_mib", "data_mib", "pehe", "effect_sd", *STAGES, "operations"),
    "product_rate",
]
PICTURED = {
    "fit_seconds": "fit, seconds",
    "predict_rate": "predict, rows per second",
    "fit_peak_mib": "memory of the fit, MiB (dotted: X)",
    "error": "sqrt-PEHE over the standard deviation of the effect",
}


@dataclass(frozen=True)
class Case:
    """What one process measures."""

    learner: str
    rows: int
    columns: int
    threads: int
    device: str
    repeat: int


KEY = list(Case.__dataclass_fields__)
COLUMNS = [*KEY, "machine", *FIGURES, "note"]

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def draw(
    n: int, n_columns: int, seed: int | list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a confounded study whose effect has a step.

    Covariates are independent N(0, 1), numbered from 0, of which the first five matter:

        P(t = 1 | x) = 0.1 + 0.8 / (1 + exp(-x0 - x1))
        mu_0(x) = x0 + sin(2 x1) + x2 x3 / 2
        tau(x) = 1 + x1 / 2 + 2 (x4 > 0)
        y = mu_0(x) + t tau(x) + N(0, 1)

    Parameters
    ----------
    n : int
    n_columns : int
        At least 5.
    seed : int or list of int

    Returns
    -------
    X, y, treatment, effect : ndarray of float64 (treatment: int), shapes (n, n_columns) and (n,)
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n_columns))
    x0, x1, x2, x3, x4 = X[:, :LEAST_COLUMNS].T
    treatment = (rng.uniform(size=n) < 0.1 + 0.8 / (1 + np.exp(-x0 - x1))).astype(int)
    effect = 1 + x1 / 2 + 2 * (x4 > 0)
    y = x0 + np.sin(2 * x1) + x2 * x3 / 2 + treatment * effect + rng.standard_normal(n)
    return X, y, treatment, effect


def fit_hypercate(case: Case) -> Fit:
    from hypercate import HyperCATE

    def fit(X: np.ndarray, y: np.ndarray, t: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        estimator = HyperCATE(device=case.device, random_state=case.repeat)
        return estimator.fit(X, y, t).predict

    return fit


def fit_causal_forest(case: Case) -> Fit:
    from econml.dml import CausalForestDML

    def fit(X: np.ndarray, y: np.ndarray, t: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        forest = CausalForestDML(
            discrete_treatment=True, n_jobs=case.threads, random_state=case.repeat
        )
        return forest.fit(y, t, X=X).effect

    return fit


def fit_t_learner(boosting: str, case: Case) -> Fit:
    from econml.metalearners import TLearner
    from sklearn import ensemble

    def fit(X: np.ndarray, y: np.ndarray, t: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        models = getattr(ensemble, boosting)(random_state=case.repeat)
        return TLearner(models=models).fit(y, t, X=X).effect

    return fit


LEARNERS: dict[str, Callable[[Case], Fit]] = {
    OURS: fit_hypercate,
    "CausalForestDML": fit_causal_forest,
    "T boosting": partial(fit_t_learner, "GradientBoostingRegressor"),
    "T histogram boosting": partial(fit_t_learner, "HistGradientBoostingRegressor"),
}
"""Learners at their defaults, but the device of ours and the threads of the forest's trees."""


def measure(case: Case) -> dict[str, float]:
    """Fit and predict once; seconds, MiB and the error. Meant for a fresh process."""
    import torch

    torch.set_num_threads(case.threads)
    fit = LEARNERS[case.learner](case)
    X, y, t, _ = draw(WARM_UP_ROWS, case.columns, 0)
    fit(X, y, t)(X)
    X, y, t, _ = draw(case.rows, case.columns, [case.repeat, 1])
    fresh, _, _, effect = draw(min(case.rows, MOST_PREDICTED), case.columns, [case.repeat, 2])
    figures: dict[str, float] = {"data_mib": X.nbytes / 2**20, "predicted_rows": len(fresh)}
    counter: AbstractContextManager[dict[str, float]] = (
        counted() if case.learner == OURS else nullcontext({})
    )
    with counter as arithmetic, watched() as seen:
        predict = fit(X, y, t)
    figures |= {f"fit_{name}": value for name, value in seen.items()} | arithmetic
    with watched() as seen:
        predicted = predict(fresh)
    figures |= {f"predict_{name}": value for name, value in seen.items()}
    figures["pehe"] = float(np.sqrt(np.mean((predicted - effect) ** 2)))
    figures["effect_sd"] = float(effect.std())
    if case.learner == OURS:
        if case.device != "cpu":
            figures["device_peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
        figures["product_rate"] = product_rate(case.device)
    return figures


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Seconds and peak memory above what stood before, MiB, of what runs inside."""
    seen: dict[str, float] = {}
    gc.collect()
    before = resident("VmRSS", reset=True)
    start = time.perf_counter()
    yield seen
    seen["seconds"] = time.perf_counter() - start
    seen["peak_mib"] = resident("VmHWM") - before


def resident(field: str, reset: bool = False) -> float:
    """A size of this process that Linux keeps, MiB; `reset` forgets the peak so far."""
    process = Path("/proc/self")
    if not (process / "clear_refs").exists():
        return np.nan
    if reset:
        (process / "clear_refs").write_text("5")
    found = re.search(rf"^{field}:\s*(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else np.nan


@contextmanager
def counted() -> Iterator[dict[str, float]]:
    """Operations of HyperCATE's networks inside, and the seconds of the stages of its fit."""
    import torch

    from hypercate import estimator
    from hypercate.generator.outcome_net import OutcomeNet

    total = dict.fromkeys((*STAGES, "operations"), 0.0)
    evaluate = OutcomeNet.__call__

    def evaluate_and_count(net: Any, theta: Any, x: Any, view: Any = None) -> Any:
        first, *others = (layer.n_in * layer.n_out for layer in net.layers)
        trains = torch.is_grad_enabled() and theta.requires_grad
        by_row = 4 * first + 6 * sum(others) if trains else 2 * (first + sum(others))
        total["operations"] += by_row * len(theta) * x.shape[-2]
        return evaluate(net, theta, x, view)

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **options)
            total[stage] += time.perf_counter() - start
            return result

        return call

    stages: dict[str, Any] = {
        name: timed(stage, getattr(estimator, name)) for name, stage in FUNCTIONS.items()
    }
    with (
        mock.patch.multiple(estimator, **stages),
        mock.patch.object(OutcomeNet, "__call__", evaluate_and_count),
    ):
        yield total


def product_rate(device: str) -> float:
    """Operations a second of a large square product in float32, the best of five."""
    import torch

    size = 1024 if device == "cpu" else 8192
    matrix = torch.ones(size, size, device=device)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def _send(connection: Any, case: Case) -> None:
    warnings.simplefilter("ignore")
    try:
        answer: dict[str, Any] = measure(case)
    except Exception as error:
        answer = {"note": f"failed: {type(error).__name__}: {' '.join(str(error).split())}"}
    connection.send(answer)


def in_fresh_process(case: Case, limit: float) -> dict[str, Any]:
    """What `measure` gives in a process of its own, or a note of how it ended."""
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(case.threads))
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_send, args=(sender, case))
    process.start()
    sender.close()
    patience = 2 * limit + START_SECONDS
    try:
        if not receiver.poll(patience):
            process.kill()
            return {"note": f"ended after {patience:.0f} s"}
        answer: dict[str, Any] = receiver.recv()
        return answer
    except EOFError:
        process.join()
        return {"note": f"the process ended with code {process.exitcode}"}
    finally:
        process.join()


def expected_seconds(seconds: dict[int, float], rows: int) -> float:
    """Seconds of a fit of `rows` from those of smaller sizes: in proportion, or as it has grown.

    The power of growth is that between the last two sizes, and at least 1; 0 with no size.
    """
    if not seconds:
        return 0.0
    *earlier, last = sorted(seconds)
    power = max(1.0, growth(seconds, earlier[-1], last)) if earlier else 1.0
    return seconds[last] * (rows / last) ** power


def growth(seconds: dict[int, float], first: int, last: int) -> float:
    """The power of the rows with which seconds grow between two sizes."""
    return float(np.log(seconds[last] / seconds[first]) / np.log(last / first))


def run(options: argparse.Namespace, path: Path) -> pd.DataFrame:
    """Measure what the file has not, smallest sizes first; all rows of the file."""
    for learner in options.learners:
        seconds: dict[int, float] = {}
        for rows in options.rows:
            first = case_of(options, learner, rows, 1)
            expected = expected_seconds(seconds, rows)
            if not expected <= options.limit and recorded(path, first) is None:
                record(path, first, {"note": skipped(expected, options.limit)})
                continue
            fitted: list[float] = []
            for repeat in range(1, options.repeats + 1):
                case = case_of(options, learner, rows, repeat)
                row = recorded(path, case)
                if row is None:
                    row = record(path, case, in_fresh_process(case, options.limit))
                fitted.append(row["fit_seconds"])
                if not sum(fitted) <= options.limit:
                    break
            seconds[rows] = float(np.median(fitted))
    return read(path)


def skipped(expected: float, limit: float) -> str:
    if np.isnan(expected):
        return "skipped: a smaller size was not fitted"
    return f"skipped: about {expected:,.0f} s expected, the limit is {limit:,.0f} s"


def case_of(options: argparse.Namespace, learner: str, rows: int, repeat: int) -> Case:
    device = options.device if learner == OURS else "cpu"
    return Case(learner, rows, options.columns, options.threads, device, repeat)


def read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path, dtype={"note": str}, keep_default_na=True)
    if list(table.columns) != COLUMNS:
        raise ValueError(f"{path} is of another version: move it, or choose another folder")
    return table.drop_duplicates(KEY, keep="last")


def recorded(path: Path, case: Case) -> dict[str, Any] | None:
    """The measurement of the case that the file holds, if it has one."""
    table = read(path)
    found = table[
        (table[KEY] == pd.Series(asdict(case))).all(axis=1) & table["fit_seconds"].notna()
    ]
    return dict(found.iloc[-1]) if len(found) else None


def record(path: Path, case: Case, answer: dict[str, Any]) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS, np.nan) | asdict(case) | {"machine": machine(case.device)} | answer
    pd.DataFrame([row])[COLUMNS].to_csv(path, mode="a", header=not path.exists(), index=False)
    shown = row["note"] if row["note"] == row["note"] else f"fit {row['fit_seconds']:.2f} s"
    print(f"{case.learner}, {case.rows} rows, repeat {case.repeat}: {shown}", flush=True)
    return row


def machine(device: str) -> str:
    """The processor's name, or the accelerator's."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else "unknown processor"


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Medians over the repeats: a row a size and learner."""
    rows = results.assign(
        predict_rate=results["predicted_rows"] / results["predict_seconds"],
        memory=results["fit_peak_mib"] / results["data_mib"],
        device_memory=results["device_peak_mib"] / results["data_mib"],
        error=results["pehe"] / results["effect_sd"],
        place=results["learner"].map(list(LEARNERS).index),
    )
    groups = rows.groupby(["rows", "place", "learner", "device"])
    medians = groups[[*FIGURES, "predict_rate", "memory", "device_memory", "error"]].median()
    summary = medians.assign(
        runs=groups["fit_seconds"].count(), note=groups["note"].last()
    ).reset_index()
    summary["growth"] = np.nan
    for _, sizes in summary.groupby(["learner", "device"]):
        seconds = dict(zip(sizes["rows"], sizes["fit_seconds"], strict=True))
        for at, first, last in zip(sizes.index[1:], sizes["rows"], sizes["rows"][1:], strict=False):
            summary.loc[at, "growth"] = growth(seconds, first, last)
    ours = summary[summary["learner"] == OURS].groupby("rows")["fit_seconds"].min()
    summary["over_ours"] = summary["fit_seconds"] / summary["rows"].map(ours)
    return summary


def markdown(table: dict[str, pd.Series]) -> str:
    """A table of strings, without the columns that are empty."""
    shown = {heading: cells for heading, cells in table.items() if (cells != "").any()}
    lines = [f"| {' | '.join(shown)} |", "|" + " --- |" * len(shown)]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    return "\n".join(lines)


def to_markdown(results: pd.DataFrame) -> str:
    """The table of all learners, and that of the arithmetic of our fit."""
    summary = summarise(results)

    def cells(name: str, pattern: str, table: pd.DataFrame = summary) -> pd.Series:
        return table[name].map(lambda value: "" if np.isnan(value) else pattern.format(value))

    name = summary["learner"].where(
        summary["device"] == "cpu", summary["learner"] + " on " + summary["device"]
    )
    everyone = {
        "rows": summary["rows"].map("{:,}".format),
        "learner": name.where(summary["learner"] != OURS, "**" + name + "**"),
        "fit s": cells("fit_seconds", "{:.2f}").where(
            summary["runs"] > 0, summary["note"].fillna("")
        ),
        "over ours": cells("over_ours", "{:.2f}"),
        "growth": cells("growth", "n^{:.2f}"),
        "predict rows/s": cells("predict_rate", "{:,.0f}"),
        "memory of fit, MiB": cells("fit_peak_mib", "{:,.0f}"),
        "over X": cells("memory", "{:.2f}"),
        "on the device / X": cells("device_memory", "{:.2f}"),
        "sqrt-PEHE / sd": cells("error", "{:.3f}"),
        "runs": summary["runs"].map(lambda runs: str(runs) if runs else ""),
    }
    ours = summary[(summary["learner"] == OURS) & (summary["runs"] > 0)]
    ours = ours.assign(
        rest=ours["fit_seconds"] - ours[list(STAGES)].sum(axis=1),
        billions=ours["operations"] / 1e9,
        rate=ours["operations"] / ours["training_seconds"] / 1e9,
        bound_rate=ours["product_rate"] / 1e9,
        bound=ours["operations"] / ours["product_rate"],
        share=ours["operations"] / ours["product_rate"] / ours["fit_seconds"],
    )
    arithmetic = {
        "rows": ours["rows"].map("{:,}".format),
        "device": ours["device"],
        "fit s": cells("fit_seconds", "{:.2f}", ours),
        **{stage.replace("_seconds", " s"): cells(stage, "{:.2f}", ours) for stage in STAGES},
        "rest s": cells("rest", "{:.2f}", ours),
        "10^9 operations": cells("billions", "{:,.1f}", ours),
        "in training, 10^9/s": cells("rate", "{:,.1f}", ours),
        "large products, 10^9/s": cells("bound_rate", "{:,.1f}", ours),
        "bound of the arithmetic, s": cells("bound", "{:.2f}", ours),
        "of the fit": cells("share", "{:.0%}", ours),
    }
    conditions = results[["machine", "device", "threads", "columns"]].drop_duplicates()
    lines = [
        f"{row.machine} ({row.device}), {row.threads} threads, {row.columns} columns"
        for row in conditions.itertuples()
    ]
    parts = [markdown(everyone)]
    if len(ours):
        parts.append(f"Arithmetic of HyperCATE's fit:\n\n{markdown(arithmetic)}")
    return "\n\n".join([*parts, "; ".join(lines) + "."])


def draw_growth(results: pd.DataFrame, path: Path) -> None:
    """Save the picture of time, speed, memory and error against the rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hypercate.log_axis import label_decimals

    summary = summarise(results)
    summary = summary[summary["runs"] > 0]
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, PICTURED.items(), strict=True):
        for place, ((learner, device), sizes) in enumerate(
            summary.groupby(["learner", "device"], sort=False)
        ):
            axes.plot(
                sizes["rows"],
                sizes[name].where(sizes[name] > 0),
                marker="os^Dv"[place % 5],
                color="#c2410c" if learner == OURS else "#64748b",
                ls="-" if device == "cpu" else "--",
                lw=2 if learner == OURS else 1.2,
                label=learner if device == "cpu" else f"{learner} on {device}",
            )
        if name == "fit_peak_mib":
            axes.plot(summary["rows"], summary["data_mib"], ":", color="#0f172a", lw=1)
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            label_decimals(axis)
        axes.set_xlabel("rows")
        axes.set_title(label, loc="left")
        axes.grid(which="major", color="#e2e8f0", lw=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1000,10000,100000,1000000", metavar="LIST")
    parser.add_argument("--columns", type=int, default=50, metavar="P")
    parser.add_argument("--learners", default=",".join(LEARNERS), metavar="LIST")
    parser.add_argument("--repeats", type=int, default=3, metavar="R")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--device", default="cpu", help="of HyperCATE (default: cpu)")
    parser.add_argument(
        "--limit",
        type=float,
        default=900,
        metavar="SECONDS",
        help="of a fit, and of the fits of one size after which no repeat starts (default: 900)",
    )
    parser.add_argument("--out", type=Path, default=Path("results/speed"), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        options.rows = sorted({int(float(rows)) for rows in options.rows.split(",")})
    except ValueError:
        parser.error(f"--rows {options.rows}: expected numbers such as 1000,1e4")
    options.learners = [name.strip() for name in options.learners.split(",")]
    unknown = [name for name in options.learners if name not in LEARNERS]
    if unknown:
        parser.error(f"unknown learner {unknown[0]!r}; learners: {', '.join(LEARNERS)}")
    if options.rows[0] < 100 or options.columns < LEAST_COLUMNS:
        parser.error(f"at least 100 rows and {LEAST_COLUMNS} columns are needed")
    if options.repeats < 1 or options.threads < 1:
        parser.error("--repeats and --threads are at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    results = run(options, options.out / "speed.csv")
    text = to_markdown(results)
    print(f"\n{text}")
    (options.out / "speed.md").write_text(f"{text}\n", encoding="utf-8")
    draw_growth(results, options.out / "speed.png")


if __name__ == "__main__":
    main()
