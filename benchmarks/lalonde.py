"""Doubly robust ATT of the NSW training on the CPS controls, beside the randomised experiment's.

    python benchmarks/lalonde.py --out results/lalonde-att

`hypercate benchmark lalonde` compares learners by their mean predicted effect of the treated; here
is `HyperCATE.att`, which corrects that mean by what out-of-fold errors show. Amounts are dollars.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd

from hypercate import HyperCATE, OverlapWarning
from hypercate.datasets import load_lalonde


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="fits (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("results/lalonde-att"), metavar="DIR")
    options = parser.parse_args()
    split = load_lalonde()
    train, trial = split.train, split.test
    received = trial.treatment == 1
    experiment = trial.y[received].mean() - trial.y[~received].mean()
    rows = []
    for seed in range(options.seeds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverlapWarning)  # the controls are another population
            est = HyperCATE(random_state=seed).fit(train.X, train.y, train.treatment)
        lower, upper = est.att_interval()
        mean = est.predict(train.X)[train.treatment == 1].mean()
        rows.append((seed, experiment, est.att(), lower, upper, mean))
    columns = ["seed", "experiment", "att", "lower_95", "upper_95", "mean_predicted_effect"]
    table = pd.DataFrame(rows, columns=columns)
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "lalonde.csv", index=False)
    print(table.round().to_string(index=False))


if __name__ == "__main__":
    main()
