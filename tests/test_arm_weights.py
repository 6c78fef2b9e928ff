"""How much an arm weighs beside others moves averages, and not effects given the covariates."""

import numpy as np
import pytest

from hypercate import HyperCATE
from hypercate.arm_weights import with_arms_alike
from hypercate.study import Study


def confounded(n=800, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    arm = rng.integers(2, size=n) + (rng.random(n) < 0.2 / (1 + np.exp(-x[:, 0])))
    y = x[:, 1] + (1 + x[:, 0]) * (arm == 1) - x[:, 0] * (arm == 2) + 0.3 * rng.normal(size=n)
    return x, y, arm


@pytest.mark.parametrize("options", [{"effort": "instant"}, {"effort": "fast", "max_epochs": 15},
                                     {"learner": "dr", "max_epochs": 6}])  # fmt: skip
def test_effects_do_not_depend_on_how_much_arms_weigh(options):
    x, y, arm = confounded()
    plain, weighed = (
        HyperCATE(random_state=0, n_members=2, device="cpu", **options).fit(
            x, y, arm, sample_weight=weight
        )
        for weight in (None, np.array([40.0, 1.0, 5.0])[arm])
    )
    effects = plain.predict(x)
    off = weighed.predict(x) - effects
    assert np.sqrt(np.mean(off**2)) < 0.1 * effects.std()


def test_averages_are_over_rows_as_they_are_weighed():
    x, y, arm = confounded(4000)
    weight = np.array([0.1, 10.0, 0.1])[arm] * np.where(x[:, 0] > 0, 5.0, 1.0)
    est = HyperCATE(effort="instant", random_state=0).fit(x, y, arm, sample_weight=weight)
    expected = np.average(1 + x[:, 0], weights=weight)
    estimate, error = est.ate_inference().summary_frame()[["point_estimate", "stderr"]].iloc[0]
    assert abs(estimate - expected) < 4 * error < 0.4
    share = np.bincount(est.fitted_.evidence.arm, est.fitted_.evidence.weight) / len(x)
    np.testing.assert_allclose(share, np.bincount(arm, weight) / weight.sum())


def test_weights_within_an_arm_count():
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=(600, 1)), rng.integers(2, size=600)
    kind = rng.integers(2, size=600)  # is not told
    y = 2.0 * kind * arm + 0.1 * rng.normal(size=600)
    weight = np.where(kind == 1, 9.0, 1.0)
    est = HyperCATE(effort="instant", random_state=0).fit(x, y, arm, sample_weight=weight)
    assert est.predict(x).mean() == pytest.approx(1.8, abs=0.1)


def test_propensities_are_those_among_the_rows_as_they_count():
    rng = np.random.default_rng(0)
    cell, arm, weight = rng.integers(4, size=500), rng.integers(3, size=500), rng.random(500)

    def shares(weight):
        return np.stack([np.bincount(arm[cell == c], weight[cell == c]) for c in range(4)])

    def of_rows(weight):
        table = shares(weight)
        return (table / table.sum(axis=1, keepdims=True))[cell]

    study = Study(
        np.zeros((500, 1)), rng.normal(size=500), weight, arm, np.arange(500), np.zeros(1)
    )
    alike, propensity = with_arms_alike(study, of_rows(weight))
    np.testing.assert_allclose(np.bincount(arm, alike.weight), np.bincount(arm))
    np.testing.assert_allclose(propensity, of_rows(alike.weight))


def test_without_weights_nothing_changes():
    x, y, arm = confounded()
    study = Study(x, y, np.ones(len(x)), arm, np.arange(len(x)), np.zeros(2))
    propensity = np.full((len(x), 3), 1 / 3)
    alike, same = with_arms_alike(study, propensity)
    assert alike is study
    assert same is propensity
