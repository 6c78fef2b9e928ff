# %% [markdown]
# # Many arms: which of five programmes for whom?
#
# With several arms each has only its share of the rows. But arms that work in similar ways have
# much in common, and `HyperCATE` lets each arm learn from all others, as far as held-out rows show
# that this helps. This tutorial has four steps, in a simulated study whose true effects are known:
#
# 1. effects of five programmes, compared with those of arms that are fitted **separately**;
# 2. which arms people respond to **alike**;
# 3. **averages** of arms and groups, ten at once, with simultaneous intervals;
# 4. the **best arm** for each person, and what that is worth.
#
# Run it as it is (`python tutorials/many_arms.py --out FOLDER`), or cell by cell in an editor that
# knows `# %%`. It needs `pip install ".[plots]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, plots
from hypercate.inspection import arm_similarity
from hypercate.metrics import coverage, policy_value, sqrt_pehe
from hypercate.policy import best_arm

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# People who sleep badly received usual care or one of five programmes. The outcome is a sleep score
# (higher is better). Each programme calms, activates, or does some of both: calming helps people
# under stress, activity helps people who sit much. People under stress received the two calming
# programmes more often. The true effects, which the model does not see:

# %%
programmes = pd.DataFrame(
    {"calms": [0, 3, 3, 1, 0, 0], "activates": [0, 0, 1, 2, 3, 3], "gain": [0, 1, 0, 1, 1, 0]},
    index=["usual care", "course", "app", "group", "walks", "gym"],
)
rng = np.random.default_rng(0)


def people(n):
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=["stress", "sitting", "age", "noise"])
    return X.assign(site=rng.choice(["city", "village"], n))


def true_effects(X):
    effects = {
        arm: gain + calms * np.tanh(X["stress"]) + activates * np.tanh(X["sitting"])
        for arm, (calms, activates, gain) in programmes.iterrows()
    }
    return pd.DataFrame(effects)


X = people(900)
calming = np.isin(programmes.index, ["course", "app"])
chance = np.where(calming, np.exp(0.5 * X[["stress"]]), 1)
chance /= chance.sum(axis=1, keepdims=True)
code = (rng.random((len(X), 1)) > chance.cumsum(axis=1)[:, :-1]).sum(axis=1)
arm = programmes.index.to_numpy()[code]
effects = true_effects(X)
level = 50 - 2 * X["stress"] + 2 * np.abs(X["noise"]) + 2 * (X["site"] == "village")
y = level + effects.to_numpy()[np.arange(len(X)), code] + 2 * rng.normal(size=len(X))
print(pd.Series(arm).value_counts().loc[programmes.index].to_string())

# %% [markdown]
# ## 1. Effects, shared and apart
#
# `predict` and `effect_inference` have a column for each programme, compared with usual care, in
# the order of `arms_`. `sharing` is how much the arms' networks have in common. By default each
# model of the ensemble chooses it by held-out rows; `sharing="independent"` fits every arm by
# itself.

# %%
est = HyperCATE(control="usual care", random_state=0).fit(X, y, arm)
apart = HyperCATE(control="usual care", sharing="independent", random_state=0).fit(X, y, arm)
print(f"arms: {', '.join(est.arms_)}")
print(est.sharing_.round(3).to_string())

# %% [markdown]
# For a thousand new people the errors of both are known. "holds" is the share of 90 % intervals
# that hold the true effect.

# %%
new = people(1000)
truth = true_effects(new)
of_new = pd.DataFrame(est.predict(new), columns=est.arms_[1:])
of_apart = pd.DataFrame(apart.predict(new), columns=apart.arms_[1:])
table = {}
for name in est.arms_[1:]:
    interval = est.effect_interval(new, T1=name, alpha=0.1)
    table[name] = {
        "error, shared": sqrt_pehe(truth[name], of_new[name]),
        "error, apart": sqrt_pehe(truth[name], of_apart[name]),
        "sd of the effect": truth[name].std(),
        "holds": coverage(truth[name], *interval),
    }
table = pd.DataFrame.from_dict(table, orient="index")
table.loc["mean"] = table.mean()
print(table.round(2).to_string())

# %% [markdown]
# Shared, the error is 0.74 on average, and apart 0.82. Not all models of the ensemble chose to
# share: with some 150 people an arm can also be fitted alone. The fewer people an arm has, the more
# it gains from sharing. The table `sharing_` has the held-out losses on which the models based
# their choice.
#
# ## 2. Which arms are alike?
#
# `function` is how differently people respond to two arms once the mean is removed, in standard
# deviations of the responses: the lower, the more alike. The model was not told what a programme
# consists of.

# %%
similarity = arm_similarity(est, X)
names = programmes.index
print(similarity.function.loc[names, names].round(2).to_string())

# %% [markdown]
# ## 3. Averages of arms and groups
#
# `ate_inference` has the average effect of each programme, and `gate_inference` that of each
# programme in each group. Of ten intervals at 95 %, one or two may well miss the true value.
# `simultaneous_frame` widens them so that all of them contain the true values at once with that
# probability, and its p-values are corrected for their number.

# %%
print(est.ate_inference().simultaneous_frame().round(3).to_string())
under_stress = pd.Series(np.where(X["stress"] > 0, "more", "less"), name="stress")
by_stress = est.gate_inference(under_stress)
together = by_stress.simultaneous_frame()
alone = by_stress.summary_frame()
own = together.index.to_frame()
of_groups = effects.groupby(under_stress).mean()
true = np.array([of_groups.loc[row["stress"], row["arm"]] for _, row in own.iterrows()])
table = together[["point_estimate", "ci_lower", "ci_upper"]].assign(true=true)
print(table.round(2).to_string())
for name, frame in (("one at a time", alone), ("all at once", together)):
    held = frame["ci_lower"].lt(true) & frame["ci_upper"].gt(true)
    width = (frame["ci_upper"] - frame["ci_lower"]).mean()
    print(f"intervals {name}: {held.sum()} of {len(held)} hold the truth, mean width {width:.2f}")

axes = plots.plot_group_effects(by_stress)
axes.figure.savefig(out / "many_arms_groups.png", dpi=150)

# %% [markdown]
# The course and the app help those under stress. The effects of walks and the gym hardly depend on
# stress, because these help people who sit much.
#
# ## 4. The best arm for each
#
# `best_arm` takes predicted outcomes of all arms, less what the arms cost, in units of the outcome.
# The value of its advice is known here. In your own study, estimate it by `policy_value` on
# held-out people, with doubly robust scores.

# %%
costs = pd.Series({"usual care": 0, "course": 1, "app": 0.2, "group": 0.5, "walks": 0.2, "gym": 1})
outcomes = pd.DataFrame(est.predict_outcomes(new), columns=est.arms_)
advice = best_arm(outcomes, costs=costs, control="usual care")
print(advice.value_counts().to_string())
net = truth - costs
rules = {"best arm": advice, "truly best arm": net.idxmax(axis=1), "walks for all": "walks"}
print(policy_value(rules, truth, baseline="usual care", costs=costs).summary_frame().round(2))

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
for place, name in enumerate(est.arms_):
    rows = advice == name
    ax.scatter(
        new["stress"][rows], new["sitting"][rows], s=9, label=name, color=plots.COLOURS[place]
    )
ax.set(xlabel="stress", ylabel="sitting")
ax.set_title("The programme advised", loc="left")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
figure.savefig(out / "many_arms_best.png", dpi=150)

# %% [markdown]
# ## What you can do now
#
# You can fit any number of arms at once, so that small ones learn from the others, and see whether
# they did: [how it works](../docs/how-it-works.md) says how sharing is chosen. You can state
# averages of many arms and groups with intervals that hold together
# ([uncertainty](../docs/uncertainty.md)), and advise each person the best arm, at what it costs
# ([decisions](../docs/decisions.md)). Where arms are described by numbers, go on with
# [described arms](described_arms.py); where a new one comes later, with
# [adding an arm](adding_an_arm.py).
