"""Held-out errors and the evidence they come from, that tests of persons' intervals share."""

from dataclasses import replace

import numpy as np
from samples import judged_once

from hypercate.inference.conformal import HeldOutErrors


def errors_of(errors, propensity=1.0, weight=1.0, arm=0, n_arms=2, member=0):
    error = np.abs(np.asarray(errors, dtype=float))
    return HeldOutErrors(
        n_arms=n_arms,
        arm=np.broadcast_to(arm, len(error)),
        member=np.broadcast_to(member, len(error)),
        error=error,
        weight=np.broadcast_to(np.asarray(weight) / propensity, len(error)).astype(float),
        together=np.ones(n_arms),
    )


def random_errors(seed, n=60, n_arms=3, binary=False, n_members=4):
    """Errors, the members' outcomes of 20 new rows, and the rows' propensities."""
    rng = np.random.default_rng(seed)
    errors = HeldOutErrors(
        n_arms=n_arms,
        arm=rng.integers(0, n_arms, n),
        member=rng.integers(0, n_members, n),
        error=rng.random(n) if binary else np.abs(rng.normal(size=n)),
        weight=rng.gamma(2, 0.5, n) / rng.uniform(0.05, 1, n),
        together=np.ones(n_arms),
    )
    shape = (n_members, 20, n_arms)
    outcomes = rng.random(shape) if binary else rng.normal(size=shape)
    return errors, outcomes, rng.dirichlet(np.full(n_arms, 2.0), 20).clip(1e-3)


def some_evidence(seed=0, n=60, n_arms=3, binary=False, cluster=None):
    """Rows that one to three of four models judge."""
    rng = np.random.default_rng(seed)
    row, model = np.nonzero(rng.random((n, 4)) < 0.5)
    row, model = np.append(row, np.arange(n)), np.append(model, rng.integers(4, 6, n))
    y = rng.normal(size=n)
    judged = judged_once(
        arm=rng.permutation(np.arange(n) % n_arms),
        y=y > 0 if binary else y,
        outcomes=rng.random((n, n_arms)),
        propensity=rng.dirichlet(np.full(n_arms, 5.0), n).clip(1e-3),
        weight=rng.gamma(2, 0.5, n),
        cluster=cluster,
    )
    return replace(judged, row=row, model=model, outcomes=rng.random((len(row), n_arms)))


def written_down(evidence, times):
    """Every row several times, in a cluster of its own, and judged as it was."""
    n = len(evidence.y)
    parts = ("arm", "y", "weight", "propensity", "used")
    return replace(
        evidence,
        **{name: getattr(evidence, name).repeat(times, axis=0) for name in parts},
        cluster=np.arange(n).repeat(times),
        row=(times * evidence.row[:, None] + np.arange(times)).ravel(),
        model=evidence.model.repeat(times),
        outcomes=evidence.outcomes.repeat(times, axis=0),
    )
