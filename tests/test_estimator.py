"""What a fitted HyperCATE promises: known effects, invariances, answers that agree, clean state."""

import copy
import pickle
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from hypercate import HyperCATE
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
    return tiny(max_epochs=20, hypernet_dropout=0.2).fit(X, y, arm), X


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
            {"spectral_norm": True},
            {"hypernet_hidden": (16, 8)},
            {"n_chunks": 1},
            {"sharing": "weak"},
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

    def test_the_outcomes_unit_comes_back_to_the_bit_for_powers_of_two(self):
        X, y, arm, _ = trial()
        outcomes = tiny().fit(X, y, arm).predict_outcomes(X)
        scaled = tiny().fit(X, 2.0**40 * y, arm).predict_outcomes(X)
        np.testing.assert_array_equal(scaled, 2.0**40 * outcomes)

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
        np.testing.assert_allclose(mirrored.effect_interval(X), (-upper, -lower), atol=1e-12)
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

    def test_averages_are_means_of_effects(self, three):
        est, X, _, labels = three
        effects = est.predict(X)
        np.testing.assert_allclose(est.ate(X), effects.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(
            est.att(X, labels),
            [effects[labels == "a", 0].mean(), effects[labels == "c", 1].mean()],
            rtol=1e-12,
        )
        assert np.abs(est.att(X, labels) - est.ate(X)).min() > 1e-3

    def test_att_of_two_arms_is_the_mean_over_the_treated(self, two):
        est, X, _, arm = two
        assert est.att(X, arm) == pytest.approx(est.predict(X)[arm == 1].mean(), rel=1e-12)
        assert est.att(X, np.ones_like(arm)) == pytest.approx(est.ate(X), rel=1e-12)


class TestDraws:
    def test_draws_repeat_by_seed_and_differ_between_seeds(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=9, random_state=1)
        np.testing.assert_array_equal(est.sample_effects(X, 9, 1), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9, np.random.RandomState(1)), draws)
        assert not np.array_equal(est.sample_effects(X, 9, 2), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9), est.sample_effects(X, 9))

    def test_a_draw_without_dropout_is_a_member(self, two):
        est, X, *_ = two
        draws = est.sample_effects(X, n_samples=30, random_state=0)
        members, times = np.unique(draws, axis=0, return_counts=True)
        assert times.tolist() == [10, 10, 10]
        np.testing.assert_allclose(members.mean(axis=0), est.predict(X), atol=1e-9)

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

    def test_every_member_may_be_drawn_however_few_the_draws(self, two):
        est, X, *_ = two
        singles = [est.sample_effects(X[:1], 1, random_state=seed)[0, 0] for seed in range(30)]
        assert len(set(singles)) == 3

    def test_asking_does_not_change_the_answers(self, dropped):
        est, X = dropped
        before = est.predict(X)
        est.sample_effects(X, random_state=5)
        est.effect_interval(X)
        np.testing.assert_array_equal(est.predict(X), before)


class TestIntervals:
    @pytest.mark.parametrize("model", ["two", "three", "dropped"])
    def test_bounds_are_quantiles_of_the_draws(self, model, request):
        est, X, *_ = request.getfixturevalue(model)
        draws = est.sample_effects(X)
        assert len(draws) == 200
        np.testing.assert_allclose(
            est.effect_interval(X, alpha=0.2), np.quantile(draws, [0.1, 0.9], axis=0)
        )
        np.testing.assert_allclose(
            est.effect_interval(X), np.quantile(draws, [0.025, 0.975], axis=0)
        )

    def test_bounds_are_ordered_and_nested_in_alpha(self, dropped):
        est, X = dropped
        before = None
        for alpha in (0.9, 0.5, 0.2, 0.05, 0.001):
            lower, upper = est.effect_interval(X, alpha=alpha)
            assert (lower < upper).all()
            if before is not None:
                assert ((lower <= before[0]) & (upper >= before[1])).all()
                assert (upper - lower > before[1] - before[0]).mean() > 0.9
            before = lower, upper

    def test_bounds_follow_the_contrast(self, dropped):
        est, X = dropped
        lower, upper = est.effect_interval(X, T0=1, T1=2)
        np.testing.assert_allclose(est.effect_interval(X, T0=2, T1=1), (-upper, -lower))
        point = est.effect(X, T0=1, T1=2)
        assert ((lower < point) & (point < upper)).mean() > 0.9

    def test_bounds_of_the_average_are_quantiles_of_the_draws_averages(self, fitted):
        est, X, *_ = fitted
        averages = est.sample_effects(X).mean(axis=1)
        np.testing.assert_allclose(
            est.ate_interval(X, alpha=0.3), np.quantile(averages, [0.15, 0.85], axis=0)
        )
        lower, upper = est.ate_interval(X)
        assert np.all((lower <= est.ate(X)) & (est.ate(X) <= upper))
        wide, narrow = est.ate_interval(X, alpha=0.01), est.ate_interval(X, alpha=0.5)
        assert np.all((wide[0] <= narrow[0]) & (narrow[1] <= wide[1]))

    @pytest.mark.parametrize("alpha", [np.float32(0.1), np.float64(0.1)])
    def test_alpha_may_be_any_real_number(self, two, alpha):
        est, X, *_ = two
        np.testing.assert_allclose(
            est.effect_interval(X, alpha=alpha), est.effect_interval(X, alpha=0.1), rtol=1e-6
        )


class TestSummaryFrame:
    columns = ("point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper")

    def test_one_effect_is_a_row_on_the_index_of_the_frame(self, two):
        est, X, *_ = two
        index = pd.Index(np.random.default_rng(0).integers(9, size=len(X)), name="patient")
        frame = pd.DataFrame(X, index=index)
        table = est.effect_inference(frame).summary_frame(alpha=0.1)
        assert tuple(table) == self.columns
        pd.testing.assert_index_equal(table.index, index)
        draws = est.sample_effects(X)
        np.testing.assert_array_equal(table["point_estimate"], est.predict(X))
        np.testing.assert_allclose(table["stderr"], draws.std(axis=0))
        np.testing.assert_allclose(table["zstat"], table["point_estimate"] / table["stderr"])
        np.testing.assert_allclose(
            table[["ci_lower", "ci_upper"]].T, np.quantile(draws, [0.05, 0.95], axis=0)
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
            np.testing.assert_array_equal(of_arm["point_estimate"], est.effect(X, T0=T0)[:, k])
            np.testing.assert_array_equal(of_arm["point_estimate"], est.effect(X, T0, arm))

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
            np.testing.assert_array_equal(table["point_estimate"], est.effect(X, "a", T1))
            np.testing.assert_allclose(
                table[["ci_lower", "ci_upper"]].T, est.effect_interval(X, T0="a", T1=T1)
            )


class TestScore:
    def test_a_good_model_scores_higher_than_a_bad_one(self):
        X, y, arm, _ = trial(n=500)
        new = trial(n=500, seed=1)[:3]
        good = able(sharing="moderate", max_epochs=60).fit(X, y, arm)
        flat = able(sharing="intercept", max_epochs=60).fit(X, y, arm)
        bad = able(sharing="moderate", max_epochs=60).fit(-X, y, arm)
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
        degrees, ways = ["intercept", "moderate", "weak"], ["raw", "boosted"]
        assert list(est.sharing_) == [*degrees, "chosen"]
        assert list(est.inputs_) == [*ways, "chosen"]
        assert est.sharing_.index.tolist() == est.inputs_.index.tolist() == [0, 1, 2]
        assert est.sharing_["chosen"].tolist() == est.sharing_[degrees].idxmin(axis=1).tolist()
        assert est.inputs_["chosen"].tolist() == est.inputs_[ways].idxmin(axis=1).tolist()
        best = est.history_.groupby("member")["validation_loss"].min()
        np.testing.assert_allclose(best, est.sharing_[degrees].min(axis=1), rtol=1e-6)
        np.testing.assert_allclose(best, est.inputs_[ways].min(axis=1), rtol=1e-6)

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "moderate", "weak"])
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
        weights = ((4 + n_arms) * 8 + 8) + (8 * 8 + 8) + (8 + 1)  # trees add an input an arm
        layout = {"embedding_dim": 5, "hypernet_hidden": (6,)}
        counts = tiny(generation="once", **layout).fit(X, y, arm).n_parameters_
        generator = n_arms * 5 + (5 * 6 + 6) + 6 * weights
        assert counts == {"trained": weights + generator, "generated": n_arms * weights}
        chunks = tiny(generation="chunk", n_chunks=10, **layout).fit(X, y, arm).n_parameters_
        assert chunks["generated"] == n_arms * weights
        assert chunks["trained"] < counts["trained"]
        own = tiny(generation="none").fit(X, y, arm).n_parameters_
        assert own == {"trained": n_arms * weights, "generated": n_arms * weights}

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
            {"spectral_norm": True},
            {"sharing": "weak"},
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


@pytest.fixture
def odd_threads():
    """A number of threads that no one but this test would set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    yield
    torch.set_num_threads(threads)


class TestReproducibility:
    def test_a_seed_repeats_a_fit_to_the_bit(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"hypernet_dropout": 0.1, "sharing": "auto"}
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
        est = tiny(random_state=random_state, hypernet_dropout=0.1, spectral_norm=True)
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
            tiny(learning_rate=1e30, max_epochs=50).fit(X, y, arm)
        with pytest.raises(ValueError, match="y is missing"):
            tiny().fit(X, np.where(arm, np.nan, y), arm)
        assert global_state() == before

    def test_the_process_own_dtype_changes_nothing(self):
        X, y, arm, _ = trial(n=60)
        settings = {"hypernet_dropout": 0.1, "spectral_norm": True}
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
        est = tiny(hypernet_dropout=0.1, spectral_norm=True).fit(frame, y, arm)
        other = copied(est)
        assert other.get_params() == est.get_params()
        np.testing.assert_array_equal(other.predict(frame), est.predict(frame))
        np.testing.assert_array_equal(other.sample_effects(frame), est.sample_effects(frame))
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

    def test_no_number_of_a_row_is_in_the_pickle(self):
        X, y, arm, _ = trial(n=200)
        weight = np.random.default_rng(5).uniform(1, 2, len(y))
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame.iloc[::7, 0] = np.nan
        est = tiny().fit(frame, y, arm, sample_weight=weight)
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
        assert not found(np.concatenate([X.ravel(), y, weight]))

    def test_no_string_of_a_single_row_is_in_the_pickle_among_many(self):
        X, y, arm, _ = trial(n=200)
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame["id"] = [f"patient-{7919 * i}-" for i in range(len(frame))]
        data = pickle.dumps(tiny().fit(frame, y, arm))
        assert not [name for name in frame["id"] if name.encode() in data]

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_the_size_of_the_pickle_does_not_grow_with_the_rows(self, inputs):
        """Trees of little data may be smaller, but not by much."""
        sizes = []
        for n in (100, 3000):
            frame, y, arm, _ = mixed_frame(n)
            sizes.append(len(pickle.dumps(tiny(inputs=inputs).fit(frame, y, arm))))
        assert abs(sizes[1] - sizes[0]) < (200 if inputs == "raw" else 0.1 * sizes[0])


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
