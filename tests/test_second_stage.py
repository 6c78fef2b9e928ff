"""Effects by trees and a constant, and how much they count beside those of the networks."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE, second_stage
from hypercate.folds import Folds
from hypercate.nuisance import lightgbm
from hypercate.second_stage import (
    COMPONENTS,
    Effects,
    SecondStage,
    _Problem,
    networks_alone,
)
from hypercate.study import Study
from hypercate.weigh import HELD_EFFECTS, effect_weights

quick = settings(derandomize=True, deadline=None, max_examples=40)


def weights_of(effects, left, weight=None, cluster=None, overlap=0.25):
    """Of one model, from effects (n_components, b)."""
    left = np.asarray(left, dtype=float)
    weight = np.ones_like(left) if weight is None else weight
    cluster = np.arange(len(left)) if cluster is None else cluster
    parts = (np.asarray(effects), left, weight, cluster, np.full_like(left, overlap))
    return effect_weights(*(part[None] for part in parts))[0]


class TestWeights:
    @quick
    @given(st.integers(0, 10_000), st.integers(4, 60), st.floats(0.1, 3))
    def test_minimise_the_criterion(self, seed, n, noise):
        """Against every triple of weights, each with the criterion written out."""
        rng = np.random.default_rng(seed)
        effects = rng.normal(size=(3, n))
        weight = rng.exponential(size=n)
        share = weight / weight.sum()
        left = rng.dirichlet([1, 1, 1]) @ effects + noise * rng.normal(size=n)
        grid = [w for w in product(np.arange(21) / 20, repeat=3) if abs(sum(w) - 1) < 1e-9]
        alone = np.array([share @ (left - own) ** 2 for own in effects])
        q = (
            np.array([share @ (left - w @ effects) ** 2 + w @ alone for w in map(np.array, grid)])
            / 2
        )
        information = weight.sum() ** 2 / (weight**2).sum() * 0.25
        first = np.array(grid)[:, 0]
        criterion = q / q.min() + (HELD_EFFECTS / information) ** 2 * (1 - first) ** 2
        found = weights_of(effects, left, weight)
        at = np.argmin(np.abs(np.array(grid) - found).sum(axis=1))
        assert np.abs(grid[at] - found).max() < 1e-9
        assert criterion[at] == pytest.approx(criterion.min(), rel=1e-9)

    def test_are_of_what_explains_the_rows(self):
        rng = np.random.default_rng(0)
        apart = rng.choice([-0.5, 0.5], size=4000)
        effects = apart * np.stack([np.ones(4000), rng.normal(size=4000), 3 * np.ones(4000)])
        left = effects[2] + 0.1 * rng.normal(size=4000)
        assert weights_of(effects, left).tolist() == [0, 0, 1]

    def test_stay_the_networks_where_rows_say_little(self):
        rng = np.random.default_rng(1)
        effects = rng.normal(size=(3, 12))
        left = effects[1] + 3 * rng.normal(size=12)
        assert weights_of(effects, left, overlap=0.01)[0] > 0.9
        assert weights_of(effects, left, weight=np.zeros(12)).tolist() == [1, 0, 0]
        assert weights_of(0 * effects, 0 * left).tolist() == [1, 0, 0]
        assert weights_of(np.ones((3, 12)), left).tolist() == [1, 0, 0]

    @quick
    @given(st.floats(1e-150, 1e150), st.floats(1e-3, 1e3))
    def test_units_of_outcomes_and_weights_do_not_matter(self, of_outcome, of_weight):
        rng = np.random.default_rng(2)
        effects, weight = rng.normal(size=(3, 50)), rng.exponential(size=50)
        left = 0.5 * effects[0] + 0.5 * effects[2] + 0.2 * rng.normal(size=50)
        expected = weights_of(effects, left, weight)
        found = weights_of(of_outcome * effects, of_outcome * left, of_weight * weight)
        np.testing.assert_allclose(found, expected, atol=0.0501)

    def test_rows_of_a_cluster_count_as_one(self):
        rng = np.random.default_rng(3)
        effects, left = rng.normal(size=(3, 15)), rng.normal(size=15)
        left += effects[1]
        once = weights_of(effects, left, overlap=0.1)
        thrice = np.repeat(effects, 3, axis=1), np.repeat(left, 3)
        cluster = np.repeat(np.arange(15), 3)
        assert (weights_of(*thrice, cluster=cluster, overlap=0.1) == once).all()
        assert weights_of(*thrice, overlap=0.1)[0] < once[0]

    def test_networks_alone_are_the_first_component(self):
        assert networks_alone(2).tolist() == [[1, 0, 0, 0]] * 2
        assert COMPONENTS[0] == "networks"


@pytest.fixture(scope="module")
def stage():
    """Of three arms: a constant effect, and trees for two of the arms."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 2)).astype(np.float32)
    models = tuple(
        lightgbm.grow(x, sign * (x[:, 0] > 0), np.ones(80), 10, np.zeros(2), min_data_in_leaf=5)[0]
        for sign in (1.0, -2.0)
    )
    constant = Effects(np.array([0.0, 1.0, 3.0]), ("", "", ""), 0.5)
    boosted = Effects(np.zeros(3), ("", *models), 2.0)
    return x, SecondStage(0.25, np.array([0.5, 0.3, 0.2]), (constant, boosted))


class TestShift:
    def test_effects_are_the_sum_of_the_parts(self, stage):
        x, own = stage
        shift = own.shift(x)
        trees = [lightgbm.predict(model, x) for model in own.parts[1].models[1:]]
        np.testing.assert_allclose(shift[:, 1] - shift[:, 0], 0.5 + 2 * trees[0])
        np.testing.assert_allclose(shift[:, 2] - shift[:, 0], 1.5 + 2 * trees[1])
        assert np.ptp(shift[:, 2] - shift[:, 0]) > 1

    def test_the_mean_over_arms_by_their_shares_stays(self, stage):
        x, own = stage
        np.testing.assert_allclose(own.shift(x) @ own.share, 0, atol=1e-12)

    def test_arms_in_another_order_have_their_own_shifts(self, stage):
        x, own = stage
        place = np.array([2, 0, 1])
        turned = own.with_arms(place)
        np.testing.assert_allclose(turned.shift(x), own.shift(x)[:, place], atol=1e-12)
        assert turned.share.tolist() == [0.2, 0.5, 0.3]

    def test_an_arm_without_rows_is_left_alone_and_moves_no_other(self, stage):
        x, own = stage
        more = replace(own, share=np.append(own.share, 0.0))
        np.testing.assert_allclose(more.shift(x)[:, :3], own.shift(x), atol=1e-12)
        assert not more.shift(x)[:, 3].any()
        place = np.array([2, 0, 1, 3])
        turned = more.with_arms(place)
        np.testing.assert_allclose(turned.shift(x), more.shift(x)[:, place], atol=1e-12)

    def test_without_parts_nothing_is_added(self, stage):
        x, own = stage
        assert (replace(own, parts=()).shift(x) == 0).all()


@pytest.fixture(scope="module")
def problem():
    """Of two arms whose effect jumps from 1 to 3, confounded, with the propensities known."""
    rng = np.random.default_rng(13)
    n = 6000
    x = rng.normal(size=(n, 3)).astype(np.float32)
    e = 0.15 + 0.3 * (x[:, 1] > 0)
    arm = (rng.random(n) < e).astype(int)
    effect = 2.0 + np.sign(x[:, 0])
    y = x[:, 1] + arm * effect + 0.5 * rng.normal(size=n)
    study = Study(x, y, np.ones(n), arm, np.arange(n), np.zeros(3, dtype=np.int64))
    propensity = np.column_stack([1 - e, e])
    mean = 2 + np.column_stack([np.zeros(n), effect])  # misses what confounds, and the level
    folds = Folds.of(arm, 5, 5, seed=0)
    return _Problem(study, folds, propensity, mean, scale=4.0, seed=0), effect


class TestEffects:
    @pytest.mark.parametrize("most", [20_000, 1000])
    def test_are_those_of_the_rows_however_many_stand_for_them(self, problem, most, monkeypatch):
        """Controls are three in four: 1000 rows of each arm have other odds."""
        monkeypatch.setattr(second_stage, "MOST_ROWS", most)
        own, effect = problem
        constant, additive, pairs = own.effects(np.ones(6000, dtype=bool))
        x = own.study.x
        found = [np.diff(part.predict(x), axis=1)[:, 0] for part in (constant, additive, pairs)]
        overlap = own.propensity.prod(axis=1)
        assert np.ptp(found[0]) == 0
        assert found[0][0] == pytest.approx(overlap @ effect / overlap.sum(), abs=0.2)
        for of_trees in found[1:]:
            assert of_trees[x[:, 0] > 0.2].mean() == pytest.approx(3, abs=0.25)
            assert of_trees[x[:, 0] < -0.2].mean() == pytest.approx(1, abs=0.25)

    def test_only_rows_that_are_meant_count(self, problem):
        own, _ = problem
        some = np.arange(6000) % 2 == 0
        wild = np.where(some, own.study.y, 1e6)
        other = replace(own, study=replace(own.study, y=wild))
        for first, second in zip(own.effects(some), other.effects(some), strict=True):
            assert first.models == second.models
            assert (first.level == second.level).all()


def steps(n, seed, n_arms=2):
    """Effects that jump with one of ten columns, of outcomes that depend smoothly on others."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10))
    arm = rng.integers(0, n_arms, size=n)
    effect = np.arange(n_arms) * 1.5 * (x[:, [0]] > 0)
    y = x[:, 1] + np.sin(x[:, 2]) + effect[np.arange(n), arm] + 0.5 * rng.normal(size=n)
    return x, y, arm, effect


def fitted(x, y, arm, **parameters):
    settings = {"max_epochs": 30, "random_state": 0, "device": "cpu"} | parameters
    return HyperCATE(**settings).fit(x, y, arm)


@pytest.fixture(scope="module")
def three():
    x, y, arm, _ = steps(400, 5, n_arms=3)
    return x, y, arm


@pytest.fixture(scope="module")
def with_and_without(three):
    return fitted(*three), fitted(*three, second_stage="none")


def by_model(est, x):
    return est.fitted_.networks.by_model(est.fitted_.features.transform(x), torch.device("cpu"))


class TestThroughFit:
    def test_outcomes_are_the_networks_with_effects_weighed(self, with_and_without):
        est, alone = with_and_without
        x = np.random.default_rng(6).normal(size=(60, 10))
        encoded = est.fitted_.features.transform(x)
        stages = est.fitted_.networks.stages
        assert any(stage.kept < 0.9 for stage in stages)
        for m, outcomes in enumerate(by_model(alone, x)):
            stage = stages[m]
            mean = (outcomes @ stage.share)[:, None]
            expected = mean + stage.kept * (outcomes - mean) + stage.shift(encoded)
            np.testing.assert_allclose(by_model(est, x)[m], expected, rtol=1e-5, atol=1e-5)

    def test_an_effect_is_a_difference_of_outcomes(self, with_and_without, three):
        est, _ = with_and_without
        outcomes = np.asarray(est.predict_outcomes(three[0]))
        for first, second in ((0, 1), (0, 2), (1, 2)):
            effect = np.ravel(est.effect(three[0], T0=first, T1=second))
            np.testing.assert_allclose(outcomes[:, second] - outcomes[:, first], effect, atol=1e-9)

    def test_judged_rows_are_judged_by_the_same_outcomes(self, with_and_without, three):
        est, _ = with_and_without
        evidence = est.fitted_.evidence
        outcomes = by_model(est, three[0])[evidence.model, evidence.row]
        np.testing.assert_allclose(outcomes, evidence.outcomes, rtol=1e-4, atol=1e-4)

    def test_draws_lie_about_the_prediction(self, with_and_without, three):
        est, _ = with_and_without
        draws = est.sample_effects(three[0], 400, random_state=0)
        error = draws.std(axis=0)
        apart = np.abs(draws.mean(axis=0) - est.predict(three[0]))
        assert (apart < 6 * error / 20 + 1e-9).all()

    def test_weights_say_what_counts(self, with_and_without):
        est, alone = with_and_without
        weights = est.weights_
        assert list(weights.columns) == ["trained", "emitted", "constant", "boosted"]
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        assert (weights["boosted"] > 0).any()
        assert (alone.weights_[["constant", "boosted"]] == 0).all(axis=None)
        kept = [stage.kept for stage in est.fitted_.networks.stages]
        np.testing.assert_allclose(
            weights[["trained", "emitted"]].sum(axis=1), kept[: est.n_members]
        )

    def test_steps_are_found_where_networks_smooth_them(self):
        x, y, arm, _ = steps(1500, 7)
        fresh = np.random.default_rng(8).normal(size=(1000, 10))
        truth = 1.5 * (fresh[:, 0] > 0)
        errors = [
            np.sqrt(np.mean((np.ravel(est.effect(fresh)) - truth) ** 2))
            for est in (fitted(x, y, arm), fitted(x, y, arm, second_stage="none"))
        ]
        assert errors[0] < 0.75 * errors[1]

    def test_probabilities_stay_probabilities(self):
        x, y, arm, _ = steps(500, 9)
        est = fitted(x, (y > 3.2).astype(int), arm)
        assert (est.weights_["trained"] + est.weights_["emitted"] < 1).any()
        far = 3 * np.random.default_rng(10).normal(size=(300, 10))
        outcomes = np.asarray(est.predict_outcomes(far))
        assert (outcomes >= 0).all()
        assert (outcomes <= 1).all()
        assert outcomes.min() < 0.02

    @pytest.mark.parametrize(
        "parameters",
        [
            {"second_stage": "none"},
            {"inputs": "raw"},
            {"sharing": "weak"},
            {"generation": "none"},
            {"uncertainty": "dropout", "hypernet_dropout": 0.1},
            {"uncertainty": "noise", "hypernet_noise": 0.1},
        ],
    )
    def test_only_networks_count_where_that_is_asked_for(self, three, parameters):
        est = fitted(*three, **parameters | {"max_epochs": 3})
        assert est.fitted_.networks.stages == ()
        assert (est.weights_[["constant", "boosted"]] == 0).all(axis=None)

    def test_an_arm_of_two_rows_leaves_the_networks_alone(self):
        x, y, arm, _ = steps(80, 11)
        arm[:] = 0
        arm[[7, 20]] = 1
        est = fitted(x, y, arm, max_epochs=3)
        assert (est.weights_[["constant", "boosted"]] == 0).all(axis=None)
        assert np.isfinite(est.predict(x)).all()

    def test_any_unit_of_the_outcome_gives_the_same_effects(self):
        x, y, arm, _ = steps(300, 12)
        first, second = (fitted(x, unit * y, arm, max_epochs=5) for unit in (1.0, 2.0**40))
        np.testing.assert_allclose(
            second.predict(x) / 2.0**40, first.predict(x), rtol=1e-3, atol=1e-3
        )
