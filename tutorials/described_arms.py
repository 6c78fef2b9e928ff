# %% [markdown]
# # Described arms: effects of treatments that nobody has received
#
# Arms are often more than names: vouchers of some percent that hold for some weeks, drugs of some
# dose, letters with or without a picture. If you describe the arms (`fit(..., arm_features=)`),
# HyperCATE generates the model of each arm from its description. Arms with similar descriptions
# then learn from each other, and you can estimate the effects of an arm that no row received. This
# tutorial shows:
#
# 1. the effect of a voucher that lies **between** those that were sent, compared with the truth and
#    with the nearest voucher that was sent;
# 2. the effect of a voucher that lies **beyond** them, and how its interval shows that;
# 3. which arms are alike according to the model;
# 4. what is not available for an arm without rows.
#
# Run it as it is (`python tutorials/described_arms.py --out FOLDER`), or cell by cell in an editor
# that knows `# %%`. It needs `pip install ".[plots]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, plots
from hypercate.inspection import arm_similarity, plot_arm_similarity
from hypercate.metrics import coverage, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# A shop sent six kinds of voucher at random, and none to a seventh of its 900 customers. The
# outcome is what a customer spent in the next months. It wants to know what two other kinds would
# bring: "20 %, 4 weeks", which lies between those sent, and "40 %, 8 weeks", which is the largest
# of all.
#
# The truth, of which the model is told nothing: percents bring less and less, and only loyal
# customers use them; weeks matter to those who visit often.

# %%
vouchers = pd.DataFrame(
    {"percent": [0, 10, 10, 20, 30, 30, 40, 20, 40], "weeks": [0, 2, 6, 8, 2, 4, 2, 4, 8]}
)
names = [f"{percent} %, {weeks} weeks" for percent, weeks in vouchers.to_numpy()[1:]]
vouchers.index = pd.Index(["none", *names], name="arm")
between, beyond = names[-2:]
sent = vouchers.index.drop([between, beyond])
print(vouchers.assign(sent=vouchers.index.isin(sent)).to_string())

rng = np.random.default_rng(0)


def customers(n):
    return pd.DataFrame(rng.normal(size=(n, 4)), columns=["loyalty", "visits", "age", "basket"])


def true_effect(X, arm):
    percent, weeks = vouchers.loc[arm].to_numpy(float).T
    of_percent = 15 * percent / (percent + 15) * (1 + np.tanh(X["loyalty"]))
    return of_percent + 0.5 * weeks * (1 + X["visits"])


X = customers(900)
arm = rng.choice(sent, len(X))
y = 40 + 5 * X["basket"] + true_effect(X, arm) + 4 * rng.normal(size=len(X))

# %% [markdown]
# ## Fit
#
# The description is a frame with one row for each arm, including the control, and with the arms'
# labels in its index (or in a column `"arm"`). Its columns are numbers or categories. Arms without
# rows are added at the end of `arms_`. At least three arms need rows.

# %%
estimator = HyperCATE(control="none", random_state=0).fit(X, y, arm, arm_features=vouchers)
print(f"arms: {', '.join(estimator.arms_)}")

# %% [markdown]
# ## 1. Between the arms
#
# No row received "20 %, 4 weeks". Its effects on a thousand new customers are computed like those
# of any arm. Without a description, one would use the effects of the nearest voucher that was sent:
# this is the second row of the second table below.

# %%
new = customers(1000)
inference = estimator.effect_inference(new, T1=between)
print(inference.summary_frame(alpha=0.1).head().round(2).to_string())


def nearest(arm):
    """The arm that was sent whose description, each column over its range, is nearest."""
    unit = vouchers / vouchers.max()
    return ((unit.loc[sent] - unit.loc[arm]) ** 2).sum(axis=1).idxmin()


def beside_the_truth(arm, of=None, fit=estimator):
    """Effects of an arm, taken for those of another or its own, against the true ones."""
    effect, truth = fit.effect(new, T1=arm), true_effect(new, of or arm)
    lower, upper = fit.effect_interval(new, T1=arm, alpha=0.1)
    return {
        "mean": effect.mean(),
        "true mean": truth.mean(),
        "sqrt-PEHE": sqrt_pehe(truth, effect),
        "interval holds it": coverage(truth, lower, upper),
        "width": np.mean(upper - lower),
    }


rows = {between: beside_the_truth(between)}
rows[f"{nearest(between)}, for it"] = beside_the_truth(nearest(between), of=between)
print(pd.DataFrame.from_dict(rows, orient="index").round(2).to_string())

# %% [markdown]
# The generated arm is nearer to the truth than its nearest neighbour is (an error of 1.69 beside
# 2.12), whose effect is too large: 30 % is more than 20 %.
#
# ## 2. Beyond the arms
#
# "40 %, 8 weeks" has the largest percent and the most weeks at once; nothing like it was sent.
# What it would do is extrapolated, and the interval says so: below, its mean width is 13.4, and at
# most 7.1 for an arm that was sent.

# %%
rows = {beyond: beside_the_truth(beyond)}
rows[f"{nearest(beyond)}, for it"] = beside_the_truth(nearest(beyond), of=beyond)
rows |= {name: beside_the_truth(name) for name in [between, *sent.drop("none")]}
print(pd.DataFrame.from_dict(rows, orient="index").round(2).to_string())

figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", sharex=True, sharey=True)
for ax, name in zip(axes, (between, beyond), strict=True):
    truth, effect = true_effect(new, name), estimator.effect(new, T1=name)
    lower, upper = estimator.effect_interval(new, T1=name, alpha=0.1)
    shown = slice(0, 150)
    reach = np.stack([effect - lower, upper - effect])[:, shown]
    ax.errorbar(
        truth[shown], effect[shown], reach, fmt="o", ms=3, lw=0.8, color=plots.BLUE, alpha=0.7
    )
    ends = [truth.min(), truth.max()]
    ax.plot(ends, ends, color=plots.BLACK, lw=0.8)
    ax.set(xlabel="true effect", ylabel="estimated effect")
    ax.set_title(f"{name}, which nobody received", loc="left")
figure.savefig(out / "described_arms_effects.png", dpi=150)

# %% [markdown]
# Intervals of 90 % for the arms that were sent contain the truth in 92 to 99 % of the rows. These
# arms lose little because others are only described: the fit differs from one without the others
# only in that their networks do not read the predictions of trees.

# %%
alone = HyperCATE(control="none", random_state=0).fit(X, y, arm, arm_features=vouchers.loc[sent])
for name, fitted in (("all vouchers", estimator), ("those sent", alone)):
    found = pd.DataFrame([beside_the_truth(arm, fit=fitted) for arm in sent.drop("none")]).mean()
    print(
        f"sent arms, of the fit that describes {name}: sqrt-PEHE {found['sqrt-PEHE']:.2f}, 90 % "
        f"intervals hold {found['interval holds it']:.0%}, width {found['width']:.2f}"
    )

# %% [markdown]
# The interval of an arm without rows also accounts for how much the arms that were sent differ from
# what their descriptions predict. It cannot account for what no arm shows: if 40 % for 8 weeks had
# a special appeal, nothing in these data would reveal it. So trust predictions for arms between
# others; treat a prediction beyond them as a reason to run a trial.
#
# ## 3. Which arms are alike?
#
# `function` is how differently customers respond to two arms once the mean is removed, in standard
# deviations of the responses; `embedding` is how similar the two descriptions are for the
# generator.

# %%
similarity = arm_similarity(estimator, X)
print(similarity.function.loc[[between, beyond]].T.round(2).to_string())
print(similarity.embedding.loc[[between, beyond]].T.round(2).to_string())
plot_arm_similarity(similarity).figure.savefig(out / "described_arms_similarity.png", dpi=150)

# %% [markdown]
# Both show that customers respond to "20 %, 4 weeks" much as they respond to "30 %, 4 weeks". The
# two measures need not agree, because the model learns what each column of the description does. By
# its description, "40 %, 8 weeks" has little in common with no voucher at all.
#
# ## 4. What is not available
#
# Averages are corrected by outcomes, a score compares predictions with outcomes, and an interval of
# a person includes the spread of outcomes; an arm without rows has no outcomes. Everything else is
# available for it. Its average effect on given customers is the mean of `effect`, without that
# correction. Averages of the arms that were sent are available as usual.

# %%
print(estimator.ate_inference().summary_frame().round(2).to_string())

described, few = sent.drop(names[0]), np.isin(arm, ["none", names[0]])
questions = {
    "its average": lambda: estimator.ate(T0=between),
    "the interval of a person's effect": lambda: estimator.individual_effect_interval(
        new, T1=between
    ),
    "a score": lambda: estimator.score(X, y, np.repeat(between, len(X))),
    "an arm that is not described": lambda: estimator.effect(new, T1="50 %, 4 weeks"),
    "a description that lacks an arm": lambda: HyperCATE(control="none").fit(
        X, y, arm, arm_features=vouchers.loc[described]
    ),
    "others from two arms": lambda: HyperCATE(control="none").fit(
        X[few], y[few], arm[few], arm_features=vouchers
    ),
    "effects without training": lambda: HyperCATE(control="none", effort="instant").fit(
        X, y, arm, arm_features=vouchers
    ),
}
for name, ask in questions.items():
    try:
        ask()
    except ValueError as error:
        print(f"{name}: {error}")

# %% [markdown]
# ## What you can do now
#
# - Describe arms in a frame and pass it to `fit`, so that arms with few rows learn from similar
#   arms.
# - Estimate the effects of an arm that nobody has received, with intervals, and rank candidates for
#   the next trial by them.
# - Recognise a candidate that lies beyond the others by its wider intervals.
# - See which arms people respond to alike, also those that nobody has received.
# - Where the treatment is one amount with many values, fit a curve: [doses](doses.py).
#
# The guide to [doses and described arms](../docs/doses.md) has the calls.
