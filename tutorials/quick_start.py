# %% [markdown]
# # Quick start: for whom does a drug work?
#
# In a minute, from a data frame to the effect of a drug for each patient, its average, and a
# picture. The patients are simulated, so the answer is known: the drug raises the outcome by 2 in
# the north and does nothing in the south.
#
# Run it as it is (`python tutorials/quick_start.py --out FOLDER`), or cell by cell in an editor
# that knows `# %%`. It needs `pip install ".[plots]"` and no download.

# %%
import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from hypercate import HyperCATE, plots

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The data
#
# One row per patient: the covariates `X`, the `arm` that each received, and the outcome `y`.
# Doctors in the north gave the drug more often. One cell in twenty is missing, which needs no
# preparation.

# %%
rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.normal(50, 10, 1000), "site": rng.choice(["north", "south"], 1000)})
north = X["site"] == "north"
arm = np.where(rng.random(1000) < np.where(north, 0.7, 0.3), "drug", "placebo")
y = X["age"] / 10 + 2 * north * (arm == "drug") + rng.normal(size=1000)
X = X.astype({"site": "category"}).mask(rng.random(X.shape) < 0.05)
print(X.assign(arm=arm, y=y).head().round(2).to_string())

# %% [markdown]
# ## Fit
#
# Name the arm with which the others are compared. Nothing is tuned.

# %%
est = HyperCATE(control="placebo", random_state=0).fit(X, y, arm)

# %% [markdown]
# ## The effect for each patient
#
# `point_estimate` is the effect of the drug for patients of this age and site, in units of the
# outcome; `ci_lower` and `ci_upper` are the ends of its 95 % interval.

# %%
effects = est.effect_inference(X)
found = effects.summary_frame()[["point_estimate", "ci_lower", "ci_upper"]]
print(X.join(found).head().round(2).to_string())
by_site = pd.DataFrame({"estimated": est.predict(X), "true": 2 * north}).groupby(X["site"])
print(by_site.mean().round(2).to_string())

# %% [markdown]
# ## The average effect
#
# The plain difference of the two groups would also hold the difference between the sites' doctors.
# `ate_inference` corrects for that.

# %%
print(est.ate_inference())
print(f"true average: {2 * north.mean():.2f}")

# %% [markdown]
# ## A picture
#
# A grey dot is a patient. For each site, the point is the mean effect, and the bar the mean of the
# patients' intervals. Where the site is missing, the estimate lies between the two.

# %%
axes = plots.plot_effect_by(effects, X["site"])
axes.figure.savefig(out / "quick_start.png", dpi=150)

# %% [markdown]
# ## What you can do now
#
# You can estimate the effect of a treatment for every row of a frame of your own, with intervals,
# and the average effect with a test against 0. [Get started](../docs/get-started.md) says what each
# argument takes, and [the steps of an analysis](../docs/workflow.md) what to ask before and after
# the fit. Go on with [uncertainty](uncertainty.py) or, for more than two arms,
# [many arms](many_arms.py).
