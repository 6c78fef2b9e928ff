"""Columns of many levels: what each model reads of them, and that nothing of it is dishonest."""

import numpy as np
import pandas as pd
import pytest
from small import able, tiny

from hypercate import HyperCATE, overlap_report
from hypercate.folds import Folds
from hypercate.nuisance.levels import LevelMeans, level_views, shrunken_means
from hypercate.nuisance.propensity import fit_propensity
from hypercate.nuisance.views import model_views
from hypercate.study import Study

pytestmark = pytest.mark.filterwarnings("error")
N_LEVELS = 40


def sites(n=800, n_levels=N_LEVELS, confounding=1.0, seed=0):
    """A frame with a column of sites, which shift the outcome and decide about the treatment."""
    rng = np.random.default_rng(seed)
    site = rng.permutation(np.arange(n) % n_levels)
    shift = rng.normal(size=n_levels)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    arm = (rng.random(n) < 1 / (1 + np.exp(-confounding * shift[site]))).astype(int)
    y = 2 * shift[site] + X["a"].to_numpy() + arm + 0.5 * rng.normal(size=n)
    return X.assign(site=[f"site {k:03}" for k in site]), y, arm, shift[site]


def study(y, condition, level, n_levels=N_LEVELS, weight=None):
    weight = np.ones(len(y)) if weight is None else weight
    x = np.column_stack([np.zeros(len(y)), level]).astype(np.float32)
    n_codes = np.array([0, n_levels])
    return Study(x, np.asarray(y, float), weight, condition, np.arange(len(y)), n_codes)


class TestShrunkenMeans:
    def test_are_the_best_linear_guess_of_what_the_groups_have(self):
        """Of levels drawn with known variances, against the shrinkage that knows them."""
        rng = np.random.default_rng(0)
        size = rng.integers(2, 30, 400)
        truth = 0.5 * rng.normal(size=400)
        group = np.repeat(np.arange(400), size)
        value = truth[group] + 2 * rng.normal(size=len(group))
        mean = np.bincount(group, value) / size
        best = mean * 0.25 / (0.25 + 4 / size)
        shrunken = shrunken_means(group, value, np.ones(len(group)), 400)
        np.testing.assert_allclose(shrunken, best, atol=0.15)
        errors = [np.mean((guess - truth) ** 2) for guess in (shrunken, best, mean)]
        assert errors[0] < 1.03 * errors[1] < 0.5 * errors[2]

    def test_are_0_where_groups_differ_by_less_than_chance(self):
        group = np.repeat(np.arange(10), 6)
        value = np.tile([-1.0, 1.0], 30)
        assert (shrunken_means(group, value, np.ones(60), 12) == 0).all()

    def test_a_group_without_rows_is_0(self):
        group = np.repeat([0, 3], 5)
        value = np.repeat([-1.0, 1.0], 5) + np.tile(np.linspace(-0.1, 0.1, 5), 2)
        means = shrunken_means(group, value, np.ones(10), 5)
        assert means[[1, 2, 4]].tolist() == [0, 0, 0]
        assert means[3] == pytest.approx(1, abs=0.02)

    def test_a_row_of_weight_2_counts_as_two(self):
        rng = np.random.default_rng(0)
        group = rng.integers(8, size=60)
        value, times = rng.normal(size=60) + group / 4, rng.integers(1, 4, 60)
        value -= np.average(value, weights=times)
        weighted = shrunken_means(group, value, times.astype(float), 8)
        repeated = shrunken_means(group.repeat(times), value.repeat(times), np.ones(times.sum()), 8)
        np.testing.assert_allclose(weighted, repeated, rtol=1e-10)

    @pytest.mark.parametrize("n", [1, 2])
    def test_one_row_or_one_group_is_finite(self, n):
        assert shrunken_means(np.zeros(n, int), np.arange(n) - 0.5, np.ones(n), 1).tolist() == [0]


class TestLevelMeans:
    def test_find_what_levels_add_in_each_arm(self):
        rng = np.random.default_rng(0)
        level, condition = rng.integers(N_LEVELS, size=(1, 4000))[0], rng.integers(2, size=4000)
        shift, own = rng.normal(size=(2, N_LEVELS))
        y = 10 * (shift[level] + own[level] * condition + 0.5 * rng.normal(size=4000)) + 3
        given = study(y, condition, level)
        views, values = level_views(given, Folds.of(condition, 5, 5, 0), 1)
        truth = np.column_stack([shift, shift + own])
        truth = 10 * (truth - truth.mean(axis=0)) / y.std()
        for view in views:
            np.testing.assert_allclose(view.means[0][:-1], truth, atol=0.25)
            assert view.means[0][-1].tolist() == [0, 0]  # a level that was not met
        assert values.shape == (5, 4000, 2)

    def test_no_model_reads_an_outcome_of_the_row_or_of_those_it_is_judged_on(self):
        rng = np.random.default_rng(1)
        level, condition = rng.integers(6, size=300), rng.integers(2, size=300)
        y = rng.normal(size=300) + level
        folds = Folds.of(condition, 4, 4, 0)
        before = level_views(study(y, condition, level, 6), folds, 1)
        row = 17
        changed = level_views(study(np.where(np.arange(300) == row, 50.0, y), condition, level, 6),
                              folds, 1)  # fmt: skip
        np.testing.assert_array_equal(changed[1][:, row], before[1][:, row])
        (judge,) = np.flatnonzero([judged[row] for judged in folds.judges])
        np.testing.assert_array_equal(changed[1][judge], before[1][judge])
        np.testing.assert_array_equal(changed[0][judge].means[0], before[0][judge].means[0])
        assert (changed[1] != before[1]).any()

    def test_levels_known_apart_are_read_apart(self):
        means = LevelMeans(np.array([1]), (np.arange(8.0).reshape(4, 2),))
        x = np.array([[9, 2], [9, 0], [9, 3]], dtype=np.float32)
        assert means.predict(x).tolist() == [[4, 5], [0, 1], [6, 7]]


class TestModelViews:
    def test_means_come_before_trees_and_trees_split_levels(self):
        rng = np.random.default_rng(0)
        level, condition = rng.integers(N_LEVELS, size=2000), rng.integers(2, size=2000)
        shift = rng.normal(size=N_LEVELS)
        given = study(shift[level] + 0.1 * rng.normal(size=2000), condition, level)
        views = model_views(given, Folds.of(condition, 5, 5, 0), True, 0, 1)
        assert (views.n_last, views.n_boosted) == (4, 2)
        truth = shift[level]
        for column in range(4):
            assert np.corrcoef(views.inputs[0, :, column], truth)[0, 1] > 0.9
        fresh = np.column_stack([np.zeros(N_LEVELS), np.arange(N_LEVELS)]).astype(np.float32)
        assert np.corrcoef(views.views[0].boosted.predict(fresh)[:, 0], shift)[0, 1] > 0.9

    def test_without_levels_or_trees_there_is_nothing_to_read(self):
        condition = np.arange(60) % 2
        plain = study(np.arange(60), condition, np.arange(60), n_levels=0)
        views = model_views(plain, Folds.of(condition, 3, 3, 0), False, 0, 1)
        assert views.n_last == 0
        assert views.views[0].predict(plain.x).shape == (60, 0)


class TestPropensity:
    def test_sites_that_decide_are_found(self):
        rng = np.random.default_rng(0)
        level = rng.integers(N_LEVELS, size=4000)
        chance = 1 / (1 + np.exp(-rng.normal(size=N_LEVELS)))
        arm = (rng.random(4000) < chance[level]).astype(int)
        given = study(np.zeros(4000), arm, level)
        model, cross_fitted = fit_propensity(
            given.x, given.n_codes, given.weight, Folds.of(arm, 5, 1, 0)
        )
        error = np.sqrt(np.mean((cross_fitted[:, 1] - chance[level]) ** 2))
        assert error < 0.08
        fresh = np.column_stack([np.zeros(N_LEVELS + 1), np.arange(N_LEVELS + 1)])
        new = model.predict(fresh.astype(np.float32))[:, 1]
        assert np.corrcoef(new[:-1], chance)[0, 1] > 0.95
        assert new[-1] == pytest.approx(arm.mean(), abs=0.2)  # a level that was not met


class TestThroughFit:
    def test_sites_that_confound_are_taken_out(self):
        X, y, arm, _ = sites(1200)
        est = able(n_members=3, inputs="raw").fit(X, y, arm)
        naive = y[arm == 1].mean() - y[arm == 0].mean()
        assert naive > 1.8
        assert est.ate() == pytest.approx(1, abs=0.15)
        assert est.predict(X).mean() == pytest.approx(1, abs=0.15)

    @pytest.mark.parametrize("inputs", ["raw", "boosted", "auto"])
    def test_survives_a_file_and_a_new_level(self, inputs, tmp_path):
        X, y, arm, _ = sites(400)
        est = tiny(inputs=inputs, sharing="auto").fit(X, y, arm)
        est.save(tmp_path / "model.hypercate")
        other = HyperCATE.load(tmp_path / "model.hypercate")
        new = X.head(20).assign(site=["never met", *X["site"][:19]])
        np.testing.assert_array_equal(est.predict(new), other.predict(new))
        for bound, again in zip(
            est.predict_outcome_interval(new), other.predict_outcome_interval(new), strict=True
        ):
            np.testing.assert_array_equal(bound, again)
        assert np.isfinite(est.score(X, y, arm))

    def test_names_of_levels_do_not_matter(self):
        X, y, arm, _ = sites(300)
        renamed = X.assign(site=X["site"].str.replace("site", "a longer name"))
        effects = [tiny(inputs="auto").fit(frame, y, arm).predict(frame) for frame in (X, renamed)]
        np.testing.assert_array_equal(*effects)


class TestOverlap:
    def test_balance_is_reported_for_each_level(self):
        X, _, arm, _ = sites(800, confounding=2.0)
        balance = overlap_report(X, arm).balance.loc[1]
        levels = [f"site=site {k:03}" for k in range(N_LEVELS)]
        assert balance.index.tolist() == ["a", "b", *levels]
        own = (X["site"] == "site 003").to_numpy()
        share = [own[arm == k].mean() for k in (0, 1)]
        unit = np.sqrt(np.mean([s * (1 - s) for s in share]))
        before = (share[1] - share[0]) / unit
        assert balance.loc["site=site 003", "before"] == pytest.approx(before, rel=1e-4)
        size = balance.loc[levels].abs().mean()
        assert size["after"] < 0.7 * size["before"]

    def test_sites_where_everyone_is_treated_are_named_by_their_column(self):
        X, _, arm, _ = sites(2000)
        always = X["site"].isin([f"site {k:03}" for k in range(20)])
        arm = np.where(always, 1, arm)
        report = overlap_report(X, arm)
        assert report.arms.loc[0, "parted_by"] == "site"
