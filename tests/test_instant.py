"""HyperCATE(effort="instant"): networks that the pre-trained generator emits from a user's rows."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from no_float64 import DEVICE, WithoutFloat64
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from small import global_state, mixed_frame, rmse, trial
from test_sklearn_contract import EXPECTED_FAILURES, ArmsByRow, name_of

from hypercate import HyperCATE
from hypercate.datasets import draw_interval_study, draw_outcome_study
from hypercate.pretraining import emission as module
from hypercate.pretraining.weights import SHA256

CHECKS = [check for _, check in estimator_checks_generator(ArmsByRow(effort="instant"), mark=None)]


def instant(**parameters):
    return HyperCATE(**{"effort": "instant", "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def fitted():
    X, y, arm, _ = trial()
    return instant().fit(X, y, arm)


class TestEstimatorChecks:
    @pytest.mark.parametrize(
        "check", [check for check in CHECKS if name_of(check) not in EXPECTED_FAILURES], ids=name_of
    )
    def test_passes(self, check):
        check(ArmsByRow(effort="instant", random_state=0))


class TestEffects:
    def test_a_smooth_effect_is_found(self, fitted):
        X, _, _, effect = trial(seed=1)
        assert rmse(fitted.predict(X), effect) < 0.3
        assert effect.std() > 1.4

    @pytest.mark.parametrize("n_arms", [3, 6])
    def test_of_every_arm(self, n_arms):
        X, y, arm, effects = trial(n=600, n_arms=n_arms)
        error = rmse(instant().fit(X, y, arm).predict(X), effects)
        assert (error < 0.25 * effects.std(axis=0)).all()

    def test_of_a_binary_outcome(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(1500, 3))
        arm = rng.integers(2, size=1500)
        logit = -0.5 + X[:, 0] + arm * (1 + X[:, 1])
        without, treated = (1 / (1 + np.exp(-v)) for v in (X[:, 0] - 0.5, X[:, 0] + 0.5 + X[:, 1]))
        y = rng.random(1500) < 1 / (1 + np.exp(-logit))
        est = instant().fit(X, y, arm)
        outcomes = est.predict_outcomes(X)
        assert est.outcome_ == "binary"
        assert ((outcomes > 0) & (outcomes < 1)).all()
        assert rmse(outcomes, np.column_stack([without, treated])).max() < 0.08
        assert rmse(est.predict(X), treated - without) < 0.4 * (treated - without).std()

    @pytest.mark.parametrize("kind", ["count", "positive"])
    def test_effects_that_multiply_are_found_where_a_continuous_outcome_s_are_not(self, kind):
        split = draw_outcome_study(kind, 500, 3001)
        errors = []
        for outcome in (kind, "continuous"):
            est = instant(outcome=outcome).fit(split.train.X, split.train.y, split.train.treatment)
            errors.append(rmse(est.predict(split.test.X), split.test.effect))
            assert est.outcome_ == outcome
            if outcome == kind:
                assert (est.predict_outcomes(split.test.X) > 0).all()
        assert errors[0] < min(0.9 * errors[1], 0.8 * split.test.effect.std())

    @pytest.mark.parametrize("kind", ["count", "positive"])
    def test_noise_that_grows_widens_intervals(self, kind):
        X, _, arm, _ = trial(n=800)
        rng = np.random.default_rng(0)
        mean = 20 * np.exp(0.3 * X[:, 0] + 0.3 * arm)
        stderr = []
        for shape in (100.0, 2.0):
            y = rng.gamma(shape, mean / shape)
            y = np.round(y) if kind == "count" else y
            est = instant(outcome=kind).fit(X, y, arm)
            stderr.append(est.effect_inference(X).stderr.mean())
        assert 3 < stderr[1] / stderr[0] < 15

    @pytest.mark.parametrize("level", [-3.5, -5.0, -6.5])
    def test_of_rare_events(self, level):
        rng = np.random.default_rng(0)
        X, arm = rng.normal(size=(1000, 3)), np.arange(1000) % 2
        y = rng.random(1000) < 1 / (1 + np.exp(-(level + X[:, 0] + 0.7 * arm * X[:, 1])))
        outcomes = instant().fit(X, y, arm).predict_outcomes(X)
        observed = [y[arm == k].mean() for k in (0, 1)]
        np.testing.assert_allclose(outcomes.mean(axis=0), observed, atol=0.02)

    @pytest.mark.parametrize("n_events", [1, 2, 198])
    def test_of_events_that_some_models_never_see(self, n_events):
        X, _, arm, _ = trial(n=200)
        y = np.arange(200) < n_events
        est = instant().fit(X, y, arm)
        assert est.predict_outcomes(X).mean() == pytest.approx(n_events / 200, abs=0.03)
        assert np.isfinite(est.effect_interval(X)).all()

    def test_intervals_of_a_binary_outcome_hold_the_truth(self):
        held = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            X, arm = rng.normal(size=(300, 4)), rng.integers(2, size=300)
            outcomes = [1 / (1 + np.exp(-v)) for v in (X[:, 0], X[:, 0] + 0.8 * X[:, 1] + 0.5)]
            y = rng.random(300) < np.choose(arm, outcomes)
            low, high = instant().fit(X, y, arm).effect_interval(X, alpha=0.1)
            effect = outcomes[1] - outcomes[0]
            held.append(((low <= effect) & (effect <= high)).mean())
        assert np.mean(held) > 0.82

    def test_rows_of_a_cluster_do_not_count_apart(self):
        X, y, arm, _ = trial(n=100, noise=1.0)
        rows = np.repeat(np.arange(100), 8)
        once = instant().fit(X, y, arm)
        often = instant().fit(X[rows], y[rows], arm[rows], groups=rows)
        width, of_rows = (
            np.subtract(*est.effect_interval(X)[::-1]).mean() for est in (once, often)
        )
        assert 0.6 * width < of_rows < 2 * width

    def test_a_column_of_many_levels(self):
        rng = np.random.default_rng(0)
        n, city, shift = 900, rng.integers(60, size=900), rng.normal(size=60)
        X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
        arm = (rng.random(n) < 1 / (1 + np.exp(-shift[city]))).astype(int)
        effect = 1 + X["b"].to_numpy()
        y = X["a"].to_numpy() + 2 * shift[city] + arm * effect + 0.5 * rng.normal(size=n)
        named, reversed_ = (
            instant().fit(X.assign(city=[f"city {k:02d}" for k in codes]), y, arm)
            for codes in (city, 59 - city)
        )
        frames = [X.assign(city=[f"city {k:02d}" for k in codes]) for codes in (city, 59 - city)]
        assert rmse(named.predict(frames[0]), effect) < 0.4
        theta = named.fitted_.networks.theta
        code = named.encoded_names_.index("city")
        width = named.fitted_.networks.net.hidden[0]
        assert not theta[..., code * width : (code + 1) * width].any()
        np.testing.assert_allclose(
            named.predict(frames[0]), reversed_.predict(frames[1]), atol=0.05
        )
        assert abs(named.ate() - effect.mean()) < 4 * named.ate_inference().stderr[0]

    def test_better_than_trained_networks_where_rows_are_few(self):
        error = {"instant": [], "trained": []}
        alone = {"pretrained": "none", "second_stage": "none"}
        for replication in (501, 502, 503):
            train, test = (
                getattr(draw_interval_study("smooth", 100, replication), part)
                for part in ("train", "test")
            )
            for way, errors in error.items():
                parameters = {"effort": "instant"} if way == "instant" else alone
                est = HyperCATE(random_state=0, **parameters)
                est.fit(train.X, train.y, train.treatment)
                errors.append(rmse(est.predict(test.X), test.effect.squeeze()))
        assert np.mean(error["instant"]) < 0.95 * np.mean(error["trained"])

    def test_intervals_hold_the_truth_about_as_often_as_they_say(self):
        held = []
        for replication in range(511, 519):
            study = draw_interval_study("smooth", 200, replication)
            est = instant().fit(study.train.X, study.train.y, study.train.treatment)
            low, high = est.effect_interval(study.test.X, alpha=0.1)
            effect = study.test.effect.squeeze()
            held.append(((low <= effect) & (effect <= high)).mean())
        assert 0.82 < np.mean(held) < 0.98

    def test_frames_of_every_kind_of_column(self):
        frame, y, arm, effects = mixed_frame(n=800)
        est = instant().fit(frame, y, arm)
        assert (rmse(est.predict(frame), effects) < 0.7).all()
        table = est.effect_inference(frame).summary_frame()
        assert set(frame.index) <= set(table.index.get_level_values(0))

    def test_heavy_rows_decide(self):
        X, y, arm, _ = trial(n=400, slope=0)
        light = np.arange(400) % 2 == 0
        y = y + np.where(light, 0, 3) * arm  # effects are 2 where light, and 5 elsewhere
        plain = instant().fit(X, y, arm).predict(X).mean()
        weighted = instant().fit(X, y, arm, sample_weight=np.where(light, 0.01, 1.0))
        assert plain == pytest.approx(3.5, abs=0.4)
        assert weighted.predict(X).mean() == pytest.approx(5, abs=0.3)

    def test_the_unit_of_the_outcome_is_the_effects(self, fitted):
        X, y, arm, _ = trial()
        other = instant().fit(X, 1000 * y - 5, arm)
        np.testing.assert_allclose(other.predict(X), 1000 * fitted.predict(X), atol=1)
        for end, usual in zip(other.effect_interval(X), fitted.effect_interval(X), strict=True):
            np.testing.assert_allclose(end, 1000 * usual, atol=5)


class TestRobust:
    @settings(max_examples=12, deadline=None)
    @given(
        n=st.integers(20, 120),
        p=st.integers(1, 40),
        n_arms=st.integers(2, 4),
        seed=st.integers(0, 10**6),
    )
    def test_any_study_gives_sane_effects(self, n, p, n_arms, seed):
        rng = np.random.default_rng(seed)
        X = rng.standard_t(2, size=(n, p))
        X[:, rng.random(p) < 0.2] = 1.0
        arm = rng.permutation(np.arange(n) % n_arms)
        y = np.tanh(X[:, 0]) + rng.normal(size=n)
        est = instant().fit(X, y, arm)
        effects = est.predict(X)
        assert np.isfinite(effects).all()
        assert np.abs(effects).max() < 5 * np.ptp(y)
        assert all(np.isfinite(end).all() for end in est.effect_interval(X))

    @pytest.mark.parametrize("change", ["constant", "duplicated", "rescaled"])
    def test_columns_that_say_nothing_new_change_little(self, fitted, change):
        X, y, arm, effect = trial()
        other = {
            "constant": np.column_stack([X, np.ones(len(X))]),
            "duplicated": np.column_stack([X, X[:, 0]]),
            "rescaled": X * [1e6, 1e-6, 1, 1] + [0, 5, 0, 0],
        }[change]
        assert rmse(instant().fit(other, y, arm).predict(other), effect) < 0.35

    def test_a_constant_outcome_has_no_effect(self):
        X, _, arm, _ = trial()
        np.testing.assert_allclose(instant().fit(X, np.full(len(X), 7.0), arm).predict(X), 0)

    def test_a_gross_outlier_is_named_and_survived(self):
        X, y, arm, effect = trial()
        y[17] = 1e9
        with pytest.warns(UserWarning, match="row 17"):
            est = instant().fit(X, y, arm)
        assert rmse(est.predict(X), effect) < 0.5

    @pytest.mark.parametrize(
        ("n", "p", "what"), [(500, 300, "300 encoded covariates"), (6000, 3, "6000 rows")]
    )
    def test_a_study_larger_than_those_it_has_seen_is_named(self, n, p, what):
        rng = np.random.default_rng(0)
        X, arm = rng.normal(size=(n, p)), rng.integers(2, size=n)
        y = X[:, 0] + arm * (1 + X[:, 1]) + rng.normal(size=n)
        with pytest.warns(UserWarning, match=f"the study has {what}"):
            est = instant().fit(X, y, arm)
        assert rmse(est.predict(X), 1 + X[:, 1]) < 0.8

    def test_an_outlying_row_is_extrapolated_to_without_overflow(self, fitted):
        assert np.isfinite(fitted.predict(np.full((1, 4), 1e30))).all()


class TestModel:
    def test_the_same_seed_gives_the_same_bits_and_draws_differ_by_it(self, fitted):
        X, y, arm, _ = trial()
        again = instant().fit(X, y, arm)
        assert np.array_equal(again.predict(X), fitted.predict(X))
        ends = [est.effect_interval(X)[0] for est in (fitted, again)]
        assert np.array_equal(*ends)
        assert not np.array_equal(
            instant(random_state=1).fit(X, y, arm).effect_interval(X)[0], ends[0]
        )

    def test_copies_and_files_predict_to_the_bit(self, fitted, tmp_path):
        X = trial(seed=2)[0]
        fitted.save(tmp_path / "model.hypercate")
        for other in (
            pickle.loads(pickle.dumps(fitted)),
            copy.deepcopy(fitted),
            HyperCATE.load(tmp_path / "model.hypercate"),
        ):
            assert np.array_equal(other.predict(X), fitted.predict(X))
            assert np.array_equal(other.effect_interval(X), fitted.effect_interval(X))
            assert other.fitted_.pretrained.sha256 == SHA256
        assert not hasattr(clone(fitted), "fitted_")

    def test_says_what_it_is(self, fitted):
        assert fitted.n_parameters_["trained"] == 0
        assert fitted.n_parameters_["generated"] == 2 * fitted.fitted_.networks.net.n_weights
        assert set(fitted.sharing_["chosen"]) == {"emitted"}
        assert ((fitted.sharing_["emitted"] > 0) & (fitted.sharing_["emitted"] < 1)).all()
        assert fitted.history_.empty

    def test_averages_tests_and_overlap_are_those_of_any_model(self, fitted):
        X, y, arm, effect = trial()
        inference = fitted.ate_inference()
        assert abs(inference.point_estimate[0] - effect.mean()) < 4 * inference.stderr[0]
        assert 0.01 < inference.stderr[0] < 0.2
        assert "ATE" in str(inference)
        assert fitted.score(X, y, arm) is not None

    @pytest.mark.parametrize("outcome", ["continuous", "binary", "count", "positive"])
    def test_rows_that_judge_a_model_do_not_reach_it(self, outcome):
        X, y, arm, _ = trial(n=90)
        y = (y > np.median(y)).astype(float) if outcome == "binary" else y
        y = np.round(np.exp(y / 2)) + 1 if outcome in ("count", "positive") else y
        before = instant(outcome=outcome).fit(X, y, arm)
        evidence = before.fitted_.evidence
        judged = evidence.row[evidence.model == 2]
        other = y.copy()
        other[judged] = 1 - other[judged] if outcome == "binary" else other[judged] + 50
        after = instant(outcome=outcome).fit(X, other, arm)
        networks = before.fitted_.networks
        theta = [est.fitted_.networks.theta for est in (before, after)]
        same, others = networks.model == 2, networks.model == 1  # with the draws of them
        assert same.sum() > 10
        np.testing.assert_allclose(theta[0][same], theta[1][same], atol=1e-4)
        assert np.abs(theta[0][others] - theta[1][others]).max() > 0.1

    def test_the_process_is_left_as_it_was(self):
        X, y, arm, _ = trial(n=60)
        before = global_state()
        instant(random_state=None).fit(X, y, arm)
        after = global_state()
        assert pickle.dumps(after) == pickle.dumps(before)

    def test_the_process_s_default_dtype_does_not_matter(self, fitted):
        X, y, arm, _ = trial()
        torch.set_default_dtype(torch.float64)
        try:
            ends = instant().fit(X, y, arm).effect_interval(X)
        finally:
            torch.set_default_dtype(torch.float32)
        assert np.array_equal(ends, fitted.effect_interval(X))

    @pytest.mark.parametrize("outcome", ["continuous", "binary"])
    def test_blocks_of_models_give_the_same(self, outcome, monkeypatch):
        X, y, arm, _ = trial(n=80)
        y = y > np.median(y) if outcome == "binary" else y
        usual = instant().fit(X, y, arm)
        monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 1)
        apart = instant().fit(X, y, arm)
        np.testing.assert_allclose(apart.predict(X), usual.predict(X), atol=1e-4)
        assert len(apart.fitted_.networks.theta) == len(usual.fitted_.networks.theta)

    def test_rows_of_no_weight_are_not_read(self):
        X, y, arm, _ = trial(n=120)
        weight = np.where(np.arange(120) < 90, 1.0, 0.0)
        other = np.where(weight > 0, y, 50.0)
        fits = [instant().fit(X, values, arm, sample_weight=weight) for values in (y, other)]
        assert np.array_equal(fits[0].predict(X), fits[1].predict(X))

    @pytest.mark.parametrize("outcome", ["continuous", "binary"])
    def test_no_float64_reaches_a_device_without_it(self, outcome):
        X, y, arm, _ = trial(n=60)
        y = y > np.median(y) if outcome == "binary" else y
        usual = instant().fit(X, y, arm).predict(X)
        with WithoutFloat64() as mode:
            found = instant(device=DEVICE).fit(X, y, arm).predict(X)
        assert mode.n_tensors > 0
        np.testing.assert_allclose(found, usual, atol=1e-4)


class TestParameters:
    @pytest.mark.parametrize(
        "changed",
        [
            {"max_epochs": 5},
            {"hypernet_hidden": [8]},
            {"sharing": "weak", "inputs": "raw"},
            {"calibrate": False},
        ],
        ids=str,
    )
    def test_those_of_training_are_refused_by_name(self, changed):
        X, y, arm, _ = trial(n=60)
        with pytest.raises(ValueError, match=f"'instant' trains nothing.*{', '.join(changed)}"):
            instant(**changed).fit(X, y, arm)

    def test_widths_may_be_a_list(self):
        X, y, arm, _ = trial(n=60)
        instant(hypernet_hidden=[16]).fit(X, y, arm)

    def test_an_unknown_effort_is_refused(self):
        X, y, arm, _ = trial(n=60)
        with pytest.raises(ValueError, match=re.escape("'effort' parameter")):
            HyperCATE(effort="much").fit(X, y, arm)

    def test_labels_control_members_and_parts_apply(self):
        X, y, arm, effect = trial(n=300)
        labels = pd.Series(np.where(arm, "drug", "none"))
        est = instant(control="drug", n_members=7, validation_fraction=0.34).fit(X, y, labels)
        assert est.arms_.tolist() == ["drug", "none"]
        assert len(est.sharing_) == 7
        assert rmse(est.predict(X), -effect) < 0.35
