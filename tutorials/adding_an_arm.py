# %% [markdown]
# # A new arm, after the fit
#
# A trial goes on: a sixth message is sent to a few customers, while the model of the first five is
# in use. With `add_arm`, that model learns the new arm from a few dozen rows, without the rows that
# it was fitted to; its predictions for all other arms stay the same. This tutorial shows:
#
# 1. a model that is fitted, saved and loaded, and learns an arm from 40 rows;
# 2. its **effects and intervals**, compared with the truth and with a model of the 40 rows alone;
# 3. how they become more certain with **more rows**, and when to fit again;
# 4. what changes for the old arms (nothing), and what is not available for the new arm.
#
# Run it as it is (`python tutorials/adding_an_arm.py --out FOLDER`), or cell by cell in an editor
# that knows `# %%`. It needs `pip install ".[plots]"` and no download.

# %%
import argparse
from copy import deepcopy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from hypercate import HyperCATE, plots
from hypercate.metrics import coverage, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# A shop sends messages at random. Each appeals to loyalty, to thrift, or to something of both, and
# what customers then spend depends on how loyal and how thrifty they are. The truth, of which the
# model is told nothing:

# %%
appeals = pd.DataFrame(
    {"loyalty": [0, 4, 1, 3, 0, 2], "thrift": [0, 0, 3, 2, 4, 4], "gain": [0, 2, 1, 3, 2, 4]},
    index=["none", "thanks", "coupon", "points", "discount", "bundle"],
)
old, new = appeals.index[:-1], appeals.index[-1]
rng = np.random.default_rng(0)


def customers(n):
    return pd.DataFrame(rng.normal(size=(n, 4)), columns=["loyal", "thrifty", "age", "basket"])


def true_effect(X, arm):
    loyalty, thrift, gain = appeals.loc[arm].to_numpy(float).T
    return gain + loyalty * np.tanh(X["loyal"]) + thrift * X["thrifty"]


def received(n, arms):
    X = customers(n)
    arm = rng.choice(arms, n)
    spent = 40 + 5 * np.abs(X["basket"]) + 2 * X["age"] + true_effect(X, arm)
    return X, spent + 4 * rng.normal(size=n), arm


# %% [markdown]
# ## 1. Fit, save, load, add
#
# The model is fitted to the five existing arms, and saved without its rows.

# %%
rows = received(1000, old)
fitted = HyperCATE(control="none", random_state=0).fit(*rows)
fitted.save(out / "messages.hypercate", evidence=False)

# %% [markdown]
# Weeks later, 40 customers have received the bundle. The loaded model learns it from them, as the
# last of its arms.

# %%
estimator = HyperCATE.load(out / "messages.hypercate")
before = deepcopy(estimator)
X_new, y_new, arm_new = received(40, [new])
estimator.add_arm(X_new, y_new, arm_new)
print(f"arms: {', '.join(estimator.arms_)}")

# %% [markdown]
# ## 2. Its effects
#
# The effects of the new arm are computed like those of any arm. Without the other arms, one would
# compare two regressions, one for the 40 rows and one for the controls: this is the row
# `regressions` of the second table below.

# %%
others = customers(1000)
truth = true_effect(others, new)
inference = estimator.effect_inference(others, T1=new)
print(inference.summary_frame(alpha=0.1).head().round(2).to_string())


def beside_the_truth(fit):
    effect, interval = fit.effect(others, T1=new), fit.effect_interval(others, T1=new, alpha=0.1)
    return {
        "mean": effect.mean(),
        "true mean": truth.mean(),
        "sqrt-PEHE": sqrt_pehe(truth, effect),
        "interval holds it": coverage(truth, *interval),
        "width": np.mean(interval[1] - interval[0]),
    }


X, y, arm = rows
ridge = [
    RidgeCV(np.logspace(-2, 3, 20)).fit(*own).predict(others)
    for own in ((X_new, y_new), (X[arm == "none"], y[arm == "none"]))
]
alone = {
    "mean": (ridge[0] - ridge[1]).mean(),
    "true mean": truth.mean(),
    "sqrt-PEHE": sqrt_pehe(truth, ridge[0] - ridge[1]),
}
table = pd.DataFrame.from_dict(
    {"added": beside_the_truth(estimator), "regressions": alone}, orient="index"
)
print(table.round(2).to_string())

effect = estimator.effect(others, T1=new)
lower, upper = estimator.effect_interval(others, T1=new, alpha=0.1)
shown = slice(0, 150)
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.errorbar(
    truth[shown], effect[shown], np.stack([effect - lower, upper - effect])[:, shown],
    fmt="o", ms=3, lw=0.8, color=plots.BLUE, alpha=0.7,
)  # fmt: skip
ax.plot([truth.min(), truth.max()], [truth.min(), truth.max()], color=plots.BLACK, lw=0.8)
ax.set(xlabel="true effect", ylabel="estimated effect")
ax.set_title("The bundle, learned from 40 rows", loc="left")
figure.savefig(out / "adding_an_arm_effects.png", dpi=150)

# %% [markdown]
# Added to the model, the arm has an error of 1.31 beside 2.77 of the regressions, because the model
# already knows from the other arms how loyal and thrifty customers respond.
#
# ## 3. More rows
#
# With few rows, the new arm's effects are shrunk towards what the other arms have in common, and
# its intervals are wide. With more rows they depend less on the other arms. The departure from the
# other arms is linear in the covariates, so from some number of rows on a new fit is better; but it
# needs all rows and takes longer.

# %%
table = {}
for n in (10, 40, 160, 640):
    X_more, y_more, arm_more = received(n, [new])
    more = deepcopy(before).add_arm(X_more, y_more, arm_more)
    table[f"{n} rows added"] = beside_the_truth(more)
everything = [pd.concat([X, X_more]), np.append(y, y_more), np.append(arm, arm_more)]
fitted_again = HyperCATE(control="none", random_state=0).fit(*everything)
table["640 rows, fitted again"] = beside_the_truth(fitted_again)
print(pd.DataFrame.from_dict(table, orient="index").round(2).to_string())

# %% [markdown]
# ## 4. The other arms, and what is not available
#
# The effects of the five old arms are exactly the same as before.

# %%
same = (estimator.predict(others)[:, :-1] == before.predict(others)).all()
print(f"effects of the old arms are the same: {same}")

# %% [markdown]
# Averages, scores and intervals of persons need rows of the fit, and the new arm has none among
# them. `add_arm` raises an error if it is given rows of an old arm, or a column that the fit did
# not have. A call that fails leaves the model unchanged.

# %%
questions = {
    "its average": lambda: estimator.ate(T0=new),
    "a score": lambda: estimator.score(X_new, y_new, arm_new),
    "rows of an old arm": lambda: estimator.add_arm(X, y, arm),
    "another column": lambda: estimator.add_arm(X_new.assign(income=1), y_new, arm_new),
    "a single row": lambda: before.add_arm(X_new[:1], y_new[:1], arm_new[:1]),
}
for name, ask in questions.items():
    try:
        ask()
    except ValueError as error:
        print(f"{name}: {str(error).splitlines()[0]}")

# %% [markdown]
# ## What you can do now
#
# - Keep a fitted model in use while arms come and go, and learn each new one from its first few
#   dozen rows, with intervals that say how little that is.
# - Do so even if you no longer have the rows of the fit: the model alone is enough.
# - Fit again with all rows once the new arm has some hundreds.
#
# The guide to [doses and described arms](../docs/doses.md) has the calls, and [saving and
# production](../docs/saving.md) what a saved model holds.
