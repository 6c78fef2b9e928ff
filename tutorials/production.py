# %% [markdown]
# # Production: from files of rows to a scored table and a report
#
# A model is fitted once and used for months: by a job that runs every night, by a web service, by
# colleagues who want to read its results. Here a shop has one file of customers per month. Some
# customers got a letter, and the shop wants to know whom to write to. The tutorial has five steps:
#
# 1. a model is fitted to a sample of the rows, so that not all rows have to be in memory
#    (`sample_rows`);
# 2. it is saved to a file that contains no data of single customers;
# 3. all rows are scored from the command line (`hypercate predict`);
# 4. a one-page report is written for the people who decide (`hypercate.report`);
# 5. single customers are scored as they come (`compiled`), and the model learns from a new month
#    (`partial_fit`).
#
# The customers are simulated, so that the true effects are known. Run it as it is
# (`python tutorials/production.py --out FOLDER`), or cell by cell in an editor that knows `# %%`.
# It needs `pip install ".[plots,files]"` and no download.

# %%
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from scipy.special import expit

from hypercate import HyperCATE, plots, report, sample_rows

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

# %% [markdown]
# ## The files
#
# There are three months with 40,000 customers each. Three in a hundred got the letter, and
# customers who visit often got it more often. It raises what a customer spends by 4 on the mainland
# and by 1 on the islands, and by less the older the customer.

# %%
rng = np.random.default_rng(0)


def true_effect(X):
    return 1.0 + 3 * (X["region"] == "mainland") - 0.05 * (X["age"] - 45)


def customers(n):
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "visits": rng.poisson(3, n)})
    X["region"] = rng.choice(["mainland", "islands"], n, p=[0.7, 0.3])
    letter = rng.random(n) < 0.06 * expit(0.5 * (X["visits"] - 3))
    spent = 20 + 2 * X["visits"] + letter * true_effect(X) + 6 * rng.normal(size=n)
    return X.assign(letter=np.where(letter, "letter", "none"), spent=spent)


COVARIATES = ["age", "visits", "region"]
(folder / "months").mkdir()
for month in ("2026-01", "2026-02", "2026-03"):
    rows = customers(40_000)
    rows.insert(0, "customer", [f"{month}-{i:05}" for i in range(len(rows))])
    rows.to_parquet(folder / "months" / f"{month}.parquet", index=False)
print(rows.head(3).round(1).to_string())

# %% [markdown]
# ## 1. A sample stands for all rows
#
# The files are read once, a block at a time. All rows with a letter are kept, since they are rare,
# and some of the others; weights make the sample stand for all.

# %%
files = ds.dataset(folder / "months")
sample = sample_rows(files.to_batches(), "letter", max_rows=8000, random_state=0)
print(sample.counts)

rows = sample.rows
est = HyperCATE(control="none", effort="fast", random_state=0)
est.fit(rows[COVARIATES], rows["spent"], rows["letter"], sample_weight=sample.weight)

# %% [markdown]
# The averages are for all 120,000 customers, although the sample is only a part of them. The output
# also has the truth, and the simple difference of means, which is too large because letters went to
# customers who spend more anyway.

# %%
every = files.to_table().to_pandas()
average = est.ate_inference().summary_frame().loc["letter"]
spent = every.groupby("letter")["spent"].mean()
print(
    f"ATE: {average['point_estimate']:.2f} ({average['ci_lower']:.2f} to "
    f"{average['ci_upper']:.2f}), plain difference: {spent['letter'] - spent['none']:.2f}, "
    f"true: {true_effect(every).mean():.2f}"
)

# %% [markdown]
# ## 2. One file, without customers
#
# With `evidence=False` the file contains no data of single rows: no outcome, no treatment, no
# propensity. Effects and their intervals need none of these.

# %%
model = folder / "letters.hypercate"
est.save(model, evidence=False)
print(f"the model's file has {model.stat().st_size / 1024:.0f} KiB")

# %% [markdown]
# ## 3. All rows are scored from the command line
#
# This is the nightly job. Memory does not grow with the number of rows, and the table appears only
# when it is complete: if anything goes wrong before, no half-written file is left.

# %%
scored = folder / "scored.parquet"
command = ["hypercate", "predict", "letters.hypercate", "months", "--id", "customer"]
command += ["--interval", "0.9", "--out", scored.name]
subprocess.run([sys.executable, "-m", *command], cwd=folder, check=True, capture_output=True)
table = pd.read_parquet(scored)
print(" ".join(command))
print(table.head(3).round(2).to_string())

truth = true_effect(every).to_numpy()
fifth = pd.qcut(table["effect_letter"], 5, labels=["lowest", "low", "middle", "high", "highest"])
by_fifth = pd.DataFrame({"predicted": table["effect_letter"], "true": truth})
print(by_fifth.groupby(fifth, observed=True).mean().round(2).to_string())

figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
for colour, region in zip(plots.COLOURS, ["mainland", "islands"], strict=False):
    axes.hist(table["effect_letter"][every["region"] == region], bins=60, alpha=0.7, color=colour,
              label=region)  # fmt: skip
axes.set(xlabel="predicted effect of the letter on what is spent", ylabel="customers")
axes.set_title("120,000 customers, scored from files", loc="left")
axes.legend(frameon=False)
figure.savefig(out / "production_effects.png", dpi=150)

# %% [markdown]
# ## 4. A page for those who decide
#
# One file of HTML that needs no network: data and overlap, effects, for whom they are large,
# averages, limits, and a card of the model. What rests on single rows is of the model in memory.

# %%
page = report(est, rows[COVARIATES], title="Letters to customers")
page.save(folder / "letters.html")
size = (folder / "letters.html").stat().st_size / 1024
print(f"{len(page.sections)} sections in {size:.0f} KiB")

# %% [markdown]
# ## 5. One customer at a time, and a new month
#
# `compiled` makes a model ready for single rows, which can be dicts, as a web service has them. Its
# answers are those of `predict`.

# %%
ready = HyperCATE.load(model).compiled()
visitor = {"age": 31.0, "visits": 6, "region": "mainland"}
effect = float(np.ravel(ready.predict(visitor))[0])
print(f"effect for the visitor: {effect:.2f}, true: {true_effect(visitor):.2f}")

# %% [markdown]
# A month later there are further rows. `partial_fit` learns from them in seconds, and the averages
# are of old and new rows. Fit again with all rows when there is time: that is more accurate.

# %%
april = sample_rows([customers(40_000)], "letter", max_rows=3000, random_state=1)
est.partial_fit(
    april.rows[COVARIATES], april.rows["spent"], april.rows["letter"], sample_weight=april.weight
)
average = est.ate_inference().summary_frame().loc["letter"]
print(f"ATE with April: {average['point_estimate']:.2f}, standard error {average['stderr']:.2f}")
temporary.cleanup()

# %% [markdown]
# ## What you can do now
#
# - Fit a model to more rows than memory holds, and state averages of all of them:
#   [More rows than memory](../docs/large.md).
# - Hand on a model without handing on the rows: [Saving and production](../docs/saving.md).
# - Score files every night from the [command line](../docs/command-line.md), and single rows in a
#   [service](../docs/serving.md).
# - Give those who decide [one page](../docs/report.md) that they can read without you.
