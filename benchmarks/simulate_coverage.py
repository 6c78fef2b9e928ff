"""How often intervals of averages and of persons hold the truth, over many simulated studies.

    python benchmarks/simulate_coverage.py --replications 200 --jobs 2 --out results/coverage

Each replication is a study of `hypercate.datasets.draw_interval_study`, a default fit of HyperCATE,
and these intervals, of which the table gives the share that held:

- ATE, ATT and GATE (two groups, by the sign of x1) of the training population at 95 %, against the
  mean effect of all rows of the study, of the treated, or of the group;
- at 90 %, a new person's outcome under each arm, whoever they are, and under the arm of a coin,
  which the training data did not toss; and their own effect. The new persons are the 1000 test
  rows, with noise drawn anew for each arm.

The standard error beside a share is that of its mean over replications. The file of results is
appended to: the same command resumes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from hypercate import HyperCATE
from hypercate.benchmark.harness import append
from hypercate.datasets import draw_interval_study
from hypercate.datasets.synthetic import DESIGNS, NOISE_SD
from hypercate.metrics import coverage


def replicate(design: str, rows: int, replication: int) -> dict[str, object]:
    """Whether, or in what share of persons, each interval held."""
    torch.set_num_threads(1)
    split = draw_interval_study(design, rows, replication)
    train, test = split.train, split.test
    est = HyperCATE(random_state=replication, device="cpu").fit(train.X, train.y, train.treatment)
    effect = np.concatenate([train.effect, test.effect])
    treated = np.concatenate([train.treatment, test.treatment]) == 1
    group = np.concatenate([train.X["x1"], test.X["x1"]]) > 0
    lower, upper = est.gate_interval(train.X["x1"] > 0)
    row: dict[str, object] = {"design": design, "rows": rows, "replication": replication}
    row |= {
        "ATE": holds(est.ate_interval(), test.effect.mean()),
        "ATT": holds(est.att_interval(), effect[treated].mean()),
        "GATE x1 <= 0": holds((lower[False], upper[False]), effect[~group].mean()),
        "GATE x1 > 0": holds((lower[True], upper[True]), effect[group].mean()),
    }
    rng = np.random.default_rng(replication)
    y = test.mu + rng.normal(0, NOISE_SD, test.mu.shape)
    coin = rng.integers(2, size=len(y))
    for name, arm in {"arm 0": 0, "arm 1": 1, "arm of a coin": coin}.items():
        bounds = est.predict_outcome_interval(test.X, arm=arm, alpha=0.1)
        row[f"outcome, {name}"] = holds(bounds, y[np.arange(len(y)), arm])
    row["own effect"] = holds(est.individual_effect_interval(test.X, alpha=0.1), y[:, 1] - y[:, 0])
    return row


def holds(bounds: tuple, truth: float | np.ndarray) -> float:
    """Share of the truths that lie within the bounds."""
    return coverage(*np.atleast_1d(truth, *bounds))


def report(results: pd.DataFrame) -> str:
    """Mean and its standard error of each share, as a Markdown table."""
    lines = []
    for (design, rows), table in results.groupby(["design", "rows"], sort=False):
        shares = table.drop(columns=["design", "rows", "replication"])
        lines += [
            f"{design}, {rows} rows, {len(table)} replications",
            "",
            "| interval of | level | held | s.e. |",
            "| --- | --- | --- | --- |",
        ]
        for name, share in shares.items():
            level = "90 %" if str(name).startswith(("outcome", "own")) else "95 %"
            error = share.std() / len(share) ** 0.5
            lines.append(f"| {name} | {level} | {share.mean():.1%} | {error:.1%} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--design", choices=DESIGNS, default="smooth")
    parser.add_argument("--rows", type=int, default=500, help="training rows (default: 500)")
    parser.add_argument("--replications", type=int, default=200, metavar="N", help="default: 200")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/coverage"), metavar="DIR")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "coverage.csv"
    done = pd.read_csv(path, keep_default_na=False) if path.exists() else pd.DataFrame()
    key = ["design", "rows", "replication"]
    known = set() if done.empty else set(done[key].itertuples(index=False, name=None))
    tasks = [(options.design, options.rows, n) for n in range(1, options.replications + 1)]
    missing = [task for task in tasks if task not in known]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for _ in tqdm(append(replicate, missing, path, options.jobs), total=len(missing), unit="study"):
        pass
    text = report(pd.read_csv(path, keep_default_na=False))
    (options.out / "coverage.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
