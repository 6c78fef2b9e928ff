"""Learners: what their losses recover, and that each answers all questions."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import copies_of, trial

from hypercate import HyperCATE
from hypercate.learners import LEARNERS, EffectLearner
from hypercate.learners.effects import ARM, OTHER, REFERENCE
from hypercate.outcomes import Normal

quick = settings(derandomize=True, deadline=None, max_examples=30)
TWO_STAGES = sorted(name for name in LEARNERS if issubclass(LEARNERS[name], EffectLearner))
ONE_DEGREE = sorted(name for name in LEARNERS if LEARNERS[name].degree is not None)


def learner_of(name):
    return LEARNERS[name](Normal())


def fitted(name, X, y, arm, **parameters):
    settings_ = {"max_epochs": 30, "random_state": 0, "device": "cpu", "outcome_hidden": (16, 16)}
    return HyperCATE(learner=name, **settings_ | parameters).fit(X, y, arm)


def one_x(seed, n=200_000):
    """Rows of one x: what three arms received, their outcomes, and the true nuisances."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([4, 4, 4])
    mean = rng.normal(size=3)
    received = rng.choice([REFERENCE, ARM, OTHER], p=share, size=n)
    y = mean[received] + rng.normal(size=n)
    return y, received, np.tile(share[:2], (n, 1)), mean


class TestPseudoOutcomes:
    """With true nuisances, their weighted mean at one x is the effect there."""

    @quick
    @given(st.sampled_from(TWO_STAGES), st.integers(0, 1000))
    def test_mean_is_the_effect(self, name, seed):
        y, received, propensity, mean = one_x(seed)
        learner = learner_of(name)
        weight = learner.weight(received, propensity)
        outcomes = np.tile(mean[:2], (len(y), 1))
        target = learner.target(y, received, propensity, outcomes)
        error = np.sqrt((weight**2 * (target - mean[1] + mean[0]) ** 2).sum()) / weight.sum()
        found = np.average(target, weights=weight)
        assert found == pytest.approx(mean[1] - mean[0], abs=5 * error + 1e-9)
        assert 0 < error < 0.1

    @quick
    @given(st.integers(0, 1000), st.floats(-2, 2))
    def test_doubly_robust_scores_need_one_nuisance_to_be_right(self, seed, wrong):
        y, received, propensity, mean = one_x(seed)
        outcomes = np.tile(mean[:2] + wrong * np.array([1, -1]), (len(y), 1))
        scores = learner_of("dr").target(y, received, propensity, outcomes)
        assert scores.mean() == pytest.approx(mean[1] - mean[0], abs=6 * scores.std() / 447)
        off = np.tile([0.3, 0.4], (len(y), 1))
        scores = learner_of("dr").target(y, received, off, np.tile(mean[:2], (len(y), 1)))
        assert scores.mean() == pytest.approx(mean[1] - mean[0], abs=6 * scores.std() / 447)

    @quick
    @given(st.integers(0, 1000), st.floats(-2, 2))
    def test_r_learner_forgives_a_wrong_mean(self, seed, wrong):
        y, received, propensity, mean = one_x(seed)
        learner = learner_of("r")
        weight = learner.weight(received, propensity)
        shifted = np.tile(mean[:2] + wrong, (len(y), 1))
        target = learner.target(y, received, propensity, shifted)
        found = np.average(target, weights=weight)
        assert found == pytest.approx(mean[1] - mean[0], abs=0.1 * (1 + abs(wrong)))

    @quick
    @given(st.integers(0, 1000))
    def test_x_learner_weighs_imputed_effects_by_the_propensity(self, seed):
        """Künzel et al. (2019), equation 9, with g = e, from wrong means of both groups."""
        y, received, propensity, mean = one_x(seed)
        learner = learner_of("x")
        off = mean[:2] + np.array([0.7, -0.2])
        target = learner.target(y, received, propensity, np.tile(off, (len(y), 1)))
        e = propensity[0, 1] / propensity[0].sum()
        from_arm, from_reference = (target[received == code].mean() for code in (ARM, REFERENCE))
        expected = (1 - e) * from_arm + e * from_reference
        found = np.average(target, weights=learner.weight(received, propensity))
        assert found == pytest.approx(expected, abs=0.02)

    @pytest.mark.parametrize("name", ["r", "x"])
    def test_other_arms_do_not_count(self, name):
        _, received, propensity, _ = one_x(0)
        weight = learner_of(name).weight(received, propensity)
        assert ((weight == 0) == (received == OTHER)).all()

    def test_observed_less_imputed(self):
        received = np.array([ARM, REFERENCE, OTHER])
        y, outcomes = np.array([5.0, 6.0, 7.0]), np.array([[1.0, 2.0]] * 3)
        propensity = np.full((3, 2), 1 / 3)
        for name in ("ra", "x"):
            target = learner_of(name).target(y, received, propensity, outcomes)
            assert target.tolist() == [4, -4, 1]

    @pytest.mark.parametrize("name", TWO_STAGES)
    def test_several_models_at_once(self, name):
        y, received, propensity, mean = one_x(1, n=50)
        outcomes = np.tile(mean[:2], (3, 50, 1)) + np.arange(3)[:, None, None]
        learner = learner_of(name)
        both = learner.target(y, received, propensity, outcomes)
        for own, of_model in zip(outcomes, both, strict=True):
            assert (learner.target(y, received, propensity, own) == of_model).all()


@pytest.fixture(scope="module", params=sorted(LEARNERS))
def name(request):
    return request.param


class TestEveryLearner:
    def test_recovers_effects(self, name):
        generation = "none" if name in ("tarnet", "x") else "chunk"
        X, y, arm, _ = trial(600, n_arms=3)
        est = fitted(name, X, y, arm, generation=generation, max_epochs=60)
        fresh, _, _, truth = trial(500, n_arms=3, seed=1)
        error = np.sqrt(np.mean((est.predict(fresh) - truth) ** 2))
        assert error < (0.9 if name == "s" else 0.45) * truth.std()

    def test_effects_are_differences_of_outcomes_and_draws_lie_about_them(self, name):
        X, y, arm, _ = trial(200, n_arms=3)
        est = fitted(name, X, y, arm, n_members=2)
        outcomes = np.asarray(est.predict_outcomes(X))
        np.testing.assert_allclose(outcomes[:, 1:] - outcomes[:, [0]], est.predict(X), atol=1e-9)
        apart = np.asarray(est.effect(X, T0=1, T1=2))
        np.testing.assert_allclose(outcomes[:, 2] - outcomes[:, 1], apart, atol=1e-9)
        low, high = est.effect_interval(X)
        assert (low <= est.predict(X)).all()
        assert (est.predict(X) <= high).all()
        assert np.isfinite(est.ate()).all()
        draws = est.sample_effects(X, 300, random_state=0)
        error = draws.std(axis=0)
        assert (np.abs(draws.mean(axis=0) - est.predict(X)) < 6 * error / 17 + 1e-9).all()

    def test_judged_rows_are_judged_by_the_same_outcomes(self, name):
        X, y, arm, _ = trial(150, n_arms=3)
        est = fitted(name, X, y, arm, max_epochs=5)
        evidence, networks = est.fitted_.evidence, est.fitted_.networks
        x = est.fitted_.features.transform(X)
        outcomes = networks.by_model(x, torch.device("cpu"))[evidence.model, evidence.row]
        np.testing.assert_allclose(outcomes, evidence.outcomes, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("outcome", ["continuous", "count"])
    def test_is_reproducible_pickled_cloned_and_saved(self, name, outcome, tmp_path):
        X, y, arm, _ = trial(120, n_arms=3)
        y = y if outcome == "continuous" else np.round(np.exp(y / 3)) + 1
        est = fitted(name, X, y, arm, max_epochs=3, outcome=outcome)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            assert (copy.predict_outcomes(X) == est.predict_outcomes(X)).all()
            assert (copy.effect_interval(X)[0] == est.effect_interval(X)[0]).all()
            assert copy.ate_interval()[0].tolist() == est.ate_interval()[0].tolist()

    def test_labels_and_their_order_change_nothing(self, name):
        X, y, arm, _ = trial(150, n_arms=3)
        first = fitted(name, X, y, arm, max_epochs=3)
        named = np.array(["zero", "two", "one"])[arm]
        second = fitted(name, X, y, named, max_epochs=3, control="zero")
        assert second.arms_.tolist() == ["zero", "one", "two"]
        same = np.asarray(second.predict_outcomes(X))[:, [0, 2, 1]]
        assert (same == first.predict_outcomes(X)).all()
        assert (second.effect_interval(X)[0][:, ::-1] == first.effect_interval(X)[0]).all()

    def test_binary_outcomes_stay_probabilities(self, name):
        X, y, arm, _ = trial(200)
        est = fitted(name, X, (y > 2).astype(int), arm, max_epochs=20)
        outcomes = np.asarray(est.predict_outcomes(3 * X))
        assert (outcomes >= 0).all()
        assert (outcomes <= 1).all()
        assert outcomes.std(axis=0).min() > 0.05

    def test_ratios_of_counts_and_positive_outcomes(self, name):
        """Rates ``4 exp(x0 / 2)`` times ``2 ** arm``, with noise that grows with them."""
        outcome, n_arms = ("count", 3) if name in ("t", "s", "dr") else ("positive", 2)
        rng = np.random.default_rng(0)
        X, arm = rng.normal(size=(900, 4)), rng.integers(n_arms, size=900)
        mean = 4 * np.exp(X[:, [0]] / 2) * 2.0 ** np.arange(n_arms)
        own = mean[np.arange(900), arm]
        y = rng.poisson(own) if outcome == "count" else rng.gamma(4, own / 4)
        est = fitted(name, X, y, arm, outcome=outcome, max_epochs=60)
        assert est.outcome_ == outcome
        outcomes = np.asarray(est.predict_outcomes(X))
        assert np.abs(np.log(outcomes / mean)).mean() < 0.2
        effects = mean[:, 1:] - mean[:, [0]]
        error = np.sqrt(np.mean((est.predict(X).reshape(effects.shape) - effects) ** 2))
        assert error < (0.8 if name == "s" else 0.65) * effects.std()
        found = est.ate_inference()
        assert (np.abs(found.point_estimate - effects.mean(axis=0)) < 4 * found.stderr).all()
        far = np.asarray(est.predict_outcomes(100 * X))
        assert ((far > 0) & (far <= y.max() + 1e-6)).all()
        low, high = est.predict_outcome_interval(X)
        assert (low >= 0).all()
        assert ((low <= y) & (y <= high))[arm == 0].mean() > 0.7
        assert np.isfinite(est.score(X, y, arm))
        assert ((est.sharing_.drop(columns="chosen") >= 0).all()).all()
        assert (est.history_["train_loss"] >= 0).all()

    @pytest.mark.parametrize("outcome", ["continuous", "positive"])
    def test_weights_and_groups_are_taken(self, name, outcome):
        X, y, arm, _ = trial(150)
        y = y if outcome == "continuous" else np.round(np.exp(y / 3)) + 1
        weight = np.where(np.arange(150) < 120, 1.0, 0.0)
        wild = np.where(weight > 0, y, 1e3)
        groups = np.arange(150) // 2
        settings_ = {"max_epochs": 3, "random_state": 0, "device": "cpu", "outcome_hidden": (8,)}
        settings_["outcome"] = outcome
        est = HyperCATE(learner=name, **settings_)
        est.fit(X, wild, arm, sample_weight=weight, groups=groups)
        least = HyperCATE(learner=name, **settings_)
        least.fit(X[:120], y[:120], arm[:120], groups=groups[:120])
        assert (est.predict(X) == least.predict(X)).all()

    @pytest.mark.parametrize("source", ["dropout", "noise", "both"])
    def test_draws_by_perturbed_generators(self, name, source):
        X, y, arm, _ = trial(150, n_arms=3)
        est = fitted(
            name, X, y, arm, max_epochs=5, uncertainty=source, hypernet_dropout=0.2,
            hypernet_noise=0.3,
        )  # fmt: skip
        width = np.ptp(est.sample_effects(X, 100, random_state=0), axis=0)
        assert (width > 0).all()


class TestTwoStages:
    @pytest.mark.parametrize("name", TWO_STAGES)
    def test_networks_of_effects_are_counted(self, name):
        X, y, arm, _ = trial(100, n_arms=3)
        est, t = (fitted(of, X, y, arm, max_epochs=2) for of in (name, "t"))
        assert est.n_parameters_["trained"] > t.n_parameters_["trained"]
        one = t.n_parameters_["generated"] // 3
        assert est.n_parameters_["generated"] == 5 * one
        assert (est.weights_["emitted"] == 0).all()

    @pytest.mark.parametrize("name", TWO_STAGES)
    def test_the_level_of_outcomes_is_that_of_the_arms_networks(self, name):
        X, y, arm, _ = trial(200, n_arms=3)
        est, t = (fitted(of, X, y, arm, max_epochs=10) for of in (name, "t"))
        share = est.fitted_.networks.stages[0].share
        x = t.fitted_.features.transform(X)
        level, own = (
            of.fitted_.networks.by_model(x, torch.device("cpu"))[0] @ share for of in (t, est)
        )
        np.testing.assert_allclose(own, level, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("name", TWO_STAGES)
    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_without_emitted_networks_trees_give_the_means(self, name, inputs):
        X, y, arm, effects = trial(400)
        est = fitted(name, X, y, arm, inputs=inputs, pretrained="none", max_epochs=60)
        assert np.corrcoef(est.predict(X), effects)[0, 1] > 0.8

    @pytest.mark.parametrize("name", TWO_STAGES)
    def test_columns_of_many_levels(self, name):
        X, y, arm, effects = trial(400)
        site = pd.Series([f"site {i % 40}" for i in range(400)])
        frame = pd.DataFrame(X, columns=list("abcd")).assign(site=site)
        est = fitted(name, frame, y, arm, max_epochs=40)
        assert np.corrcoef(est.predict(frame), effects)[0, 1] > 0.8


class TestOneDegree:
    @pytest.mark.parametrize("name", ONE_DEGREE)
    def test_is_what_the_degree_gives(self, name):
        X, y, arm, _ = trial(100)
        first = fitted(name, X, y, arm, max_epochs=3)
        second = fitted("t", X, y, arm, max_epochs=3, sharing=LEARNERS[name].degree)
        assert (first.predict(X) == second.predict(X)).all()
        assert (first.weights_["trained"] == 1).all()

    @pytest.mark.parametrize("name", ONE_DEGREE)
    def test_another_degree_is_refused(self, name):
        X, y, arm, _ = trial(60)
        with pytest.raises(ValueError, match=f"learner='{name}' fixes how far arms share"):
            fitted(name, X, y, arm, sharing="weak")

    def test_plain_networks_share_all_but_what_may_depart(self):
        X, y, arm, _ = trial(100, n_arms=3)
        s, tarnet, t = (
            fitted(name, X, y, arm, max_epochs=3, generation="none")
            for name in ("s", "tarnet", "t")
        )
        differ = [
            (est.fitted_.networks.theta[0] != est.fitted_.networks.theta[0][0]).any(0).mean()
            for est in (s, tarnet, t)
        ]
        assert 0 < differ[0] < differ[1] < differ[2]
