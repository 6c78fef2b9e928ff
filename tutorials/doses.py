# %% [markdown]
# # Doses: a treatment that is an amount
#
# How much is enough? Where people received amounts, such as milligrams of a drug, hours of lessons
# or euros of support, there are no arms to compare but a curve for each person: the outcome at
# every dose. `HyperCATE(treatment_kind="dose")` fits these curves. Here they are fitted to a
# simulated study, in which the true curves are known, and five things are asked:
#
# 1. what a person's outcome would be at a dose, and how much another milligram adds
#    (`dose_response`);
# 2. the effect of one dose compared with another, with its interval (`effect_interval`);
# 3. the mean outcome if everyone got a dose of some range (`average_dose_response`);
# 4. what no data of this kind can tell, and raises an error;
# 5. how two drugs compare, each at its own doses.
#
# Run it as it is (`python tutorials/doses.py --out FOLDER`), or cell by cell in an editor that
# knows `# %%`. It needs `pip install ".[plots]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import expit

from hypercate import HyperCATE, overlap_report, plots
from hypercate.metrics import coverage, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# A thousand patients got between 1 and 57 mg a day of a drug and were asked a month later how well
# they are, on a scale on which more is better. The first milligrams help most, and the drug does
# more for the young. Doctors gave more to those who were worse off to begin with, so dose and
# outcome have a common cause, the severity, which was measured.

# %%
rng = np.random.default_rng(0)


def people(n):
    severity, age, weight = rng.normal([5, 50, 75], [2, 10, 12], (n, 3)).T
    return pd.DataFrame({"severity": severity, "age": age, "weight": weight})


def true_outcome(X, mg):
    return 90 - 4 * X["severity"] + (20 - 0.6 * (X["age"] - 50)) * mg / (mg + 15)


def true_slope(X, mg):
    return (20 - 0.6 * (X["age"] - 50)) * 15 / (mg + 15) ** 2


X = people(1000)
dose = 60 * expit(0.25 * (X["severity"] - 5) - 0.3 + rng.normal(size=len(X)))
y = true_outcome(X, dose) + 4 * rng.normal(size=len(X))
print(f"doses from {dose.min():.1f} to {dose.max():.1f} mg, half of them up to {dose.median():.1f}")

# %% [markdown]
# ## Overlap comes first
#
# A curve at x can be estimated only where people like x received all of its doses. The left picture
# shows what to look for: at every severity there should be points from the bottom to the top. To
# get numbers, cut the doses into a few ranges and pass these to `overlap_report` as arms. (It does
# not accept the doses themselves.) If only one kind of people received a range, `fit` would warn,
# as it does for arms.

# %%
third = pd.qcut(dose, 3, labels=["low", "middle", "high"]).astype(str)
report = overlap_report(X, third, control="low")
print(report)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
left.scatter(X["severity"], dose, s=8, alpha=0.5, color=plots.BLUE)
left.set(xlabel="severity", ylabel="dose (mg)")
left.set_title("Who received how much", loc="left")
plots.plot_overlap(report, arm="high", ax=right)
figure.savefig(out / "doses_overlap.png", dpi=150)

# %% [markdown]
# The thirds differ by about one standard deviation of severity, but they overlap, and weighting
# makes them alike.
#
# ## Fit
#
# The dose goes where arms would go. `control` is the dose with which others are compared, by
# default the smallest dose; `predict` compares the median of the doses above the control with the
# control.

# %%
estimator = HyperCATE(treatment_kind="dose", random_state=0).fit(X, y, dose)

# %% [markdown]
# ## 1. Curves, and what another milligram adds
#
# `dose_response` has a row for each person and a column for each dose. With `derivative=True` it is
# the slope, points for another milligram. Here both are computed for a thousand new patients and
# compared with the truth. "error" is the root mean squared error of the curves over patients.

# %%
new = people(1000)
doses = np.array([5.0, 10.0, 20.0, 30.0, 40.0, 50.0])
curves = estimator.dose_response(new, doses)
slopes = estimator.dose_response(new, doses, derivative=True)
truth = np.column_stack([true_outcome(new, mg) for mg in doses])
true_slopes = np.column_stack([true_slope(new, mg) for mg in doses])
table = {
    "outcome": curves.mean(axis=0),
    "true": truth.mean(axis=0),
    "error": np.sqrt(np.mean((curves - truth) ** 2, axis=0)),
    "slope": slopes.mean(axis=0),
    "true slope": true_slopes.mean(axis=0),
}
print(pd.DataFrame(table, index=pd.Index(doses, name="mg")).round(2).to_string())

grid = np.linspace(*np.quantile(dose, [0.02, 0.98]), 60)
example = pd.DataFrame({"severity": 5.0, "age": [35.0, 50.0, 65.0], "weight": 75.0})
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for axes, derivative, of_truth in ((left, False, true_outcome), (right, True, true_slope)):
    found = estimator.dose_response(example, grid, derivative=derivative)
    for place, age in enumerate(example["age"]):
        colour = plots.COLOURS[place]
        axes.plot(grid, found[place], color=colour, label=f"{age:.0f} years")
        truth_here = [of_truth(example.iloc[place], mg) for mg in grid]
        axes.plot(grid, truth_here, color=colour, ls=":", label="true" if place == 2 else None)
    axes.set_xlabel("dose (mg)")
left.set_title("Well-being at severity 5", loc="left")
right.set_title("Points for another milligram", loc="left")
left.legend(frameon=False)
figure.savefig(out / "doses_curves.png", dpi=150)

# %% [markdown]
# The curves are smooth in the dose: a spline of the second degree with up to six pieces. Slopes are
# less certain than outcomes, most of all at the ends, where a sharp rise is flattened: at 5 mg the
# mean slope is 0.47 where 0.75 is true. So use slopes to see roughly where the gain becomes small,
# not at exactly which milligram.
#
# ## 2. Effects between doses
#
# `effect`, `effect_interval` and `effect_inference` compare the dose `T0` with `T1`. What do 30 mg
# bring that 10 mg do not? The picture shows for whom: the young gain more.

# %%
inference = estimator.effect_inference(new, T0=10, T1=30)
print(inference.summary_frame(alpha=0.1).head().round(2).to_string())
true_effect = true_outcome(new, 30) - true_outcome(new, 10)
lower, upper = estimator.effect_interval(new, T0=10, T1=30, alpha=0.1)
effect = estimator.effect(new, T0=10, T1=30)
print(f"effect of 30 mg against 10: {effect.mean():.2f} on average, true: {true_effect.mean():.2f}")
print(
    f"sqrt-PEHE: {sqrt_pehe(true_effect, effect):.2f}; 90 % intervals hold the true effect in "
    f"{coverage(true_effect, lower, upper):.0%} of the rows"
)
axes = plots.plot_effect_by(inference, new["age"], alpha=0.1)
axes.figure.savefig(out / "doses_effects.png", dpi=150)

# %% [markdown]
# Intervals account for sampling error, not for a bias that all models have in common, such as
# smoothing. The errors of different rows in one study are correlated, so this share says little
# about the next study.
#
# You can also pass one dose per row. If every patient of the study had taken 30 mg in place of the
# dose that was prescribed, who would surely be better off by 3 points or more?

# %%
lower, upper = estimator.effect_interval(X, T0=dose, T1=30, alpha=0.1)
change = true_outcome(X, 30) - true_outcome(X, dose)
surely = lower > 3
print(
    f"surely 3 points better off with 30 mg than with their own dose: {surely.mean():.0%} of the "
    f"patients, of whom {np.mean(change[surely] > 3):.0%} truly are"
)

# %% [markdown]
# ## 3. Averages
#
# `average_dose_response` estimates the mean outcome if everyone got a dose in a range, with its
# 95 % interval: the average of the curves, corrected by the errors of the patients who did get such
# a dose, each weighted by one over its probability. The table also has the simple means of those
# who got such a dose, and the truth.

# %%
average = estimator.average_dose_response()
own_range = np.searchsorted(average["greatest"].to_numpy()[:-1], dose, side="right")
average["naive"] = y.groupby(own_range).mean().to_numpy()
of_everyone = pd.Series([true_outcome(X, mg).mean() for mg in dose])
average["true"] = of_everyone.groupby(own_range).mean().to_numpy()
print(average.drop(columns=["least", "greatest"]).round(2).to_string())

figure, axes = plt.subplots(figsize=(7, 4.8), layout="constrained")
middle = (average["least"] + average["greatest"]) / 2
estimate = average["point_estimate"]
reach = [estimate - average["ci_lower"], average["ci_upper"] - estimate]
axes.errorbar(middle, estimate, reach, fmt="o", color=plots.BLUE, label="estimate")
axes.plot(middle, average["true"], color=plots.BLACK, ls=":", label="true")
axes.plot(middle, average["naive"], color=plots.ORANGE, marker="s", label="plain means")
axes.set(xlabel="dose (mg)", ylabel="mean outcome")
axes.set_title("If everyone got such a dose", loc="left")
axes.legend(frameon=False)
figure.savefig(out / "doses_averages.png", dpi=150)

# %% [markdown]
# The simple means suggest that more than 32 mg does harm: they fall from 83.42 to 81.55. It does
# not: those who got it were worse off to begin with. The estimates rise to 86.17, and the truth to
# 85.82.
#
# ## 4. What is not available
#
# Outside the range of received doses nothing is known and a curve would be arbitrary, so such doses
# raise an error. Intervals for a single person, and outcomes under "every arm", need arms. A
# treatment with many amounts also raises an error if you do not say that it is a dose.

# %%
questions = {
    "a dose beyond those received": lambda: estimator.effect(new, T0=10, T1=80),
    "outcomes under every arm": lambda: estimator.predict_outcomes(new),
    "the interval of a person's effect": lambda: estimator.individual_effect_interval(new),
    "doses without treatment_kind": lambda: HyperCATE().fit(X, y, dose),
    "five distinct doses": lambda: HyperCATE(treatment_kind="dose").fit(X, y, dose // 12),
}
for name, ask in questions.items():
    try:
        ask()
    except ValueError as error:
        print(f"{name}: {error}")

# %% [markdown]
# Two problems raise no error, so you have to watch for them. If many people received nothing and
# even a small dose has a large effect, the jump is smoothed away: use "none or any" as the
# treatment. And an unmeasured cause of both dose and outcome biases the estimates, as it does with
# arms. Here the severity is hidden:

# %%
blind = HyperCATE(treatment_kind="dose", random_state=0).fit(X.drop(columns="severity"), y, dose)
for name, found in (("with", estimator), ("without", blind)):
    effect = found.effect(new[found.feature_names_in_], T0=20, T1=50)
    print(f"effect of 50 mg against 20, {name} severity: {effect.mean():.2f}")
print(f"true: {np.mean(true_outcome(new, 50) - true_outcome(new, 20)):.2f}")

# %% [markdown]
# Without it the drug seems to take 1.57 points where it gives 3.95, and nothing in the data would
# tell.
#
# ## 5. Two drugs, each at its own doses
#
# Where people got one of several drugs, the treatment is two columns, the drug and its dose. Each
# drug has a range of its own, and the curves share what they have in common. Here a second drug
# works at a tenth of the dose, and nobody gains more from it for being young.

# %%
given = pd.DataFrame({"drug": np.where(rng.random(1000) < 0.5, "old", "new")}, index=X.index)
given["mg"] = np.where(given["drug"] == "old", dose, dose / 10)
of_new = 90 - 4 * X["severity"] + 24 * given["mg"] / (given["mg"] + 2)
outcome = of_new.where(given["drug"] == "new", true_outcome(X, given["mg"]))
both = HyperCATE(treatment_kind="dose", effort="fast", control=("old", 10), random_state=0)
both.fit(X, outcome + 4 * rng.normal(size=1000), given)
for drug, some in {"old": [10.0, 30.0], "new": [1.0, 3.0]}.items():
    curve = both.dose_response(new, some, arm=drug)
    print(f"{drug}: {curve.mean(axis=0).round(1)} at {some} mg")
switch = both.effect(new, T0=("old", 30), T1=("new", 3))
true_switch = 90 - 4 * new["severity"] + 24 * 3 / 5 - true_outcome(new, 30)
print(f"3 mg of the new drug against 30 mg of the old: {switch.mean():.2f} on average, "
      f"true: {true_switch.mean():.2f}")  # fmt: skip
old = new["age"] > 60
print(f"for those above 60: {switch[old].mean():.2f}, true: {true_switch[old].mean():.2f}")

# %% [markdown]
# ## What you can do now
#
# - See in a picture and in `overlap_report` of ranges whether all kinds of people got all doses.
# - Draw each person's curve, and tell from its slope about where more brings little.
# - Compare any two doses, for all or each person's own, with intervals.
# - State what a range of doses would bring on average, with an interval, corrected for who got it.
# - Compare a dose of one drug with a dose of another.
# - Where doses are few and fixed, treat them as arms and describe them by their amount:
#   [described arms](described_arms.py).
#
# The guide to [doses](../docs/doses.md) has the calls, also for several drugs with a dose each.
