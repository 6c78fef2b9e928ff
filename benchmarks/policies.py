"""Policies that people can read, against the best there is, in drawn studies.

    python benchmarks/policies.py --rows 1000 4000 --jobs 2 --out results/policies

Every learner fits the same studies, in which arms were not drawn alike for everyone, and advises
20,000 fresh people. What is reported is its regret: the mean outcome, less costs, that the best arm
of everyone would have given, less that of the advice. `Best tree` is the best tree of depth 2 by
the true outcomes of the people that learners fit on, and `best arm for all` the best single arm.
Seconds are of the processor. Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from hypercate import HyperCATE
from hypercate.benchmark import harness, scripts
from hypercate.benchmark.peers import quiet
from hypercate.commands.benchmark import replications
from hypercate.policy import PolicyTree, best_arm

TEST_ROWS = 20_000
KEY = ["study", "rows", "replication", "learner"]


@dataclass(frozen=True)
class People:
    """Drawn people, whose outcome under each arm is known.

    Attributes
    ----------
    X : DataFrame, shape (n, n_columns)
    arm : ndarray of str, shape (n,)
    y : ndarray, shape (n,)
    worth : DataFrame, shape (n, n_arms)
        Mean outcome of each arm, control first, less its costs.
    costs : dict
        Of each arm.
    propensity : DataFrame, shape (n, n_arms)
    """

    X: pd.DataFrame
    arm: np.ndarray
    y: np.ndarray
    worth: pd.DataFrame
    costs: dict[str, float]
    propensity: pd.DataFrame

    def value(self, advice: Any) -> float:
        """Mean worth of what is advised."""
        place = self.worth.columns.get_indexer(np.asarray(advice))
        return float(self.worth.to_numpy()[np.arange(len(place)), place].mean())


def observed(
    rng: np.random.Generator,
    X: pd.DataFrame,
    mean: dict[str, np.ndarray],
    logit: np.ndarray,
    costs: dict[str, float],
    noise: float = 1.0,
) -> People:
    """People who had control, or one of the other arms alike, with the log odds `logit` of it."""
    arms, n = list(mean), len(X)
    treated = expit(logit)
    chance = np.column_stack([1 - treated, *[treated / (len(arms) - 1)] * (len(arms) - 1)])
    code = (rng.random(n)[:, None] > np.cumsum(chance, axis=1)[:, :-1]).sum(axis=1)
    table = np.column_stack([mean[arm] for arm in arms])
    y = table[np.arange(n), code] + noise * rng.normal(size=n)
    worth = pd.DataFrame(table - [costs[arm] for arm in arms], columns=arms)
    return People(
        X, np.asarray(arms)[code], y, worth, costs, pd.DataFrame(chance, X.index, columns=arms)
    )


def corner(n: int, rng: np.random.Generator) -> People:
    """Two arms, of which the second helps only where ``a > 0`` and ``b <= 0.5``: a tree of depth 2.

    It gains 1 there and loses 1/2 elsewhere; those with large a had it more often.
    """
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcde"))
    gain = np.where((X["a"] > 0) & (X["b"] <= 0.5), 1.0, -0.5)
    control = X["c"].to_numpy() + 0.5 * X["a"].to_numpy()
    mean = {"none": control, "drug": control + gain}
    return observed(rng, X, mean, 0.7 * X["a"].to_numpy(), {"none": 0.0, "drug": 0.0})


def sites(n: int, rng: np.random.Generator) -> People:
    """Three arms with costs: the dear one pays in the north, the cheap one for the old elsewhere.

    Ages are missing in a tenth of the rows. The best policy is a tree of depth 2, but for these.
    """
    age = rng.uniform(20, 80, n)
    site = rng.choice(["north", "south", "west"], n)
    X = pd.DataFrame({"age": age, "site": site, "score": rng.normal(size=n)})
    control = (age - 50) / 20 + X["score"].to_numpy()
    mean = {
        "none": control,
        "cheap": control + np.where(age > 50, 1.0, -0.3),
        "dear": control + np.where(site == "north", 2.4, 0.4),
    }
    X.loc[rng.random(n) < 0.1, "age"] = np.nan
    logit = 0.5 + 0.5 * X["score"].to_numpy()
    return observed(rng, X, mean, logit, {"none": 0.0, "cheap": 0.2, "dear": 1.0})


def slope(n: int, rng: np.random.Generator) -> People:
    """Two arms, of which the second helps where ``a + b > 0``: no tree of depth 2 is the best."""
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcde"))
    control = np.tanh(X["c"].to_numpy()) + X["d"].to_numpy()
    gain = 0.7 * (X["a"] + X["b"]).to_numpy()
    mean = {"none": control, "drug": control + gain}
    return observed(rng, X, mean, 0.5 * X["d"].to_numpy(), {"none": 0.0, "drug": 0.0})


STUDIES: dict[str, Callable[[int, np.random.Generator], People]] = {
    "corner": corner,
    "sites": sites,
    "slope": slope,
}


def fitted(train: People, seed: int) -> HyperCATE:
    return HyperCATE(control="none", random_state=seed).fit(train.X, train.y, train.arm)


def hypercate_tree(train: People, test: People, seed: int) -> np.ndarray:
    scores = fitted(train, seed).scores_frame(train.X)
    return PolicyTree(costs=train.costs).fit(train.X, scores).predict(test.X)


def hypercate_best(train: People, test: People, seed: int) -> Any:
    est = fitted(train, seed)
    return best_arm(est.predict_outcomes(test.X), arms=est.arms_, costs=train.costs)


def as_numbers(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Columns as EconML takes them: levels as indicators, missing numbers as the mean."""
    both = pd.get_dummies(pd.concat([train, test]), dtype=float)
    table = both.fillna(both.iloc[: len(train)].mean()).to_numpy()
    return table[: len(train)], table[len(train) :]


def econml_tree(train: People, test: People, seed: int) -> np.ndarray:
    """EconML's tree of depth 2, on scores of its own nuisance models, with columns made numbers."""
    from econml.policy import DRPolicyTree

    x, new = as_numbers(train.X, test.X)
    arms = list(train.costs)
    code = np.array([arms.index(arm) for arm in train.arm])
    net = train.y - np.array([train.costs[arm] for arm in train.arm])
    tree = DRPolicyTree(max_depth=2, min_samples_leaf=10, honest=False, random_state=seed)
    with quiet():
        tree.fit(net, code, X=x)
    return np.asarray(arms)[tree.predict(new).ravel()]


def best_tree(train: People, test: People, seed: int) -> np.ndarray:
    return PolicyTree().fit(train.X, train.worth).predict(test.X)


def best_for_all(train: People, test: People, seed: int) -> np.ndarray:
    return np.full(len(test.X), test.worth.mean().idxmax())


LEARNERS: dict[str, Callable[[People, People, int], Any]] = {
    "PolicyTree on HyperCATE": hypercate_tree,
    "best arm by HyperCATE": hypercate_best,
    "EconML DRPolicyTree": econml_tree,
    "best tree": best_tree,
    "best arm for all": best_for_all,
}


def measure(study: str, rows: int, replication: int, learner: str) -> dict[str, object]:
    """Regret of a learner's advice."""
    rng = np.random.default_rng(replication)
    train, test = STUDIES[study](rows, rng), STUDIES[study](TEST_ROWS, rng)
    with harness.one_thread():
        start = time.process_time()
        advice = LEARNERS[learner](train, test, replication)
        seconds = time.process_time() - start
    row: dict[str, object] = dict(zip(KEY, (study, rows, replication, learner), strict=True))
    best = float(test.worth.max(axis=1).mean())
    return row | {"regret": best - test.value(advice), "seconds": seconds}


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Mean regret with its standard error, and mean seconds, by study, rows and learner."""
    return results.groupby(KEY[:2] + KEY[3:], sort=False).agg(
        regret=("regret", "mean"),
        regret_se=("regret", "sem"),
        seconds=("seconds", "mean"),
        n=("regret", "count"),
    )


def to_markdown(table: pd.DataFrame) -> str:
    lines = ["| study | rows | learner | regret | seconds |", "| --- | --- | --- | --- | --- |"]
    for (study, rows, learner), row in table.iterrows():
        regret = f"{row.regret:.3f} ± {row.regret_se:.3f}"
        lines.append(f"| {study} | {rows} | {learner} | {regret} | {row.seconds:.2f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--rows", nargs="+", type=int, default=[1000], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/policies"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (study, rows, replication, learner)
        for study in options.studies
        for rows in options.rows
        for replication in options.replications
        for learner in options.learners
    ]
    scripts.measure_and_report(
        measure,
        wanted,
        KEY,
        lambda results: to_markdown(summarise(results)),
        options.out,
        options.jobs,
    )


if __name__ == "__main__":
    main()
