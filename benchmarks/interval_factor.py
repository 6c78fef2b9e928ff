"""How wide intervals of the effect have to be: `hypercate.uncertainty.FACTOR`, chosen by counting.

    python benchmarks/interval_factor.py --jobs 2 --out results/factor

The data is reported nowhere else: npci replicates of IHDP from 1101 on, ACIC's simulations 6 to 10
with 1000 rows (left out where the data folder lacks them), and draws 301 on of every design of
`hypercate.datasets.draw_interval_study` with 500 and 2000 rows. Each is fitted once with the
defaults; the jackknife's part of its standard errors is then scaled to each factor. The tables give
the share of effects that 90 % intervals held, and their interval score over that at the factor in
use, geometric mean over replicates. In use is the largest factor, in steps of a twentieth, whose
score is on the mean of the studies within one percent of the least.

Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from hypercate import HyperCATE
from hypercate.benchmark.harness import append
from hypercate.datasets import CausalSplit, draw_interval_study, load_acic2016, load_ihdp
from hypercate.datasets.synthetic import DESIGNS
from hypercate.metrics import coverage, interval_score
from hypercate.uncertainty import FACTOR

FACTORS = np.arange(12, 22) / 20
ALPHA = 0.1


def load(study: str, replication: int) -> CausalSplit:
    if study == "npci":
        return load_ihdp(replication, source="npci")
    if study == "acic":
        return load_acic2016(replication, 1000)
    design, rows = study.split("-")
    return draw_interval_study(design, int(rows), replication)


def measure(study: str, replication: int) -> list[dict[str, object]]:
    """Coverage and interval score of one fit at every factor."""
    torch.set_num_threads(1)
    split = load(study, replication)
    train, test = split.train, split.test
    est = HyperCATE(random_state=replication, device="cpu")
    est.fit(train.X, train.y, train.treatment)
    fitted = est.calibration_
    of_jackknife = np.arange(len(fitted.level))[:, None] < len(est.arms_)
    rows = []
    for factor in FACTORS:
        scale = factor / FACTOR
        level = np.where(of_jackknife, scale, 1) * fitted.level
        est.calibration_ = replace(fitted, scale=scale * fitted.scale, level=level)
        bounds = est.effect_interval(test.X, alpha=ALPHA)
        rows.append(
            {
                "study": study,
                "replication": replication,
                "factor": factor,
                "coverage": coverage(test.effect, *bounds),
                "score": interval_score(test.effect, *bounds, ALPHA),
            }
        )
    return rows


def report(results: pd.DataFrame) -> str:
    """A row a factor, a column a study, as Markdown."""
    keys = ["factor", "study"]
    held = results.groupby(keys, sort=False)["coverage"].mean().unstack()
    log_score = np.log(results.set_index(["replication", *keys])["score"]).unstack("factor")
    over = np.exp(log_score.sub(log_score[FACTOR], axis=0).groupby("study", sort=False).mean().T)
    tables = []
    for name, table, summary, form in [
        ("Share of effects held at 90 %", held, held.mean(axis=1), "{:.0%}"),
        ("Interval score", over, np.exp(np.log(over).mean(axis=1)), "{:.3f}"),
    ]:
        head = ["factor", *table.columns, "mean"]
        lines = [f"## {name}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        for factor, values in table.iterrows():
            cells = [form.format(value) for value in [*values, summary[factor]]]
            lines.append(f"| {factor:g} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/factor"), metavar="DIR")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "factor.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["study", "replication"])
    known = set(done[["study", "replication"]].itertuples(index=False, name=None))
    folder = Path(os.environ.get("HYPERCATE_DATA", ""))
    tasks = [("npci", number) for number in range(1101, 1113)]
    if (folder / "acic2016/zymu_6.csv").exists():
        tasks += [("acic", number) for number in range(6, 11)]
    tasks += [
        (f"{design}-{rows}", number)
        for rows in (500, 2000)
        for design in DESIGNS
        for number in range(301, 309)
    ]
    missing = [task for task in tasks if task not in known]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for _ in tqdm(append(measure, missing, path, options.jobs), total=len(missing), unit="fit"):
        pass
    text = report(pd.read_csv(path))
    (options.out / "factor.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
