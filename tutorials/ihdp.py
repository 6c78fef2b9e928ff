# %% [markdown]
# # IHDP: effects where the truth is known
#
# The Infant Health and Development Program offered specialist visits and child care to premature
# infants. Hill (2011) made an observational study of it, dropping treated children so that treated
# and controls differ, and simulated the outcome, a cognitive score. The covariates are real; both
# outcomes of every child are known, so estimates can be measured against the truth.
#
# Run it as it is (`python tutorials/ihdp.py --out FOLDER`), or cell by cell in an editor that knows
# `# %%`. It needs `pip install ".[benchmark]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from econml.metalearners import TLearner
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hypercate import HyperCATE, plots
from hypercate.datasets import load_ihdp
from hypercate.metrics import ate_error, sqrt_pehe

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# This is one replicate, with newly drawn coefficients of the outcome's surface, 672 children to fit
# to and 75 to predict. About a fifth of the children are treated. The treated outcome is linear in
# the covariates and the control outcome exponential, so the effect differs between children.

# %%
split = load_ihdp(replication=1)
train, test = split.train, split.test
print(f"{len(train)} children to fit on, {train.treatment.sum()} of them treated")
print(f"true effect of the test children: {test.effect.mean():.2f} ± {test.effect.std():.2f} (sd)")

naive = train.y[train.treatment == 1].mean() - train.y[train.treatment == 0].mean()
print(f"treated minus controls, as they are: {naive:.2f}; true ATE: {train.effect.mean():.2f}")

# %% [markdown]
# ## Fit
#
# Only the factual outcome `y` is seen. Nothing is tuned.

# %%
estimator = HyperCATE(random_state=0).fit(train.X, train.y, train.treatment)
effect = estimator.predict(test.X)
print(f"estimated ATE of the test children: {estimator.ate(test.X):.2f}")
print(estimator.effect_inference(test.X.head()).summary_frame().round(2).to_string())

# %% [markdown]
# ## How far are the arms shared?
#
# Each member of the ensemble tried degrees of sharing, from arms that differ only by a constant
# ("intercept") to arms that share nothing ("independent"), each with the covariates as they are and
# as boosted trees see them, and took the candidate with the smallest factual loss on its validation
# rows. Its effects count as constant unless letting them differ lowers the loss by half a standard
# error over these rows, and its arms share where that lowers it by as much. If "intercept" is far
# behind, the effect is not constant; if "independent" were far ahead, the arms would have little in
# common. Close losses say that the degree hardly matters.

# %%
print(estimator.sharing_.round(3).to_string())
print(estimator.inputs_.round(3).to_string())
print(estimator.n_parameters_)

# %% [markdown]
# ## Did training go well?
#
# The held-out loss of each member's chosen network should fall and level off. Training stops after
# `patience` epochs in which it does not fall by 1 %; the network is then trained again, with the
# validation rows included, for the best number of epochs. The outcome is standardised: 1 is the
# loss of predicting the mean.

# %%
axes = plots.plot_history(estimator)
axes.figure.savefig(out / "ihdp_history.png", dpi=150)

# %% [markdown]
# ## Effects against the truth
#
# Points on the diagonal are right. The bars are 95 % intervals of the effect at a child's
# covariates (the CATE), by a jackknife over the members of the ensemble. The truth is known here,
# so the coverage of the intervals can be measured. In a single replicate, intervals tend to be
# right or wrong together: `hypercate benchmark ihdp --intervals` measures coverage over many
# replicates, and also what is gained by leaving out the children with the largest standard errors.
# [Uncertainty](uncertainty.py) has the intervals for a single child and for averages.

# %%
lower, upper = estimator.effect_interval(test.X, alpha=0.05)
covered = np.mean((lower <= test.effect) & (test.effect <= upper))
print(f"nominal 95 % intervals hold the true effect in {covered:.0%} of the {len(test)} rows")
certain = ~estimator.reject(test.X, share=0.1)
print(
    f"sqrt-PEHE of all rows: {sqrt_pehe(test.effect, effect):.3f}, without the 10 % least "
    f"certain: {sqrt_pehe(test.effect[certain], effect[certain]):.3f}"
)
axes = plots.plot_rejection(test.effect, effect, estimator.effect_inference(test.X).stderr)
axes.figure.savefig(out / "ihdp_rejection.png", dpi=150)

figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
reach = [effect - lower, upper - effect]
axes.errorbar(test.effect, effect, yerr=reach, fmt="o", ms=3, lw=0.8, color="#c2410c")
limits = [min(test.effect.min(), lower.min()), max(test.effect.max(), upper.max())]
axes.plot(limits, limits, color="#64748b", lw=0.8)
axes.set(xlabel="true effect", ylabel="estimated effect", aspect="equal")
axes.set_title("test children; bars: 95 % intervals", fontsize="medium")
figure.savefig(out / "ihdp_effects.png", dpi=150)

# %% [markdown]
# ## Compared with a learner of EconML, on the same split
#
# EconML's T-learner with a Gaussian process is strong on such smooth surfaces. Two reference values
# show how large an error is: no effect for anyone, and the true average for everyone (whose
# sqrt-PEHE is about the standard deviation of the effect: an estimate above it finds no
# heterogeneity).

# %%
process = GaussianProcessRegressor(RBF(5.0) + WhiteKernel(0.1), normalize_y=True, random_state=0)
peer = TLearner(models=make_pipeline(StandardScaler(), process))
peer.fit(train.y, train.treatment, X=train.X.to_numpy())

estimates = {
    "HyperCATE": effect,
    "EconML T-learner, Gaussian process": peer.effect(test.X.to_numpy()),
    "true ATE for everyone": np.full(len(test), train.effect.mean()),
    "zero effect": np.zeros(len(test)),
}
comparison = pd.DataFrame(
    {
        "sqrt-PEHE": {name: sqrt_pehe(test.effect, found) for name, found in estimates.items()},
        "ATE error": {name: ate_error(test.effect, found) for name, found in estimates.items()},
    }
)
print(comparison.round(3).to_string())

# %% [markdown]
# One replicate says little about which learner is better. `hypercate benchmark ihdp` repeats this
# over many replicates with the whole panel, a Gaussian process with a length scale for each column
# among it, and [benchmarks](../benchmarks/README.md) has the table.

# %% [markdown]
# ## What you can do now
#
# You can measure effects against a truth that is known, see how far the arms were shared, and tell
# whether training went well. [How it works](../docs/how-it-works.md) says which rows were used for
# which choice, and [which settings, when](../docs/settings.md) says what you may change.
# [Limits](../docs/limits.md) says where such errors are larger.
