"""What effects depend on: importance, curves over a column, a tree, SHAP values, scikit-learn's."""

import copy
import pickle
import sys

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.inspection import partial_dependence, permutation_importance
from small import mixed_frame, tiny, trial

from hypercate import HyperCATE
from hypercate.inspection import (
    EffectTree,
    effect_dependence,
    effect_importance,
    plot_effect_dependence,
    plot_effect_tree,
    shap_values,
)
from hypercate.plots import plot_group_effects

matplotlib.use("Agg")
from matplotlib import pyplot as plt

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("NUMBA_DISABLE_JIT", "1")  # to compile takes longer than all the rest
    shap = pytest.importorskip("shap")

INSTANT = {"effort": "instant", "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def mixed():
    """Three arms: "drug" acts where site is north, "surgery" by grade; other columns are idle."""
    X, y, arm, effect = mixed_frame(500, seed=501)
    return HyperCATE(**INSTANT).fit(X, y, arm), X, y, arm, effect


@pytest.fixture(scope="module")
def plain():
    """Two arms and an array: the effect is 1.5 times the third column."""
    X, y, arm, effect = trial(400, seed=502)
    return HyperCATE(**INSTANT).fit(X, y, arm), X, y, arm, effect


@pytest.fixture(scope="module")
def dosed():
    X, y, _, _ = trial(300, seed=503)
    dose = np.random.default_rng(503).uniform(0, 4, 300)
    return tiny(treatment_kind="dose").fit(X, y + dose * X[:, 1], dose), X


def looks(est, X, column):
    """Every explanation that a model of arms or doses has."""
    yield effect_importance(est, X)
    yield effect_dependence(est, X, column)
    yield shap_values(est, X[:3])


class TestImportance:
    def test_true_modifiers_come_first(self, mixed):
        est, X, *_ = mixed
        assert effect_importance(est, X).index[:2].sort_values().tolist() == ["grade", "site"]
        drug, surgery = (effect_importance(est, X, T1=arm) for arm in ("drug", "surgery"))
        assert (drug.index[0], surgery.index[0]) == ("site", "grade")
        for table in (drug, surgery):
            assert table["importance"].iloc[0] > 1.2
            assert (table["importance"].iloc[1:] < 0.4).all()

    def test_it_is_the_change_of_the_effect_in_its_standard_deviations(self, plain):
        est, X, *_ = plain

        seed = np.random.RandomState(3)
        drawn = int(copy.deepcopy(seed).randint(np.iinfo(np.int32).max))
        order = np.random.default_rng(drawn).permuted(np.arange(400)[None], axis=1)[0]
        moved = X.copy()
        moved[:, 2] = X[order, 2]
        effect = est.predict(X)
        expected = np.sqrt(np.mean((est.predict(moved) - effect) ** 2)) / effect.std()
        found = effect_importance(est, X, ["x2"], n_repeats=1, random_state=seed)
        assert found.loc["x2", "importance"] == pytest.approx(expected, rel=1e-5)
        assert found.loc["x2", "std"] == 0
        assert 1.2 < expected < 1.6

    def test_a_column_of_strings_is_one_and_groups_have_their_name(self, mixed):
        est, X, *_ = mixed
        assert sorted(effect_importance(est, X).index) == sorted(X.columns)
        groups = {"who": ["age", "smoker"], "where": ["site"]}
        table = effect_importance(est, X, groups)
        assert table.index.tolist() == ["where", "who"]
        alone = effect_importance(est, X, ["age", "smoker"])["importance"]
        assert alone.max() < table.loc["who", "importance"] < alone.sum()

    def test_blocks_change_nothing(self, mixed, monkeypatch):
        est, X, *_ = mixed
        whole = effect_importance(est, X, n_repeats=2)
        monkeypatch.setattr("hypercate.inspection.importance.ROWS_AT_ONCE", 1100)
        pd.testing.assert_frame_equal(effect_importance(est, X, n_repeats=2), whole, rtol=1e-4)

    def test_the_seed_decides(self, plain):
        est, X, *_ = plain
        first, again, other = (effect_importance(est, X, random_state=seed) for seed in (1, 1, 2))
        pd.testing.assert_frame_equal(first, again)
        assert (first["importance"] != other["importance"]).any()

    def test_constant_effects_depend_on_nothing(self):
        X, y, arm, _ = trial(120)
        est = tiny(sharing="intercept", pretrained="none", second_stage="none").fit(X, y, arm)
        assert (effect_importance(est, X) == 0).all(axis=None)

    def test_polars_arrays_and_another_order_of_columns_are_read(self, mixed, plain):
        est, X, *_ = mixed
        expected = effect_importance(est, X)
        other = X.iloc[:, ::-1].astype({"grade": str})
        plain_values = other.astype(object).where(other.notna(), None)
        frame = pl.DataFrame({name: plain_values[name].tolist() for name in other})
        for given in (other, frame):
            found = effect_importance(est, given).loc[expected.index]
            pd.testing.assert_frame_equal(found, expected, rtol=1e-5)
        est, X, *_ = plain
        assert set(effect_importance(est, X).index) == {"x0", "x1", "x2", "x3"}

    def test_doses_are_compared_as_by_effect(self, dosed):
        est, X = dosed
        assert (effect_importance(est, X, T0=0.5, T1=3.5)["importance"] > 0).any()
        assert len(effect_importance(est, X)) == 4

    def test_what_is_wrong_is_refused(self, plain):
        est, X, *_ = plain
        for arguments, error, match in (
            ({"columns": "x1"}, TypeError, r"pass \['x1'\]"),
            ({"columns": ["age"]}, ValueError, "no column 'age'"),
            ({"columns": []}, ValueError, "columns is empty"),
            ({"columns": {"a": []}}, ValueError, r"columns\['a'\]"),
            ({"columns": {"a": "x1"}}, ValueError, r"columns\['a'\]"),
            ({"n_repeats": 0}, ValueError, "n_repeats=0"),
            ({"n_repeats": 1.5}, TypeError, r"n_repeats=1\.5"),
            ({"T1": [1] * 400}, ValueError, "T1 must be one arm"),
            ({"T1": 0}, ValueError, "compared with itself"),
            ({"T1": "pill"}, ValueError, "pill"),
        ):
            with pytest.raises(error, match=match):
                effect_importance(est, X, **arguments)
        with pytest.raises(ValueError, match="at least two"):
            effect_importance(est, X[:1])


class TestDependence:
    def test_the_average_is_that_of_rows_with_the_value(self, mixed):
        est, X, *_ = mixed
        for column, grid in (("age", [40.0, 60.0]), ("site", ["west", "north"]), ("grade", [1, 3])):
            found = effect_dependence(est, X, column, grid=grid, kind="individual")
            for place, value in enumerate(grid):
                effects = est.effect(
                    X.assign(**{column: str(value) if column == "grade" else value})
                )
                np.testing.assert_allclose(found.individual[:, place], effects, atol=1e-5)
                np.testing.assert_allclose(found.point_estimate[place], effects.mean(0), atol=1e-5)

    def test_the_interval_is_of_the_mean_curve(self, mixed):
        est, X, *_ = mixed
        found = effect_dependence(est, X, "site", grid=["north"], T1="drug")
        draws = est.sample_effects(X.assign(site="north"), 4000, T1="drug").mean(axis=1)
        assert found.stderr[0] == pytest.approx(draws.std(), rel=0.1)
        each = est.effect_inference(X.assign(site="north"), T1="drug").stderr
        assert found.stderr[0] < each.mean()
        lower, upper = found.interval(0.1)
        assert lower[0] < np.quantile(draws, 0.1) < np.quantile(draws, 0.9) < upper[0]

    def test_it_finds_what_the_effect_does(self, mixed, plain):
        est, X, *_ = mixed
        by_site = effect_dependence(est, X, "site", T1="drug").summary_frame()["point_estimate"]
        assert by_site.to_dict() == pytest.approx({"north": 3, "south": 0, "west": 0}, abs=0.4)
        est, X, *_ = plain
        curve = effect_dependence(est, X, "x2")
        slope = np.polyfit(curve.index, curve.point_estimate, 1)[0]
        assert slope == pytest.approx(1.5, abs=0.3)

    def test_grids_are_quantiles_or_all_values(self, mixed):
        est, X, *_ = mixed
        age = effect_dependence(est, X, "age").index
        assert len(age) == 21
        assert age[[0, 10, 20]].tolist() == pytest.approx(X["age"].quantile([0.05, 0.5, 0.95]))
        assert effect_dependence(est, X, "smoker").index.tolist() == [0, 1]
        assert effect_dependence(est, X, "site").index.tolist() == ["north", "south", "west"]
        assert effect_dependence(est, X, "grade").index.tolist() == [1, 2, 3]

    def test_blocks_change_nothing(self, mixed, monkeypatch):
        est, X, *_ = mixed
        whole = effect_dependence(est, X, "site", kind="individual")
        monkeypatch.setattr("hypercate.inspection.dependence.ROWS_AT_ONCE", 1)
        parts = effect_dependence(est, X, "site", kind="individual")
        for name in ("point_estimate", "stderr", "individual"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)

    def test_it_prints_a_table_and_goes_into_a_picture(self, mixed):
        est, X, *_ = mixed
        several = effect_dependence(est, X, "site")
        assert str(several).splitlines()[0].strip().startswith("Mean effect by site")
        assert several.summary_frame().index.names == ["site", "arm"]
        ax = plot_effect_dependence(several, arm="surgery")
        assert [text.get_text() for text in ax.get_xticklabels()] == ["north", "south", "west"]
        assert "surgery" in ax.get_ylabel()
        curves = effect_dependence(est, X, "age", kind="individual", T1="drug")
        ax = plot_effect_dependence(curves)
        assert ax.get_xlabel() == "age"
        np.testing.assert_allclose(ax.lines[250].get_ydata(), curves.point_estimate)
        ax = plot_effect_dependence(several)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == several.arms
        for k in range(2):
            np.testing.assert_allclose(ax.lines[k].get_ydata(), several.point_estimate[:, k])
        with pytest.raises(ValueError, match="arm='nobody' is not an arm"):
            plot_effect_dependence(several, arm="nobody")
        with pytest.raises(TypeError, match="pass effect_dependence"):
            plot_effect_dependence(several.summary_frame())

    def test_doses_are_compared_as_by_effect(self, dosed):
        est, X = dosed
        found = effect_dependence(est, X, "x1", grid=[0.5], T0=1.0, T1=3.0)
        moved = X.copy()
        moved[:, 1] = 0.5
        expected = est.effect(moved, T0=1.0, T1=3.0).mean()
        assert found.point_estimate[0] == pytest.approx(expected, abs=1e-5)

    def test_levels_are_given_as_words_or_categories(self, mixed):
        est, X, *_ = mixed
        as_fitted, as_words, as_categories = (
            effect_dependence(est, X, "grade", grid=grid).point_estimate
            for grid in ([1, 3], ["1", "3"], pd.Categorical([1, 3]))
        )
        np.testing.assert_array_equal(as_words, as_fitted)
        np.testing.assert_array_equal(as_categories, as_fitted)

    def test_what_is_wrong_is_refused(self, mixed):
        est, X, *_ = mixed
        for column, arguments, error, match in (
            ("height", {}, ValueError, "no column 'height'"),
            ("site", {"grid": ["east"]}, ValueError, "'site' had no level 'east' in fit"),
            ("site", {"grid": [1.5]}, ValueError, r"'site' had no level '1\.5' in fit"),
            ("age", {"grid": ["old"]}, TypeError, "'age' was numeric"),
            ("age", {"grid": []}, ValueError, "grid is empty"),
            ("age", {"grid": [[1.0]]}, ValueError, "1-dimensional|one-dimensional"),
            ("age", {"kind": "both"}, ValueError, "kind='both'"),
        ):
            with pytest.raises(error, match=match):
                effect_dependence(est, X, column, **arguments)
        with pytest.raises(ValueError, match="missing in every row"):
            effect_dependence(est, X.assign(age=np.nan), "age")


class TestTree:
    def test_it_splits_where_effects_differ_and_says_so_in_words(self, mixed):
        est, X, *_ = mixed
        tree = EffectTree(max_depth=1).fit(est, X, T1="drug")
        assert tree.leaves_["rule"].tolist() == ["site in {south, west}", "site is north"]
        leaf = tree.apply(X)
        np.testing.assert_array_equal(leaf == 2, X["site"] == "north")
        assert tree.leaves_["rows"].tolist() == np.bincount(leaf)[1:].tolist()
        text = str(tree)
        assert "|--- site is north: " in text
        assert f"{tree.inference_.point_estimate[1]:.4g} (se " in text
        both = EffectTree(max_depth=2).fit(est, X)
        assert both.leaves_.shape[1] == 4
        assert both.leaves_["rule"].str.contains("grade").any()

    def test_leaves_of_training_rows_have_their_averages(self, mixed):
        est, X, _, _, effect = mixed
        tree = EffectTree(max_depth=2).fit(est, X)
        expected = est.gate_inference(tree.apply(X))
        np.testing.assert_array_equal(tree.inference_.point_estimate, expected.point_estimate)
        np.testing.assert_array_equal(tree.inference_.stderr, expected.stderr)
        assert tree.inference_.index.names == ["leaf", "arm"]
        truth = pd.DataFrame(effect).groupby(tree.apply(X)).mean().to_numpy().ravel()
        lower, upper = tree.inference_.interval(0.01)
        assert ((lower < truth) & (truth < upper)).all()
        one = EffectTree(max_depth=2).fit(est, X, T0="drug", T1="surgery")
        gate = est.gate_inference(one.apply(X), T0="drug").summary_frame()
        np.testing.assert_array_equal(
            one.inference_.point_estimate, gate.xs("surgery", level="arm")["point_estimate"]
        )

    def test_averages_of_rows_left_out_are_by_aipw(self, plain):
        est, X, *_ = plain
        tree = EffectTree(max_depth=2).fit(est, X)
        new, y, arm, effect = trial(300, seed=504)
        found = tree.averages(new, y, arm)
        outcomes = est.predict_outcomes(new)
        score = outcomes[:, 1] - outcomes[:, 0]
        e = est.fitted_.propensities(est._encode(new))
        leaf = tree.apply(new)
        for k in (0, 1):
            inverse = np.where(arm == k, 1 / e[:, k], 0)
            size = pd.Series(inverse).groupby(leaf).transform("mean").to_numpy()
            score = score + (2 * k - 1) * inverse / size * (y - outcomes[:, k])
        expected = pd.Series(score).groupby(leaf).mean()
        np.testing.assert_allclose(found.point_estimate, expected, atol=1e-6)
        truth = pd.Series(effect).groupby(leaf).mean()
        lower, upper = found.interval(0.01)
        assert ((lower < truth) & (truth < upper)).all()
        assert found.index.name == "leaf"

    def test_training_rows_are_not_left_out(self, plain):
        est, X, y, arm, _ = plain
        tree = EffectTree(max_depth=1).fit(est, X)
        with pytest.raises(ValueError, match="did not see the row"):
            tree.averages(X[:100], y[:100], arm[:100])

    def test_other_rows_and_models_without_evidence_have_predictions_alone(self, plain, tmp_path):
        est, X, *_ = plain
        est.save(tmp_path / "slim", evidence=False)
        slim = HyperCATE.load(tmp_path / "slim", device="cpu")
        for model, rows in ((est, trial(300, seed=505)[0]), (slim, X), (est, X[::-1])):
            tree = EffectTree(max_depth=2).fit(model, rows)
            assert tree.inference_ is None
            assert "mean predictions" in str(tree)
            means = pd.Series(model.predict(rows)).groupby(tree.apply(rows)).mean()
            np.testing.assert_allclose(tree.leaves_["predicted"], means, atol=1e-6)

    def test_numbers_have_thresholds_and_missing_values_a_side(self):
        rng = np.random.default_rng(506)
        X = pd.DataFrame({"age": rng.normal(50, 10, 400), "old": rng.random(400) < 0.5})
        X.loc[::4, "age"] = np.nan
        arm = rng.integers(2, size=400)
        high = (X["age"] > 50) | X["age"].isna()
        y = 3 * arm * high + 0.2 * rng.normal(size=400)
        est = HyperCATE(**INSTANT).fit(X, y, arm)
        left, right = EffectTree(max_depth=1).fit(est, X).leaves_["rule"]
        assert left.startswith("age <= ")
        assert right.startswith("age > ")
        assert right.endswith(" or missing")
        assert float(left.removeprefix("age <= ")) == pytest.approx(50, abs=4)
        moderated = HyperCATE(**INSTANT).fit(X, 3 * arm * X["old"] + rng.normal(size=400), arm)
        rules = EffectTree(max_depth=1).fit(moderated, X).leaves_["rule"].tolist()
        assert rules == ["old is False", "old is True"]

    def test_levels_first_met_later_go_somewhere(self, mixed):
        est, X, *_ = mixed
        tree = EffectTree(max_depth=1).fit(est, X, T1="drug")
        assert set(tree.apply(X.assign(site="east"))) <= {1, 2}

    def test_constant_effects_have_one_leaf(self):
        X, y, arm, _ = trial(120)
        est = tiny(sharing="intercept", pretrained="none", second_stage="none").fit(X, y, arm)
        tree = EffectTree(min_samples_leaf=10).fit(est, X)
        assert tree.leaves_["rule"].tolist() == ["all rows"]
        assert "|--- all rows: " in str(tree)
        assert tree.inference_.point_estimate[0] == pytest.approx(est.ate())

    def test_it_is_drawn_with_every_rule(self, mixed):
        est, X, *_ = mixed
        tree = EffectTree(max_depth=2).fit(est, X)
        texts = [" ".join(text.get_text().split()) for text in plot_effect_tree(tree).texts]
        lines = [line.split("|--- ")[1] for line in str(tree).splitlines()[1:]]
        for line in lines:
            rule, _, said = line.partition(": ")
            assert rule in texts
            assert not said or said in texts
        plot_group_effects(tree.inference_)
        with pytest.raises(TypeError, match="pass an EffectTree"):
            plot_effect_tree("tree")

    def test_it_is_pickled(self, mixed):
        est, X, *_ = mixed
        tree = EffectTree(max_depth=2).fit(est, X)
        assert str(pickle.loads(pickle.dumps(tree))) == str(tree)

    def test_what_is_wrong_is_refused(self, mixed, dosed, monkeypatch):
        est, X, *_ = mixed
        with pytest.raises(NotFittedError):
            EffectTree().apply(X)
        with pytest.raises(NotFittedError):
            plot_effect_tree(EffectTree())
        monkeypatch.setattr("hypercate.inspection.tree.LEAST_GAIN", 0)
        with pytest.raises(ValueError, match="at least 2 rows of every arm"):
            EffectTree(max_depth=None, min_samples_leaf=2).fit(est, X)
        with pytest.raises(ValueError, match="min_samples_leaf"):
            EffectTree(min_samples_leaf=0).fit(est, X)
        with pytest.raises(ValueError, match="doses"):
            EffectTree().fit(*dosed)


class TestShapValues:
    def test_they_add_up_to_the_effect(self, mixed):
        est, X, *_ = mixed
        rows, usual = X.head(6), X.tail(40)
        several = shap_values(est, rows, usual)
        assert several.shape == (6, 5, 2)
        assert several.output_names == ["drug", "surgery"]
        total = several.base_values + several.values.sum(axis=1)
        np.testing.assert_allclose(total, est.effect(rows), atol=1e-6)
        np.testing.assert_allclose(several.base_values[0], est.effect(usual).mean(0), atol=1e-6)
        one = shap_values(est, rows, usual, T1="surgery", max_evals=12)
        total = one.base_values + one.values.sum(axis=1)
        np.testing.assert_allclose(total, est.effect(rows, T1="surgery"), atol=1e-6)

    def test_exact_values_are_shapleys(self, plain):
        """By the formula, of one row and one background row."""
        est, X, *_ = plain
        row, usual = X[:1], X[1:2]
        sets = np.array([[bool(s >> j & 1) for j in range(4)] for s in range(16)])
        value = est.predict(np.where(sets, row, usual))
        weight = np.array([1 / 4, 1 / 12, 1 / 12, 1 / 4])
        expected = [
            sum(
                weight[int(without.sum())] * (value[s | 1 << j] - value[s])
                for s, without in enumerate(sets)
                if not without[j]
            )
            for j in range(4)
        ]
        found = shap_values(est, row, usual)
        np.testing.assert_allclose(found.values[0], expected, atol=1e-5)

    def test_modifiers_come_first_whatever_they_hold(self, mixed):
        est, X, *_ = mixed
        found = shap_values(est, X.head(15), X.tail(40))
        size = np.abs(found.values).mean(axis=0)
        names = np.array(found.feature_names)
        assert names[size.argmax(axis=0)].tolist() == ["site", "grade"]
        assert names.tolist() == ["age", "dose", "smoker", "site", "grade"]

    def test_rows_are_kept_as_given_and_in_numbers(self, mixed):
        est, X, *_ = mixed
        found = shap_values(est, X.head(8), X.tail(20), T1="drug", max_evals=11)
        assert found.display_data[:, 3].tolist() == X["site"].head(8).tolist()
        np.testing.assert_array_equal(found.data[:, 0], X["age"].head(8))
        assert set(found.data[:, 3]) <= {0, 1, 2}
        shap.plots.waterfall(found[0], show=False)
        assert "site" in " ".join(text.get_text() for text in plt.gcf().axes[0].get_yticklabels())

    def test_they_repeat_and_leave_numpys_generator_alone(self, mixed):
        est, X, *_ = mixed
        before = pickle.dumps(np.random.get_state())  # noqa: NPY002
        first, again = (shap_values(est, X.head(3), X.tail(9), max_evals=11) for _ in range(2))
        np.testing.assert_array_equal(first.values, again.values)
        assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002

    def test_doses_are_compared_as_by_effect(self, dosed):
        est, X = dosed
        found = shap_values(est, X[:4], X[4:20], T0=1.0, T1=3.0)
        total = found.base_values + found.values.sum(axis=1)
        np.testing.assert_allclose(total, est.effect(X[:4], T0=1.0, T1=3.0), atol=1e-6)

    def test_what_is_wrong_is_refused(self, plain, monkeypatch):
        est, X, *_ = plain
        with pytest.raises(ValueError, match="max_evals=0"):
            shap_values(est, X, max_evals=0)
        with pytest.raises(TypeError, match="max_evals='all'"):
            shap_values(est, X, max_evals="all")
        monkeypatch.setitem(sys.modules, "shap", None)
        with pytest.raises(ImportError, match=r'pip install "hypercate\[explain\]"'):
            shap_values(est, X)


class TestWhatAllShare:
    def test_models_of_several_outcomes_name_one(self):
        X, y, arm, _ = trial(120)
        Y = pd.DataFrame({"weight": y, "height": y + X[:, 1]})
        est = HyperCATE(**INSTANT).fit(X, Y, arm)
        for ask in (
            lambda: effect_importance(est, X),
            lambda: effect_dependence(est, X, "x1"),
            lambda: EffectTree().fit(est, X),
            lambda: shap_values(est, X),
        ):
            with pytest.raises(ValueError, match=r"est\.of\('weight'\)"):
                ask()
        one = est.of("height")
        assert len(list(looks(one, X, "x1"))) == 3
        assert EffectTree(max_depth=1).fit(one, X).inference_ is not None

    def test_a_model_that_is_not_fitted_says_so(self):
        X = trial(20)[0]
        for ask in (
            lambda: effect_importance(HyperCATE(), X),
            lambda: effect_dependence(HyperCATE(), X, "x1"),
            lambda: EffectTree().fit(HyperCATE(), X),
            lambda: shap_values(HyperCATE(), X),
        ):
            with pytest.raises(NotFittedError):
                ask()

    def test_nothing_changes_a_prediction(self, plain):
        est, X, *_ = plain
        before = est.predict(X)
        list(looks(est, X, "x2"))
        EffectTree(max_depth=2).fit(est, X)
        np.testing.assert_array_equal(est.predict(X), before)


class TestScikitLearnsInspection:
    def test_partial_dependence_is_ours(self, mixed):
        est, X, *_ = mixed
        found = partial_dependence(est, X, ["site"], categorical_features=["site"])
        ours = effect_dependence(est, X, "site")
        np.testing.assert_allclose(found["average"], ours.point_estimate.T, atol=1e-5)

    def test_permutation_importance_needs_the_effects_as_y(self, plain):
        est, X, *_ = plain
        found = permutation_importance(
            est, X, est.predict(X), scoring="neg_mean_squared_error", n_repeats=2, random_state=0
        )
        assert found.importances_mean.argmax() == 2
