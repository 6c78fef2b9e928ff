"""Doubly robust ATT of the NSW training on the CPS controls, beside the randomised experiment's.

    python benchmarks/lalonde.py

`hypercate benchmark lalonde` compares learners by their mean predicted effect of the treated; here
is `HyperCATE.att`, which corrects that mean by what out-of-fold errors show.
"""

import argparse
import warnings

from hypercate import HyperCATE, OverlapWarning
from hypercate.datasets import load_lalonde


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="fits (default: 3)")
    options = parser.parse_args()
    split = load_lalonde()
    train, test = split.train, split.test
    trial = test.randomized == 1
    outcome, received = test.y[trial], test.treatment[trial] == 1
    experiment = outcome[received].mean() - outcome[~received].mean()
    print(f"randomised experiment: {experiment:.0f} dollars")
    for seed in range(options.seeds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverlapWarning)  # the controls are another population
            est = HyperCATE(random_state=seed).fit(train.X, train.y, train.treatment)
        lower, upper = est.att_interval()
        mean = est.predict(train.X)[train.treatment == 1].mean()
        print(
            f"seed {seed}: ATT {est.att():.0f}, 95 % interval {lower:.0f} to {upper:.0f}; "
            f"mean predicted effect of the treated {mean:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
