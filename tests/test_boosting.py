"""Trees' view of the inputs: who saw which row, what matters, and what the estimator keeps."""

import pickle

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE, boosting
from hypercate.boosting import grow

quick = settings(max_examples=6, deadline=None, derandomize=True)


def trial(counts=(24, 16), n_columns=3, seed=0):
    """Rows in mixed order: noise in x and y, and arms of the sizes asked for."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(arm), n_columns)).astype(np.float32)
    return x, rng.normal(size=len(arm)), np.ones(len(arm)), arm


def grown(x, y, weight=None, arm=None, seed=0, n_jobs=1):
    weight = np.ones(len(y)) if weight is None else weight
    arm = np.zeros(len(y), dtype=int) if arm is None else arm
    return grow(x, y, weight, arm, seed, n_jobs)


def in_units_of_y(trees, standardised):
    return standardised.astype(float) * trees.scale + trees.location


def r2(predicted, y):
    return 1 - np.mean((y - predicted) ** 2) / np.var(y)


def assert_same(first, second):
    (trees, cross_fitted), (others, of_others) = first, second
    np.testing.assert_array_equal(cross_fitted, of_others)
    for name in ("location", "scale", "relevance"):
        np.testing.assert_array_equal(getattr(trees, name), getattr(others, name))


class TestCrossFitting:
    def test_noise_is_fitted_in_sample_and_never_cross_fitted(self):
        x, y, *_ = trial((300,))
        trees, cross_fitted = grown(x, y)
        assert r2(in_units_of_y(trees, trees.predict(x))[:, 0], y) > 0.5
        assert r2(in_units_of_y(trees, cross_fitted)[:, 0], y) < 0
        assert np.corrcoef(cross_fitted[:, 0], y)[0, 1] < 0.15

    @pytest.mark.parametrize(("row", "most_rows"), [(0, boosting.MOST_ROWS), (0, 15), (17, 15)])
    def test_a_rows_outcome_does_not_reach_its_own_prediction(self, row, most_rows, monkeypatch):
        monkeypatch.setattr(boosting, "MOST_ROWS", most_rows)
        x, y, weight, arm = trial((18, 12))
        other = y.copy()
        other[row] += 10
        before, after = (in_units_of_y(*grown(x, v, weight, arm)) for v in (y, other))
        np.testing.assert_allclose(after[row], before[row], rtol=1e-5, atol=1e-5)
        mates = (arm == arm[row]) & (np.arange(30) != row)
        if most_rows > 18:
            assert np.abs(after - before)[mates, arm[row]].max() > 0.1

    def test_a_signal_is_found_in_rows_not_seen(self):
        x, noise, weight, arm = trial((200, 100))
        y = np.where(arm == 0, 3 * (x[:, 0] > 0), 3 * x[:, 1]) + 0.3 * noise
        trees, cross_fitted = grown(x, y, weight, arm)
        outcomes = np.stack([3 * (x[:, 0] > 0), 3 * x[:, 1]], axis=1)
        for predicted in (cross_fitted, trees.predict(x)):
            assert r2(in_units_of_y(trees, predicted), outcomes) > 0.9

    def test_an_arms_trees_see_only_its_rows(self):
        x, y, weight, arm = trial()
        others = np.where(arm == 0, 5 - 3 * y, y), np.where(arm == 0, 1 + y**2, weight)
        (trees, before), (changed, after) = grown(x, y, weight, arm), grown(x, *others, arm)
        np.testing.assert_array_equal(after[:, 1], before[:, 1])
        np.testing.assert_array_equal(changed.predict(x)[:, 1], trees.predict(x)[:, 1])
        assert not np.isclose(after[:, 0], before[:, 0]).any()


class TestRelevance:
    def test_the_column_that_matters_has_1_and_idle_ones_little(self):
        x, noise, weight, arm = trial((150, 100), n_columns=6)
        relevance = grown(x, 4 * (x[:, 4] > 0) + 0.3 * noise, weight, arm)[0].relevance
        assert relevance.dtype == np.float32
        assert relevance[4] == 1
        assert np.delete(relevance, 4).max() < 0.2

    def test_is_the_root_of_the_share_of_variation(self):
        x, noise, *_ = trial((400,))
        relevance = grown(x, 2 * x[:, 0] + x[:, 1] + 0.1 * noise)[0].relevance
        np.testing.assert_allclose(relevance, [1, 0.5, 0], atol=0.1)

    def test_arms_count_by_their_rows_and_their_variation(self):
        x, _, weight, arm = trial((300, 100))
        relevance = grown(x, np.where(arm == 0, 2 * x[:, 0], x[:, 1]), weight, arm)[0].relevance
        np.testing.assert_allclose(relevance, [1, (100 / (4 * 300)) ** 0.5, 0], atol=0.06)

    def test_all_count_alike_where_nothing_matters(self):
        x, _, weight, arm = trial()
        trees, cross_fitted = grown(x, np.full(len(x), -3.0), weight, arm)
        np.testing.assert_array_equal(trees.relevance, [1, 1, 1])
        assert not cross_fitted.any()

    def test_constant_columns_have_none(self):
        x, *_ = trial((50,))
        x[:, 1] = 7
        assert grown(x, x[:, 0])[0].relevance[1] == 0


class TestScale:
    def test_cross_fitted_predictions_have_mean_0_and_sd_1(self):
        x, noise, weight, arm = trial((60, 40))
        y = 1000 + 50 * arm + 20 * x[:, 0] + noise
        trees, cross_fitted = grown(x, y, weight, arm)
        np.testing.assert_allclose(cross_fitted.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(cross_fitted.std(0), 1, rtol=1e-5)
        predicted = in_units_of_y(trees, trees.predict(x))
        assert r2(predicted, y[:, None] + 50 * ([[0, 1]] - arm[:, None])) > 0.9

    def test_the_unit_of_the_outcome_does_not_matter(self):
        x, y, weight, arm = trial()
        trees, cross_fitted = grown(x, y, weight, arm)
        others, of_others = grown(x, 8 * y, weight, arm)
        np.testing.assert_allclose(of_others, cross_fitted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(others.relevance, trees.relevance, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(others.scale, 8 * trees.scale, rtol=1e-4)

    @pytest.mark.parametrize("weights", ["equal", "unequal"])
    def test_an_arm_of_one_outcome_gives_0_and_not_rounding_errors(self, weights):
        x, y, weight, arm = trial((20, 20, 20))
        if weights == "unequal":
            weight = np.random.default_rng(1).exponential(size=len(y))
        y = np.choose(arm, [0.1, 1e6 / 3, y])
        trees, cross_fitted = grown(x, y, weight, arm)
        for predicted in (cross_fitted, trees.predict(x)):
            np.testing.assert_allclose(predicted[:, :2], 0, atol=1e-6)
        np.testing.assert_allclose(cross_fitted[:, 2].std(), 1, rtol=1e-5)


class TestWeights:
    def test_a_weight_of_2_is_a_row_twice(self):
        x, y, _, arm = trial((40, 30), n_columns=1)  # with more, columns tie in small leaves
        times = 1 + np.arange(70) % 3
        by_weight, _ = grown(x, y, times, arm)
        by_rows, _ = grown(*(np.repeat(v, times, axis=0) for v in (x, y)), arm=arm.repeat(times))
        first, second = (in_units_of_y(trees, trees.predict(x)) for trees in (by_weight, by_rows))
        np.testing.assert_allclose(first, second, atol=1e-5)
        unweighted, _ = grown(x, y, arm=arm)
        assert np.abs(in_units_of_y(unweighted, unweighted.predict(x)) - first).max() > 0.1

    def test_wild_outcomes_of_next_to_no_weight_are_ignored(self):
        x, noise, weight, arm = trial((80, 60))
        y = 2 * x[:, 0] + 0.3 * noise
        light = np.arange(140) % 7 == 0
        weight[light] = 1e-6
        new = trial((500,), seed=9)[0]
        trees, _ = grown(x, np.where(light, 50 * noise, y), weight, arm)
        for k in (0, 1):
            mine = ~light & (arm == k)
            seen = in_units_of_y(trees, trees.predict(x[mine]))[:, k]
            assert r2(seen, y[mine]) > 0.97
            unseen = in_units_of_y(trees, trees.predict(new))[:, k]
            assert r2(unseen, 2 * new[:, 0]) > 0.9

    @pytest.mark.parametrize("value", [2.0**-100, 2.0**100])
    def test_only_the_ratio_counts_and_any_size_does(self, value):
        data = trial((12, 9))
        x, y, weight, arm = data
        assert_same(grown(x, y, value * weight, arm), grown(*data))


class TestSizes:
    @quick
    @given(
        st.lists(st.integers(2, 9), min_size=1, max_size=2),
        st.integers(1, 4),
        st.sampled_from(["noise", "binary", "huge"]),
        st.integers(0, 10**6),
    )
    def test_any_arms_of_2_rows_or_more_give_finite_floats(self, counts, n_columns, kind, seed):
        x, y, weight, arm = trial(counts, n_columns, seed)
        y = {"noise": y, "binary": (y > 0).astype(float), "huge": 1e20 * y}[kind]
        trees, cross_fitted = grown(x, y, weight, arm, seed)
        predicted = trees.predict(1e6 * x[:1])
        assert cross_fitted.shape == (len(y), len(counts))
        assert predicted.shape == (1, len(counts))
        assert cross_fitted.dtype == predicted.dtype == trees.relevance.dtype == np.float32
        for part in (cross_fitted, predicted, trees.relevance):
            assert np.isfinite(part).all()
        assert trees.relevance.max() == 1
        assert trees.relevance.min() >= 0

    @pytest.mark.parametrize("count", [2, 5])
    def test_with_a_row_a_fold_each_is_predicted_from_the_rest(self, count):
        """Too few rows to split on x: a fold's prediction is the mean of the other folds'."""
        x, y, *_ = trial((count,))
        trees, cross_fitted = grown(np.zeros_like(x), y)
        np.testing.assert_allclose(
            in_units_of_y(trees, cross_fitted)[:, 0], (y.sum() - y) / (count - 1), rtol=1e-5
        )
        np.testing.assert_allclose(in_units_of_y(trees, trees.predict(x))[:, 0], y.mean())

    def test_of_many_rows_some_are_seen_and_all_predicted(self, monkeypatch):
        def drawn(trees):
            """How many rows the trees of each arm grow on."""
            return [
                {int(stage[0].tree_.n_node_samples[0]) for stage in model.estimators_}
                for model in trees.models
            ]

        monkeypatch.setattr(boosting, "MOST_ROWS", 60)
        monkeypatch.setattr(boosting, "ROWS_A_TREE", 20)
        x, noise, weight, arm = trial((300, 40))
        y = 3 * (x[:, 0] > 0) + 0.1 * noise
        trees, cross_fitted = grown(x, y, weight, arm)
        assert drawn(trees) == [{20}, {20}]
        assert cross_fitted.shape == (340, 2)
        assert r2(in_units_of_y(trees, cross_fitted), y[:, None]) > 0.8
        monkeypatch.setattr(boosting, "ROWS_A_TREE", 50)
        assert drawn(grown(x, y, weight, arm)[0]) == [{50}, {40}]
        monkeypatch.setattr(boosting, "ROWS_A_TREE", 1000)
        assert drawn(grown(x, y, weight, arm)[0]) == [{60}, {40}]


def test_an_importance_of_rounding_errors_below_0_is_a_relevance_of_0():
    least = []
    for seed in (2, 32, 56, 81):
        rng = np.random.default_rng(seed)
        x = (rng.random((13, 3)) < 0.4).astype(np.float32)
        y = np.where(rng.random(13) < 0.8, 1e-7 * rng.normal(size=13) - 0.5, 2).astype(np.float32)
        for first in (0, 1):
            trees, cross_fitted = grown(x[first::2], y[first::2])
            least.append(trees.models[0].feature_importances_.min())
            assert ((trees.relevance >= 0) & (trees.relevance <= 1)).all()
            assert trees.relevance.max() == 1
            assert np.isfinite(cross_fitted).all()
    assert -1e-12 < min(least) < 0


class TestManners:
    def test_a_seed_gives_the_same_to_the_bit_and_another_others(self):
        data = trial((9, 8))
        first, again, other = (grown(*data, seed=seed) for seed in (1, 1, 2))
        assert_same(first, again)
        assert not np.array_equal(first[1], other[1])

    def test_the_number_of_threads_does_not_matter(self):
        data = trial((9, 8))
        assert_same(grown(*data, n_jobs=1), grown(*data, n_jobs=3))

    def test_data_and_process_are_left_as_they_were(self):
        def state():
            return pickle.dumps(
                (
                    np.random.get_state(),  # noqa: NPY002
                    torch.get_rng_state().tolist(),
                    torch.get_num_threads(),
                    sklearn.get_config(),
                    np.geterr(),
                )
            )

        data = trial((20, 10))
        before, copies = state(), [part.copy() for part in data]
        for part in data:
            part.flags.writeable = False
        grown(*data, n_jobs=2)
        assert state() == before
        for part, copy in zip(data, copies, strict=True):
            np.testing.assert_array_equal(part, copy)

    def test_pickles_predict_the_same_and_hold_no_rows(self):
        sizes = {}
        for n in (100, 500):
            x, y, *_ = trial((n,))
            trees, _ = grown(x, y)
            pickled = pickle.dumps(trees)
            sizes[n] = len(pickled)
            np.testing.assert_array_equal(pickle.loads(pickled).predict(x), trees.predict(x))
        assert sizes[500] < 1.3 * sizes[100]

    def test_a_row_alone_is_predicted_as_among_others(self):
        x, y, weight, arm = trial()
        trees, _ = grown(x, y, weight, arm)
        np.testing.assert_array_equal(trees.predict(x[[5]]), trees.predict(x)[[5]])


def stepped(n, seed, n_columns=3):
    """Steps in two columns, the others idle; outcomes of both arms last."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=(n, n_columns)), rng.integers(0, 2, n)
    outcomes = 4.0 * (x[:, [0]] > 0) + np.array([0, 2]) * (x[:, [1]] > 0.3)
    return x, outcomes[np.arange(n), arm] + 0.5 * rng.normal(size=n), arm, outcomes


def estimator(**changed):
    small = {"n_members": 2, "max_epochs": 3, "outcome_hidden": (8, 8), "sharing": "moderate"}
    return HyperCATE(**small | {"device": "cpu", "random_state": 0} | changed)


class TestInTheEstimator:
    def test_steps_among_idle_columns_are_fitted_better_with_trees_than_without(self):
        x, y, arm, _ = stepped(600, 0, 32)
        new, *_, outcomes = stepped(1000, 1, 32)
        error, effect_error = {}, {}
        for inputs in ("raw", "auto"):
            est = estimator(inputs=inputs, n_members=1, max_epochs=50, outcome_hidden=(16, 16))
            est.fit(x, y, arm)
            wrong = est.predict_outcomes(new) - outcomes
            error[inputs] = np.mean(wrong**2)
            effect_error[inputs] = np.mean(np.diff(wrong) ** 2)
        assert error["auto"] < 0.2 * error["raw"]
        assert effect_error["auto"] < 0.4 * effect_error["raw"]
        assert (est.inputs_["chosen"] == "boosted").all()

    def test_raw_inputs_grow_no_trees_and_keep_none(self, monkeypatch):
        def refuse(*_):
            raise AssertionError("trees were grown")

        monkeypatch.setattr("hypercate.estimator.grow", refuse)
        x, y, arm, _ = stepped(40, 0)
        est = estimator(inputs="raw").fit(x, y, arm)
        assert est._trees is None
        assert est._hypernet.net.n_inputs == 3
        with pytest.raises(AssertionError, match="trees were grown"):
            estimator(inputs="boosted").fit(x, y, arm)

    @pytest.mark.parametrize(("inputs", "kept"), [("raw", False), ("boosted", True)])
    def test_trees_are_kept_only_for_members_that_look_at_them(self, inputs, kept):
        x, y, arm, _ = stepped(40, 0)
        est = estimator(inputs=inputs).fit(x, y, arm)
        assert list(est.inputs_.columns) == [inputs, "chosen"]
        assert (est.inputs_["chosen"] == inputs).all()
        assert (est._trees is not None) == kept
        pickled = pickle.dumps(est)
        np.testing.assert_array_equal(
            pickle.loads(pickled).predict_outcomes(x), est.predict_outcomes(x)
        )
        assert (len(pickled) > 150_000) == kept

    @pytest.mark.parametrize(("signal", "seed"), [("straight", 2), ("stepped", 0)])
    def test_auto_keeps_trees_just_if_a_member_chose_them(self, signal, seed):
        x, y, arm, _ = stepped(40 if signal == "straight" else 120, 0, 2)
        if signal == "straight":
            y = x.sum(axis=1)
        settings = {"max_epochs": 100, "learning_rate": 0.02, "sharing": "intercept"}
        est = estimator(n_members=1, random_state=seed, **settings)
        chosen = est.fit(x, y, arm).inputs_.loc[0, "chosen"]
        assert chosen == "boosted" or signal == "straight"
        assert (est._trees is not None) == (chosen == "boosted")
        losses = est.inputs_.loc[0, ["raw", "boosted"]].astype(float)
        assert losses.idxmin() == chosen
        assert np.isfinite(est.predict(x)).all()

    def test_rows_without_weight_grow_no_trees(self):
        x, y, arm, _ = stepped(40, 0)
        weight = np.where(np.arange(40) < 30, 1.0, 0.0)
        est = estimator(inputs="boosted")
        whole = est.fit(x, y, arm, sample_weight=weight).predict(x)
        wild = np.where(weight > 0, y, 1e3)
        np.testing.assert_array_equal(est.fit(x, wild, arm, sample_weight=weight).predict(x), whole)

    def test_fits_reproduce_to_the_bit_whatever_the_process_is_set_to(self):
        x, y, arm, _ = stepped(40, 0)
        expected = estimator(inputs="auto").fit(x, y, arm).predict(x)
        threads = torch.get_num_threads()
        try:
            torch.set_default_device("meta")
            torch.set_default_dtype(torch.float64)
            predicted = estimator(inputs="auto").fit(x, y, arm).predict(x)
        finally:
            torch.set_default_device(None)
            torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(predicted, expected)
        assert torch.get_num_threads() == threads

    @pytest.mark.parametrize("inputs", ["trees", None, 1])
    def test_another_way_to_see_inputs_is_refused(self, inputs):
        x, y, arm, _ = stepped(20, 0)
        with pytest.raises(ValueError, match=r"'inputs' parameter.*boosted"):
            estimator(inputs=inputs).fit(x, y, arm)
