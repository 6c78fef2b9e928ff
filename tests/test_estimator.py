"""What a fitted HyperCATE promises: known effects, invariances, answers that agree, clean state."""

import copy
import pickle
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone

from hypercate import HyperCATE, estimator
from hypercate.candidates import TRIED_DEGREES
from hypercate.learners import TLearner


def tiny(**parameters):
    """A model that fits in milliseconds, where accuracy is not the question."""
    settings = {"n_members": 2, "max_epochs": 3, "outcome_hidden": (8, 8), "sharing": "moderate"}
    return HyperCATE(**{**settings, "random_state": 0, **parameters})


def able(**parameters):
    """A small model that learns a simple surface in half a second."""
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


def rmse(estimate, truth):
    return np.sqrt(np.mean((estimate - truth) ** 2, axis=0))


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


@pytest.fixture(scope="module")
def two():
    X, y, arm, _ = trial()
    return tiny(max_epochs=20, n_members=3).fit(X, y, arm), X, y, arm


@pytest.fixture(scope="module")
def three():
    X, y, arm, _ = trial(n_arms=3)
    labels = np.array(["a", "b", "c"])[arm]
    return tiny(max_epochs=20, n_members=3, control="b").fit(X, y, labels), X, y, labels


@pytest.fixture(scope="module")
def dropped():
    X, y, arm, _ = trial(n_arms=3)
    return tiny(max_epochs=20, hypernet_dropout=0.2, uncertainty="both").fit(X, y, arm), X


@pytest.fixture(params=["two", "three"])
def fitted(request):
    return request.getfixturevalue(request.param)


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
        est = able(sharing="moderate", outcome="binary").fit(X, np.array(labels)[happened], arm)
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
            *(
                {"generation": generation, "n_heads": heads}
                for generation in ("chunk", "component", "once")
                for heads in (1, 4)
            ),
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
        repeated = able(**settings).fit(*(np.repeat(a, times, axis=0) for a in (X, y, arm)))
        assert plain.ate(X) == pytest.approx(3, abs=0.15)
        assert weighted.ate(X) == pytest.approx(3.5, abs=0.15)
        assert repeated.ate(X) == pytest.approx(3.5, abs=0.15)

    def test_heavy_rows_decide(self):
        X, y, arm, _ = trial(n=600, slope=0)
        light = np.random.default_rng(1).random(600) < 0.5
        y = np.where(light, y - 4 * arm, y)
        est = able(sharing="moderate").fit(X, y, arm, sample_weight=np.where(light, 0.01, 1))
        assert est.ate(X) == pytest.approx(2, abs=0.2)


class TestInvariance:
    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [
            ([0, 1, 2], float),
            ([-5, 0, 1000], int),
            (["a", "b", "c"], object),
            (["c", "a", "b"], str),
            ([2, 1, 0], int),
            (["x", "y", "w"], "category"),
            (["z", "y", "x"], "string"),
            ([7, 5, 6], "Int64"),
        ],
    )
    def test_relabelled_arms_have_the_same_effects_to_the_bit(self, labels, dtype):
        X, y, arm, _ = trial(n_arms=3)
        expected = tiny().fit(X, y, arm).predict_outcomes(X)
        renamed = pd.Series(np.array(labels)[arm]).astype(dtype)
        est = tiny(control=labels[0]).fit(X, y, renamed)
        assert est.arms_[0] == labels[0]
        assert est.arms_[1:].tolist() == sorted(labels[1:])
        order = [labels.index(label) for label in est.arms_.tolist()]
        np.testing.assert_array_equal(est.predict_outcomes(X), expected[:, order])
        for k in (1, 2):
            np.testing.assert_array_equal(
                est.effect(X, T1=labels[k]), expected[:, k] - expected[:, 0]
            )

    def test_boolean_arms_are_control_and_treated(self):
        X, y, arm, _ = trial()
        expected = tiny().fit(X, y, arm).predict(X)
        for dtype in (bool, "boolean"):
            est = tiny().fit(X, y, pd.Series(arm).astype(dtype))
            assert est.arms_.tolist() == [False, True]
            np.testing.assert_array_equal(est.predict(X), expected)
            np.testing.assert_array_equal(est.effect(X, T0=True, T1=False), -expected)

    def test_an_ordered_category_does_not_change_who_is_control(self):
        X, y, arm, _ = trial()
        labels = pd.Categorical(np.array(["a", "b"])[arm], categories=["z", "b", "a"], ordered=True)
        est = tiny().fit(X, y, labels)
        assert est.arms_.tolist() == ["a", "b"]

    def test_control_changes_the_reference_and_nothing_else(self, three):
        est, X, y, labels = three
        other = clone(est).set_params(control="c").fit(X, y, labels)
        assert other.arms_.tolist() == ["c", "a", "b"]
        np.testing.assert_array_equal(
            other.predict_outcomes(X), est.predict_outcomes(X)[:, [2, 1, 0]]
        )
        np.testing.assert_array_equal(other.effect(X, T1="b"), -est.effect(X, T1="c"))
        pd.testing.assert_frame_equal(other.history_, est.history_)

    def test_with_two_arms_the_other_control_mirrors_effects_draws_and_intervals(self, two):
        est, X, y, arm = two
        mirrored = clone(est).set_params(control=1).fit(X, y, arm)
        np.testing.assert_array_equal(mirrored.predict(X), -est.predict(X))
        np.testing.assert_array_equal(mirrored.sample_effects(X), -est.sample_effects(X))
        lower, upper = est.effect_interval(X)
        np.testing.assert_array_equal(mirrored.effect_interval(X), (-upper, -lower))
        lower, upper = est.individual_effect_interval(X)
        np.testing.assert_array_equal(mirrored.individual_effect_interval(X), (-upper, -lower))
        np.testing.assert_array_equal(mirrored.reject(X, 0.3), est.reject(X, 0.3))
        assert mirrored.ate(X) == -est.ate(X)

    def test_reordered_columns_predict_the_same_to_the_bit(self):
        frame, y, arm, _ = mixed_frame(200)
        est = tiny().fit(frame, y, arm)
        order = ["grade", "smoker", "age", "site", "dose"]
        np.testing.assert_array_equal(est.predict(frame[order]), est.predict(frame))
        np.testing.assert_array_equal(est.effect_interval(frame[order]), est.effect_interval(frame))
        assert est.score(frame[order], y, arm) == est.score(frame, y, arm)

    def test_a_fit_on_reordered_columns_agrees_within_the_models_own_error(self):
        X, y, arm, truth = trial(n=600)
        order = [3, 1, 0, 2]
        effects = able(sharing="moderate").fit(X, y, arm).predict(X)
        reordered = able(sharing="moderate").fit(X[:, order], y, arm).predict(X[:, order])
        assert rmse(reordered, effects) < 0.15 * truth.std()

    def test_a_frame_and_its_array_are_the_same_to_the_bit(self):
        X, y, arm, _ = trial()
        frame = pd.DataFrame(X, columns=list("abcd"))
        on_array, on_frame = tiny().fit(X, y, arm), tiny().fit(frame, pd.Series(y), pd.Series(arm))
        np.testing.assert_array_equal(on_frame.predict(frame), on_array.predict(X))
        with pytest.warns(UserWarning, match="X has feature names, but"):
            np.testing.assert_array_equal(on_array.predict(frame), on_array.predict(X))
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            np.testing.assert_array_equal(on_frame.predict(X), on_array.predict(X))

    @pytest.mark.parametrize("index", ["shuffled", "duplicate", "dates", "pairs"])
    def test_rows_are_taken_by_position_whatever_their_index(self, index):
        X, y, arm, _ = trial()
        n = len(X)
        indices = {
            "shuffled": pd.Index(np.random.default_rng(0).permutation(n), name="row"),
            "duplicate": pd.Index(np.arange(n) // 3),
            "dates": pd.date_range("2020", periods=n),
            "pairs": pd.MultiIndex.from_product([range(n // 10), list("abcdefghij")]),
        }
        frame = pd.DataFrame(X, columns=list("abcd"))
        expected = tiny().fit(frame, y, arm).predict(frame)
        frame.index = indices[index]
        est = tiny().fit(frame, pd.Series(y, index=np.arange(n)[::-1]), pd.Series(arm))
        np.testing.assert_array_equal(est.predict(frame), expected)
        assert est.effect_inference(frame).summary_frame().index.equals(frame.index)

    def test_memory_layout_and_container_do_not_matter(self):
        X, y, arm, _ = trial()
        expected = tiny().fit(X, y, arm).predict(X)
        wide = np.zeros((2 * len(X), 2 * X.shape[1]))
        wide[::2, ::2] = X
        read_only = X.copy()
        read_only.setflags(write=False)
        for same in (np.asfortranarray(X), wide[::2, ::2], X.tolist(), read_only, X[::-1][::-1]):
            est = tiny().fit(same, y.tolist(), tuple(arm.tolist()))
            np.testing.assert_array_equal(est.predict(same), expected)

    def test_float32_and_float64_of_the_same_values_agree_to_the_bit(self):
        X, y, arm, _ = trial()
        X, y = X.astype(np.float32), y.astype(np.float32)
        np.testing.assert_array_equal(
            tiny().fit(X, y, arm).predict(X),
            tiny().fit(X.astype(float), y.astype(float), arm).predict(X.astype(float)),
        )

    def test_input_is_left_alone(self):
        frame, y, arm, _ = mixed_frame(100)
        weight = np.ones(100)
        copies = frame.copy(deep=True), y.copy(), arm.copy(), weight.copy()
        est = tiny().fit(frame, y, arm, sample_weight=weight)
        est.predict(frame)
        est.score(frame, y, arm, sample_weight=weight)
        pd.testing.assert_frame_equal(frame, copies[0])
        for now, before in zip((y, arm, weight), copies[1:], strict=True):
            np.testing.assert_array_equal(now, before)

    def test_constant_columns_do_no_harm(self):
        X, y, arm, _ = trial(n=600)
        new, _, _, truth = trial(seed=1)

        def padded(X):
            return np.column_stack([np.full(len(X), 3.0), X, np.zeros(len(X))])

        est = able(sharing="moderate").fit(padded(X), y, arm)
        assert rmse(est.predict(padded(new)), truth) < 0.25 * truth.std()
        other = padded(new)
        other[:, 0] = -1e9
        np.testing.assert_array_equal(est.predict(other), est.predict(padded(new)))

    @pytest.mark.parametrize("unit", [2.0**-60, 2.0**60, 2.0**300])
    def test_the_unit_of_a_column_does_not_matter_to_the_bit_for_powers_of_two(self, unit):
        X, y, arm, _ = trial()
        scaled = X * np.array([1, unit, 1, 1])
        np.testing.assert_array_equal(
            tiny().fit(scaled, y, arm).predict(scaled), tiny().fit(X, y, arm).predict(X)
        )

    def test_rows_do_not_see_one_another_at_predict(self, fitted):
        est, X, *_ = fitted
        together = est.predict_outcomes(X)
        for row in (0, 17, len(X) - 1):
            alone = est.predict_outcomes(X[[row]])
            assert alone.shape == (1, len(est.arms_))
            np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
        np.testing.assert_allclose(est.predict_outcomes(X[::-1])[::-1], together, atol=1e-5)

    def test_many_rows_are_answered_as_few(self, three):
        est, X, *_ = three
        many = np.tile(X, (40, 1))
        expected = np.tile(est.predict(X), (40, 1))
        np.testing.assert_allclose(est.predict(many), expected, atol=1e-5)
        draws = est.sample_effects(many, n_samples=3)
        np.testing.assert_allclose(
            draws, np.tile(est.sample_effects(X, n_samples=3), (1, 40, 1)), atol=1e-5
        )


class TestAnswers:
    def test_shapes_for_two_arms(self, two):
        est, X, _, arm = two
        n = len(X)
        assert est.predict_outcomes(X).shape == (n, 2)
        assert est.predict(X).shape == est.effect(X).shape == est.effect(X, T0=1).shape == (n,)
        assert est.sample_effects(X, n_samples=7).shape == (7, n)
        assert [bound.shape for bound in est.effect_interval(X)] == [(n,), (n,)]
        assert isinstance(est.ate(X), float)
        assert isinstance(est.att(X, arm), float)
        assert all(isinstance(bound, float) for bound in est.ate_interval(X))

    def test_shapes_for_three_arms(self, three):
        est, X, _, labels = three
        n = len(X)
        assert est.predict_outcomes(X).shape == (n, 3)
        assert est.predict(X).shape == est.effect(X).shape == est.effect(X, T0="a").shape == (n, 2)
        assert est.effect(X, T1="a").shape == (n,)
        assert est.sample_effects(X, n_samples=7).shape == (7, n, 2)
        assert est.sample_effects(X, n_samples=7, T0="a", T1=labels).shape == (7, n)
        assert [bound.shape for bound in est.effect_interval(X)] == [(n, 2), (n, 2)]
        assert est.ate(X).shape == est.att(X, labels).shape == (2,)
        assert [bound.shape for bound in est.ate_interval(X)] == [(2,), (2,)]

    def test_answers_are_float64_arrays_also_for_a_frame(self):
        frame, y, arm, _ = mixed_frame(100)
        est = tiny().fit(frame, y, arm)
        for answer in (est.predict(frame), est.predict_outcomes(frame), est.sample_effects(frame)):
            assert type(answer) is np.ndarray
            assert answer.dtype == np.float64

    def test_effects_are_differences_of_outcomes(self, three):
        est, X, *_ = three
        outcomes = dict(zip(est.arms_.tolist(), est.predict_outcomes(X).T, strict=True))
        np.testing.assert_array_equal(
            est.predict(X),
            np.column_stack([outcomes["a"] - outcomes["b"], outcomes["c"] - outcomes["b"]]),
        )
        np.testing.assert_array_equal(est.effect(X), est.predict(X))
        np.testing.assert_array_equal(
            est.effect(X, T0="c"),
            np.column_stack([outcomes["b"] - outcomes["c"], outcomes["a"] - outcomes["c"]]),
        )
        for T0 in outcomes:
            for T1 in outcomes:
                forth, back = est.effect(X, T0=T0, T1=T1), est.effect(X, T0=T1, T1=T0)
                np.testing.assert_array_equal(forth, outcomes[T1] - outcomes[T0])
                np.testing.assert_array_equal(forth, -back)

    def test_arms_may_be_given_row_by_row(self, three):
        est, X, _, labels = three
        outcomes = est.predict_outcomes(X)
        rows = np.arange(len(X))
        other = np.roll(labels, 1)
        code = {label: k for k, label in enumerate(est.arms_.tolist())}
        of, against = ([code[label] for label in given] for given in (other, labels))
        expected = outcomes[rows, of] - outcomes[rows, against]
        for T0, T1 in [
            (labels, other),
            (pd.Series(labels, index=rows[::-1]), pd.Categorical(other)),
        ]:
            np.testing.assert_array_equal(est.effect(X, T0=T0, T1=T1), expected)
        np.testing.assert_array_equal(
            est.effect(X, T1=other), outcomes[rows, of] - outcomes[rows, 0]
        )
        np.testing.assert_array_equal(
            est.effect(X, T0="a", T1=other), outcomes[rows, of] - outcomes[rows, code["a"]]
        )
        assert (est.effect(X, T0=labels, T1=labels) == 0).all()


def outcome_correction(fit):
    """Mean error of each arm's out-of-fold predictions, weighted by one over the propensity."""
    inverse = (fit.arm[:, None] == np.arange(fit.n_arms)) / fit.propensity
    residual = fit.y[:, None] - fit.outcomes
    return (inverse * residual).sum(axis=0) / inverse.sum(axis=0)


class TestAverages:
    def test_of_new_rows_it_is_the_mean_effect_and_the_average_error_out_of_fold(self, three):
        est, X, *_ = three
        correction = outcome_correction(est._crossfit.covered())
        for T0, k in ((None, 0), ("b", 0), ("a", 1), ("c", 2)):
            expected = est.effect(X[:70], T0=T0).mean(axis=0)
            expected += np.delete(correction - correction[k], k)
            np.testing.assert_allclose(est.ate(X[:70], T0=T0), expected, rtol=1e-9)
        assert np.abs(correction[1:] - correction[0]).min() > 1e-3

    def test_of_the_training_rows_it_is_the_same_with_their_out_of_fold_outcomes(self, three):
        est, *_ = three
        fit = est._crossfit.covered()
        outcomes = fit.outcomes.mean(axis=0) + outcome_correction(fit)
        np.testing.assert_allclose(est.ate(), outcomes[1:] - outcomes[0], rtol=1e-9)
        np.testing.assert_allclose(est.ate(T0="c"), (outcomes - outcomes[2])[:2], rtol=1e-9)

    def test_on_the_treated_it_is_the_control_outcomes_error_weighted_by_the_odds(self, three):
        est, X, _, labels = three
        fit = est._crossfit.covered()
        residual = fit.y - fit.outcomes[:, 0]
        for k, arm in ((1, "a"), (2, "c")):
            odds = (fit.propensity[:, k] / fit.propensity[:, 0])[fit.arm == 0]
            untreated = np.average(residual[fit.arm == 0], weights=odds)
            on_treated = residual[fit.arm == k].mean() - untreated
            assert est.att()[k - 1] == pytest.approx(on_treated)
            mine = fit.arm == k
            out_of_fold = (fit.outcomes[mine, k] - fit.outcomes[mine, 0]).mean()
            new = est.effect(X[:90], T1=arm)[labels[:90] == arm].mean() + on_treated - out_of_fold
            assert est.att(X[:90], labels[:90])[k - 1] == pytest.approx(new)

    def test_shapes_and_labels(self, fitted):
        est, X, _, arm = fitted
        several = len(est.arms_) > 2
        for given, of_treated in (((), ()), ((X,), (X, arm))):
            for T0 in (None, *est.arms_.tolist()):
                others = [label for label in est.arms_.tolist() if label != (T0 or est.arms_[0])]
                for name, arguments in (("ate", given), ("att", of_treated)):
                    inference = getattr(est, f"{name}_inference")(*arguments, T0=T0)
                    assert inference.index.tolist() == others
                    point = getattr(est, name)(*arguments, T0=T0)
                    lower, upper = getattr(est, f"{name}_interval")(*arguments, T0=T0, alpha=0.2)
                    frame = inference.summary_frame(0.2)
                    for value, column in (
                        (point, "point_estimate"),
                        *((lower, "ci_lower"), (upper, "ci_upper")),
                    ):
                        assert isinstance(value, np.ndarray if several else float)
                        np.testing.assert_array_equal(np.atleast_1d(value), frame[column])
                    assert (frame["ci_lower"] < frame["ci_upper"]).all()

    def test_against_another_arm_averages_and_intervals_mirror(self, three):
        est, X, *_ = three
        for rows in ((), (X,)):
            table = {T0: est.ate_inference(*rows, T0=T0).summary_frame() for T0 in "abc"}
            for T0, T1 in (("a", "b"), ("a", "c"), ("b", "c")):
                forth, back = table[T0].loc[T1], table[T1].loc[T0]
                assert forth["point_estimate"] == pytest.approx(-back["point_estimate"])
                assert forth["ci_lower"] == pytest.approx(-back["ci_upper"])

    def test_intervals_are_nested_in_alpha(self, fitted):
        est, X, _, arm = fitted
        groups = np.arange(len(X)) % 2
        for method, arguments in (
            *((est.ate_interval, ()), (est.ate_interval, (X,)), (est.att_interval, ())),
            *((est.att_interval, (X, arm)), (est.gate_interval, (groups,))),
        ):
            narrow, wide = (method(*arguments, alpha=alpha) for alpha in (0.5, 0.01))
            assert np.all((wide[0] < narrow[0]) & (narrow[1] < wide[1]))
            np.testing.assert_array_equal(method(*arguments), method(*arguments, alpha=0.05))

    def test_groups_are_named_and_each_is_its_rows_average(self, three):
        est, X, *_ = three
        groups = pd.Series(np.where(X[:, 0] > 0, "old", "new"), name="site")
        gate = est.gate(groups)
        assert gate.index.names == ["site", "arm"]
        assert gate.index.tolist() == [("new", "a"), ("new", "c"), ("old", "a"), ("old", "c")]
        lower, upper = est.gate_interval(groups, alpha=0.3)
        assert ((lower < gate) & (gate < upper)).all()
        pd.testing.assert_frame_equal(
            pd.DataFrame({"point_estimate": gate, "ci_lower": lower, "ci_upper": upper}),
            est.gate_inference(groups).summary_frame(0.3)[
                ["point_estimate", "ci_lower", "ci_upper"]
            ],
        )
        everyone = est.gate(np.zeros(len(X)))
        np.testing.assert_allclose(everyone, est.ate(), rtol=1e-12)
        from_a = est.gate(groups, T0="a")
        assert from_a["old", "b"] == pytest.approx(-gate["old", "a"])

    def test_of_two_arms_groups_are_rows_of_the_table(self, two):
        est, X, *_ = two
        grades = pd.Categorical(np.where(X[:, 0] > 0, "low", "high"), ["low", "high"])
        assert est.gate(grades).index.tolist() == ["low", "high"]
        in_order = est.gate(list(grades))
        assert in_order.index.tolist() == ["high", "low"]
        assert in_order.index.name == "group"
        np.testing.assert_array_equal(in_order.iloc[::-1], est.gate(grades))

    @pytest.mark.parametrize("index", ["range", "reversed", "dates"])
    def test_groups_go_with_the_rows_by_position_also_of_weight_0(self, index):
        X, y, arm, _ = trial()
        out = np.arange(len(X)) % 5 == 3
        groups = np.where(X[:, 0] > 0, "b", "a").astype(object)
        groups[out] = "nowhere"
        groups[3] = None
        labels = {
            "range": None,
            "reversed": np.arange(len(X))[::-1],
            "dates": pd.date_range("2020", periods=len(X)),
        }[index]
        est = tiny(inputs="raw").fit(X, y, arm, sample_weight=(~out).astype(float))
        without = tiny(inputs="raw").fit(X[~out], y[~out], arm[~out])
        pd.testing.assert_series_equal(
            est.gate(pd.Series(groups, index=labels)), without.gate(groups[~out])
        )
        assert est.ate() == without.ate()
        assert est.att() == without.att()

    def test_one_member_answers_for_the_rows_that_it_held_out(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=1, inputs="raw").fit(X, y, arm)
        assert est.ate_inference().n_rows == pytest.approx(0.2 * len(X), abs=2)
        lower, upper = est.ate_interval()
        assert lower < est.ate() < upper
        assert np.isfinite(est.att(X, arm))

    def test_heterogeneity_is_seen_where_there_is_some(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"inputs": "raw", "max_epochs": 60, "learning_rate": 0.02, "n_members": 5}
        est = tiny(**settings, control=1).fit(X, y, arm)
        table = est.heterogeneity_test()
        assert table.index.get_level_values("arm").unique().tolist() == [0, 2]
        assert (table["pvalue"] < 1e-3).all()
        np.testing.assert_allclose(table["coefficient"], 1, atol=0.5)
        other = est.heterogeneity_test(T0=0)
        assert other.index.get_level_values("arm").unique().tolist() == [1, 2]
        pd.testing.assert_frame_equal(
            other.loc[[1]].reset_index(), table.loc[[0]].reset_index().assign(arm=1)
        )
        flat = tiny(**settings, sharing="intercept").fit(X, y, arm).heterogeneity_test()
        assert (flat.xs("differential_prediction", level="term")["pvalue"] > 0.05).all()


class TestDraws:
    def test_draws_repeat_by_seed_and_differ_between_seeds(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=9, random_state=1)
        np.testing.assert_array_equal(est.sample_effects(X, 9, 1), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9, np.random.RandomState(1)), draws)
        assert not np.array_equal(est.sample_effects(X, 9, 2), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9), est.sample_effects(X, 9))

    def test_draws_without_dropout_are_mixtures_of_the_members_and_a_constant(self, two):
        est, X, *_ = two
        draws = est.sample_effects(X, n_samples=30, random_state=0) - est.predict(X)
        sizes = np.linalg.svd(draws, compute_uv=False)
        assert sizes[2] > 1e-3 * sizes[0]
        assert sizes[3] < 1e-9 * sizes[0]
        with_constant = np.vstack([draws, np.ones(len(X))])
        assert np.linalg.matrix_rank(with_constant, tol=1e-6) == 3

    def test_with_dropout_there_are_many_more_functions_than_members(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=150)
        assert len(np.unique(draws[:, 0, 0])) > 100

    def test_the_mean_of_the_draws_is_near_the_point_prediction(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=1000, random_state=0)
        assert (np.abs(draws.mean(axis=0) - est.predict(X)) < 0.5 * draws.std(axis=0)).all()

    @pytest.mark.parametrize("model", ["three", "dropped"])
    def test_a_row_alone_gets_the_draws_that_it_gets_among_others(self, model, request):
        est, X, *_ = request.getfixturevalue(model)
        together = est.sample_effects(X, n_samples=70, random_state=3)
        for row in (0, 5, len(X) - 1):
            alone = est.sample_effects(X[[row]], n_samples=70, random_state=3)
            np.testing.assert_allclose(alone[:, 0], together[:, row], atol=1e-5)

    def test_draws_of_one_contrast_come_from_draws_of_the_others(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=20)
        between = est.sample_effects(X, n_samples=20, T0=1, T1=2)
        np.testing.assert_allclose(between, draws[..., 1] - draws[..., 0], atol=1e-9)

    def test_one_draw_at_a_time_is_another_for_every_seed(self, two):
        est, X, *_ = two
        singles = [est.sample_effects(X[:1], 1, random_state=seed)[0, 0] for seed in range(30)]
        assert len(set(singles)) == 30

    def test_asking_does_not_change_the_answers(self, dropped):
        est, X = dropped
        before = est.predict(X)
        est.sample_effects(X, random_state=5)
        est.effect_interval(X)
        np.testing.assert_array_equal(est.predict(X), before)


class TestIntervals:
    @pytest.mark.parametrize("model", ["two", "three", "dropped"])
    def test_bounds_are_student_s_quantiles_about_the_effect(self, model, request):
        est, X, *_ = request.getfixturevalue(model)
        effects, stderr = est.predict(X), est.effect_inference(X).stderr
        for alpha in (0.05, 0.2):
            half = stats.t(est.calibration_.dof).ppf(1 - alpha / 2) * stderr
            np.testing.assert_allclose(
                est.effect_interval(X, alpha=alpha), (effects - half, effects + half), atol=1e-5
            )
        np.testing.assert_array_equal(est.effect_interval(X), est.effect_interval(X, alpha=0.05))

    def test_bounds_are_ordered_and_nested_in_alpha(self, dropped):
        est, X = dropped
        before = None
        for alpha in (0.9, 0.5, 0.2, 0.05, 0.001):
            lower, upper = est.effect_interval(X, alpha=alpha)
            assert (lower < upper).all()
            if before is not None:
                assert ((lower < before[0]) & (upper > before[1])).all()
            before = lower, upper

    def test_bounds_follow_the_contrast(self, dropped):
        est, X = dropped
        lower, upper = est.effect_interval(X, T0=1, T1=2)
        np.testing.assert_allclose(est.effect_interval(X, T0=2, T1=1), (-upper, -lower))
        point = est.effect(X, T0=1, T1=2)
        assert ((lower < point) & (point < upper)).all()

    @pytest.mark.parametrize("alpha", [np.float32(0.1), np.float64(0.1)])
    def test_alpha_may_be_any_real_number(self, two, alpha):
        est, X, *_ = two
        np.testing.assert_allclose(
            est.effect_interval(X, alpha=alpha), est.effect_interval(X, alpha=0.1), atol=1e-6
        )


def shifted_trial(n, seed):
    """Confounded, with both outcomes of everyone; noise is larger under treatment."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    arm = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0] - 0.7 * X[:, 1]))).astype(int)
    both = X[:, [0]] + np.array([0, 1]) * (1 + X[:, [1]]) + rng.normal(size=(n, 2)) * [0.5, 1]
    return X, both, arm


@pytest.fixture(scope="module")
def fits():
    """Fits to confounded trials, with their rows and others of the same population."""
    found = []
    for seed in range(16):
        X, both, arm = shifted_trial(250, seed)
        settings = {"n_members": 5, "inputs": "raw", "learning_rate": 0.02, "max_epochs": 40}
        est = tiny(**settings, random_state=seed).fit(X, both[np.arange(250), arm], arm)
        found.append((est, X, shifted_trial(400, 100 + seed)))
    return found


class TestCoverageOfAverages:
    @pytest.fixture(scope="class")
    @staticmethod
    def frames(fits):
        """Each question's answers, and what is true of the population."""
        X, both, arm = shifted_trial(200_000, 10**6)
        naive = both[arm == 1, 1].mean() - both[arm == 0, 0].mean()
        effect = 1 + X[:, 1]
        on_treated = effect[arm == 1].mean()
        half = np.sqrt(2 / np.pi)  # mean of a half-normal
        answers = {"ate": 1, "new": 1, "att": on_treated, "new att": on_treated}
        answers |= {"low": 1 - half, "high": 1 + half}
        rows = []
        for est, X, (new, _, new_arm) in fits:
            found = [
                *(est.ate_inference(), est.ate_inference(new)),
                *(est.att_inference(), est.att_inference(new, new_arm)),
                est.gate_inference(X[:, 1] > 0),
            ]
            rows.append(pd.concat([part.summary_frame() for part in found]).set_axis([*answers]))
        return rows, pd.Series(answers), naive

    def test_confounding_that_misleads_the_difference_of_means_is_adjusted_for(self, frames):
        rows, truth, naive = frames
        assert naive - truth["att"] > 0.5
        error = np.mean([frame["point_estimate"] - truth for frame in rows], axis=0)
        assert (np.abs(error) < 0.12).all()

    def test_intervals_hold_the_truth_at_their_rate(self, frames):
        rows, truth, _ = frames
        held = [(frame["ci_lower"] <= truth) & (truth <= frame["ci_upper"]) for frame in rows]
        assert np.mean(held, axis=0).min() >= 0.75  # 12 of 16
        assert 0.89 <= np.mean(held) <= 0.99

    def test_standard_errors_are_the_spread_of_the_estimates(self, frames):
        rows, truth, _ = frames
        error = np.sqrt(np.mean([(f["point_estimate"] - truth) ** 2 for f in rows], axis=0))
        stated = np.sqrt(np.mean([frame["stderr"] ** 2 for frame in rows], axis=0))
        assert ((error / stated > 0.5) & (error / stated < 1.6)).all()


class TestIntervalsOfPersons:
    def test_outcomes_and_effects_of_new_persons_are_held_at_the_rate_stated(self, fits):
        outcome, effect, width = [], [], []
        for est, _, (new, truth, _) in fits[:10]:
            for k in (0, 1):
                lower, upper = est.predict_outcome_interval(new, arm=k, alpha=0.2)
                outcome.append(((lower <= truth[:, k]) & (truth[:, k] <= upper)).mean())
                width.append(np.median(upper - lower))
            lower, upper = est.individual_effect_interval(new, alpha=0.2)
            own = truth[:, 1] - truth[:, 0]
            effect.append(((lower <= own) & (own <= upper)).mean())
        assert 0.78 < np.mean(outcome) < 0.9
        assert np.mean(effect) > 0.8
        assert np.mean(width[::2]) < 0.75 * np.mean(width[1::2])

    def test_shapes_and_labels_of_outcomes(self, three):
        est, X, _, labels = three
        n = len(X)
        each = {arm: est.predict_outcome_interval(X, arm=arm, alpha=0.2) for arm in "abc"}
        outcomes = dict(zip(est.arms_.tolist(), est.predict_outcomes(X).T, strict=True))
        for arm, (lower, upper) in each.items():
            assert lower.shape == upper.shape == (n,)
            assert ((lower < outcomes[arm]) & (outcomes[arm] < upper)).all()
        np.testing.assert_array_equal(est.predict_outcome_interval(X, alpha=0.2), each["b"])
        for given in (labels, pd.Series(labels, index=np.arange(n)[::-1]), pd.Categorical(labels)):
            found = est.predict_outcome_interval(X, arm=given, alpha=0.2)
            for arm in "abc":
                mine = labels == arm
                np.testing.assert_array_equal(
                    np.array(found)[:, mine], np.array(each[arm])[:, mine]
                )

    def test_shapes_and_labels_of_effects(self, three):
        est, X, _, labels = three
        interval, n = est.individual_effect_interval, len(X)
        for T0, others in ((None, "ac"), ("b", "ac"), ("a", "bc"), ("c", "ba")):
            lower, upper = interval(X, T0=T0, alpha=0.3)
            assert lower.shape == upper.shape == (n, 2)
            for k, T1 in enumerate(others):
                one = interval(X, T0=T0, T1=T1, alpha=0.3)
                np.testing.assert_array_equal(one, (lower[:, k], upper[:, k]))
        low, high = interval(X, T0="a", T1="c", alpha=0.3)
        assert low.shape == (n,)
        np.testing.assert_array_equal(interval(X, T0="c", T1="a", alpha=0.3), (-high, -low))
        own = np.array(interval(X, T0=labels, T1="c", alpha=0.3))
        np.testing.assert_array_equal(
            own[:, labels == "a"], np.array([low, high])[:, labels == "a"]
        )
        assert (own[:, labels == "c"] == 0).all()

    def test_one_member_is_the_middle_of_its_intervals(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=1).fit(X, y, arm)
        for k, outcomes in enumerate(est.predict_outcomes(X).T):
            lower, upper = est.predict_outcome_interval(X, arm=k, alpha=0.4)
            np.testing.assert_allclose((lower + upper) / 2, outcomes, atol=1e-6)

    @pytest.mark.parametrize("share", [0.1, 0.6])
    def test_rows_may_be_held_out_by_several_members_or_by_none(self, share):
        X, y, arm, _ = trial()
        est = tiny(validation_fraction=share).fit(X, y, arm)
        lower, upper = est.predict_outcome_interval(X, arm=arm, alpha=0.4)
        assert np.isfinite(upper - lower).all()
        assert np.mean((lower <= y) & (y <= upper)) > 0.5

    def test_with_two_arms_there_is_one_effect(self, two):
        est, X, *_ = two
        lower, upper = est.individual_effect_interval(X, alpha=0.2)
        assert lower.shape == upper.shape == (len(X),)
        effects = est.predict(X)
        assert ((lower < effects) & (effects < upper)).all()
        np.testing.assert_array_equal(
            est.individual_effect_interval(X, T0=1, alpha=0.2), (-upper, -lower)
        )

    def test_they_are_nested_in_alpha(self, fitted):
        est, X, *_ = fitted
        for method in (est.predict_outcome_interval, est.individual_effect_interval):
            before = None
            for alpha in (0.9, 0.5, 0.2, 0.05):
                lower, upper = method(X, alpha=alpha)
                assert (lower <= upper).all()
                if before is not None:
                    assert ((lower <= before[0]) & (before[1] <= upper)).all()
                    assert (upper - lower > before[1] - before[0]).any()
                before = lower, upper
            np.testing.assert_array_equal(method(X), before)

    def test_a_row_alone_gets_what_it_gets_among_others(self, fitted):
        est, X, *_ = fitted
        for method in (est.predict_outcome_interval, est.individual_effect_interval):
            together = np.array(method(X, alpha=0.2))
            for row in (0, 17, len(X) - 1):
                alone = np.array(method(X[[row]], alpha=0.2))
                np.testing.assert_allclose(alone[:, 0], together[:, row], atol=1e-5)

    def test_relabelled_arms_have_the_same(self):
        X, y, arm, _ = trial(n_arms=3)
        first, labels = tiny().fit(X, y, arm), np.array(["z", "x", "y"])
        second = tiny(control="y").fit(X, y, labels[arm])
        for T0, T1 in ((0, 1), (1, 2), (2, 0)):
            np.testing.assert_array_equal(
                second.predict_outcome_interval(X, arm=labels[T0], alpha=0.2),
                first.predict_outcome_interval(X, arm=T0, alpha=0.2),
            )
            np.testing.assert_array_equal(
                second.individual_effect_interval(X, T0=labels[T0], T1=labels[T1], alpha=0.3),
                first.individual_effect_interval(X, T0=T0, T1=T1, alpha=0.3),
            )

    def test_nothing_is_known_of_an_arm_of_few_rows(self):
        X, y, arm, _ = trial()
        arm = np.where(np.arange(len(arm)) < 4, 2, arm)
        est = tiny().fit(X, y, arm)
        lower, upper = est.predict_outcome_interval(X, arm=2)
        assert (lower == -np.inf).all()
        assert (upper == np.inf).all()
        assert np.isfinite(est.predict_outcome_interval(X, arm=1, alpha=0.2)).all()
        lower, upper = est.individual_effect_interval(X, alpha=0.2)
        assert np.isfinite(upper - lower).all(axis=0).tolist() == [True, False]

    def test_a_binary_outcome_has_classes_and_their_differences(self):
        X, y, arm, _ = trial()
        est = tiny(max_epochs=30).fit(X, np.where(y > 2, "yes", "no"), arm)
        for arm in (0, 1):
            lower, upper = est.predict_outcome_interval(X, arm=arm, alpha=0.2)
            assert {*zip(lower, upper, strict=True)} <= {(0, 0), (0, 1), (1, 1)}
            likelier = est.predict_outcomes(X)[:, arm] >= 0.5
            assert np.where(likelier, upper == 1, lower == 0).all()
        lower, upper = est.individual_effect_interval(X, alpha=0.2)
        assert {*lower, *upper} <= {-1, 0, 1}
        assert (lower <= upper).all()


class TestReject:
    def test_the_share_asked_for_is_rejected_and_it_is_the_least_certain(self, fitted):
        est, X, *_ = fitted
        stderr = est.effect_inference(X).stderr.reshape(len(X), -1).max(axis=1)
        before = np.zeros(len(X), dtype=bool)
        for share in (0, 0.001, 0.1, 1 / 3, 0.5, np.float32(0.75), 0.999):
            rejected = est.reject(X, share)
            assert rejected.dtype == bool
            assert rejected.shape == (len(X),)
            assert rejected.sum() == int(share * len(X))
            assert not rejected.any() or stderr[rejected].min() >= stderr[~rejected].max()
            assert not (before & ~rejected).any()
            before = rejected

    def test_it_follows_the_contrast(self, three):
        est, X, *_ = three
        for arms in ({"T0": "a"}, {"T0": "a", "T1": "c"}, {"T1": "c"}):
            stderr = est.effect_inference(X, **arms).stderr.reshape(len(X), -1).max(axis=1)
            expected = stderr > np.sort(stderr)[-31]
            np.testing.assert_array_equal(est.reject(X, 0.1, **arms), expected)
        forth, back = (est.reject(X, 0.2, T0=a, T1=b) for a, b in ("ac", "ca"))
        np.testing.assert_array_equal(forth, back)

    def test_of_equal_rows_later_ones_are_rejected(self, two):
        est, X, *_ = two
        assert est.reject(X[[3] * 8], 0.5).tolist() == [False] * 4 + [True] * 4


class TestSummaryFrame:
    columns = ("point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper")

    def test_one_effect_is_a_row_on_the_index_of_the_frame(self, two):
        est, X, *_ = two
        index = pd.Index(np.random.default_rng(0).integers(9, size=len(X)), name="patient")
        frame = pd.DataFrame(X, index=index)
        table = est.effect_inference(frame).summary_frame(alpha=0.1)
        assert tuple(table) == self.columns
        pd.testing.assert_index_equal(table.index, index)
        np.testing.assert_allclose(table["point_estimate"], est.predict(X), rtol=1e-12)
        np.testing.assert_array_equal(table["stderr"], est.effect_inference(X).stderr)
        np.testing.assert_allclose(table["zstat"], table["point_estimate"] / table["stderr"])
        np.testing.assert_array_equal(
            table[["ci_lower", "ci_upper"]].T, est.effect_interval(X, alpha=0.1)
        )
        assert table["pvalue"].between(0, 1).all()
        order = np.argsort(-table["zstat"].abs().to_numpy(), kind="stable")
        assert (np.diff(table["pvalue"].to_numpy()[order]) >= 0).all()

    def test_an_array_gets_a_range_index(self, two):
        est, X, *_ = two
        table = est.effect_inference(X[5:9]).summary_frame()
        pd.testing.assert_index_equal(table.index, pd.RangeIndex(4))

    @pytest.mark.parametrize(("T0", "arms"), [(None, ["a", "c"]), ("a", ["b", "c"])])
    def test_several_effects_have_the_arm_as_second_level(self, three, T0, arms):
        est, X, *_ = three
        index = pd.Index([f"r{i}" for i in range(len(X))], name="row")
        frame = pd.DataFrame(X, index=index)
        table = est.effect_inference(frame, T0=T0).summary_frame()
        assert table.index.names == ["row", "arm"]
        assert len(table) == 2 * len(X)
        for k, arm in enumerate(arms):
            of_arm = table.xs(arm, level="arm")
            pd.testing.assert_index_equal(of_arm.index, index)
            for effects in (est.effect(X, T0=T0)[:, k], est.effect(X, T0, arm)):
                np.testing.assert_allclose(of_arm["point_estimate"], effects, atol=1e-12)

    def test_levels_of_the_index_are_kept_beside_the_arm(self, three):
        est, X, *_ = three
        index = pd.MultiIndex.from_product(
            [range(len(X) // 10), list("abcdefghij")], names=["site", "patient"]
        )
        table = est.effect_inference(pd.DataFrame(X, index=index)).summary_frame()
        assert table.index.names == ["site", "patient", "arm"]
        pd.testing.assert_index_equal(table.xs("c", level="arm").index, index)

    def test_one_contrast_of_three_arms_is_a_row_a_row(self, three):
        est, X, _, labels = three
        for T1 in ("c", labels):
            table = est.effect_inference(X, T0="a", T1=T1).summary_frame()
            assert len(table) == len(X)
            np.testing.assert_allclose(table["point_estimate"], est.effect(X, "a", T1), atol=1e-12)
            np.testing.assert_allclose(
                table[["ci_lower", "ci_upper"]].T, est.effect_interval(X, T0="a", T1=T1)
            )


class TestScore:
    def test_a_good_model_scores_higher_than_a_bad_one(self):
        X, y, arm, _ = trial(n=500)
        new = trial(n=500, seed=1)[:3]
        settings = {"inputs": "raw", "max_epochs": 60}
        good = able(sharing="moderate", **settings).fit(X, y, arm)
        flat = able(sharing="intercept", **settings).fit(X, y, arm)
        bad = able(sharing="moderate", **settings).fit(-X, y, arm)
        assert 0.4 < good.score(*new) <= 1
        assert flat.score(*new) == pytest.approx(0, abs=0.05)
        assert bad.score(*new) < -0.3

    def test_a_score_is_a_repeatable_float_whatever_the_labels(self, three):
        est, X, y, labels = three
        score = est.score(X, y, labels)
        assert isinstance(score, float)
        assert est.score(pd.DataFrame(X), pd.Series(y), pd.Categorical(labels)) == score
        heavy = np.full(len(y), 4.0)
        assert est.score(X, y, labels, sample_weight=heavy) == pytest.approx(score, rel=1e-12)

    def test_rows_of_weight_0_are_not_scored(self, two):
        est, X, y, arm = two
        kept = np.arange(len(X)) % 3 > 0
        spoilt = np.where(kept, y, 1e6)
        assert est.score(X, spoilt, arm, sample_weight=kept * 1.0) == pytest.approx(
            est.score(X[kept], y[kept], arm[kept]), abs=1e-9
        )

    def test_a_binary_outcome_is_scored_by_its_labels(self):
        X, y, arm, _ = trial()
        happened = y > 2
        of_flags = tiny().fit(X, happened, arm).score(X, happened, arm)
        named = np.where(happened, "yes", "no")
        assert tiny().fit(X, named, arm).score(X, named, arm) == of_flags


class TestFittedAttributes:
    def test_of_a_frame(self):
        frame, y, arm, _ = mixed_frame(200)
        est = tiny().fit(frame, y, arm)
        assert est.arms_.tolist() == ["control", "drug", "surgery"]
        assert est.classes_ is None
        assert est.outcome_ == "continuous"
        assert est.n_features_in_ == 5
        assert est.feature_names_in_.tolist() == list(frame)
        assert est.feature_names_in_.dtype == object
        assert {"age", "age (missing)", "site=north", "grade=3"} <= set(est.encoded_names_)

    def test_of_an_array_and_after_a_frame(self, two):
        est, X, y, arm = two
        assert est.n_features_in_ == 4
        assert not hasattr(est, "feature_names_in_")
        again = clone(est).fit(pd.DataFrame(X[:, :3], columns=list("abc")), y, arm)
        assert again.feature_names_in_.tolist() == ["a", "b", "c"]
        again.fit(X, y, arm)
        assert again.n_features_in_ == 4
        assert not hasattr(again, "feature_names_in_")

    def test_every_documented_attribute_exists(self, two):
        est, *_ = two
        documented = HyperCATE.__doc__.split("Attributes\n")[1].split("References\n")[0]
        heads = [line.split(" : ")[0].strip() for line in documented.splitlines() if " : " in line]
        names = [name for head in heads for name in head.split(", ")]
        assert {"arms_", "classes_", "sharing_", "inputs_", "history_"} <= set(names)
        for name in set(names) - {"feature_names_in_"}:
            assert hasattr(est, name), name

    def test_history_has_a_row_an_epoch_and_member(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=3, max_epochs=7, sharing="auto").fit(X, y, arm)
        history = est.history_
        assert list(history) == ["member", "epoch", "train_loss", "validation_loss"]
        assert history["member"].tolist() == np.repeat([0, 1, 2], 7).tolist()
        assert history["epoch"].tolist() == [*range(7)] * 3
        assert np.isfinite(history).all(axis=None)
        assert history["train_loss"].iloc[6] < history["train_loss"].iloc[0]

    @pytest.mark.parametrize(
        ("n", "size"), [(60, 128), (4096, 128), (32_000, 1000), (65_536, 2048), (10**7, 2048)]
    )
    def test_minibatches_grow_with_the_data_from_128_to_2048(self, n, size):
        assert tiny()._schedule(n).batch_size == size
        assert tiny(batch_size=5000)._schedule(n).batch_size == 5000

    def test_a_member_stops_once_its_loss_has_not_fallen_by_1_percent_for_its_patience(self):
        X, y, arm, _ = trial(n=120, noise=2)
        est = tiny(n_members=4, max_epochs=200, patience=6).fit(X, y, arm)
        for _, member in est.history_.groupby("member"):
            assert member["epoch"].tolist() == [*range(len(member))]
            assert len(member) < 200
            gained, least = 0, np.inf
            for epoch, loss in enumerate(member["validation_loss"].astype(np.float32)):
                assert epoch - gained <= 6
                if loss < np.float32(0.99) * np.float32(least):
                    gained, least = epoch, loss
            assert len(member) - 1 - gained == 6

    def test_sharing_reports_each_members_best_held_out_loss(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=3, max_epochs=30, sharing="auto").fit(X, y, arm)
        degrees, ways = [*TRIED_DEGREES], ["raw", "boosted"]
        assert list(est.sharing_) == [*degrees, "chosen"]
        assert list(est.inputs_) == [*ways, "chosen"]
        assert est.sharing_.index.tolist() == est.inputs_.index.tolist() == [0, 1, 2]
        assert est.sharing_["chosen"].tolist() == est.sharing_[degrees].idxmin(axis=1).tolist()
        assert est.inputs_["chosen"].tolist() == est.inputs_[ways].idxmin(axis=1).tolist()
        best = est.history_.groupby("member")["validation_loss"].min()
        np.testing.assert_allclose(best, est.sharing_[degrees].min(axis=1), rtol=1e-6)
        np.testing.assert_allclose(best, est.inputs_[ways].min(axis=1), rtol=1e-6)

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "moderate", "weak", "independent"])
    def test_a_degree_that_is_named_is_the_only_one(self, sharing):
        X, y, arm, _ = trial()
        est = tiny(sharing=sharing).fit(X, y, arm)
        assert list(est.sharing_) == [sharing, "chosen"]
        assert est.sharing_["chosen"].tolist() == [sharing] * 2

    def test_without_a_generator_there_is_nothing_to_share(self):
        X, y, arm, _ = trial()
        est = tiny(generation="none", sharing="auto").fit(X, y, arm)
        assert list(est.sharing_) == ["none", "chosen"]

    def test_arms_that_share_all_but_the_intercept_differ_by_a_constant(self):
        X, y, arm, _ = trial(n_arms=3)
        est = tiny(sharing="intercept", max_epochs=30).fit(X, y, arm)
        np.testing.assert_allclose(est.predict(X).std(axis=0), 0, atol=1e-5)
        assert tiny(sharing="weak", max_epochs=30).fit(X, y, arm).predict(X).std() > 0.1

    def test_held_out_losses_tell_a_constant_effect_from_a_varying_one(self):
        losses = {}
        for slope in (0, 1.5):
            X, y, arm, _ = trial(n=400, slope=slope, noise=0.5)
            table = able(max_epochs=60).fit(X, y, arm).sharing_.drop(columns="chosen")
            losses[slope] = (table["intercept"] / table.min(axis=1)).mean()
        assert losses[0] < 1.5
        assert losses[1.5] > 2.2

    @pytest.mark.parametrize("n_arms", [2, 3])
    def test_parameters_are_counted_beside_the_weights_that_they_generate(self, n_arms):
        X, y, arm, _ = trial(n_arms=n_arms)
        weights = (4 * 8 + 8) + (8 * 8 + 8) + (8 + 1)
        layout = {"embedding_dim": 5, "hypernet_hidden": (6,), "inputs": "raw"}
        counts = tiny(generation="once", **layout).fit(X, y, arm).n_parameters_
        generator = n_arms * 5 + (5 * 6 + 6) + 6 * weights
        assert counts == {"trained": weights + generator, "generated": n_arms * weights}
        noisy = tiny(generation="once", hypernet_noise=0.3, **layout).fit(X, y, arm).n_parameters_
        assert noisy == counts | {"trained": counts["trained"] + 5 * 6}
        chunks = tiny(generation="chunk", n_chunks=10, **layout).fit(X, y, arm).n_parameters_
        assert chunks["generated"] == n_arms * weights
        assert chunks["trained"] < counts["trained"]
        own = {"trained": n_arms * weights, "generated": n_arms * weights}
        assert tiny(generation="none", inputs="raw").fit(X, y, arm).n_parameters_ == own
        assert tiny(sharing="independent", **layout).fit(X, y, arm).n_parameters_ == own
        either = tiny(generation="once", sharing="auto", max_epochs=20, **layout).fit(X, y, arm)
        assert (either.sharing_["chosen"] != "independent").all()
        assert either.n_parameters_ == counts
        boosted = tiny(generation="none", inputs="boosted").fit(X, y, arm).n_parameters_
        assert boosted["generated"] == n_arms * (weights + n_arms * 8)  # an input an arm

    @pytest.mark.parametrize(
        "change",
        [
            {"generation": "once"},
            {"generation": "none"},
            {"n_chunks": 3},
            {"n_heads": 2},
            {"embedding_dim": 3},
            {"hypernet_hidden": (4, 4)},
            {"hypernet_dropout": 0.3},
            {"hypernet_noise": 0.3},
            {"spectral_norm": True},
            {"sharing": "weak"},
            {"sharing": "independent"},
            {"outcome_hidden": (8,)},
            {"activation": "relu"},
            {"n_members": 3},
            {"max_epochs": 20},
            {"batch_size": 16},
            {"learning_rate": 0.01},
            {"weight_decay": 1.0},
            {"validation_fraction": 0.4},
            {"random_state": 1},
        ],
        ids=str,
    )
    def test_every_parameter_has_a_say(self, change):
        X, y, arm, _ = trial()
        assert not np.array_equal(
            tiny(**change).fit(X, y, arm).predict(X), tiny().fit(X, y, arm).predict(X)
        )


def global_state():
    return {
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


PERTURBED = {"hypernet_dropout": 0.1, "hypernet_noise": 0.3, "spectral_norm": True}


@pytest.fixture
def odd_threads():
    """A number of threads that no one but this test would set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    yield
    torch.set_num_threads(threads)


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

    def test_an_arm_is_not_told_of_the_others(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"sharing": "independent", "inputs": "raw"}
        before = tiny(**settings).fit(X, y, arm).predict_outcomes(X)
        moved = y.copy()
        moved[arm == 1] = y[arm == 1][::-1]  # of the same mean and spread
        after = tiny(**settings).fit(X, moved, arm).predict_outcomes(X)
        np.testing.assert_allclose(after[:, [0, 2]], before[:, [0, 2]], atol=1e-5)
        assert np.abs(after[:, 1] - before[:, 1]).max() > 0.01

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
        X, y, arm, _ = trial()
        settings = {f"hypernet_{kind}": 0.2, "max_epochs": 20, "inputs": "raw", "sharing": "auto"}
        est = tiny(**settings, uncertainty=kind).fit(X, y, arm)
        assert list(est.sharing_) == [*TRIED_DEGREES[:-1], "chosen"]
        assert est.calibration_.scale < 100
        assert "independent" in tiny(**settings, uncertainty="both").fit(X, y, arm).sharing_
        with pytest.raises(ValueError, match="sharing other than 'independent'"):
            tiny(**settings | {"sharing": "independent"}, uncertainty="both").fit(X, y, arm)


class TestReproducibility:
    def test_a_seed_repeats_a_fit_to_the_bit(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"hypernet_dropout": 0.1, "hypernet_noise": 0.3, "sharing": "auto"}
        first, again = (tiny(**settings).fit(X, y, arm) for _ in range(2))
        np.testing.assert_array_equal(first.predict(X), again.predict(X))
        np.testing.assert_array_equal(first.sample_effects(X), again.sample_effects(X))
        pd.testing.assert_frame_equal(first.history_, again.history_)
        pd.testing.assert_frame_equal(first.sharing_, again.sharing_)

    def test_without_a_seed_fits_differ_even_from_one_global_seed(self):
        X, y, arm, _ = trial()
        effects = []
        for _ in range(2):
            np.random.seed(0)  # noqa: NPY002
            torch.manual_seed(0)
            effects.append(tiny(random_state=None).fit(X, y, arm).predict(X))
        assert not np.array_equal(*effects)

    def test_a_random_state_goes_on_from_fit_to_fit_and_can_be_repeated(self):
        X, y, arm, _ = trial()

        def two_fits():
            est = tiny(random_state=np.random.RandomState(3))
            return [est.fit(X, y, arm).predict(X) for _ in range(2)]

        first, second = two_fits()
        np.testing.assert_array_equal(two_fits(), [first, second])
        assert not np.array_equal(first, second)

    def test_fitting_again_equals_a_fresh_fit(self):
        X, y, arm, _ = trial()
        frame, outcome, labels, _ = mixed_frame(100)
        est = tiny().fit(frame, outcome, labels).fit(X, y, arm)
        fresh = tiny().fit(X, y, arm)
        assert vars(est).keys() == vars(fresh).keys()
        np.testing.assert_array_equal(est.predict(X), fresh.predict(X))
        np.testing.assert_array_equal(est.sample_effects(X), fresh.sample_effects(X))

    @pytest.mark.parametrize("random_state", [None, 0])
    def test_the_state_of_the_process_is_left_alone(self, random_state, odd_threads):
        X, y, arm, _ = trial(n=60)
        before = global_state()
        settings = {"inputs": "raw", **PERTURBED}
        est = tiny(random_state=random_state, **settings)
        est.fit(X, y, arm)
        est.predict(X)
        est.effect_inference(X).summary_frame()
        est.ate_interval(X)
        est.score(X, y, arm)
        assert global_state() == before

    def test_the_state_of_the_process_is_left_alone_when_a_fit_fails(self, odd_threads):
        X, y, arm, _ = trial(n=60)
        before = global_state()
        with pytest.raises(FloatingPointError):
            tiny(learning_rate=1e30, max_epochs=50, inputs="raw").fit(X, y, arm)
        with pytest.raises(ValueError, match="y is missing"):
            tiny().fit(X, np.where(arm, np.nan, y), arm)
        assert global_state() == before

    def test_the_process_own_dtype_changes_nothing(self):
        X, y, arm, _ = trial(n=60)
        settings = PERTURBED | {"uncertainty": "both"}
        expected = tiny(**settings).fit(X, y, arm).sample_effects(X)
        torch.set_default_dtype(torch.float64)
        try:
            draws = tiny(**settings).fit(X, y, arm).sample_effects(X)
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(draws, expected)

    def test_the_process_own_device_changes_nothing(self):
        X, y, arm, _ = trial(n=60)
        expected = tiny(device="cpu").fit(X, y, arm).sample_effects(X)
        with torch.device("meta"):
            draws = tiny(device="cpu").fit(X, y, arm).sample_effects(X)
        np.testing.assert_array_equal(draws, expected)

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_a_fit_works_where_gradients_are_off(self, mode):
        X, y, arm, _ = trial(n=60)
        with mode():
            est = tiny().fit(X, y, arm)
        expected = tiny().fit(X, y, arm).predict(X)
        np.testing.assert_array_equal(est.predict(X), expected)
        np.testing.assert_array_equal(est.fit(X, y, arm).predict(X), expected)


def answers(est, X):
    """Everything that depends on how sure the fit is."""
    return {
        "draws": est.sample_effects(X, 9),
        "interval": est.effect_interval(X),
        "outcome": est.predict_outcome_interval(X, alpha=0.3),
        "individual": est.individual_effect_interval(X, alpha=0.3),
        "averages": [est.ate(), est.ate(X), est.att(), *est.ate_interval(), *est.att_interval()],
        "groups": est.gate_inference(np.arange(len(est._used)) % 2).summary_frame(),
        "heterogeneity": est.heterogeneity_test(),
        "rejected": est.reject(X, 0.3),
        "level": est.calibration_.level,
        "numbers": [est.calibration_.scale, est.calibration_.shrinkage, est.calibration_.dof],
    }


class TestCopies:
    @pytest.mark.parametrize(
        "copied",
        [
            copy.deepcopy,
            copy.copy,
            *(
                lambda est, protocol=protocol: pickle.loads(pickle.dumps(est, protocol))
                for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
            ),
        ],
    )
    def test_copies_answer_to_the_bit(self, copied):
        frame, y, arm, _ = mixed_frame(100)
        est = tiny(**PERTURBED, uncertainty="both").fit(frame, y, arm)
        other = copied(est)
        assert other.get_params() == est.get_params()
        np.testing.assert_array_equal(other.predict(frame), est.predict(frame))
        for name, answer in answers(est, frame).items():
            np.testing.assert_array_equal(answers(other, frame)[name], answer, err_msg=name)
        assert other.score(frame, y, arm) == est.score(frame, y, arm)
        pd.testing.assert_frame_equal(other.history_, est.history_)

    def test_a_deep_copy_is_on_its_own(self, two):
        est, X, y, arm = two
        before = est.predict(X)
        other = copy.deepcopy(est).set_params(random_state=9)
        other.fit(X, -y, arm)
        np.testing.assert_array_equal(est.predict(X), before)

    def test_a_clone_is_unfitted_and_fits_to_the_same_bits(self, two):
        est, X, y, arm = two
        other = clone(est)
        assert not hasattr(other, "arms_")
        np.testing.assert_array_equal(other.fit(X, y, arm).predict(X), est.predict(X))
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answers(other, X)[name], answer, err_msg=name)

    def test_no_number_of_a_rows_covariates_is_in_the_pickle(self):
        """Outcomes and propensities of the rows are, for averages and outcomes' intervals."""
        X, y, arm, _ = trial(n=200)
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame.iloc[::7, 0] = np.nan
        est = tiny().fit(frame, y, arm)
        data = pickle.dumps(est)

        def found(values):
            return [
                (value, code)
                for value in values
                for code in ("<d", ">d", "<f", ">f")
                if struct.pack(code, value) in data
            ]

        assert len(found([est.learning_rate])) == 1
        assert len(found(est.history_["train_loss"])) == len(est.history_)
        assert not found(X.ravel())
        encoded = est._features.transform(frame)
        continuous = [len(np.unique(column)) > 100 for column in encoded.T]
        assert sum(continuous) == 4
        assert not found(np.setdiff1d(encoded[:, continuous], 0))

    def test_no_string_of_a_single_row_is_in_the_pickle_among_many(self):
        X, y, arm, _ = trial(n=200)
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame["id"] = [f"patient-{7919 * i}-" for i in range(len(frame))]
        data = pickle.dumps(tiny().fit(frame, y, arm))
        assert not [name for name in frame["id"] if name.encode() in data]

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_the_pickle_grows_by_some_numbers_a_row_and_arm_whatever_the_covariates(self, inputs):
        """Trees of little data may be smaller, but not by much."""
        sizes = []
        for n in (100, 3000):
            frame, y, arm, _ = mixed_frame(n)
            sizes.append(len(pickle.dumps(tiny(inputs=inputs).fit(frame, y, arm))))
        a_row = 8 * (3 + 3 * 3) + 8  # three numbers, and three an arm
        trees = 0 if inputs == "raw" else 0.1 * sizes[0]
        assert 0 < sizes[1] - sizes[0] < 2900 * a_row + trees


class TestFailedFits:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    @pytest.mark.parametrize("call", [1, 2, 5])
    def test_an_interrupt_in_training_leaves_the_estimator_as_it_was(
        self, error, call, monkeypatch
    ):
        X, y, arm, _ = trial(n=60)
        calls = []

        def interrupted(self, output, target):
            calls.append(None)
            if len(calls) == call:
                raise error
            return loss(self, output, target)

        loss = TLearner.loss
        unfitted, est = tiny(), tiny().fit(X, y, arm)
        effects, names = est.predict(X), set(vars(unfitted))
        before, state = dict(vars(est)), global_state()
        monkeypatch.setattr(TLearner, "loss", interrupted)
        for model in (unfitted, est):
            calls.clear()
            with pytest.raises(error):
                model.fit(X[:, :2], -y, 1 - arm)
        monkeypatch.undo()
        assert set(vars(unfitted)) == names
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())
        np.testing.assert_array_equal(est.predict(X), effects)
        assert global_state() == state
        np.testing.assert_array_equal(unfitted.fit(X, y, arm).predict(X), effects)

    @pytest.mark.parametrize(
        "step",
        [
            *("fit_propensity", "train", "held_out_losses", "held_out_outcomes"),
            *("held_out_errors", "warn_of_poor_support", "networks", "calibrate"),
        ],
    )
    def test_an_interrupt_at_any_step_leaves_every_answer_as_it_was(self, step, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        X, y, arm, _ = trial(n=60)
        unfitted, est = tiny(), tiny().fit(X, y, arm)
        before, names, expected = dict(vars(est)), set(vars(unfitted)), answers(est, X)
        with monkeypatch.context() as patched:
            patched.setattr(estimator, step, interrupted)
            for model in (unfitted, est):
                with pytest.raises(KeyboardInterrupt):
                    model.fit(X[:, :2], -y, arm.astype(str))
        assert set(vars(unfitted)) == names
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answer, expected[name], err_msg=name)

    def test_parameters_changed_after_a_fit_wait_for_the_next(self):
        X, y, arm, _ = trial(n=60)
        est = tiny(hypernet_dropout=0.2).fit(X, y, arm)
        before = answers(est, X)
        est.set_params(uncertainty="dropout", calibrate=False, hypernet_dropout=0.5)
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answer, before[name], err_msg=name)
        assert not np.array_equal(est.fit(X, y, arm).sample_effects(X, 9), before["draws"])

    def test_an_interrupt_while_the_tables_are_made_leaves_the_estimator_as_it_was(
        self, monkeypatch
    ):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        X, y, arm, _ = trial(n=60)
        unfitted, est = tiny(), tiny().fit(X, y, arm)
        effects, names = est.predict(X), set(vars(unfitted))
        monkeypatch.setattr(pd.DataFrame, "sort_values", interrupted)
        for model in (unfitted, est):
            with pytest.raises(KeyboardInterrupt):
                model.fit(X[:, :2], -y, arm.astype(str))
        monkeypatch.undo()
        assert set(vars(unfitted)) == names
        assert est.arms_.tolist() == [0, 1]
        assert est.n_features_in_ == 4
        np.testing.assert_array_equal(est.predict(X), effects)

    def test_divergence_says_when_and_what_to_try(self):
        X, y, arm, _ = trial(n=60)
        est = tiny().fit(X, y, arm)
        before = est.predict(X)
        est.set_params(learning_rate=1e30, max_epochs=50)
        with pytest.raises(FloatingPointError, match=r"diverged by epoch \d+.*learning_rate"):
            est.fit(X, y, arm)
        np.testing.assert_array_equal(est.predict(X), before)


class TestVerbose:
    def test_a_bar_on_stderr_if_asked_for(self, capfd):
        X, y, arm, _ = trial(n=60)
        tiny(verbose=True).fit(X, y, arm)
        out, err = capfd.readouterr()
        assert out == ""
        assert "HyperCATE" in err
        assert "3/3" in err
        assert "epoch" in err

    def test_silence_otherwise(self, capfd):
        X, y, arm, _ = trial(n=60)
        est = tiny().fit(X, y, arm)
        est.predict(X)
        est.score(X, y, arm)
        assert capfd.readouterr() == ("", "")

    def test_the_bar_changes_nothing(self, capfd):
        X, y, arm, _ = trial(n=60)
        np.testing.assert_array_equal(
            tiny(verbose=True).fit(X, y, arm).predict(X), tiny().fit(X, y, arm).predict(X)
        )
