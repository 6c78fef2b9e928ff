# %% [markdown]
# # Uncertainty: of an effect, of a person, of an average
#
# "How sure is that?" is three questions, with three answers of very different width:
#
# 1. **The effect at x** (the CATE): the mean effect among all people with covariates x. Ask
#    `effect_interval`. More data make it narrower.
# 2. **A person's own outcome or effect**: what will happen to this person. Ask
#    `predict_outcome_interval` and `individual_effect_interval`. They include the noise of single
#    persons, which no amount of data removes.
# 3. **An average**: of everyone (ATE), of the treated (ATT), of a group (GATE). Ask
#    `ate_inference`, `att_inference`, `gate_inference`. Errors of single rows cancel out, so
#    averages are the most certain.
#
# Here each is computed where the truth is known, and then where none of them can be trusted. Run it
# as it is (`python tutorials/uncertainty.py --out FOLDER`), or cell by cell in an editor that knows
# `# %%`. It needs `pip install ".[benchmark]"` and no download.

# %%
import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, OverlapWarning, overlap_report, plots
from hypercate.datasets import draw_interval_study
from hypercate.datasets.synthetic import NOISE_SD
from hypercate.metrics import coverage, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# In this simulated study there are 800 people to fit to and 1000 to predict, half of them treated,
# with 20 covariates. People who do well without treatment are more likely to get it, so the treated
# look far better off than treatment makes them.

# %%
split = draw_interval_study("smooth", rows=800, replication=1)
train, test = split.train, split.test
naive = train.y[train.treatment == 1].mean() - train.y[train.treatment == 0].mean()
print(f"treated minus controls, as they are: {naive:.2f}; true ATE: {train.effect.mean():.2f}")
print(f"true effects of the test rows: {test.effect.mean():.2f} ± {test.effect.std():.2f} (sd)")

# %% [markdown]
# ## Overlap comes first
#
# Effects are comparisons, so everyone should have had a chance of either arm. `overlap_report`
# shows, before any outcome is looked at, how probable each arm was (by models that did not see the
# row), the effective number of rows in a weighted comparison, and how similar weighting makes the
# arms.

# %%
report = overlap_report(train.X, train.treatment)
print(report)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
plots.plot_overlap(report, ax=left)
plots.plot_balance(report, ax=right)
figure.savefig(out / "uncertainty_overlap.png", dpi=150)

# %% [markdown]
# The arms overlap, and what they differ in is measured. Differences below 0.1 after weighting are
# commonly regarded as balanced.
#
# ## Fit
#
# Held-out losses should fall and level off. The dot is the best epoch; each member was then trained
# again on all of its rows for as many epochs.

# %%
estimator = HyperCATE(random_state=0).fit(train.X, train.y, train.treatment)

# %% [markdown]
# ## 1. The effect at x
#
# Standard errors come from a jackknife. Every member of the ensemble left out its own fifth of the
# rows. The differences between members, times a factor that follows from that fifth, estimate how
# much another sample of people would change the estimate. Members also differ by their random
# initialisation, which cancels in their mean. To measure this share of the differences, each member
# is trained from two initialisations. `calibration_` has the factor, this share, and the degrees of
# freedom of Student's t.
#
# *Use it* to say at which covariates an effect is surely above a threshold, or to rank rows by how
# certain their effect is. *It cannot show* an error that all members have in common: a step that
# all of them smooth, or an effect that all of them estimate as constant.

# %%
inference = estimator.effect_inference(test.X)
print(inference.summary_frame(alpha=0.1).head().round(2).to_string())
found = estimator.calibration_
print(f"factor {found.scale:.2f}, random start {found.start_share:.0%}, {found.dof:.0f} df")

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
plots.plot_effects(inference, alpha=0.1, ax=left)
plots.plot_effect_by(inference, test.X["x8"], alpha=0.1, ax=right)
figure.savefig(out / "uncertainty_effects.png", dpi=150)

# %% [markdown]
# The truth is known here, so the coverage of the intervals can be measured at every level. Without
# calibration, draws have the spread of the members, which is too small because members share most
# of their rows. Within one data set, intervals tend to be right or wrong together: `hypercate
# benchmark simulated --intervals` measures coverage over many data sets.

# %%
uncalibrated = HyperCATE(calibrate=False, random_state=0)
uncalibrated.fit(train.X, train.y, train.treatment)
for name, fitted in (("calibrated", estimator), ("not calibrated", uncalibrated)):
    held = coverage(test.effect, *fitted.effect_interval(test.X, alpha=0.1))
    print(f"90 % intervals, {name}, hold the true effect in {held:.0%} of the rows")

# %% [markdown]
# ## 2. A person's own outcome and effect
#
# Two people with the same covariates have different outcomes. The width of conformal intervals
# comes from the errors of predictions for held-out people. *Use them* for what a single person can
# expect. They cover 90 % of **people on average**, where the average is also over samples to fit
# to, of which this is one. People whose outcomes vary more are covered less often, others more
# often. The interval of a person's own effect allows for any dependence between the outcome with
# treatment and the outcome without, because only one of them is ever observed. It is therefore
# wider than needed here, where the noise of the two outcomes is independent.
# `dependence="independent"` assumes that. No data can show whether it is true: *use it* only if you
# can justify it.

# %%
noise = np.random.default_rng(0).normal(0, NOISE_SD, test.mu.shape)
outcomes = test.mu + noise
own_effect = outcomes[:, 1] - outcomes[:, 0]

asked = {
    "effect at x": (test.effect, estimator.effect_interval(test.X, alpha=0.1)),
    "own outcome, treated": (
        outcomes[:, 1],
        estimator.predict_outcome_interval(test.X, arm=1, alpha=0.1),
    ),
    "own outcome, control": (
        outcomes[:, 0],
        estimator.predict_outcome_interval(test.X, arm=0, alpha=0.1),
    ),
    "own effect": (own_effect, estimator.individual_effect_interval(test.X, alpha=0.1)),
    "own effect, independent": (
        own_effect,
        estimator.individual_effect_interval(test.X, alpha=0.1, dependence="independent"),
    ),
    "own effect by effect_interval (wrong)": (
        own_effect,
        estimator.effect_interval(test.X, alpha=0.1),
    ),
}
table = {
    question: {"held": coverage(truth, lower, upper), "median width": np.median(upper - lower)}
    for question, (truth, (lower, upper)) in asked.items()
}
print(pd.DataFrame.from_dict(table, orient="index").round(2).to_string())

# %% [markdown]
# The last row is the mistake to avoid: the interval of a mean is not an interval for a person.
#
# ## 3. Averages
#
# Cross-fitted AIPW: predictions that did not see the row, corrected by the weighted residuals of
# those who did get the arm. It is right if either the outcomes' model or the propensities are. *Use
# it* for statements about a population: is it worth it at all, for whom on average? Groups have to
# be chosen before outcomes are looked at: if rows are grouped by their estimated effect and these
# groups are tested on the same rows, the test is not valid.

# %%
average = estimator.ate_inference()
print(average)
lower, upper = average.interval(alpha=0.05)
print(f"true ATE: {train.effect.mean():.2f}, treated minus controls: {naive:.2f}")
print(f"ATT: {estimator.att():.2f}, true: {train.effect[train.treatment == 1].mean():.2f}")

groups = pd.qcut(train.X["x8"], 4, labels=["lowest", "low", "high", "highest"]).rename("x8")
of_groups = estimator.gate_inference(groups)
by_group = of_groups.summary_frame()
by_group["true"] = pd.Series(train.effect).groupby(groups, observed=True).mean()
print(by_group.round(2).to_string())

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
plots.plot_group_effects(of_groups, ax=left)
plots.plot_history(estimator, ax=right)
figure.savefig(out / "uncertainty_averages.png", dpi=150)

# %% [markdown]
# Do effects differ at all? The test regresses doubly robust scores on the predicted effects. A
# coefficient of `differential_prediction` near 1 says that the predicted differences are of the
# right size; a small p-value says that there are differences and that the model finds some of them.
# A large p-value does not prove that there are none.

# %%
print(estimator.heterogeneity_test().round(4).to_string())

# %% [markdown]
# ## Abstaining
#
# `reject` marks the rows with the largest standard errors. Whether the rest are better is seen in
# the right picture: a line that falls from "at random" towards the oracle. It falls little here,
# because the effect is about equally hard to estimate for everyone. The left picture has the
# coverage at all levels.

# %%
effect = estimator.predict(test.X)
certain = ~estimator.reject(test.X, share=0.1)
print(
    f"sqrt-PEHE of all rows: {sqrt_pehe(test.effect, effect):.3f}, without the 10 % least "
    f"certain: {sqrt_pehe(test.effect[certain], effect[certain]):.3f}"
)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
plots.plot_calibration(test.effect, inference, label="effect at x", ax=left)
plots.plot_calibration(
    test.effect, uncalibrated.effect_inference(test.X), label="the same, not calibrated", ax=left
)
plots.plot_calibration(
    own_effect,
    lambda alpha: estimator.individual_effect_interval(test.X, alpha=alpha),
    label="own effect",
    ax=left,
)
plots.plot_rejection(test.effect, effect, inference.stderr, ax=right)
figure.savefig(out / "uncertainty_coverage.png", dpi=150)

# %% [markdown]
# ## No overlap
#
# Suppose that no one with x1 above 0 was treated. What treatment would do to them is extrapolated
# from others. `fit` warns and names the arm; `common_support` of the report says which rows are
# left to compare.

# %%
seen = (train.treatment == 0) | (train.X["x1"] <= 0).to_numpy()
print(overlap_report(train.X[seen], train.treatment[seen]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", OverlapWarning)
    apart = HyperCATE(random_state=0).fit(train.X[seen], train.y[seen], train.treatment[seen])
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")

# %% [markdown]
# Look at the widths. Conformal intervals are infinite for most people of a kind that was never
# treated: nothing is known about them. The interval of the effect at x is hardly wider there,
# because members that extrapolate in the same way agree. It contains the truth here only because
# the surface is smooth, which no data could have shown. So do not ignore the warning, and use only
# rows in common support.

# %%
of_effect = np.subtract(*apart.effect_interval(test.X, alpha=0.1)[::-1])
of_person = np.subtract(*apart.individual_effect_interval(test.X, alpha=0.1)[::-1])
untreated = np.where(test.X["x1"] > 0, "x1 above 0, never treated", "x1 up to 0")
widths = pd.DataFrame({"effect at x, width": of_effect, "own effect, infinite": ~(of_person < 1e9)})
print(widths.groupby(untreated).mean().round(2).to_string())

# %% [markdown]
# ## Unmeasured confounding
#
# Now hide the four covariates in which the arms differ most. The arms seem to overlap better than
# before, every interval is narrow, the test of heterogeneity is passed, and the ATE is wrong by
# many standard errors. **No interval can see what was not measured**: that X contains everything
# that drives both has to be justified by how treatment was given.

# %%
hidden = report.balance["before"].abs().nlargest(4).index.get_level_values("covariate")
known = train.X.drop(columns=hidden)
print(overlap_report(known, train.treatment).arms.round(3).to_string())
blind = HyperCATE(random_state=0).fit(known, train.y, train.treatment)
lower, upper = blind.ate_interval()
print(f"ATE without them: {blind.ate():.2f} ({lower:.2f} to {upper:.2f})")
print(f"true ATE: {train.effect.mean():.2f}")

# %% [markdown]
# ## What you can do now
#
# You can ask for the interval that answers your question: of an effect, of a person or of an
# average. You know what each of them holds, and that none can see a confounder that was not
# measured. The guide to [uncertainty](../docs/uncertainty.md) has the calls at a glance, that to
# [sensitivity](../docs/sensitivity.md) says how strong a missing confounder would have to be, and
# [limits](../docs/limits.md) where intervals hold less than they state.
