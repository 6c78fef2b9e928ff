"""Effects that are known are found, whatever the settings, kinds of outcome and weights."""

import numpy as np
import pandas as pd
import pytest
from small import able, mixed_frame, rmse, tiny, trial

from hypercate.select import TRIED_DEGREES


class TestKnownEffects:
    def test_a_constant_effect_is_constant(self):
        X, y, arm, _ = trial(n=600, slope=0)
        effects = able().fit(X, y, arm).predict(trial(seed=1)[0])
        assert effects.std() < 0.1
        assert effects.mean() == pytest.approx(2, abs=0.1)

    def test_a_linear_effect_is_found_in_new_rows(self):
        X, y, arm, _ = trial(n=600)
        new, _, _, truth = trial(seed=1)
        assert rmse(able(n_members=4).fit(X, y, arm).predict(new), truth) < 0.15 * truth.std()

    def test_three_string_arms_each_have_their_effect(self):
        X, y, arm, _ = trial(n=900, n_arms=3)
        labels = np.array(["control", "drug", "surgery"])[arm]
        new, _, _, truth = trial(n_arms=3, seed=1)
        est = able().fit(X, y, labels)
        assert est.arms_.tolist() == ["control", "drug", "surgery"]
        assert (rmse(est.predict(new), truth) < 0.25 * truth.std(axis=0)).all()
        np.testing.assert_allclose(est.ate(new), truth.mean(axis=0), atol=0.15)

    @pytest.mark.parametrize("labels", [[0, 1], [False, True], ["no", "yes"], [3, 7]])
    def test_a_binary_outcome_gives_probabilities_and_risk_differences(self, labels):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(1500, 3))
        arm = rng.integers(2, size=1500)
        risks = 1 / (1 + np.exp(-X[:, [0]] - np.array([-0.5, 1]) * (X[:, [1]] > 0)))
        happened = (rng.random(1500) < risks[np.arange(1500), arm]).astype(int)
        est = able(sharing="moderate", outcome="binary", n_members=5)
        est.fit(X, np.array(labels)[happened], arm)
        outcomes = est.predict_outcomes(X)
        assert est.outcome_ == "binary"
        assert est.classes_.tolist() == labels
        assert ((outcomes > 0) & (outcomes < 1)).all()
        assert (rmse(outcomes, risks) < 0.1).all()
        assert rmse(est.predict(X), risks[:, 1] - risks[:, 0]) < 0.12
        assert est.ate(X) == pytest.approx((risks[:, 1] - risks[:, 0]).mean(), abs=0.05)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"generation": "chunk", "n_heads": 1},
            {"generation": "chunk", "n_heads": 4},
            {"generation": "component"},
            {"generation": "once", "n_heads": 4},
            {"generation": "none"},
            {"hypernet_dropout": 0.05},
            {"hypernet_noise": 0.3},
            {"spectral_norm": True},
            {"hypernet_hidden": (16, 8)},
            {"n_chunks": 1},
            {"sharing": "weak"},
            {"sharing": "independent"},
        ],
        ids=str,
    )
    def test_every_way_of_generating_weights_finds_a_linear_effect(self, parameters):
        X, y, arm, _ = trial(n=600)
        new, _, _, truth = trial(seed=1)
        est = able(**{"sharing": "moderate", **parameters}).fit(X, y, arm)
        assert rmse(est.predict(new), truth) < 0.25 * truth.std()

    def test_confounding_by_covariates_is_adjusted_for(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(800, 3))
        arm = (rng.random(800) < 1 / (1 + np.exp(-1.5 * X[:, 0]))).astype(int)
        y = 3 * X[:, 0] + arm + 0.3 * rng.normal(size=800)
        assert y[arm == 1].mean() - y[arm == 0].mean() > 3
        assert able().fit(X, y, arm).ate(X) == pytest.approx(1, abs=0.2)

    def test_a_frame_with_every_kind_of_column_and_three_arms(self):
        frame, y, arm, _ = mixed_frame(900)
        new, _, _, truth = mixed_frame(seed=1)
        est = able().fit(frame, y, arm)
        assert (rmse(est.predict(new), truth) < 0.4 * truth.std(axis=0)).all()
        np.testing.assert_allclose(est.ate(new), truth.mean(axis=0), atol=0.2)
        unseen = new.assign(site="east", grade=pd.Categorical([9] * len(new)))
        effects = est.predict(unseen)
        assert np.isfinite(effects).all()
        assert np.abs(effects - est.ate(frame)).max() < 3

    @pytest.mark.parametrize("unit", [2.0**40, 2.0**-600, 2.0**600])
    def test_the_outcomes_unit_comes_back_to_the_bit_for_powers_of_two(self, unit):
        X, y, arm, _ = trial()
        est, scaled = (tiny().fit(X, values, arm) for values in (y, unit * y))
        np.testing.assert_array_equal(scaled.predict_outcomes(X), unit * est.predict_outcomes(X))
        inference = est.effect_inference(X), scaled.effect_inference(X)
        np.testing.assert_allclose(inference[1].stderr, unit * inference[0].stderr, rtol=1e-6)

    def test_an_offset_of_the_outcome_does_not_reach_the_effects(self):
        X, y, arm, _ = trial()
        moved = tiny().fit(X, y + 1e4, arm)
        np.testing.assert_allclose(moved.predict(X), tiny().fit(X, y, arm).predict(X), atol=1e-3)
        assert abs(moved.predict_outcomes(X).mean() - 1e4) < 20

    @pytest.mark.parametrize("generation", ["chunk", "none"])
    def test_a_constant_outcome_has_hardly_an_effect(self, generation):
        X, y, arm, _ = trial()
        est = tiny(generation=generation, max_epochs=60).fit(X, np.full(len(y), 7.0), arm)
        np.testing.assert_allclose(est.predict_outcomes(X), 7, atol=0.2)

    @pytest.mark.parametrize("generation", ["chunk", "none"])
    def test_nothing_varies_at_all(self, generation):
        X, y, arm, _ = trial()
        est = tiny(generation=generation, max_epochs=60)
        est.fit(np.ones_like(X), np.full(len(y), 7.0), arm)
        np.testing.assert_allclose(est.predict_outcomes(X), 7, atol=0.2)

    def test_an_arm_of_two_rows_is_enough(self):
        X, y, arm, _ = trial()
        arm = np.where(np.arange(len(arm)) < 2, 2, arm)
        assert np.isfinite(tiny().fit(X, y, arm).predict(X)).all()

    @pytest.mark.parametrize(
        ("n_arms", "batch_size"), [(2, 1), (2, 2), (2, 10_000), (6, 4), (6, 12)]
    )
    def test_any_batch_size_trains(self, n_arms, batch_size):
        X, y, arm, _ = trial(n=60, n_arms=n_arms)
        est = tiny(batch_size=batch_size, max_epochs=20).fit(X, y, arm)
        assert np.isfinite(est.history_).all(axis=None)


class TestSampleWeight:
    def test_no_weights_are_equal_weights_of_any_unit(self):
        X, y, arm, _ = trial()
        expected = tiny().fit(X, y, arm).predict(X)
        for unit in (1.0, 2.0**-600, 2.0**600):
            est = tiny().fit(X, y, arm, sample_weight=np.full(len(X), unit))
            np.testing.assert_array_equal(est.predict(X), expected)

    def test_weight_0_is_a_row_left_out(self):
        X, y, arm, _ = trial()
        out = np.arange(len(X)) % 5 == 3
        X[out], y[out] = 100, 1e6
        arm[out] = 1
        est = tiny().fit(X, y, arm, sample_weight=(~out).astype(float))
        without = tiny().fit(X[~out], y[~out], arm[~out])
        np.testing.assert_array_equal(est.predict(X[~out]), without.predict(X[~out]))
        pd.testing.assert_frame_equal(est.history_, without.history_)

    def test_weight_0_has_no_say_in_the_kind_of_outcome(self):
        X, y, arm, _ = trial()
        happened = (y > np.median(y)).astype(float)
        happened[0] = 2
        weight = np.ones(len(y))
        weight[0] = 0
        assert tiny().fit(X, happened, arm, sample_weight=weight).outcome_ == "binary"

    def test_integer_weights_are_about_repeated_rows(self):
        X, y, arm, _ = trial(n=1000, slope=0)
        X, times = X[:, :3], np.where(X[:, 3] > 0, 3, 1)
        y = y + 2 * arm * (times == 3)
        settings = {"sharing": "intercept", "max_epochs": 60}
        plain = able(**settings).fit(X, y, arm)
        weighted = able(**settings).fit(X, y, arm, sample_weight=times)
        rows = np.repeat(np.arange(len(X)), times)
        repeated = able(**settings).fit(X[rows], y[rows], arm[rows], groups=rows)
        assert plain.ate() == pytest.approx(3, abs=0.15)
        assert weighted.ate() == pytest.approx(3.5, abs=0.15)
        assert repeated.ate() == pytest.approx(3.5, abs=0.15)
        assert repeated.ate(X) == pytest.approx(3, abs=0.15)  # each row once

    def test_heavy_rows_decide(self):
        X, y, arm, _ = trial(n=600, slope=0)
        light = np.random.default_rng(1).random(600) < 0.5
        y = np.where(light, y - 4 * arm, y)
        est = able(sharing="moderate").fit(X, y, arm, sample_weight=np.where(light, 0.01, 1))
        assert est.ate(X) == pytest.approx(2, abs=0.2)


class TestIndependentArms:
    def test_they_do_as_well_as_arms_without_a_generator(self):
        X, y, arm, _ = trial(n=600)
        new, _, _, truth = trial(seed=1)
        errors = {}
        for ablated in ({"sharing": "independent"}, {"generation": "none"}):
            settings = {"inputs": "raw", "max_epochs": 60, "n_members": 4}
            est = able(**settings, **ablated).fit(X, y, arm)
            errors[str(ablated)] = rmse(est.predict(new), truth) / truth.std()
        independent, none = errors.values()
        assert independent < 0.25
        assert 0.6 < independent / none < 1.6

    def test_an_arm_is_told_nothing_of_the_others_but_when_training_ends(self):
        """A model whose training other outcomes of one arm do not end earlier or later keeps the
        networks of the other arms."""
        X, y, arm, _ = trial(n_arms=3)
        kept = []
        for seed in range(4):
            est = tiny(sharing="independent", inputs="raw", random_state=seed).fit(X, y, arm)
            before, evidence = est.fitted_.networks.theta, est.fitted_.evidence
            moved = y.copy()
            for model in range(5):  # every model's outcomes keep their mean and spread
                rows = evidence.row[evidence.model == model]
                rows = rows[arm[rows] == 1]
                moved[rows] = y[rows[::-1]]
            after = est.fit(X, moved, arm).fitted_.networks.theta
            kept.extend(np.abs(after - before).max(axis=2) < 1e-5)
        first, moved, last = np.transpose(kept)
        assert not moved.any()
        np.testing.assert_array_equal(first, last)
        assert first.sum() > 3

    @pytest.mark.parametrize("labels", [["a", "b", "c"], ["c", "a", "b"]])
    def test_relabelled_they_have_the_same_effects_to_the_bit(self, labels):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"sharing": "independent", "inputs": "raw"}
        expected = tiny(**settings).fit(X, y, arm)
        est = tiny(**settings, control=labels[0]).fit(X, y, np.array(labels)[arm])
        for k in (1, 2):
            np.testing.assert_array_equal(est.effect(X, T1=labels[k]), expected.effect(X, T1=k))

    @pytest.mark.parametrize("kind", ["dropout", "noise"])
    def test_draws_of_the_hypernetwork_never_rest_on_them(self, kind):
        X, y, arm, _ = trial(n_arms=3)
        settings = {f"hypernet_{kind}": 0.2, "max_epochs": 20, "inputs": "raw", "sharing": "auto"}
        est = tiny(**settings, uncertainty=kind).fit(X, y, arm)
        assert list(est.sharing_) == [*TRIED_DEGREES[:-1], "chosen"]
        assert est.calibration_.scale < 100
        assert "independent" in tiny(**settings, uncertainty="both").fit(X, y, arm).sharing_
        with pytest.raises(ValueError, match="sharing other than 'independent'"):
            tiny(**settings | {"sharing": "independent"}, uncertainty="both").fit(X, y, arm)
