"""Samples and evidence that several test files share."""

import numpy as np
import pandas as pd

from hypercate.datasets import CausalSample
from hypercate.evidence import Evidence


def small_sample(n_arms=2, n=120, seed=0):
    """An easy problem: the effect of arm k is k * (2 + x0), and noise is small."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    X["site"] = pd.Categorical(rng.choice(["north", "south"], n), ["north", "south", "west"])
    arm = rng.permutation(np.arange(n) % n_arms)
    mu = X[["b"]].to_numpy() + np.arange(n_arms) * (2 + X[["a"]].to_numpy())
    y = mu[np.arange(n), arm] + 0.1 * rng.normal(size=n)
    return CausalSample(X, arm, y, mu, None)


def judged_once(arm, y, outcomes, propensity, weight=None, cluster=None, model=None):
    """Rows of which one model each says `outcomes` (n, n_arms); every row is its own cluster."""
    n = len(arm)
    cluster = np.arange(n) if cluster is None else np.unique(cluster, return_inverse=True)[1]
    return Evidence(
        arm=np.asarray(arm),
        y=np.asarray(y, dtype=float),
        weight=np.ones(n) if weight is None else weight,
        cluster=cluster,
        propensity=propensity,
        row=np.arange(n),
        model=np.zeros(n, dtype=int) if model is None else np.asarray(model),
        outcomes=outcomes,
        used=np.ones(n, dtype=bool),
        fingerprint=np.column_stack([np.arange(n), n + np.arange(n)]).astype(np.uint64),
    )
