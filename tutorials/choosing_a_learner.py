# %% [markdown]
# # Choosing a learner, when nobody knows the true effects
#
# Effects can be estimated in many ways, and the ways differ. True effects are never seen, so no
# table of errors says which to believe. What can be said, and how surely:
#
# 1. the contenders: three learners of ours and three of EconML's, fitted on the same rows;
# 2. a score that needs no true effects, on rows that no contender has seen, with an error of its
#    own;
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
# 800 people to fit on and 1000 held out, 20 covariates; those who do well without treatment are the
# likelier to get it. `effort="fast"` is half of the work of the default.

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
# outcomes or the propensities that it is made of are. So effects that are nearer to the truth are
# nearer to the scores, too; `dr_score` says which share of the scores' variation they explain. Even
# the true effects explain little, for the scores are mostly noise: what counts is the difference
# between contenders, on the same people.
#
# Scores come from held-out people alone, and from models of two kinds, lest a judge prefer its
# relatives: a fit of HyperCATE, and boosted trees of scikit-learn.

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
# The order of the scores alone is not to be believed: where an interval holds 0, two contenders are
# not told apart. Boosted trees are surely worse, by both judges, and those fitted for each arm are
# worse than the same effect for everyone. Our three and Lasso are not told apart by 1000 people, or
# hardly. What is wrong with the boosted trees is said by the calibration, the line from predicted
# effects to the scores: its slope should be 1, and where it is 1/2, effects are predicted that vary
# twice as much as they do.

# %%
for name in ("HyperCATE t", "EconML T boosting"):
    line = calibration_table(effects[name], by_networks, n_bins=5).line.summary_frame()
    slope, error = line["point_estimate"].iloc[-1], line["stderr"].iloc[-1]
    print(f"slope of {name}: {slope:.2f} (standard error {error:.2f})")

# %% [markdown]
# ## 3. A search over settings
#
# `GridSearchCV` needs only training rows. It takes the estimator's own `score`, an R-score, in
# which what trees leave of outcomes and treatments takes the place of the doubly robust scores:
# more is better, and 0 is as good as the same effect for everyone. With metadata routing each fold
# gets its treatments, also in a pipeline.

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
# Half of the training rows say even less than the held-out ones: the learners differ by less than
# their scores do between the two folds. A search is worth its time where candidates are far apart,
# and `best_params_` is no more than a draw where they are not.
#
# ## 4. Where contenders are not told apart
#
# Take their mean: errors that they do not share cancel out, so it is seldom worse than the best of
# them. Do not take their agreement for accuracy. Learners that see the same rows share most of
# their errors: how far they lie apart for a person says less than an interval, which asks how far
# other rows would have moved the effect. And a confounder that nobody measured misleads them all
# alike, the judges too.

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
# The judges were right where they were sure, and where they were not, little was at stake: the four
# differ by 0.04, while the boosted trees miss by 1.5 to 2.5 times as much. The least error is
# Lasso's, for much of these surfaces is linear, and neither judge could say so.

# %% [markdown]
# ## What you can do now
#
# - Compare learners of any package without true effects: doubly robust scores of held-out rows
#   (`scores_frame`, or `aipw_scores` by models of your own), `dr_score`, and the paired difference
#   of losses with its standard error.
# - Ask a second judge of another kind, and believe what both say.
# - See what is wrong with effects that score badly: `calibration_table`.
# - Search settings by `GridSearchCV` with metadata routing, and see whether candidates differ by
#   more than folds do.
# - Where they do not, average, and state an interval in place of how well learners agree.
#
# [Decisions](../docs/decisions.md) says which scores may judge, [in
# scikit-learn](../docs/scikit-learn.md) how searches are set up, and [beside other
# packages](../docs/other-packages.md) which learners there are.
