# %% [markdown]
# # From data to a table for a paper: how much do people gain who give up smoking?
#
# In 1971-75 a survey (NHEFS) weighed smokers, and again in 1982, when some had given up. The
# question is how much more people weigh because they gave up. It goes step by step, as an analysis
# does:
#
# 1. the question and the data, and who can be compared;
# 2. average effects, for everyone, for those who gave up and for those who did not;
# 3. for whom the effect is larger;
# 4. how strong a confounder that nobody measured would have to be;
# 5. fits whose answer is known;
# 6. the table.
#
# Run it as it is (`python tutorials/nhefs.py --out FOLDER`), or cell by cell in an editor that
# knows `# %%`. It needs `pip install ".[benchmark]"` and no download.

# %%
import argparse
import warnings
from pathlib import Path

import pandas as pd

from hypercate import HyperCATE, overlap_report, plots
from hypercate.datasets import load_nhefs
from hypercate.sensitivity import leave_out, plot_sensitivity, refute, sensitivity

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. The question, the data, and who can be compared
#
# The loader warns that 63 people were not weighed in 1982; those who are left may differ from them,
# which is a limit of any answer here. All covariates were measured before anyone gave up.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the 63 people of whom the text speaks
    people = load_nhefs("weight")
X, gained, gave_up = people.X, people.y, pd.Series(people.treatment).map({0: "no", 1: "yes"})
print(f"{len(X)} people, of whom {(gave_up == 'yes').mean():.0%} gave up")
naive = gained[gave_up == "yes"].mean() - gained[gave_up == "no"].mean()
print(f"difference of the means: {naive:.2f} kg")
report = overlap_report(X, gave_up, control="no")
print(f"in common support: {report.common_support.mean():.1%} of the people")
plots.plot_overlap(report).figure.savefig(out / "nhefs-overlap.png")

# %% [markdown]
# ## 2. Average effects
#
# `effort="instant"` is quick, and made for a thousand rows or fewer; leave it out for an analysis
# that counts. Averages are corrected by the model's errors on people that it had not seen.

# %%
est = HyperCATE(control="no", effort="instant", random_state=0).fit(X, gained, gave_up)
average = est.ate_inference()
print(average)
averages = {"everyone": est.ate(), "those who gave up": est.att(), "those who did not": est.atc(),
            "by overlap": est.ato()}  # fmt: skip
print(pd.Series(averages).round(2).to_string())

# %% [markdown]
# ## 3. For whom the effect is larger
#
# The test asks whether effects differ at all. Groups were chosen before the outcome was looked at;
# `simultaneous_frame` allows for their number.

# %%
print(est.heterogeneity_test().round(3).to_string())
groups = pd.DataFrame({"sex": X["sex"].map({"0": "men", "1": "women"}), "age": X["age"] >= 45})
groups["age"] = groups["age"].map({True: "45 or older", False: "younger"})
by_group = est.gate_inference(groups)
print(by_group.simultaneous_frame().round(2).to_string())
plots.plot_group_effects(by_group).figure.savefig(out / "nhefs-groups.png", dpi=150)

# %% [markdown]
# ## 4. If a confounder was not measured
#
# The robustness value is the share of the remaining variance of the outcome and of the weights that
# a confounder would have to account for to explain the effect away. The output also has the
# strength of the measured covariates: a confounder as strong as the strongest of them would not be
# enough.

# %%
bounds = sensitivity(est)
habits = {"smoking": ["smokeintensity", "smokeyrs"], "exercise": ["exercise", "active"]}
strengths = leave_out(
    est, X, gained, gave_up, {"age": ["age"], "weight in 1971": ["wt71"], **habits}
)
print(bounds)
print(strengths.round(3).to_string())
plot_sensitivity(bounds, covariates=strengths).figure.savefig(out / "nhefs-sensitivity.png")

# %% [markdown]
# ## 5. Fits whose answer is known
#
# With permuted treatments or outcomes the effect must be 0, and with an additional column of noise
# or with 80 % of the people it must stay the same. A model that passes these tests may still be
# wrong.

# %%
checks = refute(est, X, gained, gave_up)
print(checks[["expected", "point_estimate", "ci_lower", "ci_upper", "holds"]].round(2).to_string())

# %% [markdown]
# ## 6. The table
#
# `to_latex` writes the same for a paper.

# %%
print(average.to_markdown())

# %% [markdown]
# ## What you can do now
#
# You can take a study from data to a table for a paper, for everyone and for groups that were
# chosen in advance, and say what the result assumes and how strong a confounder would have to be to
# change it. [The steps of an analysis](../docs/workflow.md) has the same for your own data; more is
# in the guides to [uncertainty](../docs/uncertainty.md) and to [confounders that were not
# measured](../docs/sensitivity.md).
