"""Propensities: probabilities, honest ones, and constant where nothing predicts the treatment."""

import pickle

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from hypercate.folds import Folds
from hypercate.nuisance import propensity
from hypercate.nuisance.propensity import FLOOR, fit_propensity


def covariates(n, p=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)


def draw(probability, seed=1):
    """An arm a row, by rows of probabilities."""
    uniform = np.random.default_rng(seed).random((len(probability), 1))
    return np.minimum((uniform > probability.cumsum(axis=1)).sum(axis=1), probability.shape[1] - 1)


def two_arms(treated, seed=1):
    return draw(np.column_stack([1 - treated, treated]), seed)


def smooth(x):
    return 1 / (1 + np.exp(x[:, 1] - x[:, 0]))


def stepped(x):
    return np.where((x[:, 0] > 0) & (x[:, 1] > 0), 0.8, 0.2)


def numbers(x):
    """No input is the code of a level."""
    return np.zeros(x.shape[1], dtype=int)


def fit(x, arm, weight=None, seed=0, *, cluster=None, n_parts=5, n_jobs=1):
    """The model, and the rows' cross-fitted probabilities."""
    folds = Folds.of(arm, n_parts, 1, seed, cluster)
    weight = np.ones(len(x)) if weight is None else weight
    return fit_propensity(x, numbers(x), weight, folds, n_jobs)


class TestProbabilities:
    @pytest.mark.parametrize("n_arms", [2, 3, 12])
    def test_rows_sum_to_1_and_stay_above_the_floor(self, n_arms):
        x = covariates(600)
        odds = np.exp(2 * np.sin(np.arange(1, n_arms + 1) * x[:, [0]]))
        model, cross_fitted = fit(x, draw(odds / odds.sum(axis=1, keepdims=True)))
        for probability in (cross_fitted, model.predict(covariates(50, seed=7))):
            assert probability.dtype == np.float64
            assert probability.shape[1] == n_arms
            np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
            assert (probability >= FLOOR / (1 + FLOOR) * model.share).all()

    def test_a_treatment_known_from_the_covariates_is_held_at_the_floor(self):
        x = covariates(500)
        model, cross_fitted = fit(x, (x[:, 0] > 0).astype(int))
        sure = np.abs(x[:, 0]) > 1
        least = cross_fitted.min(axis=1)[sure]
        assert np.median(least) == pytest.approx(FLOOR / 2, rel=0.1)
        assert model.log_loss < 0.1

    @pytest.mark.parametrize("truth", [smooth, stepped])
    def test_they_are_near_the_truth(self, truth):
        x, new = covariates(3000), covariates(3000, seed=8)
        model, cross_fitted = fit(x, two_arms(truth(x)))
        assert np.abs(cross_fitted[:, 1] - truth(x)).mean() < 0.045
        assert np.abs(model.predict(new)[:, 1] - truth(new)).mean() < 0.045

    @pytest.mark.parametrize("truth", [smooth, stepped])
    @pytest.mark.parametrize("n", [300, 3000])
    def test_they_are_calibrated(self, truth, n):
        x = covariates(n, p=10)
        predicted = fit(x, two_arms(truth(x)))[1][:, 1]
        slope, intercept = np.polyfit(predicted, truth(x), 1)
        assert slope == pytest.approx(1, abs=0.25)
        assert intercept == pytest.approx(0, abs=0.12)
        assert predicted.mean() == pytest.approx(truth(x).mean(), abs=0.06)

    def test_several_arms_are_near_the_truth(self):
        x = covariates(4000)
        odds = np.exp(x[:, :4])
        truth = odds / odds.sum(axis=1, keepdims=True)
        assert np.abs(fit(x, draw(truth))[1] - truth).mean() < 0.03

    def test_log_loss_is_that_of_the_rows_own_arm(self):
        x = covariates(300)
        arm, weight = two_arms(smooth(x)), np.linspace(0.5, 1.5, 300)
        model, cross_fitted = fit(x, arm, weight)
        own = cross_fitted[np.arange(300), arm]
        assert model.log_loss == pytest.approx(-np.average(np.log(own), weights=weight))
        assert model.log_loss < 0.65


class TestCrossFitting:
    @pytest.mark.parametrize("n_parts", [2, 5])
    def test_a_rows_own_arm_reaches_its_probability_by_the_pool_alone(self, n_parts, monkeypatch):
        """With the pool held fixed, neither the arm of a row nor those of its part matter."""
        x = covariates(300)
        arm = two_arms(smooth(x))
        folds = Folds.of(arm, n_parts, 1, 0)
        held = folds.part[0] == 0
        monkeypatch.setattr(propensity, "_pool", lambda *_: (np.log([0.5, 0.5]), np.ones(2)))
        others = arm.copy()
        for k in (0, 1):  # as many of each arm, so that shares stay as they are
            others[np.flatnonzero(held & (arm == k))[:4]] = 1 - k
        changed = Folds(others, folds.cluster, folds.part, folds.stops, folds.rank, n_parts)
        before, after = (
            fit_propensity(x, numbers(x), np.ones(300), f)[1] for f in (folds, changed)
        )
        np.testing.assert_array_equal(after[held], before[held])
        assert (np.abs(after - before)[~held] > 1e-6).any(axis=1).mean() > 0.9

    def test_what_is_learned_from_copies_of_a_row_in_its_group_does_not_show(self):
        """Rows of a group are left out together; apart, each would be told by its copies."""
        x = np.repeat(covariates(100, p=30), 5, axis=0)
        arm = np.repeat(two_arms(np.full(100, 0.5)), 5)
        together, apart = np.arange(500) // 5, None
        spread = [fit(x, arm, cluster=cluster)[1][:, 1].std() for cluster in (together, apart)]
        assert spread[0] < 0.05
        assert spread[1] > 0.2

    def test_a_gain_counts_by_groups_and_not_by_their_rows(self):
        """Copies of the rows, in groups, change nothing of the choice against the shares."""
        constant = []
        for seed in range(8):
            x = covariates(100, p=3, seed=seed)
            arm = two_arms(np.clip(0.5 + 0.12 * x[:, 0], 0.1, 0.9), seed)
            once = fit(x, arm, seed=seed)[0]
            rows = np.repeat(np.arange(100), 8)
            folds = Folds.of(arm, 5, 1, seed)
            copies = Folds(
                arm[rows], rows, folds.part[:, rows], folds.stops[:, rows], np.arange(800), 5
            )
            often = fit_propensity(x[rows], numbers(x), np.ones(800), copies)[0]
            constant.append((not once.slopes.any(), not often.slopes.any()))
        assert np.mean([few == many for few, many in constant]) >= 0.75
        assert 0 < np.mean(constant) < 1


class TestRandomisedTreatment:
    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_propensities_hardly_vary(self, share):
        spread = []
        for seed in range(12):
            x = covariates(400, p=20, seed=seed)
            _, cross_fitted = fit(x, two_arms(np.full(400, share), seed + 100), seed=seed)
            spread.append(cross_fitted[:, 1].std())
        assert np.mean(np.array(spread) < 1e-10) >= 0.75
        assert max(spread) < 0.1

    def test_what_is_learned_by_heart_does_not_show(self):
        x = covariates(120, p=300)
        model, _ = fit(x, two_arms(np.full(120, 0.5)))
        entropy = -(model.share * np.log(model.share)).sum()
        assert model.log_loss == pytest.approx(entropy, abs=0.02)

    def test_the_constant_is_the_weighted_share(self):
        x, arm = covariates(200), np.arange(200) % 2
        model, cross_fitted = fit(x, arm, np.where(arm == 1, 3.0, 1.0))
        np.testing.assert_allclose(model.share, [0.25, 0.75])
        np.testing.assert_allclose(cross_fitted, [[0.25, 0.75]] * 200, rtol=1e-9)


class TestFewAndManyRows:
    def test_an_arm_may_have_two_rows(self):
        x = covariates(100)
        arm = np.array([1, 1, *two_arms(smooth(x[2:])) * 2])
        model, _ = fit(x, arm)
        assert model.share[1] == pytest.approx(0.02)
        assert np.isfinite(model.predict(x)).all()

    def test_two_rows_an_arm_are_enough(self):
        assert fit(covariates(4), np.array([0, 1, 0, 1]))[1].shape == (4, 2)

    def test_constant_and_repeated_columns_are_harmless(self):
        x = covariates(300)
        arm = two_arms(smooth(x))
        padded = np.column_stack([x, x, np.zeros(300, dtype=np.float32)])
        difference = fit(padded, arm)[1] - fit(x, arm)[1]
        assert np.abs(difference).mean() < 0.05

    def test_rows_grown_on_stand_for_the_others(self, monkeypatch):
        x = covariates(4000)
        truth = 0.05 + 0.1 * (x[:, 0] > 0)
        arm = two_arms(truth)
        monkeypatch.setattr(propensity, "MOST_ROWS", 350)
        predicted = fit(x, arm)[0].predict(x)[:, 1]
        assert predicted.mean() == pytest.approx(arm.mean(), rel=0.1)
        assert predicted[x[:, 0] > 0].mean() > 1.8 * predicted[x[:, 0] < 0].mean()


class TestWeights:
    def test_only_ratios_matter(self):
        x = covariates(300)
        arm, weight = two_arms(smooth(x)), np.linspace(0.1, 2, 300)
        np.testing.assert_allclose(fit(x, arm, weight)[1], fit(x, arm, 1000 * weight)[1], rtol=1e-6)

    def test_rows_of_little_weight_do_not_speak(self):
        x = covariates(2000)
        first = np.arange(2000) < 1000
        arm = two_arms(np.where(first, smooth(x), 1 - smooth(x)))
        weight = np.where(first, 1.0, 1e-6)
        assert np.abs(fit(x, arm, weight)[0].predict(x)[:, 1] - smooth(x)).mean() < 0.07


class TestProcess:
    def test_a_seed_gives_one_result(self):
        x = covariates(300)
        arm = two_arms(smooth(x))
        first, again, other = fit(x, arm)[1], fit(x, arm)[1], fit(x, arm, seed=1)[1]
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-6

    def test_the_pickled_model_predicts_the_same(self):
        x = covariates(300)
        model, _ = fit(x, two_arms(smooth(x)))
        copy = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copy.predict(x), model.predict(x))

    def test_the_model_holds_nothing_of_the_rows(self):
        sizes = []
        for n in (1000, 4000):
            x = covariates(n)
            sizes.append(len(pickle.dumps(fit(x, two_arms(smooth(x)))[0])))
        assert abs(sizes[1] - sizes[0]) < 3000  # less than a byte a row

    def test_random_state_and_threads_are_left_as_found(self):
        x = covariates(100)
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        threads = [pool["num_threads"] for pool in threadpool_info()]
        fit(x, two_arms(smooth(x)))
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        assert [pool["num_threads"] for pool in threadpool_info()] == threads

    def test_the_number_of_threads_does_not_matter(self):
        x = covariates(300)
        arm = two_arms(smooth(x))
        (first, once), (second, again) = (fit(x, arm, n_jobs=n_jobs) for n_jobs in (1, 3))
        np.testing.assert_array_equal(once, again)
        assert first.views.trees == second.views.trees
        np.testing.assert_array_equal(first.predict(x), second.predict(x))

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_candidates_grow_on_one_thread_each(self, n_jobs, monkeypatch):
        found, grow = [], propensity._grow

        def watched(*rows):
            pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
            found.extend(pool["num_threads"] for pool in pools)
            return grow(*rows)

        monkeypatch.setattr(propensity, "_grow", watched)
        x = covariates(100)
        fit(x, two_arms(smooth(x)), n_jobs=n_jobs)
        assert set(found) == {1}

    def test_a_row_alone_is_predicted_as_among_others(self):
        x = covariates(300)
        model, _ = fit(x, two_arms(smooth(x)))
        np.testing.assert_allclose(model.predict(x[[5]]), model.predict(x)[[5]], rtol=1e-12)
