"""Trees' view of the inputs, inside each model: who saw which row, what matters, what is kept."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE
from hypercate.folds import Folds
from hypercate.nuisance import boosted, lightgbm
from hypercate.nuisance.boosted import boosted_views
from hypercate.study import Study

quick = settings(max_examples=6, deadline=None, derandomize=True)


def trial(counts=(24, 16), n_columns=3, seed=0):
    """Rows in mixed order: noise in x and y, and arms of the sizes asked for."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(arm), n_columns)).astype(np.float32)
    return x, rng.normal(size=len(arm)), np.ones(len(arm)), arm


def split(arm, n_parts=3, n_models=1, seed=0, cluster=None):
    return Folds.of(arm, n_parts, n_models, seed, cluster)


def grown(x, y, weight=None, arm=None, seed=0, n_jobs=1, folds=None):
    """The views of all models; each row its own cluster."""
    weight = np.ones(len(y)) if weight is None else weight
    arm = np.zeros(len(y), dtype=int) if arm is None else arm
    numbers = np.zeros(x.shape[1], dtype=int)
    study = Study(
        x, np.asarray(y, float), np.asarray(weight, float), arm, np.arange(len(y)), numbers
    )
    views, inputs = boosted_views(study, split(arm) if folds is None else folds, seed, n_jobs)
    relevance = np.stack([view.relevance for view in views])
    return SimpleNamespace(views=views, inputs=inputs, relevance=relevance)


def in_units_of_y(views):
    """What each model reads at the rows, (n_models, n, n_arms), not standardised."""
    each = zip(views.views, views.inputs, strict=True)
    return np.stack([inputs.astype(float) * view.scale + view.location for view, inputs in each])


def r2(predicted, y):
    return 1 - np.mean((y - predicted) ** 2) / np.var(y)


def assert_same(first, second, models=slice(None)):
    np.testing.assert_array_equal(first.inputs[models], second.inputs[models])
    for view, other in zip(first.views[models], second.views[models], strict=True):
        assert view.trees.models == other.trees.models
        assert view.trees.location == other.trees.location
        assert view.trees.scale == other.trees.scale
        np.testing.assert_array_equal(view.trees.gains, other.trees.gains)
        for name in ("location", "scale", "relevance"):
            np.testing.assert_array_equal(getattr(view, name), getattr(other, name))


def same(first, second, models=slice(None)):
    try:
        assert_same(first, second, models)
    except AssertionError:
        return False
    return True


class TestCrossFitting:
    def test_noise_is_fitted_in_sample_and_never_cross_fitted(self):
        x, y, *_ = trial((300,))
        folds = split(np.zeros(300, dtype=int))
        views = grown(x, y, folds=folds)
        for m, predicted in enumerate(in_units_of_y(views)[:, :, 0]):
            learned = ~folds.judges[m]
            in_sample = views.views[m].trees.predict(x[learned])[:, 0]
            assert r2(in_sample, y[learned]) > 0.5
            for part in range(3):
                rows = folds.part[0] == part
                assert r2(predicted[rows], y[rows]) < 0
                assert np.corrcoef(predicted[rows], y[rows])[0, 1] < 0.2

    @pytest.mark.parametrize(("row", "most_rows"), [(0, boosted.MOST_ROWS), (0, 15), (17, 15)])
    @pytest.mark.parametrize("n_parts", [3, 5])
    def test_a_rows_outcome_does_not_reach_its_own_prediction(
        self, n_parts, row, most_rows, monkeypatch
    ):
        monkeypatch.setattr(boosted, "MOST_ROWS", most_rows)
        x, y, weight, arm = trial((18, 12))
        folds = split(arm, n_parts)
        other = y.copy()
        other[row] += 10
        before, after = (in_units_of_y(grown(x, v, weight, arm, folds=folds)) for v in (y, other))
        np.testing.assert_allclose(after[:, row], before[:, row], rtol=1e-5, atol=1e-5)
        mates = (arm == arm[row]) & (folds.part[0] != folds.part[0, row])
        if most_rows > 18:
            learns = ~folds.judges[:, row]
            assert np.abs(after - before)[learns][:, mates, arm[row]].max() > 0.1

    @pytest.mark.parametrize(("n_parts", "n_models"), [(3, 1), (3, 4), (5, 1)])
    def test_nothing_that_a_model_reads_knows_outcomes_of_the_rows_it_is_judged_on(
        self, n_parts, n_models
    ):
        x, y, weight, arm = trial((30, 20))
        folds = split(arm, n_parts, n_models)
        before = grown(x, y, weight, arm, folds=folds)
        for m in (0, folds.n_models - 1):
            wild = np.where(folds.judges[m], 100 + y[::-1], y)
            after = grown(x, wild, weight, arm, folds=folds)
            assert_same(before, after, slice(m, m + 1))
            for other in range(folds.n_models):
                alike = (folds.judges[other] == folds.judges[m]).all()
                assert same(before, after, slice(other, other + 1)) == alike

    def test_a_model_reads_at_new_rows_what_it_reads_at_those_it_is_judged_on(self):
        x, y, weight, arm = trial((30, 20))
        folds = split(arm, 4, 6)
        views = grown(x, y, weight, arm, folds=folds)
        for m, view in enumerate(views.views):
            judged, learned = folds.judges[m], ~folds.judges[m]
            np.testing.assert_array_equal(views.inputs[m, judged], view.predict(x[judged]))
            gap = np.abs(views.inputs[m, learned] - view.predict(x[learned]))
            assert gap[np.arange(learned.sum()), arm[learned]].mean() > 0.2

    def test_partitions_do_not_share_trees(self):
        """Models of a further partition have trees of their own."""
        x, y, weight, arm = trial((30, 20))
        views = grown(x, y, weight, arm, folds=split(arm, 3, 6))
        assert len({view.trees.models for view in views.views}) == 6

    @pytest.mark.parametrize("n_parts", [3, 4])
    def test_a_signal_is_found_in_rows_not_seen(self, n_parts):
        x, noise, weight, arm = trial((300, 200))
        y = np.where(arm == 0, 3 * (x[:, 0] > 0), 3 * x[:, 1]) + 0.3 * noise
        folds = split(arm, n_parts)
        views = grown(x, y, weight, arm, folds=folds)
        outcomes = np.stack([3 * (x[:, 0] > 0), 3 * x[:, 1]], axis=1)
        new = trial((300, 200), seed=9)[0]
        at_new = np.stack([3 * (new[:, 0] > 0), 3 * new[:, 1]], axis=1)
        for view, predicted in zip(views.views, in_units_of_y(views), strict=True):
            assert r2(predicted, outcomes) > 0.85
            assert r2(view.predict(new) * view.scale + view.location, at_new) > 0.85

    def test_an_arms_trees_see_only_its_rows(self):
        """Rows of the other arm change places within their part, so that the unit stays."""
        x, y, weight, arm = trial((24, 24))
        weight = np.where(arm == 0, 0.5 + np.arange(48) % 2, 1)
        folds = split(arm)
        order = np.arange(48)
        for part in range(3):
            rows = np.flatnonzero((arm == 0) & (folds.part[0] == part))
            order[rows] = np.roll(rows, 1)
        before = grown(x, y, weight, arm, folds=folds)
        after = grown(x, y[order], weight[order], arm, folds=folds)
        for view, other in zip(before.views, after.views, strict=True):
            assert other.trees.models[1] == view.trees.models[1]
            assert other.trees.models[0] != view.trees.models[0]
        first, second = in_units_of_y(before), in_units_of_y(after)
        np.testing.assert_allclose(second[..., 1], first[..., 1], rtol=1e-6, atol=1e-6)
        assert np.abs(second - first)[..., 0].min(axis=1).mean() > 1e-3

    def test_an_arm_found_only_in_the_parts_left_out_is_predicted_by_the_others(self):
        x, y, weight, arm = trial((20, 2))
        y = y + 100 * arm
        folds = split(arm, 5)
        predicted = in_units_of_y(grown(x, y, weight, arm, folds=folds))
        parts = folds.part[0, arm == 1]
        first = folds.judges[:, arm == 1][:, 0].argmax()  # judged on the first of the two rows
        rows = folds.part[0] == parts[1]
        assert (predicted[first][rows, 1] < 50).all()
        assert (predicted[first][~rows, 1] > 50).all()


class TestRelevance:
    def test_the_column_that_matters_has_1_and_idle_ones_little(self):
        x, noise, weight, arm = trial((150, 100), n_columns=6)
        views = grown(x, 4 * (x[:, 4] > 0) + 0.3 * noise, weight, arm)
        for relevance in (view.relevance for view in views.views):
            assert relevance.dtype == np.float32
            assert relevance[4] == 1
            assert np.delete(relevance, 4).max() < 0.2

    def test_is_the_root_of_the_share_of_variation(self):
        x, noise, *_ = trial((400,))
        relevance = grown(x, 2 * x[:, 0] + x[:, 1] + 0.1 * noise).relevance
        np.testing.assert_allclose(relevance, [[1, 0.5, 0]] * 3, atol=0.1)

    def test_arms_count_by_their_rows_and_their_variation(self):
        x, _, weight, arm = trial((600, 200))
        relevance = grown(x, np.where(arm == 0, 2 * x[:, 0], x[:, 1]), weight, arm).relevance
        expected = [1, (200 / (4 * 600)) ** 0.5, 0]
        np.testing.assert_allclose(relevance, [expected] * 3, atol=0.06)

    def test_all_count_alike_where_nothing_matters(self):
        x, _, weight, arm = trial()
        views = grown(x, np.full(len(x), -3.0), weight, arm)
        np.testing.assert_array_equal(views.relevance, np.ones((3, 3)))
        assert not views.inputs.any()

    def test_constant_columns_have_none(self):
        x, *_ = trial((50,))
        x[:, 1] = 7
        assert (grown(x, x[:, 0]).relevance[:, 1] == 0).all()


class TestScale:
    def test_what_a_model_learns_from_has_mean_0_and_sd_1(self):
        x, noise, weight, arm = trial((60, 40))
        y = 1000 + 50 * arm + 20 * x[:, 0] + noise
        folds = split(arm)
        views = grown(x, y, weight, arm, folds=folds)
        expected = y[:, None] + 50 * ([[0, 1]] - arm[:, None])
        for m, view in enumerate(views.views):
            learned = views.inputs[m, ~folds.judges[m]]
            np.testing.assert_allclose(learned.mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(learned.std(0), 1, rtol=1e-5)
            assert r2(view.trees.predict(x), expected) > 0.9

    def test_the_unit_of_the_outcome_does_not_matter(self):
        x, y, weight, arm = trial()
        views, others = grown(x, y, weight, arm), grown(x, 8 * y, weight, arm)
        np.testing.assert_allclose(others.inputs, views.inputs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(others.relevance, views.relevance, rtol=1e-4, atol=1e-4)
        for view, other in zip(views.views, others.views, strict=True):
            np.testing.assert_allclose(other.scale, 8 * view.scale, rtol=1e-4)

    @pytest.mark.parametrize("weights", ["equal", "unequal"])
    def test_an_arm_of_one_outcome_gives_0_and_not_rounding_errors(self, weights):
        x, y, weight, arm = trial((20, 20, 20))
        if weights == "unequal":
            weight = np.random.default_rng(1).exponential(size=len(y))
        y = np.choose(arm, [0.1, 1e3 / 3, y])
        folds = split(arm)
        views = grown(x, y, weight, arm, folds=folds)
        for m, view in enumerate(views.views):
            learned = views.inputs[m, ~folds.judges[m]]
            for predicted in (learned, view.predict(x)):
                np.testing.assert_allclose(predicted[:, :2], 0, atol=1e-6)
            np.testing.assert_allclose(learned[:, 2].std(), 1, rtol=1e-5)


class TestWeights:
    def test_a_weight_of_2_is_a_row_twice(self):
        """In columns of few values; others are cut into bins of three rows, however heavy."""
        _, y, _, arm = trial((60, 50))
        x = (np.arange(110) % 4).astype(np.float32)[:, None]
        times = 1 + np.arange(110) // 4 % 3
        rows = np.arange(110).repeat(times)
        folds = split(arm)
        twice = Folds(
            arm[rows], np.arange(len(rows)), folds.part[:, rows], folds.stops[:, rows], rows, 3
        )
        by_weight = grown(x, y, times / times.mean(), arm, folds=folds)
        by_rows = grown(x[rows], y[rows], None, arm[rows], folds=twice)
        unweighted = grown(x, y, None, arm, folds=folds)
        for first, second, third in zip(
            *(views.views for views in (by_weight, by_rows, unweighted)), strict=True
        ):
            np.testing.assert_allclose(first.trees.predict(x), second.trees.predict(x), atol=1e-5)
            assert np.abs(third.trees.predict(x) - first.trees.predict(x)).max() > 0.1

    @pytest.mark.parametrize("size", [50, 1e9])
    def test_wild_outcomes_of_next_to_no_weight_are_ignored(self, size):
        x, noise, weight, arm = trial((120, 90))
        y = 2 * x[:, 0] + 0.3 * noise
        light = np.arange(210) % 7 == 0
        weight[light] = 1e-6 * (50 / size) ** 2
        new = trial((500,), seed=9)[0]
        views = grown(x, np.where(light, size * noise, y), weight, arm)
        for view in views.views:
            assert 1 < view.trees.scale < 4
            assert ((view.scale > 1) & (view.scale < 4)).all()
            for k in (0, 1):
                mine = ~light & (arm == k)
                assert r2(view.trees.predict(x[mine])[:, k], y[mine]) > 0.9
                assert r2(view.trees.predict(new)[:, k], 2 * new[:, 0]) > 0.85


class TestSizes:
    @quick
    @given(
        st.lists(st.integers(2, 9), min_size=1, max_size=2).filter(lambda counts: sum(counts) > 2),
        st.integers(1, 4),
        st.integers(3, 5),
        st.sampled_from(["noise", "binary", "huge", "nearly constant"]),
        st.integers(0, 10**6),
    )
    def test_any_arms_of_2_rows_or_more_give_finite_floats(
        self, counts, n_columns, n_parts, kind, seed
    ):
        x, y, weight, arm = trial(counts, n_columns, seed)
        y = {
            "noise": y,
            "binary": (y > 0).astype(float),
            "huge": 1e20 * y,
            "nearly constant": np.where(y > 1, 2, 1e-7 * y - 0.5),
        }[kind]
        folds = split(arm, n_parts, 1, seed)
        views = grown(x, y, weight, arm, seed, folds=folds)
        assert views.inputs.shape == (folds.n_models, len(y), len(counts))
        for view in views.views:
            predicted = view.predict(1e6 * x[:1])
            assert predicted.shape == (1, len(counts))
            assert views.inputs.dtype == predicted.dtype == view.relevance.dtype == np.float32
            for part in (views.inputs, predicted, view.relevance):
                assert np.isfinite(part).all()
            assert view.relevance.max() == 1
            assert view.relevance.min() >= 0

    @pytest.mark.parametrize("count", [3, 5])
    def test_with_a_row_a_part_each_is_predicted_from_the_rest(self, count):
        """Too few rows to split on x: what is predicted is the mean of the rows seen."""
        x, y, *_ = trial((count,))
        folds = split(np.zeros(count, dtype=int), count)
        views = grown(np.zeros_like(x), y, folds=folds)
        for m, predicted in enumerate(in_units_of_y(views)[:, :, 0]):
            for row in range(count):
                seen = ~folds.judges[m] & (np.arange(count) != row)
                assert predicted[row] == pytest.approx(y[seen].mean(), rel=1e-5, abs=1e-6)
            at_new = views.views[m].trees.predict(x)[:, 0]
            np.testing.assert_allclose(at_new, y[~folds.judges[m]].mean(), rtol=1e-5)

    def test_of_many_rows_some_are_seen_and_all_predicted(self, monkeypatch):
        seen = []
        grow = lightgbm.grow

        def watched(x, y, weight, n_rounds, **parameters):
            seen.append((len(x), round(len(x) * parameters["bagging_fraction"])))
            return grow(x, y, weight, n_rounds, **parameters)

        def drawn():
            """On how many rows of each arm trees grow, and how many each tree sees."""
            sizes = set(seen)
            seen.clear()
            return sizes

        monkeypatch.setattr(lightgbm, "grow", watched)
        monkeypatch.setattr(boosted, "MOST_ROWS", 60)
        monkeypatch.setattr(boosted, "ROWS_A_TREE", 20)
        x, noise, weight, arm = trial((300, 40))
        y = 3 * (x[:, 0] > 0) + 0.1 * noise
        views = grown(x, y, weight, arm, folds=split(arm, 4))
        assert drawn() == {(60, 20), (30, 20), (20, 20)}
        assert views.inputs.shape == (4, 340, 2)
        for predicted in in_units_of_y(views):
            assert r2(predicted, y[:, None]) > 0.8
        monkeypatch.setattr(boosted, "ROWS_A_TREE", 50)
        grown(x, y, weight, arm, folds=split(arm, 4))
        assert drawn() == {(60, 50), (30, 30), (20, 20)}
        monkeypatch.setattr(boosted, "ROWS_A_TREE", 1000)
        grown(x, y, weight, arm, folds=split(arm, 4))
        assert drawn() == {(60, 60), (30, 30), (20, 20)}


class TestManners:
    def test_a_seed_gives_the_same_to_the_bit_and_another_others(self, monkeypatch):
        monkeypatch.setattr(boosted, "ROWS_A_TREE", 5)
        data = trial((19, 18))
        folds = split(data[3])
        first, again, other = (grown(*data, seed=seed, folds=folds) for seed in (1, 1, 2))
        assert_same(first, again)
        assert not same(first, other)

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
            view = grown(x, y).views[0]
            pickled = pickle.dumps(view)
            sizes[n] = len(pickled)
            np.testing.assert_array_equal(pickle.loads(pickled).predict(x), view.predict(x))
        assert sizes[500] < 1.3 * sizes[100]

    def test_a_row_alone_is_predicted_as_among_others(self):
        x, y, weight, arm = trial()
        for view in grown(x, y, weight, arm).views:
            np.testing.assert_array_equal(view.predict(x[[5]]), view.predict(x)[[5]])

    def test_the_text_that_is_kept_says_nothing_of_the_rows(self):
        """Neither how many fell into a leaf, nor the values that columns had."""
        x, y, weight, arm = trial((30, 25))
        for model in grown(x, y, weight, arm).views[0].trees.models:
            for word in ("count", "weight", "gain", "internal", "parameters", "importances"):
                assert word not in model
            assert "feature_infos=none none none\n" in model


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

        monkeypatch.setattr("hypercate.nuisance.views.boosted_views", refuse)
        x, y, arm, _ = stepped(40, 0)
        networks = estimator(inputs="raw").fit(x, y, arm).fitted_.networks
        assert all(view.levels is view.boosted is None for view in networks.views)
        assert networks.net.n_inputs == 3
        with pytest.raises(AssertionError, match="trees were grown"):
            estimator(inputs="boosted").fit(x, y, arm)

    @pytest.mark.parametrize(("inputs", "kept"), [("raw", False), ("boosted", True)])
    def test_trees_are_kept_only_for_models_that_look_at_them(self, inputs, kept):
        x, y, arm, _ = stepped(40, 0)
        est = estimator(inputs=inputs).fit(x, y, arm)
        assert list(est.inputs_.columns) == [inputs, "chosen"]
        assert (est.inputs_["chosen"] == inputs).all()
        assert [view.boosted is not None for view in est.fitted_.networks.views] == [kept] * 5
        pickled = pickle.dumps(est)
        np.testing.assert_array_equal(
            pickle.loads(pickled).predict_outcomes(x), est.predict_outcomes(x)
        )
        assert (len(pickled) > 150_000) == kept

    @pytest.mark.parametrize(("signal", "seed"), [("straight", 2), ("stepped", 0)])
    def test_auto_keeps_trees_just_if_a_model_chose_them(self, signal, seed):
        x, y, arm, _ = stepped(40 if signal == "straight" else 120, 0, 2)
        if signal == "straight":
            y = x.sum(axis=1)
        settings = {"max_epochs": 100, "learning_rate": 0.02, "sharing": "intercept"}
        est = estimator(n_members=5, random_state=seed, **settings).fit(x, y, arm)
        chosen = est.inputs_["chosen"]
        assert (chosen == "boosted").all() == (signal == "stepped")
        views = est.fitted_.networks.views
        assert [view.boosted is not None for view in views] == (chosen == "boosted").tolist()
        losses = est.inputs_[["raw", "boosted"]].astype(float)
        assert (losses.idxmin(axis=1) == chosen).all()
        assert np.isfinite(est.predict(x)).all()

    def test_predictions_are_the_mean_of_networks_that_each_read_their_own_trees(self):
        x, y, arm, _ = stepped(60, 0)
        est = estimator(inputs="boosted", max_epochs=20).fit(x, y, arm)
        networks, encoded = est.fitted_.networks, est.fitted_.features.transform(x)
        each = []
        for m in range(2):
            inputs = np.hstack([encoded, networks.views[m].predict(encoded)])
            theta = torch.as_tensor(networks.theta[m])
            output = networks.net(theta, torch.as_tensor(inputs)).numpy().T
            each.append(output * networks.scale[m] + networks.location[m])
        np.testing.assert_allclose(est.predict_outcomes(x), np.mean(each, axis=0), rtol=1e-5)
        assert np.abs(each[0] - each[1]).max() > 0.1

    def test_rows_without_weight_grow_no_trees(self):
        x, y, arm, _ = stepped(40, 0)
        weight = np.where(np.arange(40) < 30, 1.0, 0.0)
        est = estimator(inputs="boosted")
        whole = est.fit(x, y, arm, sample_weight=weight).predict(x)
        wild = np.where(weight > 0, y, 1e3)
        np.testing.assert_array_equal(est.fit(x, wild, arm, sample_weight=weight).predict(x), whole)

    @pytest.mark.parametrize("value", [2.0**-100, 2.0**100])
    def test_only_the_ratio_of_weights_counts_and_any_size_does(self, value):
        x, y, arm, _ = stepped(40, 0)
        weight = 1.0 + np.arange(40) % 3
        first, second = (
            estimator(inputs="boosted").fit(x, y, arm, sample_weight=w)
            for w in (weight, value * weight)
        )
        for view, other in zip(
            first.fitted_.networks.views, second.fitted_.networks.views, strict=True
        ):
            assert view.boosted.trees.models == other.boosted.trees.models
        np.testing.assert_array_equal(first.predict(x), second.predict(x))

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
