# %% [markdown]
# # Times until an event: do those who give up smoking live longer?
#
# In 1982 the follow-up of a survey (NHEFS) asked 1629 smokers whether they had given up, and in
# the ten years after it 318 of them died. The question is how many more would be alive after 2,
# 4, ..., 10 years if everyone had given up, beside nobody. Four things are done:
#
# 1. observed survival is compared directly, which is misleading because those who gave up were
#    older;
# 2. effects on the probability of surviving beyond each of five horizons, with 95 % intervals
#    (`outcome="survival"`), and in months of life up to the last (`outcome="time"`);
# 3. many people are hidden before the end of their time, and the answer is found again;
# 4. questions that cannot be answered raise an error.
#
# Run it as it is (`python tutorials/survival.py --out FOLDER`), or cell by cell in an editor that
# knows `# %%`. It needs `pip install ".[benchmark]"` and no download.

# %%
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hypercate import HyperCATE, plots
from hypercate.datasets import load_nhefs

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--out", type=Path, default=Path("results/tutorials"), help="plots go here")
out = parser.parse_known_args()[0].out
out.mkdir(parents=True, exist_ok=True)

people = load_nhefs()
X, months, gave_up, died = people.X, people.y, people.treatment, people.event

# %% [markdown]
# ## 1. As it is seen
#
# `y` holds the month of death, counted from January 1983, or 120 for those who were alive at the
# end of 1992; `event` says which of the two. More of those who gave up died.

# %%
for arm, name in ((1, "gave up"), (0, "smoked on")):
    own = gave_up == arm
    print(
        f"{name}: {own.sum()} people, {X['age'][own].mean():.1f} years old on average, of whom "
        f"{died[own].mean():.1%} died"
    )

# %% [markdown]
# ## 2. Effects on survival, and in months
#
# `HyperCATE(outcome="survival", horizon=24)` learns the probability of living longer than 24 months
# with and without giving up, given the 14 covariates. `ate_inference` corrects the models' average
# by their errors, and has a standard error. One fit is needed for each horizon; `effort="instant"`,
# which uses pre-trained networks, makes this a matter of seconds.


# %%
def survival(horizon, time, event):
    estimator = HyperCATE(
        outcome="survival", horizon=horizon, effort="instant", random_state=0
    ).fit(X, time, gave_up, event=event)
    lower, upper = estimator.ate_interval()
    means = estimator.predict_outcomes(X).mean(axis=0)
    return {
        "smoked on": means[0],
        "gave up": means[1],
        "effect": estimator.ate(),
        "lower": lower,
        "upper": upper,
    }


horizons = pd.Index([24, 48, 72, 96, 120], name="months")
table = pd.DataFrame([survival(horizon, months, died) for horizon in horizons], horizons)
alive = (months[:, None] > horizons.to_numpy()) | ~died[:, None]
table["as seen"] = alive[gave_up == 1].mean(axis=0) - alive[gave_up == 0].mean(axis=0)
print(table.round(3).to_string())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
for name, colour in (("gave up", plots.BLUE), ("smoked on", plots.ORANGE)):
    left.plot([0, *horizons], [1, *table[name]], marker="o", color=colour, label=name)
left.set(xlabel="months", ylabel="mean probability of being alive")
left.set_title("If everyone gave up, or nobody", loc="left")
left.legend(frameon=False)
reach = [table["effect"] - table["lower"], table["upper"] - table["effect"]]
right.errorbar(horizons, table["effect"], reach, fmt="o", color=plots.BLUE, label="95 % interval")
right.plot(horizons, table["as seen"], color=plots.ORANGE, marker="s", ls="", label="as seen")
right.axhline(0, color=plots.BLACK, lw=0.8)
right.set_xlabel("months")
right.set_title("Effect of giving up on being alive", loc="left")
right.legend(frameon=False, loc="lower left")
figure.savefig(out / "survival.png", dpi=150)

# %% [markdown]
# As seen, giving up costs up to six points of survival. Compared with people of the same age,
# habits and health, nearly all of that is gone, and every interval holds 0: ten years and 318
# deaths do not tell whether the effect is a few points for better or worse. Hernán & Robins
# (2020, chapter 17) find the same. In months of life out of 120, and as a ratio:

# %%
estimator = HyperCATE(outcome="time", horizon=120, effort="instant", random_state=0)
estimator.fit(X, months, gave_up, event=died)
lower, upper = estimator.ate_interval()
print(f"months of 120 that giving up adds: {estimator.ate():.2f} ({lower:.2f} to {upper:.2f})")
low, high = estimator.ate_interval(scale="ratio")
print(f"ratio of mean times: {estimator.ate(scale='ratio'):.4f} ({low:.4f} to {high:.4f})")

# %% [markdown]
# ## 3. Where people are lost
#
# In this study nobody is lost before the end. To see what censoring does, let people move away,
# the younger and those who gave up sooner, and forget what became of them. Four in ten of the
# outcomes at 120 months are then unknown. Those whose outcome is known are too often the old and
# the dead, so leaving the others out is wrong. With `event=` they count for as long as they were
# followed.

# %%
rng = np.random.default_rng(0)
mean_time = 250 * np.exp(0.03 * (X["age"] - 44) - 0.4 * gave_up)
moved = np.ceil(rng.exponential(mean_time))
time, event = np.minimum(months, moved), died & (months <= moved)
unknown = ~event & (time < 120)
print(f"unknown after 120 months: {unknown.mean():.0%}, deaths seen: {event.sum()} of {died.sum()}")
found = survival(120, time, event)
truth = table.loc[120]
print(f"alive if nobody gave up, all known:   {truth['smoked on']:.3f}")
print(f"alive if nobody gave up, with event=: {found['smoked on']:.3f}")
left_out = np.mean(~died[~unknown & (gave_up == 0)])
print(f"alive of known rows that smoked on:   {left_out:.3f}")
print(
    f"effect, with event=: {found['effect']:.3f} ({found['lower']:.3f} to {found['upper']:.3f}), "
    f"all known: {truth['effect']:.3f}"
)

# %% [markdown]
# ## 4. What cannot be asked

# %%
questions = {
    "a person's own time": lambda: estimator.predict_outcome_interval(X),
    "an error on rows left out": lambda: estimator.score(X, months, gave_up),
    "times without event=": lambda: HyperCATE(outcome="time", horizon=120).fit(X, months, gave_up),
    "no horizon": lambda: HyperCATE(outcome="time").fit(X, months, gave_up, event=died),
    "twenty years": lambda: HyperCATE(outcome="time", horizon=240).fit(
        X, months, gave_up, event=died
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
# - State how many more survive beyond a horizon, or how many months are gained up to it, with an
#   interval, where some were lost on the way.
# - Ask the same of each person: `effect(X)` and `effect_interval(X)`, as differences or ratios.
# - Do not ignore the warning about rows that had hardly a chance of being followed so long: pass an
#   earlier horizon.
#
# The guide to [kinds of outcomes](../docs/outcomes.md) has the calls, and what censoring may
# depend on.
