"""What of the data must not matter, does not: labels, units, order, containers, neighbours."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from small import able, mixed_frame, rmse, three_arms, tiny, trial, two_arms


@pytest.fixture(scope="module")
def two():
    return two_arms()


@pytest.fixture(scope="module")
def three():
    return three_arms()


@pytest.fixture(params=["two", "three"])
def fitted(request):
    return request.getfixturevalue(request.param)


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
        for ask in ("sample_effects", "effect_interval", "individual_effect_interval"):
            np.testing.assert_allclose(
                getattr(other, ask)(X, T0="a", T1="c"),
                getattr(est, ask)(X, T0="a", T1="c"),
                rtol=1e-5,
                atol=1e-5,
            )
        assert other.ate(T0="a")[0] == pytest.approx(-est.ate(T0="c")[1], rel=1e-6)
        pd.testing.assert_frame_equal(other.history_, est.history_)

    def test_with_two_arms_the_other_control_mirrors_effects_draws_and_intervals(self, two):
        est, X, y, arm = two
        mirrored = clone(est).set_params(control=1).fit(X, y, arm)
        np.testing.assert_array_equal(mirrored.predict(X), -est.predict(X))
        np.testing.assert_array_equal(mirrored.sample_effects(X), -est.sample_effects(X))
        lower, upper = est.effect_interval(X)
        np.testing.assert_array_equal(mirrored.effect_interval(X), (-upper, -lower))
        for dependence in ("any", "independent"):
            ask = {"X": X, "dependence": dependence}
            lower, upper = est.individual_effect_interval(**ask)
            np.testing.assert_array_equal(
                mirrored.individual_effect_interval(**ask), (-upper, -lower)
            )
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
    def test_rows_are_taken_by_position_where_labels_do_not_contradict(self, index):
        X, y, arm, _ = trial()
        n = len(X)
        indices = {
            "shuffled": pd.Index(np.random.default_rng(0).permutation(n) + 9 * n, name="row"),
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
        stderr = est.effect_inference(X).stderr
        for row in (0, 17, len(X) - 1):
            alone = est.predict_outcomes(X[[row]])
            assert alone.shape == (1, len(est.arms_))
            np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
            np.testing.assert_allclose(
                est.effect_inference(X[[row]]).stderr[0], stderr[row], atol=1e-5
            )
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
