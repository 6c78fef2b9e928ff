# %% [markdown]
# # Uplift under a budget: whom to send which e-mail?
#
# A retailer sent 64,000 customers an e-mail for men's merchandise, one for women's, or none, at
# random (Hillstrom, 2008). Two weeks later it counted who had visited the site. With money for half
# of the e-mails: who should get which? It goes step by step:
#
# 1. what each e-mail does on average;
# 2. effects for each customer, and whether they order customers whom the model has not seen;
# 3. who gets which e-mail within a budget, and what that is worth beside the same money spent
#    without a model;
# 4. how many to write to, if each e-mail costs and each visit pays;
# 5. a rule of two questions that a person can read.
#
# Run it as it is (`python tutorials/hillstrom.py --out FOLDER`), or cell by cell in an editor that
# knows `# %%`. It needs `pip install ".[plots]"` and the data, which is downloaded once, or read
# from the folder `HYPERCATE_DATA` ([how](../datasets/README.md)).

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, plots
from hypercate.datasets import load_hillstrom
from hypercate.metrics import (
    aipw_scores,
    policy_value,
    qini_curve,
    qini_score,
    rate_inference,
    toc_curve,
)
from hypercate.policy import PolicyTree, best_arm, profit_curve, spend

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. What each e-mail does on average
#
# Half of the customers are held out: all choices below are made on the others and evaluated on
# these. E-mails were assigned at random, so each customer received each of the three with a
# probability of one third. Scores by design therefore need no model: the mean score of an e-mail is
# the share of customers who would visit if all got it.

# %%
split = load_hillstrom(501, "visit")
ARMS = ["none", "mens", "womens"]


def of(sample):
    """Customers, whether they visited, and which e-mail they had."""
    return sample.X.reset_index(drop=True), sample.y, np.array(ARMS)[sample.treatment]


(X, visited, email), (new, new_visited, new_email) = of(split.train), of(split.test)


def by_lot(n):
    return pd.DataFrame(1 / 3, index=range(n), columns=ARMS)


by_design = aipw_scores(new_visited, new_email, propensity=by_lot(len(new)), control="none")
print(policy_value({"mens": "mens", "womens": "womens"}, by_design, baseline="none"))

# %% [markdown]
# ## 2. Effects for each customer
#
# Half of the 32,000 customers that may be used, and `effort="fast"`, are enough for a tutorial.
# `propensity=` passes the known probabilities.

# %%
some = np.arange(16_000)
est = HyperCATE(control="none", effort="fast", random_state=0)
est.fit(X.iloc[some], visited[some], email[some], propensity=by_lot(len(some)))
effects = pd.DataFrame(est.predict(new), new.index, columns=ARMS[1:])
print("predicted effects on held-out customers, in points of visits")
print((100 * effects).describe().loc[["mean", "std", "min", "max"]].round(1).to_string())

# %% [markdown]
# Effects that vary are not yet effects that are right. The outcomes of held-out customers tell. The
# Qini curve counts the visits that are gained as more customers are written to, those with the
# largest predicted effects first. The TOC says how much more the first gain than all; the area
# under it is the RATE, whose test asks whether the order says anything. Predicted outcomes, of a
# model that has not seen the customer, make the scores less noisy.

# %%
scores = aipw_scores(
    new_visited, new_email,
    propensity=by_lot(len(new)), outcomes=est.predict_outcomes(new), control="none",
)  # fmt: skip
print(rate_inference(effects, scores))
qini = qini_score(new_visited, effects, new_email, control="none")
print("visits gained over a random order, on average over shares (Qini):", qini.round(1).to_dict())
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
plots.plot_qini(qini_curve(new_visited, effects, new_email, control="none"), ax=left)
plots.plot_toc(toc_curve(effects, scores), ax=right)
figure.savefig(out / "hillstrom_order.png", dpi=150)

# %% [markdown]
# The order of effects of the women's e-mail says who gains more; it works on some and hardly on
# others. The men's works on nearly everyone alike, so that there is less to order.
#
# ## 3. Within a budget
#
# Both e-mails cost the same, and there is money for half of the customers. `spend` takes the
# largest effects first, and for each customer the better of the two e-mails. The value of this
# policy is estimated by the scores, not by the predictions by which it was chosen. The same money,
# spent without a model, pays the men's e-mail, which is better on average, for a random half of the
# customers: its score is the mean of the scores of the e-mail and of no e-mail.

# %%
budget = len(new) // 2
best = spend(effects, 1.0, budget=budget, control="none")
print(best)
womens = spend(effects[["womens"]], 1.0, budget=budget, control="none")
policies = {"best by effects": best.policy, "womens by effects": womens.policy}
by_lot_scores = {f"{arm} by lot": (scores["none"] + scores[arm]) / 2 for arm in ARMS[1:]}
with_lots = scores.assign(**by_lot_scores)
policies |= {name: name for name in by_lot_scores}
print(policy_value(policies, with_lots, baseline="none"))
for name in ("best by effects", "womens by effects"):
    lot = "womens by lot" if name.startswith("womens") else "mens by lot"
    more = policy_value(policies[name], with_lots, baseline=lot)
    (lower,), (upper,) = more.interval()
    print(f"{name}, more than {lot}: {100 * more.point_estimate[0]:.2f} points of visits "
          f"({100 * lower:.2f} to {100 * upper:.2f})")  # fmt: skip

# %% [markdown]
# With the women's e-mail alone, the same money gains half as much again if the model says who gets
# it. With both, most of the money is spent on the men's e-mail, which works on nearly everyone. So
# there is little to choose, and these data hardly show whether choosing is better than sending at
# random. [Benchmarks](../benchmarks/README.md#whom-to-e-mail-hillstrom) has all learners, over
# several splits.
#
# ## 4. How many to write to
#
# Let a visit be worth a dollar and an e-mail cost five cents. Then the profit a customer rises as
# long as those who are added gain more than five points.

# %%
profit = profit_curve(effects, scores, value=1.0, cost=0.05)
for arm in profit.arms:
    table = profit.of(arm).set_index("share")
    share = table["value"].idxmax()
    print(f"{arm}: best share {share:.0%}, profit {100 * table.loc[share, 'value']:.2f} cents a "
          f"customer, of all {100 * table.loc[1.0, 'value']:.2f}")  # fmt: skip
plots.plot_profit(profit).figure.savefig(out / "hillstrom_profit.png", dpi=150)

# %% [markdown]
# The men's e-mail pays for nearly everyone, and the women's only for those whom the model puts
# first: sent to all it would lose money. The best share was looked up on these customers, so what
# it earns is a little too good.
#
# ## 5. A rule that can be read
#
# `PolicyTree` finds the best of all rules of two questions, by the scores of the 32,000 customers
# that may be used, costs subtracted. On held-out customers it is worth what `policy_value` says,
# beside the best e-mail for each by predicted outcomes, and the men's for everyone.

# %%
costs = {"none": 0.0, "mens": 0.05, "womens": 0.05}
past = aipw_scores(visited, email, propensity=by_lot(len(X)), control="none")
tree = PolicyTree(costs=costs, min_samples_leaf=500).fit(X, past)
print(tree)
plots.plot_policy_tree(tree).figure.savefig(out / "hillstrom_tree.png", dpi=150)
advice = best_arm(est.predict_outcomes(new), arms=est.arms_, costs=costs)
rules = {"tree": tree.predict(new), "best for each": advice, "mens for all": "mens"}
print(policy_value(rules, scores, baseline="none", costs=costs))
more = policy_value(rules["tree"], scores, baseline="mens", costs=costs)
(lower,), (upper,) = more.interval()
print(f"tree, more than mens for all: {100 * more.point_estimate[0]:.2f} cents a customer "
      f"({100 * lower:.2f} to {100 * upper:.2f})")  # fmt: skip

# %% [markdown]
# All three earn about two cents per customer; the data do not show which is best. Use the one that
# is easiest to explain and to maintain, and use the model if an e-mail works only on some
# customers.

# %% [markdown]
# ## What you can do now
#
# - Say whether predicted effects order people, by those whom the model has not seen:
#   `rate_inference`, `qini_score`, and their curves.
# - Spend a budget on the largest effects, of one treatment or several, with costs of each: `spend`.
# - Say what that is worth beside the same money spent without a model, with an interval:
#   `policy_value`, where a lot is the mean of two columns of scores.
# - Find how many to treat, and a rule that can be read: `profit_curve`, `PolicyTree`.
# - Do the same without an experiment: take the scores from a fit to the held-out rows
#   (`scores_frame`), as in [decisions](../docs/decisions.md).
#
# [Command line](../docs/command-line.md) says how a model is fitted and used from files.
