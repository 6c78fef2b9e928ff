# %% [markdown]
# # Choosing a learner, when nobody knows the true effects
#
# Effects can be estimated in many ways, and the ways differ. True effects are never observed, so no
# table of errors says which learner to trust. This tutorial shows what you can still find out, and
# how certain it is:
#
# 1. the contenders: three learners of ours and three of EconML's, fitted on the same rows;
# 2. a score that needs no true effects, on rows that no contender has seen, with its standard
#    error;
# 3. a search over settings in scikit-learn, by the same kind of score;
# 4. what to believe where the contenders differ, person by person;
# 5. the truth, which is known here because the study is simulated: was the choice right?
#
# Run it as it is (`python tutorials/choosing_a_learner.py --out FOLDER`), or cell by cell in an
# editor that knows `# %%`. It needs `pip install ".[benchmark]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from econml.metalearners import TLearner, XLearner
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hypercate import HyperCATE, plots
from hypercate.datasets import draw_interval_study
from hypercate.metrics import aipw_scores, calibration_table, dr_score, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. The contenders
#
# There are 800 people to fit to and 1000 held out, with 20 covariates. People who do well without
# treatment are more likely to get it. `effort="fast"` takes half of the time of the default.

# %%
split = draw_interval_study("smooth", rows=800, replication=501)
train, held_out = split.train, split.test
data = train.X, train.y, train.treatment

effects, ours = {}, {}
for learner in ("t", "x", "dr"):
    est = HyperCATE(learner=learner, effort="fast", random_state=0).fit(*data)
    ours[learner] = est
    effects[f"HyperCATE {learner}"] = est.predict(held_out.X)


def boosting():
    return GradientBoostingRegressor(random_state=0)


theirs = {
    "EconML T boosting": TLearner(models=boosting()),
    "EconML X boosting": XLearner(models=boosting()),
    "EconML X Lasso": XLearner(models=make_pipeline(StandardScaler(), LassoCV())),
}
for name, est in theirs.items():
    est.fit(train.y, train.treatment, X=train.X.to_numpy())
    effects[name] = est.effect(held_out.X.to_numpy()).ravel()
effects["the same for everyone"] = np.full(len(held_out), ours["t"].ate())
effects = pd.DataFrame(effects, index=held_out.X.index)
print("correlations of their effects")
print(effects.iloc[:, :-1].corr().round(2).to_string(header=False))

# %% [markdown]
# ## 2. A score that needs no true effects
#
# A doubly robust score of a person is a noisy guess of the effect, and right on average if the
# outcomes or the propensities that it is made of are. So effects that are closer to the truth are
# closer to the scores, too; `dr_score` is the share of the scores' variation that the effects
# explain. Even the true effects explain little, because the scores are mostly noise: what matters
# is the difference between contenders on the same people.
#
# The scores use only held-out people. They come from two kinds of models, because a model may
# favour learners of its own kind: a fit of HyperCATE, and scikit-learn's boosted trees.

# %%
X, y, arm = held_out.X, held_out.y, held_out.treatment
by_networks = HyperCATE(effort="instant", random_state=0).fit(X, y, arm).scores_frame(X)


def out_of_fold(model, rows, target, method):
    """What a model says of everyone, fitted without the person, on the rows that are given."""
    used = np.flatnonzero(rows)
    found = np.empty(len(X))
    found[used] = cross_val_predict(model, X.iloc[used], target[used], cv=5, method=method)
    if len(used) < len(X):
        found[~rows] = model.fit(X.iloc[used], target[used]).predict(X[~rows])
    return found


outcomes = np.column_stack([out_of_fold(boosting(), arm == k, y, "predict") for k in (0, 1)])
chances = cross_val_predict(
    GradientBoostingClassifier(n_estimators=50, max_depth=2, random_state=0),
    X, arm, cv=5, method="predict_proba",
).clip(0.05, 0.95)  # fmt: skip
by_trees = aipw_scores(y, arm, outcomes=outcomes, propensity=chances)


def judged(scores):
    """Score of each contender, and how much larger its loss is than that of the first, with s.e."""
    loss = effects.sub(scores[1] - scores[0], axis=0) ** 2
    more = loss.sub(loss["HyperCATE t"], axis=0)
    score = [dr_score(effects[name], scores) for name in effects]
    return pd.DataFrame({"score": score, "loss": more.mean(), "s.e.": more.sem()}, more.columns)


judges = {"networks": judged(by_networks), "trees": judged(by_trees)}
print("judged on held-out rows: score; loss less that of HyperCATE t, and its standard error")
print(pd.concat(judges, axis=1).round(3).to_string())

# %%
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name, shift, colour in (("networks", -0.12, plots.BLUE), ("trees", 0.12, plots.ORANGE)):
    others = judges[name].iloc[1:]
    place = np.arange(len(others)) + shift
    ax.errorbar(others["loss"], place, xerr=1.96 * others["s.e."], fmt="o", color=colour,
                label=f"judged by {name}")  # fmt: skip
ax.axvline(0, color=plots.BLACK, lw=0.8)
ax.set_yticks(range(len(effects.columns) - 1), effects.columns[1:])
ax.invert_yaxis()
ax.set_xlabel("loss less that of HyperCATE t, with 95 % intervals; left is better")
ax.set_title("Who is nearer to the scores", loc="left")
ax.legend(frameon=False)
figure.savefig(out / "choosing_a_learner_judged.png", dpi=150)

# %% [markdown]
# Do not rely on the order of the scores alone: where an interval contains 0, the data do not show
# which of two contenders is better. Boosted trees are clearly worse by both kinds of scores, and
# those fitted separately for each arm are worse than the same effect for everyone. With 1000
# people, our three learners and Lasso can hardly be distinguished. The calibration shows what is
# wrong with the boosted trees. It is the line from predicted effects to scores: its slope should be
# 1; a slope of 1/2 means that predicted effects vary twice as much as the true ones.

# %%
for name in ("HyperCATE t", "EconML T boosting"):
    line = calibration_table(effects[name], by_networks, n_bins=5).line.summary_frame()
    slope, error = line["point_estimate"].iloc[-1], line["stderr"].iloc[-1]
    print(f"slope of {name}: {slope:.2f} (standard error {error:.2f})")

# %% [markdown]
# ## 3. A search over settings
#
# `GridSearchCV` needs only training rows. It uses the estimator's own `score`, an R-score, which
# uses the residuals of outcomes and treatments from trees instead of doubly robust scores. Higher
# is better, and 0 is as good as the same effect for everyone. With metadata routing each fold gets
# its treatments, also in a pipeline.

# %%
model = make_pipeline(
    StandardScaler().set_output(transform="pandas"),
    HyperCATE(n_members=2, effort="fast", random_state=0),
)
grid = {"hypercate__learner": ["t", "x", "dr"]}
with sklearn.config_context(enable_metadata_routing=True):
    search = GridSearchCV(model, grid, cv=2, refit=False).fit(
        train.X, train.y, treatment=train.treatment
    )
found = pd.DataFrame(search.cv_results_).set_index("param_hypercate__learner")
print(found[["mean_test_score", "std_test_score"]].round(3).to_string())

# %% [markdown]
# Half of the training rows contain even less information than the held-out rows: the learners
# differ by less than the scores of one learner differ between the two folds. A search is worth its
# time if candidates differ much; otherwise `best_params_` is random.
#
# ## 4. If the data do not show which is best
#
# Then take their mean: errors that they do not share cancel out, so the mean is seldom worse than
# the best of them. But do not treat agreement as accuracy. Learners that see the same rows share
# most of their errors. How much they differ for a person says less than an interval, which measures
# how much other rows would have changed the effect. And a confounder that nobody measured biases
# all of them in the same way, including the scores.

# %%
equals = ["HyperCATE t", "HyperCATE x", "HyperCATE dr", "EconML X Lasso"]
effects["mean of four"] = effects[equals].mean(axis=1)
print("mean of four:")
print(judged(by_networks).loc[["mean of four"]].round(3).to_string(header=False))
apart = effects[equals].std(axis=1).median()
lower, upper = ours["t"].effect_interval(X, alpha=0.1)
print(f"typical distance between the four: {apart:.2f}; half of the width of a 90 % interval: "
      f"{np.median(upper - lower) / 2:.2f}")  # fmt: skip

# %% [markdown]
# ## 5. The truth
#
# Here it is known.

# %%
errors = pd.Series({name: sqrt_pehe(held_out.effect, effects[name]) for name in effects})
print("error of the effect (sqrt-PEHE)")
print(errors.round(3).to_string())
for name, table in judges.items():
    rank = table["score"].corr(-errors[table.index], method="spearman")
    print(f"rank correlation of scores by {name} with accuracy: {rank:.2f}")

# %% [markdown]
# Both kinds of scores were right where they were certain, and elsewhere the choice mattered little:
# the four differ by 0.04, while the boosted trees have 1.5 to 2.5 times as large an error. Lasso
# has the lowest error, because much of these surfaces is linear; neither kind of score could show
# that.

# %% [markdown]
# ## What you can do now
#
# - Compare learners of any package without true effects: doubly robust scores of held-out rows
#   (`scores_frame`, or `aipw_scores` by models of your own), `dr_score`, and the paired difference
#   of losses with its standard error.
# - Compute the scores with a second model of another kind, and trust what both agree on.
# - See what is wrong with effects that score badly: `calibration_table`.
# - Search settings by `GridSearchCV` with metadata routing, and see whether candidates differ by
#   more than folds do.
# - If they do not, average them, and report an interval instead of how well learners agree.
#
# [Decisions](../docs/decisions.md) says which rows and scores to evaluate on, [in
# scikit-learn](../docs/scikit-learn.md) how searches are set up, and [beside other
# packages](../docs/other-packages.md) which learners there are.
