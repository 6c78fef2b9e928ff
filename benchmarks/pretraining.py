"""What the pre-trained generator gains from more worlds, its size, what it reads, what worlds hold.

    python benchmarks/pretraining.py --steps 400 --jobs 2 --out results/pretraining-study

Generators are trained briefly and from nothing, one choice changed at a time, and judged on worlds
that none was trained on and on studies of `few_rows.py` that are reported nowhere else (seeds from
3001 on), by the error of ``HyperCATE(effort="instant")``. Every variant meets the same studies, so
errors are compared by pairs: *over the first* is the mean over the studies of the ratio of mean
errors to the first variant's, with the standard error over the replications of the mean of log
ratios. Results are kept as they come: the same command resumes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from few_rows import STUDIES
from tqdm import tqdm

from hypercate import HyperCATE
from hypercate.benchmark import harness
from hypercate.commands.benchmark import replications
from hypercate.metrics import sqrt_pehe
from hypercate.pretraining import summaries
from hypercate.pretraining.summaries import Summaries
from hypercate.pretraining.training import Recipe, held_out_error, train
from hypercate.pretraining.weights import pretrained

CPU = torch.device("cpu")
ROWS = (100, 500)
FIRST_SEED = 3001
HELD_OUT = 20  # batches
LINEAR = 2 + len(summaries.PENALTIES)  # summaries of a column before those of residuals
FIRST = "all of it"
KEY = ["variant", "study", "rows", "replication"]
Told = Callable[[Summaries], Summaries]


@dataclass(frozen=True)
class Variant:
    """A generator that is trained otherwise.

    Attributes
    ----------
    steps : float
        Over those of the other variants; 0 for the weights that come with the package.
    recipe : dict
        Of `Recipe`.
    without : tuple of str
        What worlds leave out.
    told : callable, optional
        What is left of the summaries.
    """

    steps: float = 1.0
    recipe: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    told: Told | None = None


def no_pairs(told: Summaries) -> Summaries:
    return replace(told, pairs=torch.zeros_like(told.pairs))


def no_residuals(told: Summaries) -> Summaries:
    columns = told.columns.clone()
    columns[..., LINEAR:] = 0
    return replace(told, columns=columns)


VARIANTS = {
    FIRST: Variant(),
    "as it comes with the package": Variant(steps=0),
    "a quarter of the worlds": Variant(steps=1 / 4),
    "half of the worlds": Variant(steps=1 / 2),
    "twice as many worlds": Variant(steps=2),
    "width 32": Variant(recipe={"width": 32}),
    "32 hidden units": Variant(recipe={"n_units": 32}),
    "1 round": Variant(recipe={"n_rounds": 1}),
    "2 rounds": Variant(recipe={"n_rounds": 2}),
    "not told of pairs of columns": Variant(told=no_pairs),
    "not told of residuals by shape": Variant(told=no_residuals),
    "no bumps, networks or waves": Variant(without=("bumps", "network", "additive")),
    "no steps or trees": Variant(without=("steps", "trees")),
    "no products, cubes or exponentials": Variant(without=("products", "cubic", "exponential")),
    "no effects that are null or constant": Variant(without=("null", "constant")),
    "no effects of few columns": Variant(without=("few_columns",)),
    "no confounding": Variant(without=("confounding",)),
    "normal columns and noise only": Variant(
        without=("binary_columns", "skewed", "heavy_columns", "counts", "one_hot", "missing",
                 "correlation", "unequal_noise", "heavy"),
    ),
}  # fmt: skip


def measure(name: str, steps: int, n_replications: list[int]) -> list[dict[str, object]]:
    """Train a variant, and its errors: a row for the held-out worlds and one for each study."""
    variant = VARIANTS[name]
    recipe = Recipe(steps=max(1, round(variant.steps * steps)), **variant.recipe)
    with harness.one_thread(), ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if variant.told is not None:
            told = variant.told
            stack.enter_context(
                mock.patch(
                    "hypercate.pretraining.emitter.summarise",
                    lambda *study: told(summaries.summarise(*study)),
                )
            )
        path = Path(folder, "weights.safetensors")
        if variant.steps:
            without = frozenset(variant.without)
            emitter = train(recipe, path, CPU, recipe.steps, held_out=1, without=without)
            emitter.requires_grad_(False)
        else:
            emitter = pretrained(CPU)
        worlds = held_out_error(emitter, Recipe(), HELD_OUT, CPU)
        rows = [dict(zip(KEY, (name, "worlds", 0, 0), strict=True)) | {"error": worlds}]
        stack.enter_context(
            mock.patch("hypercate.pretraining.emission.pretrained", return_value=emitter)
        )
        for study in STUDIES:
            for n_rows in ROWS:
                for replication in n_replications:
                    split = STUDIES[study](n_rows, FIRST_SEED - 1 + replication)
                    people = split.train
                    estimator = HyperCATE(effort="instant", device="cpu", random_state=0)
                    estimator.fit(people.X, people.y, people.treatment)
                    error = sqrt_pehe(split.test.effect, estimator.predict(split.test.X))
                    key = dict(zip(KEY, (name, study, n_rows, replication), strict=True))
                    rows.append(key | {"error": error})
    return rows


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant: error on worlds, mean errors at each number of rows, and ratios."""
    errors = results.pivot(index=KEY[1:], columns="variant", values="error")
    errors = errors[[name for name in VARIANTS if name in errors]]
    table = pd.DataFrame({"worlds": errors.xs("worlds").iloc[0]})
    of_studies = errors.drop(index="worlds")
    for n_rows in ROWS:
        table[f"{n_rows} rows"] = of_studies.xs(n_rows, level="rows").mean()
    if FIRST in errors:
        means = of_studies.groupby(["study", "rows"]).mean()
        table["ratio"] = means.div(means[FIRST], axis=0).mean()
        logs = np.log(of_studies.div(of_studies[FIRST], axis=0))
        table["ratio_se"] = logs.groupby("replication").mean().sem()
    return table


def to_markdown(table: pd.DataFrame) -> str:
    lines = [
        "| variant | held-out worlds | studies of 100 rows | of 500 rows | over the first |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in table.iterrows():
        ratio = f"{row.ratio:.3f} ± {row.ratio_se:.3f}" if name != FIRST else ""
        lines.append(
            f"| {name} | {row.worlds:.4f} | {row['100 rows']:.3f} | {row['500 rows']:.3f} | "
            f"{ratio} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="of 16 worlds")
    parser.add_argument("--replications", type=replications, default="1-10", metavar="LIST")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument(
        "--out", type=Path, default=Path("results/pretraining-study"), metavar="DIR"
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.csv"
    done = set(pd.read_csv(path)["variant"]) if path.exists() else set()
    missing = [
        (name, options.steps, options.replications) for name in options.variants if name not in done
    ]
    finished = harness.append(measure, missing, path, options.jobs)
    for _ in tqdm(finished, total=len(missing), unit="variant"):
        pass
    results = pd.read_csv(path, keep_default_na=False)
    text = to_markdown(summarise(results[results["variant"].isin(options.variants)]))
    (options.out / "summary.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
