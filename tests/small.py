"""Small models, and studies with known effects, that the tests of the estimator share."""

import pickle
import random

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from hypercate import HyperCATE

PERTURBED = {"hypernet_dropout": 0.1, "hypernet_noise": 0.3, "spectral_norm": True}


def tiny(**parameters):
    """A model that fits in a moment, where accuracy is not the question."""
    settings = {"n_members": 2, "max_epochs": 3, "outcome_hidden": (8, 8), "sharing": "moderate"}
    return HyperCATE(**{**settings, "random_state": 0, **parameters})


def able(**parameters):
    """A small model that learns a simple surface in two seconds."""
    settings = {"n_members": 2, "max_epochs": 100, "outcome_hidden": (16, 16, 16)}
    return HyperCATE(**{**settings, "random_state": 0, **parameters})


def trial(n=300, n_arms=2, seed=0, slope=1.5, noise=0.3):
    """Covariates, outcome, arm and the true effects, 2 per arm plus slope times a covariate."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    arm = rng.integers(n_arms, size=n)
    size = np.arange(n_arms)
    effects = 2 * size + slope * X[:, [2]] * (-1.0) ** (size + 1) * (size > 0)
    y = 1 + X[:, 0] + np.tanh(X[:, 1]) + effects[np.arange(n), arm] + noise * rng.normal(size=n)
    return X, y, arm, effects[:, 1:].squeeze()


def mixed_frame(n=400, seed=0):
    """A frame with every kind of column, missing values and three arms, with the true effects."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(50, 10, n),
            "dose": pd.array(rng.random(n), dtype="Float64"),
            "smoker": pd.array(rng.random(n) < 0.3, dtype="boolean"),
            "site": rng.choice(["north", "south", "west"], n),
            "grade": pd.Categorical(rng.integers(1, 4, n)),
        },
        index=rng.permutation(n),
    )
    arm = rng.choice(["control", "drug", "surgery"], n)
    drug = np.where(frame["site"] == "north", 3.0, 0.0)
    surgery = np.where(frame["grade"] == 3, -2.0, 1.0)
    y = frame["age"].to_numpy() / 10 + frame["smoker"].to_numpy(float) + 0.2 * rng.normal(size=n)
    y += np.select([arm == "drug", arm == "surgery"], [drug, surgery], 0.0)
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n) < 0.1, "dose"] = pd.NA
    frame.loc[rng.random(n) < 0.05, "smoker"] = pd.NA
    return frame, y, arm, np.column_stack([drug, surgery])


def two_arms():
    """A fit to a trial of two arms, and its rows."""
    X, y, arm, _ = trial()
    return tiny(max_epochs=20, n_members=3).fit(X, y, arm), X, y, arm


def three_arms():
    """A fit to a trial of three arms, "b" the control, and its rows."""
    X, y, arm, _ = trial(n_arms=3)
    labels = np.array(["a", "b", "c"])[arm]
    return tiny(max_epochs=20, n_members=3, control="b").fit(X, y, labels), X, y, labels


def rmse(estimate, truth):
    return np.sqrt(np.mean((estimate - truth) ** 2, axis=0))


def global_state():
    """What of the process a fit could disturb."""
    return {
        "python": random.getstate(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
        "seed": torch.initial_seed(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def copies_of(est, X, y, arm, path):
    """A fitted estimator fitted again, pickled, and saved and loaded."""
    est.save(path)
    return (
        clone(est).fit(X, y, arm),
        pickle.loads(pickle.dumps(est)),
        HyperCATE.load(path, device="cpu"),
    )
