"""Small fitted models of every kind, for tests of what serves them."""

from functools import cache

import numpy as np
import pandas as pd
from small import mixed_frame, tiny

from hypercate import HyperCATE

N = 160
ARMS = {"control": 0.0, "drug": 1.0, "surgery": 3.0, "rest": 2.0}
RAW = {"inputs": "raw", "pretrained": "none", "second_stage": "none"}
KINDS = {
    "trees": {"inputs": "boosted", "sharing": "auto", "activation": "silu"},
    "effects": RAW | {"learner": "x", "activation": "gelu"},
    "levels": {"inputs": "boosted", "outcome": {"visits": "count"}},
    "time": RAW | {"outcome": "time", "horizon": 4.0},
    "doses": RAW | {"treatment_kind": "dose", "activation": "tanh"},
    "described": RAW | {"activation": "elu"},
    "added": RAW | {"outcome": "positive", "activation": "blunt_softplus"},
    "updated": RAW | {"activation": "relu"},
    "instant": {},
}


@cache
def frame(levels=False):
    """Every kind of column, and one of more levels than have an indicator each where asked for."""
    X, y, arm, _ = mixed_frame(N, seed=501)
    clinic = np.array([f"clinic {j:02}" for j in range(32)])[np.arange(N) % 32]
    return X.assign(clinic=clinic) if levels else X, y, arm


def rows_of(X):
    """The rows as dicts of plain values."""
    objects = X.astype(object)
    objects["grade"] = [str(grade) for grade in objects["grade"]]
    return objects.where(objects.notna(), None).to_dict("records")


@cache
def fitted(kind):
    """A model and its frame."""
    X, y, arm = frame(kind == "levels")
    rng = np.random.default_rng(501)
    if kind == "instant":
        return HyperCATE(effort="instant", control="control", random_state=0).fit(X, y, arm), X
    more, est = {}, tiny(control="control", **KINDS[kind])
    if kind == "time":
        y, more = np.exp(y / 5), {"event": rng.random(N) < 0.7}
    elif kind == "levels":
        y = pd.DataFrame({"size": y, "visits": rng.poisson(3, N)}, index=X.index)
    elif kind == "doses":
        est, arm = tiny(**KINDS[kind]), rng.uniform(0, 10, N)
    elif kind == "described":
        more = {"arm_features": pd.DataFrame({"size": ARMS})}
    elif kind == "added":
        y = np.exp(y / 5)
    elif kind == "updated":
        y = y > np.median(y)
    est.fit(X, y, arm, **more)
    if kind == "added":
        est.add_arm(X[:40], y[:40], ["rest"] * 40)
    elif kind == "updated":
        est.partial_fit(X[:60], ~y[:60], arm[:60])
    return est, X


@cache
def compiled(kind):
    return fitted(kind)[0].compiled()
