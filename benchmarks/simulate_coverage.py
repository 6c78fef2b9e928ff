"""How often intervals hold the truth and tests reject it, counted over many simulated studies.

    python benchmarks/simulate_coverage.py --replications 200 --jobs 2 --out results/coverage

Each replication draws a study, fits HyperCATE at its defaults, and asks it what a user would ask.
Nothing is simulated but the data. The studies are:

- ``smooth``: 500 confounded rows of `hypercate.datasets.draw_interval_study`. At 95 %, ATE, ATT,
  GATE (two groups, by the sign of x1) and the ATE of the training rows whose x2 exceeds x1; at
  90 %, a new person's outcome under each arm, whoever they are, and under the arm of a coin, which
  the training data did not toss; their own effect.
- ``persons``: other draws of the same study. A new person's own effect at 80, 90 and 95 %, by the
  intervals for any and for independent noise of the two outcomes: how many are held where noise is
  independent, the same in both or of opposite sign; how many are infinite; the median width.
- ``clustered``: 500 rows in 40 clusters, whose outcomes have an intra-class correlation of 0.3 and
  whose treatment is more alike than chance, too. The same averages at 95 %, with ``groups=``.
- ``count`` and ``positive``: 500 rows of `hypercate.datasets.draw_outcome_study`. At 95 %, the ATE
  and the ratio of the arms' average outcomes; at 90 %, effects and ratios at new rows, and ratios
  at the fifth of them of the least, and of the greatest, mean outcome of controls.
- ``time`` and ``survival``: 500 rows of `hypercate.datasets.draw_survival_study`, by three members.
  At 95 %, the ATE and the ratio of the arms' average outcomes; at 90 %, effects at new rows.
- ``populations``: 500 rows of five normal columns, treated with log odds of 1.5 x1, of effect
  1 + x1. At 95 %, averages over the controls, by overlap, and over rows of which both arms have a
  tenth of the probability at least, as the model sees it, and the coefficients of the effect's
  linear projection on x1.
- ``decisions``: 500 rows of five normal columns, treated with log odds of x1, of effect 0.3 + x2,
  and as many fresh rows with outcomes. At 95 %: averages in five groups by x2, together
  (`simultaneous_frame`); averages in two groups of the fresh rows; in the leaves of an
  `EffectTree`, over the fresh rows and over the training rows; on the fresh rows, the value of a
  `PolicyTree`, of the better arm of each row, and the AUTOC of the predicted effects.
- ``binary``: 500 rows with a binary outcome. At 95 %, the ATE, and the risk and odds ratios of the
  average outcomes; at 90 %, effects at new rows.
- ``sites``: 1000 rows at 50 sites, which shift the outcome by twice what they add to the log odds
  of the treatment. The ATE at 95 %, and by how much its estimate is off.
- ``null-randomised`` (500 rows, 5 columns), ``null-confounded`` (500, 20), ``null-wide`` (300, 50,
  confounded): effects are the same for everyone. How often `heterogeneity_test` rejects it at 5 %.
- ``unbiased``: intervals of the effect at new rows at 50, 80, 90 and 95 %, where least squares
  stand in place of the networks, so that nothing is wrong but chance (1000 rows, 5 columns).
- ``noise-raw`` and ``noise-boosted``: outcomes that are noise alone. By how much the squared error
  at the rows that a model is judged on exceeds that of the truth, and the same at fresh rows.

The standard error beside a share is that of its mean over replications. The files of results, one
a study, are appended to: the same command resumes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import special
from tqdm import tqdm

from hypercate import HyperCATE
from hypercate.benchmark.harness import append
from hypercate.datasets import draw_interval_study, draw_outcome_study, draw_survival_study
from hypercate.datasets.survival import HORIZON
from hypercate.datasets.synthetic import NOISE_SD
from hypercate.ensemble import Ensemble
from hypercate.fitted import Choice, Generator
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.inspection import EffectTree
from hypercate.learners import TLearner
from hypercate.metrics import aipw_scores, coverage, policy_value, rate_inference, rate_score
from hypercate.policy import PolicyTree
from hypercate.second_stage import networks_alone

N_CLUSTERS = 40
INTRA_CLASS = 0.3
N_SITES = 50
LEVELS = (0.5, 0.8, 0.9, 0.95)
TEST_ROWS = 1000
MANY = 50_000  # rows whose effects are known, in place of a population
PERSONS_SEED = 7000

Row = dict[str, float]


def smooth(replication: int) -> Row:
    """Averages and persons in a confounded study."""
    split = draw_interval_study("smooth", 500, replication)
    train, test = split.train, split.test
    est = fit(replication, train.X, train.y, train.treatment)
    effect = np.concatenate([train.effect, test.effect])
    treated = np.concatenate([train.treatment, test.treatment]) == 1
    group = np.concatenate([train.X["x1"], test.X["x1"]]) > 0
    row = averages(est, train.X["x1"] > 0, test.effect.mean(), effect, treated, group)
    some, of_all = ((X["x2"] > X["x1"]).to_numpy() for X in (train.X, pd.concat([train.X, test.X])))
    row["ATE of a subgroup by X (95 %)"] = holds(
        est.ate_interval(train.X[some]), effect[of_all].mean()
    )
    rng = np.random.default_rng([replication, 1])
    y = test.mu + rng.normal(0, NOISE_SD, test.mu.shape)
    coin = rng.integers(2, size=len(y))
    for name, arm in {"arm 0": 0, "arm 1": 1, "arm of a coin": coin}.items():
        bounds = est.predict_outcome_interval(test.X, arm=arm, alpha=0.1)
        row[f"outcome, {name} (90 %)"] = holds(bounds, y[np.arange(len(y)), arm])
    bounds = est.individual_effect_interval(test.X, alpha=0.1)
    return row | {"own effect (90 %)": holds(bounds, y[:, 1] - y[:, 0])}


def persons(replication: int) -> Row:
    """Own effects by both intervals, where noise is independent and where it is the same."""
    seed = PERSONS_SEED + replication
    split = draw_interval_study("smooth", 500, seed)
    train, test = split.train, split.test
    est = fit(seed, train.X, train.y, train.treatment)
    rng = np.random.default_rng([seed, 1])  # the study itself is drawn from the seed
    first, second = rng.normal(0, NOISE_SD, (2, len(test.mu)))
    effects = {
        "independent": test.effect + second - first,
        "the same": test.effect,
        "opposite": test.effect + 2 * first,
    }
    row = {}
    for level in LEVELS[1:]:
        for dependence in ("any", "independent"):
            bounds = est.individual_effect_interval(test.X, alpha=1 - level, dependence=dependence)
            name = f'"{dependence}" ({level:.0%})'
            row |= {f"{name}, noise {kind}": holds(bounds, own) for kind, own in effects.items()}
            width = bounds[1] - bounds[0]
            row[f"{name}, infinite"] = float(np.isinf(width).mean())
            row[f"{name}, median width"] = float(np.median(width))
    return row


def ratios(replication: int, kind: str) -> Row:
    """Averages and effects where the treatment multiplies the mean."""
    split = draw_outcome_study(kind, 500, replication)
    train, test = split.train, split.test
    est = fit(replication, train.X, train.y, train.treatment, outcome=kind)
    control, treated = np.vstack([train.mu, test.mu]).mean(axis=0)
    ratio, level = test.mu[:, 1] / test.mu[:, 0], test.mu[:, 0].argsort().argsort() / len(test)
    bounds = est.effect_interval(test.X, alpha=0.1, scale="ratio")
    low, high = ([bound[some] for bound in bounds] for some in (level < 0.2, level >= 0.8))
    return {
        "ATE (95 %)": holds(est.ate_interval(), treated - control),
        "ratio of averages (95 %)": holds(est.ate_interval(scale="ratio"), treated / control),
        "effect (90 %)": holds(est.effect_interval(test.X, alpha=0.1), test.effect),
        "ratio (90 %)": holds(bounds, ratio),
        "ratio, least outcomes (90 %)": holds(low, ratio[level < 0.2]),
        "ratio, greatest outcomes (90 %)": holds(high, ratio[level >= 0.8]),
    }


def times(replication: int, outcome: str) -> Row:
    """Averages and effects where a third of the times are censored."""
    split = draw_survival_study(outcome, 500, replication)
    train, test = split.train, split.test
    est = HyperCATE(
        outcome=outcome, horizon=HORIZON, n_members=3, random_state=replication, device="cpu"
    ).fit(train.X, train.y, train.treatment, event=train.event)
    control, treated = np.vstack([train.mu, test.mu]).mean(axis=0)
    return {
        "ATE (95 %)": holds(est.ate_interval(), treated - control),
        "ratio of averages (95 %)": holds(est.ate_interval(scale="ratio"), treated / control),
        "effect (90 %)": holds(est.effect_interval(test.X, alpha=0.1), test.effect),
    }


def populations(replication: int) -> Row:
    """Averages over some of the rows, and the effect's linear projection."""
    rng = np.random.default_rng([replication, 2])
    x = rng.normal(size=(500, 5))
    treated = rng.random(500) < special.expit(1.5 * x[:, 0])
    y = x[:, 0] + np.sin(2 * x[:, 1]) + (1 + x[:, 0]) * treated + rng.normal(size=500)
    est = fit(replication, x, y, treated)
    lower, upper = est.best_linear_projection(x[:, :1]).interval()
    grid = np.linspace(-6, 6, 2001)
    density = np.exp(-(grid**2) / 2) * special.expit(-1.5 * grid)
    on_controls = 1 + np.average(grid, weights=density)
    many = rng.normal(size=(MANY, 5))
    overlap = est.propensity(many).min(axis=1).to_numpy() >= 0.1
    return {
        "ATC (95 %)": holds(est.atc_interval(), on_controls),
        "ATO (95 %)": holds(est.ato_interval(), 1.0),
        "trimmed ATE (95 %)": holds(est.ate_interval(trim=0.1), 1 + many[overlap, 0].mean()),
        "projection, constant (95 %)": float(lower[0] <= 1 <= upper[0]),
        "projection, slope (95 %)": float(lower[1] <= 1 <= upper[1]),
    }


def decisions(replication: int) -> Row:
    """Groups that are looked at together, trees, and what policies are worth."""
    rng = np.random.default_rng([replication, 3])
    x = rng.normal(size=(1000 + MANY, 5))
    effect = 0.3 + x[:, 1]
    treated = (rng.random(1000) < special.expit(x[:1000, 0])).astype(int)
    mu0 = x[:, 0] + np.sin(2 * x[:, 1])
    y = (mu0 + effect * np.append(treated, np.zeros(MANY)))[:1000] + rng.normal(size=1000)
    train, fresh, many = slice(500), slice(500, 1000), slice(1000, None)
    est = fit(replication, x[train], y[train], treated[train])

    def group(rows: slice, cuts: list[float]) -> np.ndarray:
        return np.digitize(x[rows, 1], cuts)

    fifths, halves = [-1.0, -0.3, 0.3, 1.0], [0.0]
    together = est.gate_inference(group(train, fifths)).simultaneous_frame()
    apart = est.gate_interval(group(fresh, halves), x[fresh], y[fresh], treated[fresh])
    tree = EffectTree(max_depth=2).fit(est, x[fresh])
    own_tree = EffectTree(max_depth=2).fit(est, x[train])
    leaves = tree.averages(x[fresh], y[fresh], treated[fresh]).summary_frame()
    own_leaves = own_tree.inference_.summary_frame()
    scores = aipw_scores(
        y[fresh],
        treated[fresh],
        propensity=est.propensity(x[fresh]),
        outcomes=est.predict_outcomes(x[fresh]),
    )
    policy = PolicyTree().fit(x[train], est.scores_frame())
    value = policy.value_inference(x[fresh], scores)
    predicted = est.predict(x[many])
    best = policy_value((est.predict(x[fresh]) > 0).astype(int), scores)
    autoc = rate_inference(est.predict(x[fresh]), scores)

    def worth(treats: np.ndarray) -> float:
        return (mu0[many] + effect[many] * treats).mean()

    return {
        "5 groups together (95 %)": float(
            holds(_ends(together), _means(effect[many], group(many, fifths))) == 1
        ),
        "groups of fresh rows (95 %)": holds(apart, _means(effect[many], group(many, halves))),
        "leaves, fresh rows (95 %)": holds(
            _ends(leaves), _means(effect[many], tree.apply(x[many]), leaves.index)
        ),
        "leaves, training rows (95 %)": holds(
            _ends(own_leaves), _means(effect[many], own_tree.apply(x[many]), own_leaves.index)
        ),
        "value of a policy tree (95 %)": holds(value.interval(), worth(policy.predict(x[many]))),
        "value of the better arm (95 %)": holds(best.interval(), worth(predicted > 0)),
        "AUTOC (95 %)": holds(autoc.interval(), rate_score(predicted, effect[many])),
    }


def _means(values: np.ndarray, of: np.ndarray, groups: Any = None) -> np.ndarray:
    """Mean in each group, in sorted order or that of some groups."""
    means = pd.Series(values).groupby(of).mean()
    return (means if groups is None else means.loc[groups]).to_numpy()


def _ends(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["ci_lower"].to_numpy(), table["ci_upper"].to_numpy()


def binary(replication: int) -> Row:
    """Averages and effects of a binary outcome, on several scales."""
    rng = np.random.default_rng([replication, 4])
    x = rng.normal(size=(500 + MANY, 5))
    treated = rng.random(500) < special.expit(x[:500, 0])
    mu = special.expit(np.stack([x[:, 0] - 1, x[:, 0] + 0.5 * x[:, 1]]))
    y = (rng.random(500) < np.where(treated, mu[1, :500], mu[0, :500])).astype(int)
    est = fit(replication, x[:500], y, treated)
    control, average = mu[:, 500:].mean(axis=1)
    new = x[500 : 500 + TEST_ROWS]
    effect = (mu[1] - mu[0])[500 : 500 + TEST_ROWS]
    odds = average / (1 - average) / (control / (1 - control))
    return {
        "ATE (95 %)": holds(est.ate_interval(), average - control),
        "risk ratio (95 %)": holds(est.ate_interval(scale="ratio"), average / control),
        "odds ratio (95 %)": holds(est.ate_interval(scale="odds"), odds),
        "effect (90 %)": holds(est.effect_interval(new, alpha=0.1), effect),
    }


def sites(replication: int) -> Row:
    """The average where a column of fifty levels, as strings, confounds."""
    rng = np.random.default_rng(replication)
    site, shift = rng.integers(N_SITES, size=1000), rng.normal(size=N_SITES)
    x = rng.normal(size=(1000, 3))
    treated = rng.random(1000) < special.expit(shift[site] + 0.3 * x[:, 0])
    effect = 1 + 0.5 * x[:, 1]
    y = 2 * shift[site] + x[:, 0] + effect * treated + rng.normal(size=1000)
    X = pd.DataFrame(x, columns=list("abc")).assign(site=[f"site {k}" for k in site])
    est = fit(replication, X, y, treated)
    return {
        "ATE (95 %)": holds(est.ate_interval(), 1.0),
        "error of the ATE": est.ate() - effect.mean(),
    }


def clustered(replication: int) -> Row:
    """Averages in a confounded study of few clusters."""
    rng = np.random.default_rng([replication, 1])  # the study has its own
    split = draw_interval_study("smooth", 500, replication)
    people = split.train
    cluster = rng.integers(N_CLUSTERS, size=len(people.y))
    often = rng.normal(size=N_CLUSTERS)[cluster]
    mu0 = people.mu[:, 0]
    treated = rng.random(len(mu0)) < special.expit((mu0 - mu0.mean()) / mu0.std() + often)
    shared, own = INTRA_CLASS**0.5, (1 - INTRA_CLASS) ** 0.5
    noise = shared * rng.normal(size=N_CLUSTERS)[cluster] + own * rng.normal(size=len(mu0))
    y = np.where(treated, people.mu[:, 1], mu0) + NOISE_SD * noise
    est = fit(replication, people.X, y, treated.astype(int), groups=cluster)
    effect = np.concatenate([people.effect, split.test.effect])
    group = np.concatenate([people.X["x1"], split.test.X["x1"]]) > 0
    mu0 = np.concatenate([mu0, split.test.mu[:, 0]])
    # of a new person: the chance of treatment, averaged over clusters
    surface = (mu0 - mu0.mean()) / mu0.std()
    chance = special.expit(surface[:, None] + rng.normal(size=400)).mean(axis=1)
    return averages(est, people.X["x1"] > 0, effect.mean(), effect, chance, group)


def averages(
    est: HyperCATE,
    rows: pd.Series,
    ate: float,
    effect: np.ndarray,
    treated: np.ndarray,
    group: np.ndarray,
) -> Row:
    """Whether the intervals of a fit's averages hold those of the effects of a population."""
    lower, upper = est.gate_interval(rows)
    return {
        "ATE (95 %)": holds(est.ate_interval(), ate),
        "ATT (95 %)": holds(est.att_interval(), np.average(effect, weights=treated)),
        "GATE x1 <= 0 (95 %)": holds((lower[False], upper[False]), effect[~group].mean()),
        "GATE x1 > 0 (95 %)": holds((lower[True], upper[True]), effect[group].mean()),
    }


def constant_effect(replication: int, rows: int, columns: int, confounded: bool) -> Row:
    """Whether the test finds heterogeneity where there is none."""
    rng = np.random.default_rng(replication)
    x = rng.normal(size=(rows, columns))
    surface = x[:, 0] + np.sin(2 * x[:, 1]) + 0.5 * x[:, 2] * x[:, 3]
    treated = rng.random(rows) < special.expit(0.7 * surface * confounded)
    y = surface + 0.5 * treated + rng.normal(size=rows)
    test = fit(replication, x, y, treated).heterogeneity_test()
    pvalue = test.xs("differential_prediction", level="term")["pvalue"].iloc[0]
    return {"rejects (5 %)": float(pvalue < 0.05), "effects constant": float(pvalue == 1.0)}


def unbiased(replication: int) -> Row:
    """Coverage of effects by least squares in place of networks."""
    rng = np.random.default_rng(replication)
    n, p = 1000, 5
    x = rng.normal(size=(n + TEST_ROWS, p))
    slopes, slopes_of_effect = rng.normal(size=(2, p))
    treated = rng.random(n) < special.expit(0.5 * x[:n] @ slopes)
    effect = 1 + x @ slopes_of_effect
    y = x[:n] @ slopes + effect[:n] * treated + rng.normal(size=n)
    est = LeastSquares(random_state=replication, inputs="raw", sharing="independent")
    est.fit(x[:n], y, treated)
    inference = est.effect_inference(x[n:])
    return {
        f"effect ({level:.0%})": holds(inference.interval(1 - level), effect[n:])
        for level in LEVELS
    }


def noise(replication: int, inputs: str) -> Row:
    """Excess of the squared error over the noise's, at judged and at fresh rows."""
    rng = np.random.default_rng(replication)
    x = rng.normal(size=(500 + TEST_ROWS, 5))
    treated = rng.integers(2, size=500)
    y = rng.normal(size=500)
    est = fit(replication, x[:500], y, treated, inputs=inputs)
    fitted = est.fitted_
    judged = fitted.evidence
    own = judged.outcomes[np.arange(len(judged.row)), judged.arm[judged.row]]
    fresh = fitted.networks.by_model(fitted.features.transform(x[500:]), torch.device("cpu"))
    excess = np.mean((y[judged.row] - own) ** 2 - y[judged.row] ** 2), np.mean(fresh**2)
    return {"excess at judged rows": excess[0], "at fresh rows": excess[1],
            "difference": excess[0] - excess[1]}  # fmt: skip


STUDIES: dict[str, Callable[[int], Row]] = {
    "smooth": smooth,
    "persons": persons,
    "clustered": clustered,
    "null-randomised": partial(constant_effect, rows=500, columns=5, confounded=False),
    "null-confounded": partial(constant_effect, rows=500, columns=20, confounded=True),
    "null-wide": partial(constant_effect, rows=300, columns=50, confounded=True),
    "unbiased": unbiased,
    "count": partial(ratios, kind="count"),
    "positive": partial(ratios, kind="positive"),
    "time": partial(times, outcome="time"),
    "survival": partial(times, outcome="survival"),
    "populations": populations,
    "decisions": decisions,
    "binary": binary,
    "sites": sites,
    "noise-raw": partial(noise, inputs="raw"),
    "noise-boosted": partial(noise, inputs="boosted"),
}


class LeastSquares(HyperCATE):
    """HyperCATE with an arm's least squares, written as a network, in place of its networks.

    The hidden layer holds each input and its negative, of which ReLU keeps one, so that their
    difference, times a coefficient, is linear.
    """

    def _ensembles(self, outcomes, folds, *_) -> list[Ensemble]:
        (encoded,) = outcomes
        study = encoded.study
        p, k, m = study.x.shape[1], study.n_conditions, folds.n_models
        hypernet = HyperNet(
            net=OutcomeNet(p, (2 * p,), "relu"), n_arms=k, generation="none", n_chunks=1,
            n_heads=1, embedding_dim=1, hidden=(1,), dropout=0.0, spectral_norm=False,
        )  # fmt: skip
        design = np.column_stack([study.x, np.ones(len(study.x))])
        first = np.hstack([np.eye(p), -np.eye(p)]).ravel()
        theta = np.empty((m, k, hypernet.net.n_weights), np.float32)
        for model, judged in enumerate(folds.judges):
            for arm in range(k):
                rows = ~judged & (study.condition == arm)
                *slopes, intercept = np.linalg.lstsq(design[rows], study.y[rows], rcond=None)[0]
                last = np.append(slopes, np.negative(slopes))
                theta[model, arm] = np.concatenate([first, np.zeros(2 * p), last, [intercept]])
        weights = torch.as_tensor(theta)
        generator = Generator(hypernet, {"own": theta}, {"apart": np.ones_like(theta[:, 0])})
        choice = Choice(
            ("least squares",), ("raw",), np.zeros((m, 1)), np.zeros(m, int), np.zeros((0, 4)),
            emitted=np.zeros(m), effects=networks_alone(m),
        )  # fmt: skip
        ensemble = Ensemble(
            hypernet.net, TLearner(encoded.family), (generator,), weights, weights, None,
            np.zeros(m), np.ones(m), choice, emission=None, stages=(), effects=None,
        )  # fmt: skip
        return [ensemble]


def fit(replication: int, X: Any, y: Any, treatment: Any, groups: Any = None, **options: Any):
    est = HyperCATE(random_state=replication, device="cpu", **options)
    return est.fit(X, y, treatment, groups=groups)


def holds(bounds: tuple, truth: float | np.ndarray) -> float:
    """Share of the truths that lie within the bounds."""
    return coverage(*np.atleast_1d(truth, *bounds))


def replicate(study: str, replication: int) -> dict[str, Any]:
    """One row of a study's file."""
    torch.set_num_threads(1)
    return {"study": study, "replication": replication} | STUDIES[study](replication)


def report(study: str, results: pd.DataFrame) -> str:
    """Mean and its standard error of each figure of a study, as a Markdown table."""
    lines = [
        f"{study}, {len(results)} replications",
        "",
        "| | mean | s.e. |",
        "| --- | --- | --- |",
    ]
    for name, values in results.drop(columns=["study", "replication"]).items():
        number = study.startswith("noise") or name.endswith("width")
        show = "{:.4f}" if number else "{:.1%}"
        error = values.std() / len(values) ** 0.5
        lines.append(f"| {name} | {show.format(values.mean())} | {show.format(error)} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", default="all", metavar="LIST", help="a,b or all")
    parser.add_argument("--replications", type=int, default=200, metavar="N", help="default: 200")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/coverage"), metavar="DIR")
    options = parser.parse_args(arguments)
    studies = list(STUDIES) if options.studies == "all" else options.studies.split(",")
    unknown = [study for study in studies if study not in STUDIES]
    if unknown:
        parser.error(f"unknown study {unknown[0]!r}; there are {', '.join(STUDIES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    texts = []
    for study in studies:
        path = options.out / f"{study}.csv"
        done = set(pd.read_csv(path)["replication"]) if path.exists() else set()
        tasks = [(study, n) for n in range(1, options.replications + 1) if n not in done]
        progress = tqdm(append(replicate, tasks, path, options.jobs), study, total=len(tasks))
        for _ in progress:
            pass
        texts.append(report(study, pd.read_csv(path)))
        print(texts[-1])
    (options.out / "coverage.md").write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
