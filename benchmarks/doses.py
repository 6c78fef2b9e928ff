"""Treatments that are doses: error of each row's effect curve beside EconML's learners.

    python benchmarks/doses.py --rows 500 2000 --jobs 2 --out results/doses

The dose t lies between 0 and 10, more for large x1: ``10 expit((3 x1 + 5 z) / 5)`` with z standard
normal. Mean outcomes, with standard normal noise of half size:

- ``saturating``: five normal columns, ``sin(x1) + x2 + (2 + x3) t / (t + 3)``;
- ``bending``: the same columns, ``x1 + (1 + x2) sin(pi t / 5) + x3 t / 10``;
- ``ihdp``: the covariates of IHDP (Hill, 2011), standardised, so many of them at random, with
  ``sin(x1) + b'x / 2 + (2 + tanh(a'x)) (t / 10)^2 + (1 - t / 10) c'x / 2``, directions a, b and c
  of unit length being drawn for each replication; x1 is the first covariate, birth weight.

``drugs`` has arms beside doses: 5 normal columns, a fraction s drawn as ``t / 10`` above, and two
drugs of which "A" is given in 10 s mg and "B" in 200 s mg, or "none", with probabilities in
proportion to ``exp(0.7 x1)``, ``exp(-0.7 x1)`` and 1. Mean outcomes are ``sin(x1) + x2``, to which
A adds ``(2 + x3) s / (s + 0.3)`` and B ``2.5 (2 + x3) s (1 - s) + x4 s``.

A curve is what a dose adds to the outcome at the least dose of the grid, at 15 doses between the
5th and the 95th percentile of those received; the error is the root of its mean square over doses
and 1000 fresh rows (of ``ihdp``, rows drawn again). "LinearDML, cubic" has the first three powers
of the dose for treatments, the causal forest too. Of ``drugs`` there is a curve for each drug, of
what its doses add to the outcome of "none", at 15 doses between the 5th and the 95th percentile of
its own; "arm by arm" is a model of doses for each drug, which takes "none" for the dose 0 of it;
treatments of EconML's learners are the first three powers of each drug's dose, and boosting reads
both columns. Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from hypercate import HyperCATE
from hypercate.benchmark import harness, peers, scripts
from hypercate.commands.benchmark import replications
from hypercate.datasets import load_ihdp

TEST_ROWS, N_DOSES, NOISE = 1000, 15, 0.5
MOST = {"A": 10.0, "B": 200.0}  # mg of the drugs
BASELINE = "HyperCATE"
KEY = ["study", "rows", "replication", "learner"]
Mean = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Training rows, fresh rows, and their true curves.

    Attributes
    ----------
    X, new : DataFrame
    y, dose : ndarray, shape (rows,)
    doses : ndarray, shape (N_DOSES,)
        The grid.
    curve : ndarray, shape (TEST_ROWS, N_DOSES - 1)
        What its other doses add at the fresh rows to the outcome at its first.
    """

    X: pd.DataFrame
    new: pd.DataFrame
    y: np.ndarray
    dose: np.ndarray
    doses: np.ndarray
    curve: np.ndarray


@dataclass(frozen=True)
class ArmSample:
    """Training rows of several arms, fresh rows, and their true curves.

    Attributes
    ----------
    X, new : DataFrame
    y : ndarray, shape (rows,)
    treatment : DataFrame, shape (rows, 2)
        ``drug`` and ``mg``.
    doses : dict of ndarray, shape (N_DOSES,)
        Grid of each drug.
    curve : ndarray, shape (TEST_ROWS, 2 N_DOSES)
        What the doses, drug by drug, add at the fresh rows to the outcome without any.
    """

    X: pd.DataFrame
    new: pd.DataFrame
    y: np.ndarray
    treatment: pd.DataFrame
    doses: dict[str, np.ndarray]
    curve: np.ndarray


def _directions(rng: np.random.Generator, n: int, n_columns: int) -> np.ndarray:
    drawn = rng.normal(size=(n, n_columns))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _saturating(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.sin(x[:, 0]) + x[:, 1] + (2 + x[:, 2]) * t / (t + 3)


def _bending(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return x[:, 0] + (1 + x[:, 1]) * np.sin(np.pi * t / 5) + x[:, 2] * t / 10


def _ihdp(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, Mean]:
    covariates = StandardScaler().fit_transform(load_ihdp(1, source="npci").train.X)
    a, b, c = _directions(rng, 3, covariates.shape[1])

    def mean(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        own = np.sin(x[:, 0]) + x @ b / 2
        return own + (2 + np.tanh(x @ a)) * (t / 10) ** 2 + (1 - t / 10) * (x @ c) / 2

    chosen = rng.integers(len(covariates), size=rows + TEST_ROWS)
    return covariates[chosen[:rows]], covariates[chosen[rows:]], mean


def draw_drugs(rows: int, replication: int) -> ArmSample:
    """A sample of the study of two drugs."""
    rng = np.random.default_rng(replication)
    x, new = rng.normal(size=(rows, 5)), rng.normal(size=(TEST_ROWS, 5))
    logits = np.column_stack([np.zeros(rows), 0.7 * x[:, 0], -0.7 * x[:, 0]])
    drug = np.array(["none", *MOST])[np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)]
    share = expit(0.6 * x[:, 0] + rng.normal(size=rows))
    effect = np.select(
        [drug == name for name in MOST], [_added(name, x, share) for name in MOST], 0
    )
    y = np.sin(x[:, 0]) + x[:, 1] + effect + NOISE * rng.normal(size=rows)
    share = np.where(drug == "none", 0.0, share)
    most = pd.Series(MOST | {"none": 0.0})[drug].to_numpy()
    grid = {
        name: np.linspace(*np.quantile(share[drug == name], [0.05, 0.95]), N_DOSES) for name in MOST
    }
    curve = [_added(name, new, s) for name, of in grid.items() for s in of]
    names = [f"x{j + 1}" for j in range(x.shape[1])]
    return ArmSample(
        pd.DataFrame(x, columns=names),
        pd.DataFrame(new, columns=names),
        y,
        pd.DataFrame({"drug": drug, "mg": most * share}),
        {name: MOST[name] * of for name, of in grid.items()},
        np.column_stack(curve),
    )


def _added(drug: str, x: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """What a share of the most of a drug adds."""
    if drug == "A":
        return (2 + x[:, 2]) * share / (share + 0.3)
    return 2.5 * (2 + x[:, 2]) * share * (1 - share) + x[:, 3] * share


def draw(study: str, rows: int, replication: int) -> Sample:
    """A sample of a study."""
    rng = np.random.default_rng(replication)
    if study == "ihdp":
        x, new, mean = _ihdp(rng, rows)
    else:
        x, new = rng.normal(size=(rows, 5)), rng.normal(size=(TEST_ROWS, 5))
        mean = {"saturating": _saturating, "bending": _bending}[study]
    dose = 10 * expit(0.6 * x[:, 0] + rng.normal(size=rows))
    y = mean(x, dose) + NOISE * rng.normal(size=rows)
    doses = np.linspace(*np.quantile(dose, [0.05, 0.95]), N_DOSES)
    at = np.column_stack([mean(new, np.full(TEST_ROWS, t)) for t in doses])
    names = [f"x{j + 1}" for j in range(x.shape[1])]
    return Sample(
        pd.DataFrame(x, columns=names),
        pd.DataFrame(new, columns=names),
        y,
        dose,
        doses,
        at[:, 1:] - at[:, [0]],
    )


def _hypercate(sample: Sample, seed: int) -> np.ndarray:
    est = HyperCATE(treatment_kind="dose", random_state=seed, device="cpu")
    at = est.fit(sample.X, sample.y, sample.dose).dose_response(sample.new, sample.doses)
    return at[:, 1:] - at[:, [0]]


def _ranges(sample: Sample, seed: int) -> np.ndarray:
    """HyperCATE with thirds of the doses for arms, interpolated between their medians."""
    third = pd.qcut(sample.dose, 3, labels=False)
    centre = [np.median(sample.dose[third == k]) for k in range(3)]
    est = HyperCATE(random_state=seed, device="cpu").fit(sample.X, sample.y, third)
    outcomes = est.predict_outcomes(sample.new)
    at = np.stack([np.interp(sample.doses, centre, row) for row in outcomes])
    return at[:, 1:] - at[:, [0]]


def _one_model(sample: Sample, seed: int) -> np.ndarray:
    """One boosted model that reads the dose beside the covariates."""
    model = HistGradientBoostingRegressor(random_state=seed)
    model.fit(np.column_stack([sample.X, sample.dose]), sample.y)
    at = np.column_stack(
        [
            model.predict(np.column_stack([sample.new, np.full(TEST_ROWS, dose)]))
            for dose in sample.doses
        ]
    )
    return at[:, 1:] - at[:, [0]]


def _econml(estimator: object, sample: Sample) -> np.ndarray:
    with peers.quiet():
        estimator.fit(sample.y, sample.dose[:, None], X=sample.X.to_numpy())
        new, first = sample.new.to_numpy(), sample.doses[0]
        return np.column_stack(
            [estimator.effect(new, T0=first, T1=dose).ravel() for dose in sample.doses[1:]]
        )


def _drugs(sample: ArmSample, seed: int) -> np.ndarray:
    est = HyperCATE(treatment_kind="dose", control="none", random_state=seed, device="cpu")
    est.fit(sample.X, sample.y, sample.treatment)
    curves = [est.dose_response(sample.new, of, arm=drug) for drug, of in sample.doses.items()]
    return np.hstack(curves) - est.dose_response(sample.new, [0.0], arm="none")


def _arm_by_arm(sample: ArmSample, seed: int) -> np.ndarray:
    curves = []
    for drug, doses in sample.doses.items():
        own = sample.treatment["drug"].isin(["none", drug]).to_numpy()
        est = HyperCATE(treatment_kind="dose", control=0.0, random_state=seed, device="cpu")
        est.fit(sample.X[own], sample.y[own], sample.treatment.loc[own, "mg"])
        at = est.dose_response(sample.new, np.append(0.0, doses))
        curves.append(at[:, 1:] - at[:, [0]])
    return np.hstack(curves)


def _one_model_of_drugs(sample: ArmSample, seed: int) -> np.ndarray:
    """One boosted model that reads drug and dose beside the covariates."""
    code = ["none", *MOST].index
    drug = sample.treatment["drug"].map(code)
    last = sample.X.shape[1]
    model = HistGradientBoostingRegressor(categorical_features=[last], random_state=seed)
    model.fit(np.column_stack([sample.X, drug, sample.treatment["mg"]]), sample.y)

    def at(drug: str, mg: float) -> np.ndarray:
        treatment = np.tile([code(drug), mg], (TEST_ROWS, 1))
        return model.predict(np.column_stack([sample.new, treatment]))

    curves = [at(drug, mg) for drug, doses in sample.doses.items() for mg in doses]
    return np.column_stack(curves) - at("none", 0.0)[:, None]


def _powers(drug: np.ndarray, mg: np.ndarray) -> np.ndarray:
    """The first three powers of each drug's dose, which is 0 where another was given."""
    share = np.column_stack([np.where(drug == name, mg / most, 0) for name, most in MOST.items()])
    return np.hstack([share, share**2, share**3])


def _econml_of_drugs(estimator: object, sample: ArmSample) -> np.ndarray:
    treatment = sample.treatment
    with peers.quiet():
        powers = _powers(treatment["drug"].to_numpy(), treatment["mg"].to_numpy())
        estimator.fit(sample.y, powers, X=sample.X.to_numpy())
        each = estimator.const_marginal_effect(sample.new.to_numpy())
    grid = [_powers(np.repeat(drug, N_DOSES), doses) for drug, doses in sample.doses.items()]
    return each.reshape(TEST_ROWS, -1) @ np.vstack(grid).T


def _linear_of_drugs(sample: ArmSample, seed: int) -> np.ndarray:
    from econml.dml import LinearDML

    return _econml_of_drugs(LinearDML(random_state=seed), sample)


def _forest_of_drugs(sample: ArmSample, seed: int) -> np.ndarray:
    from econml.dml import CausalForestDML

    return _econml_of_drugs(CausalForestDML(n_jobs=1, random_state=seed), sample)


def _linear(sample: Sample, seed: int) -> np.ndarray:
    from econml.dml import LinearDML

    cubic = PolynomialFeatures(3, include_bias=False)
    return _econml(LinearDML(treatment_featurizer=cubic, random_state=seed), sample)


def _forest(sample: Sample, seed: int) -> np.ndarray:
    from econml.dml import CausalForestDML

    cubic = PolynomialFeatures(3, include_bias=False)
    forest = CausalForestDML(treatment_featurizer=cubic, n_jobs=1, random_state=seed)
    return _econml(forest, sample)


LEARNERS: dict[str, Callable[[Sample, int], np.ndarray]] = {
    BASELINE: _hypercate,
    "HyperCATE, thirds": _ranges,
    "LinearDML, cubic": _linear,
    "CausalForestDML, cubic": _forest,
    "S boosting": _one_model,
}
OF_DRUGS: dict[str, Callable[[ArmSample, int], np.ndarray]] = {
    BASELINE: _drugs,
    "HyperCATE, arm by arm": _arm_by_arm,
    "LinearDML, cubic": _linear_of_drugs,
    "CausalForestDML, cubic": _forest_of_drugs,
    "S boosting": _one_model_of_drugs,
}
DRUGS = "drugs"
STUDIES = ("saturating", "bending", "ihdp", DRUGS)


def measure(study: str, rows: int, replication: int, learner: str) -> dict[str, object]:
    """Error of a learner's curves, and seconds of its fit and curves."""
    sample: Any = draw_drugs(rows, replication)
    learners: Mapping[str, Callable[[Any, int], np.ndarray]] = OF_DRUGS
    if study != DRUGS:
        sample, learners = draw(study, rows, replication), LEARNERS
    with harness.one_thread():
        start = time.perf_counter()
        curve = learners[learner](sample, replication)
        seconds = time.perf_counter() - start
    return dict(zip(KEY, (study, rows, replication, learner), strict=True)) | {
        "error": np.sqrt(np.mean((curve - sample.curve) ** 2)),
        "curve_sd": sample.curve.std(),
        "seconds": seconds,
    }


def to_markdown(results: pd.DataFrame) -> str:
    lines = [
        "| study | rows | learner | error | median | over the sd of curves | seconds | n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (study, rows, learner), own in results.groupby(KEY[:2] + KEY[3:], sort=False):
        lines.append(
            f"| `{study}` | {rows} | {learner} | {own.error.mean():.3f} ± {own.error.sem():.3f} | "
            f"{own.error.median():.3f} | {own.error.mean() / own.curve_sd.mean():.2f} | "
            f"{own.seconds.mean():.1f} | {len(own)} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    every = list(LEARNERS | OF_DRUGS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--rows", nargs="+", type=int, default=[500, 2000], metavar="N")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--learners", nargs="+", choices=every, default=every)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--out", type=Path, default=Path("results/doses"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = [
        (study, rows, replication, learner)
        for study in options.studies
        for rows in options.rows
        for replication in options.replications
        for learner in options.learners
        if learner in (OF_DRUGS if study == DRUGS else LEARNERS)
    ]
    scripts.measure_and_report(measure, wanted, KEY, to_markdown, options.out, options.jobs)


if __name__ == "__main__":
    main()
