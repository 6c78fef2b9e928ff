"""A sample for the tests of both benchmarks."""

import numpy as np
import pandas as pd

from hypercate.datasets import CausalSample


def small_sample(n_arms=2, n=120, seed=0):
    """An easy problem: the effect of arm k is k * (2 + x0), and noise is small."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    X["site"] = pd.Categorical(rng.choice(["north", "south"], n), ["north", "south", "west"])
    arm = rng.permutation(np.arange(n) % n_arms)
    mu = X[["b"]].to_numpy() + np.arange(n_arms) * (2 + X[["a"]].to_numpy())
    y = mu[np.arange(n), arm] + 0.1 * rng.normal(size=n)
    return CausalSample(X, arm, y, mu, None)
