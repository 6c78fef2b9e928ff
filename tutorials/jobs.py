# %% [markdown]
# # Jobs: policies and the ATT against a randomised experiment
#
# Did job training help people find work, and whom? LaLonde (1986) joined the participants of a
# randomised experiment (the National Supported Work demonstration) with controls from a survey.
# No one's true effect is known, but on the experiment's own rows two things can be measured:
#
# - **policy risk**: the share who would have no job if exactly those with a positive estimated
#   effect were trained, estimated on the people to whom the random draw gave what the policy
#   advises;
# - **ATT**: the estimated average effect on the treated and its interval, against the experiment's
#   difference in means.
#
# Run it as it is (`python tutorials/jobs.py --out FOLDER --folds N`), or cell by cell. It needs
# `pip install ".[benchmark]"`, and the data: downloaded once, or from the folder `HYPERCATE_DATA`.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, overlap_report, plots
from hypercate.datasets import load_jobs
from hypercate.datasets.jobs import REPLICATIONS
from hypercate.metrics import policy_risk

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
parser.add_argument("--folds", type=int, default=REPLICATIONS, help="how many (default: all ten)")
options = parser.parse_known_args()[0]
options.out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Why the naive comparison fails
#
# The survey's controls differ from the experiment's people: compare the groups' ages (standardised)
# and chances of a job. Against all controls the trained look worse off, though the experiment says
# that training helped.


# %%
def difference(sample, rows):
    """Share employed among the treated minus that among the controls, and its standard error."""
    treated, control = (sample.y[rows & (sample.treatment == arm)] for arm in (1, 0))
    variance = treated.var(ddof=1) / len(treated) + control.var(ddof=1) / len(control)
    return treated.mean() - control.mean(), np.sqrt(variance)


train = load_jobs(1).train
group = np.where(train.randomized, "experiment, controls", "survey")
group[train.treatment == 1] = "experiment, treated"
people = train.X[["age", "married"]].assign(employed=train.y)
print(people.groupby(group).mean().round(2).to_string())

everyone = np.ones(len(train), dtype=bool)
print("treated minus all controls: {:+.3f} ± {:.3f}".format(*difference(train, everyone)))
print("within the experiment: {:+.3f} ± {:.3f}".format(*difference(train, train.randomized)))

# %% [markdown]
# ## Who can be compared at all?
#
# Most of the survey's people would never have been in the programme, and no method can tell what it
# would have done for them. `overlap_report` sees that from covariates and treatment alone, and
# `fit` would warn of it. Weighting does not solve this: the covariates still differ afterwards. The
# rows in common support are those of a kind that either arm received: nearly all of the
# experiment's, and a third of the survey's.

# %%
report = overlap_report(train.X, train.treatment)
print(report)
supported = report.common_support.to_numpy()
for name, rows in (("experiment", train.randomized), ("survey", ~train.randomized)):
    print(f"in common support: {supported[rows].mean():.0%} of the {name}'s rows")

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
plots.plot_overlap(report, ax=left)
plots.plot_balance(report, ax=right)
figure.savefig(options.out / "jobs_overlap.png", dpi=150)

# %% [markdown]
# ## Fit on every fold
#
# The published folds are ten random splits into 2570 training and 642 test rows. HyperCATE is
# fitted on the training rows in common support. It sees only covariates, treatment and outcome;
# which rows are from the experiment is used only for the evaluation. The outcome, employed or not,
# is binary, so effects are differences in the chance of a job.

# %%
POLICIES = {
    "HyperCATE": lambda estimator, X: estimator.predict(X),
    "treat everyone": lambda estimator, X: np.ones(len(X)),
    "treat no one": lambda estimator, X: np.zeros(len(X)),
}

risks, atts = [], []
for fold in range(1, options.folds + 1):
    split = load_jobs(fold)
    report = overlap_report(split.train.X, split.train.treatment)
    fitted = split.train.take(np.flatnonzero(report.common_support))
    estimator = HyperCATE(random_state=fold).fit(fitted.X, fitted.y, fitted.treatment)
    averages = {
        "train": estimator.att_inference(),
        "test": estimator.att_inference(split.test.X, split.test.treatment),
    }
    for rows, sample in (("train", split.train), ("test", split.test)):
        measured = sample.y, sample.treatment, sample.randomized
        for policy, decide in POLICIES.items():
            risk = policy_risk(*measured, decide(estimator, sample.X))
            risks.append({"fold": fold, "rows": rows, "policy": policy, "risk": risk})
        experiment, standard_error = difference(sample, sample.randomized)
        (att,), ((lower,), (upper,)) = averages[rows].point_estimate, averages[rows].interval()
        atts.append(
            {
                "fold": fold,
                "rows": rows,
                "experiment": experiment,
                "its s.e.": standard_error,
                "HyperCATE": att,
                "lower": lower,
                "upper": upper,
                "holds it": lower <= experiment <= upper,
                "error": abs(experiment - att),
                "error of zero effect": abs(experiment),
            }
        )
risks, atts = pd.DataFrame(risks), pd.DataFrame(atts)

# %% [markdown]
# ## Policy risk
#
# Lower is better. "Treat everyone" and "treat no one" are the references: estimated effects are
# useful only if they are better than the better of these two. Means and standard deviations over
# folds; the test rows of different folds overlap, so dividing by the root of their number would not
# give a valid standard error.

# %%
print(risks.groupby(["rows", "policy"], sort=False)["risk"].agg(["mean", "std"]).round(3))

risk = risks[risks["rows"] == "test"].pivot(index="fold", columns="policy", values="risk")
for anchor in ("treat everyone", "treat no one"):
    share = (risk["HyperCATE"] < risk[anchor]).mean()
    print(f"HyperCATE's risk is below that of {anchor!r} in {share:.0%} of the test folds")

# %% [markdown]
# Treating everyone is hard to beat here: the effect is positive on average, and the experiment is
# too small to show for whom it is not. A policy risk above that reference does not prove the
# effects wrong, but it is a reason not to act on their sign.
#
# ## ATT
#
# By cross-fitted AIPW, with 95 % intervals; `holds it` is the share of folds whose interval
# contains the experiment's difference in means. The training rows were seen in fit, but never
# marked as the experiment: two thirds of the controls in common support are the survey's.
#
# A test fold holds 144 rows of the experiment, so its own difference in means has a standard error
# as large as the effect: the error on a single test fold is mostly noise of the benchmark, and an
# interval for the population need not contain it. The training rows contain four times as many rows
# of the experiment. Folds share most of their rows, so ten folds are far from ten independent tests
# of the interval.

# %%
print(atts.drop(columns="fold").groupby("rows", sort=False).mean().round(3).to_string())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
colours = {"HyperCATE": "#c2410c", "treat everyone": "#0f766e", "treat no one": "#64748b"}
for policy, colour in colours.items():
    left.plot(risk.index, risk[policy], "o-", lw=0.8, ms=4, color=colour, label=policy)
left.set(xlabel="fold", ylabel="policy risk (test rows)", xticks=risk.index)
left.legend(fontsize="small")

on_test = atts[atts["rows"] == "test"]
error_bars = {"yerr": on_test["its s.e."], "color": "#64748b", "label": "experiment ± s.e."}
right.errorbar(on_test["fold"], on_test["experiment"], fmt="o", ms=4, lw=0.8, **error_bars)
beside = on_test["fold"] + 0.2
right.vlines(beside, on_test["lower"], on_test["upper"], color="#c2410c", lw=0.8)
right.plot(beside, on_test["HyperCATE"], "D", ms=4, color="#c2410c", label="HyperCATE, 95 %")
right.axhline(0, color="black", lw=0.6)
right.set(xlabel="fold", ylabel="ATT: gain in the chance of a job (test rows)", xticks=risk.index)
right.legend(fontsize="small")
figure.savefig(options.out / "jobs.png", dpi=150)

# %% [markdown]
# ## What you can do now
#
# You can find out who can be compared at all before you look at any outcome, and evaluate a policy
# and an average by an experiment, if there is one. [The steps of an analysis](../docs/workflow.md)
# has these steps in order, [decisions](../docs/decisions.md) says how to evaluate a policy where
# nothing was randomised, and [limits](../docs/limits.md) says what follows if arms do not overlap.
