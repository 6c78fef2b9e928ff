"""Whom to send which e-mail: uplift of HyperCATE and of other packages on Hillstrom's data.

    python benchmarks/hillstrom.py --replications 1-3 --jobs 2 --out results/hillstrom

64,000 customers received an e-mail for men's merchandise, one for women's, or none, at random; the
outcome is a visit to the site within two weeks. Learners fit half of the customers, and are judged
on the other half, whose split is the replication's:

- **Qini** and **AUUC** of each e-mail, per thousand customers, and **AUTOC**, the area under the
  targeting curve, in percentage points of visits, with its standard error (`hypercate.metrics`);
- **half**: what is gained, in percentage points of visits among all customers, by sending the half
  of the e-mails that `hypercate.policy.spend` chooses by the effects, one a customer at most, over
  sending the men's to a random half of the customers at the same cost; with its standard error.

scikit-uplift's learners fit each e-mail against none, by LightGBM, and so does CausalML's, which
runs only if named by `--learners` and needs `pip install causalml`. Results are kept as they come:
the same command resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hypercate.benchmark import harness, panel, scripts
from hypercate.benchmark.peers import one_hot
from hypercate.commands.benchmark import replications
from hypercate.datasets import CausalSample, load_hillstrom
from hypercate.metrics import aipw_scores, auuc_score, qini_score, rate_inference
from hypercate.policy import spend

KEY = ["replication", "learner"]
CAUSALML = "CausalML X LightGBM"
EMAILS = {1: "mens", 2: "womens"}
TREES = {"n_estimators": 100, "num_leaves": 8, "learning_rate": 0.05, "verbose": -1, "n_jobs": 1}
Effects = Callable[[pd.DataFrame], np.ndarray]


def _uplift_model(name: str, train: CausalSample, seed: int) -> Effects:
    """A model of scikit-uplift for each e-mail."""
    from lightgbm import LGBMClassifier
    from sklift.models import SoloModel, TwoModels

    def model() -> Any:
        made = [LGBMClassifier(**TREES, random_state=seed) for _ in range(2)]
        return SoloModel(made[0]) if name == "solo" else TwoModels(*made, method="vanilla")

    encoded = one_hot(train.X)
    fitted = []
    for arm in EMAILS:
        rows = np.isin(train.treatment, [0, arm])
        received = (train.treatment[rows] == arm).astype(int)
        fitted.append(model().fit(encoded.to_numpy()[rows], train.y[rows], received))

    def effects(X: pd.DataFrame) -> np.ndarray:
        x = one_hot(X, encoded.columns).to_numpy()
        return np.column_stack([each.predict(x) for each in fitted])

    return effects


def _causalml(train: CausalSample, seed: int) -> Effects:
    """CausalML's X-learner, told the probability of each e-mail among those who had it or none."""
    from causalml.inference.meta import BaseXRegressor
    from lightgbm import LGBMRegressor

    encoded = one_hot(train.X)
    model = BaseXRegressor(LGBMRegressor(**TREES, random_state=seed), control_name=0)
    chance = {arm: np.full(len(train), 0.5) for arm in EMAILS}
    model.fit(encoded.to_numpy(), y=train.y, treatment=train.treatment, p=chance)

    def effects(X: pd.DataFrame) -> np.ndarray:
        chance = {arm: np.full(len(X), 0.5) for arm in EMAILS}
        return model.predict(one_hot(X, encoded.columns).to_numpy(), p=chance)

    return effects


LEARNERS: dict[str, Callable[[CausalSample, int], Effects]] = {
    **{
        name: panel.LEARNERS[name]
        for name in ("HyperCATE", "T boosting", "X boosting", "DR boosting", "T Lasso", "X Lasso",
                     "CausalForestDML")
    },
    "scikit-uplift solo": lambda train, seed: _uplift_model("solo", train, seed),
    "scikit-uplift two models": lambda train, seed: _uplift_model("two", train, seed),
    CAUSALML: _causalml,
}  # fmt: skip


def measure(replication: int, learner: str) -> dict[str, object]:
    """How a learner's effects order the customers that it did not see, and what that is worth."""
    split = load_hillstrom(replication, "visit")
    test = split.test
    with harness.one_thread():
        effects = LEARNERS[learner](split.train, replication)(test.X)
    named = pd.DataFrame(effects, columns=list(EMAILS))
    scores = aipw_scores(test.y, test.treatment, control=0)
    row: dict[str, object] = {"replication": replication, "learner": learner}
    qini = qini_score(test.y, named, test.treatment, control=0)
    auuc = auuc_score(test.y, named, test.treatment, control=0)
    rate = rate_inference(named, scores, control=0)
    for place, (arm, email) in enumerate(EMAILS.items()):
        pair = int(np.isin(test.treatment, [0, arm]).sum())
        row[f"qini_{email}"] = 1000 * qini[arm] / pair
        row[f"auuc_{email}"] = 1000 * auuc[arm] / pair
        row[f"autoc_{email}"] = 100 * rate.point_estimate[place]
        row[f"autoc_{email}_se"] = 100 * rate.stderr[place]
    chosen = spend(named, 1.0, budget=len(test.y) // 2, control=0).policy
    table = scores.to_numpy()
    own = table[np.arange(len(table)), np.asarray(chosen, dtype=int)]
    gain = 100 * (own - (table[:, 0] + table[:, 1]) / 2)
    return row | {"half": gain.mean(), "half_se": gain.std(ddof=1) / len(gain) ** 0.5}


def to_markdown(results: pd.DataFrame) -> str:
    """Means over the replications; standard errors are those of one replication's customers."""
    lines = [
        "| learner | Qini: men's, women's | AUUC: men's, women's | AUTOC: men's | women's | half | "
        "n |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for learner, own in results.groupby("learner", sort=False):
        mean = own.drop(columns="learner").mean()
        pairs = [", ".join(f"{mean[f'{name}_{email}']:.2f}" for email in EMAILS.values())
                 for name in ("qini", "auuc")]  # fmt: skip
        with_errors = [f"{mean[name]:.2f} ± {mean[f'{name}_se']:.2f}"
                       for name in ("autoc_mens", "autoc_womens", "half")]  # fmt: skip
        lines.append(f"| {learner} | {' | '.join([*pairs, *with_errors])} | {len(own)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=replications, default="1-3", metavar="LIST")
    usual = [name for name in LEARNERS if name != CAUSALML]
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=usual)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/hillstrom"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (replication, learner)
        for replication in options.replications
        for learner in options.learners
    ]
    scripts.measure_and_report(measure, wanted, KEY, to_markdown, options.out, options.jobs)


if __name__ == "__main__":
    main()
