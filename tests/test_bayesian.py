"""BART and Bayesian causal forests, as the benchmark fits them."""

from dataclasses import replace

import numpy as np
import pytest
from samples import small_sample

pytest.importorskip("stochtree", reason="the benchmark needs its extra")

from hypercate.benchmark.bayesian import bart, bcf
from hypercate.metrics import coverage, sqrt_pehe

FITS = [bart, bcf]


@pytest.mark.parametrize("fit", FITS)
class TestBoth:
    @pytest.mark.parametrize("n_arms", [2, 3])
    def test_an_easy_effect_is_found_on_new_rows_and_held_by_intervals(self, fit, n_arms):
        train, test = small_sample(n_arms, n=150 * n_arms), small_sample(n_arms, seed=1)
        posterior = fit(train, 0)
        effect = posterior.effect(test.X)
        assert effect.shape == test.effect.shape
        assert sqrt_pehe(test.effect, effect) < 0.35 * test.effect.std()
        lower, upper = posterior.interval(test.X, 0.1)
        assert lower.shape == upper.shape == effect.shape
        assert coverage(test.effect, lower, upper) > 0.5

    def test_effects_are_the_means_of_draws_and_intervals_their_quantiles(self, fit):
        posterior, X = fit(small_sample(3), 0), small_sample(3, n=20, seed=1).X
        draws = posterior.draws(X)
        assert draws.shape == (100, 20, 2)
        np.testing.assert_allclose(posterior.effect(X), draws.mean(axis=0))
        lower, upper = posterior.interval(X, 0.2)
        np.testing.assert_allclose(np.mean(draws < lower, axis=0), 0.1, atol=0.011)
        np.testing.assert_allclose(np.mean(draws > upper, axis=0), 0.1, atol=0.011)

    def test_a_seed_repeats_its_draws_and_leaves_the_global_one_as_it_was(self, fit):
        train, X = small_sample(), small_sample(n=20, seed=1).X
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        first, again, other = (fit(train, seed).draws(X) for seed in (7, 7, 8))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_a_category_that_moves_the_effect_is_seen_and_a_new_one_is_none(self, fit):
        sample = small_sample(n=300)
        north = (sample.X["site"] == "north").to_numpy()
        train = replace(sample, y=sample.y + 4 * north * sample.treatment)
        posterior = fit(train, 0)
        gap = posterior.effect(sample.X.assign(site="north")) - posterior.effect(
            sample.X.assign(site="south")
        )
        assert gap.mean() == pytest.approx(4, abs=1)
        assert np.isfinite(posterior.effect(sample.X.assign(site="west"))).all()

    def test_a_binary_outcome_is_a_number(self, fit):
        sample = small_sample(n=300)
        train = replace(sample, y=(sample.y > np.median(sample.y)).astype(float))
        assert fit(train, 0).effect(sample.X).mean() == pytest.approx(
            train.y[sample.treatment == 1].mean() - train.y[sample.treatment == 0].mean(), abs=0.1
        )


def test_causal_forests_are_a_forest_a_pair():
    """What is said of one arm rests on its own rows and the controls'."""
    sample = small_sample(3)
    moved = replace(sample, y=sample.y + 10 * (sample.treatment == 2))
    before, after = (bcf(train, 0).effect(sample.X) for train in (sample, moved))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert np.mean(after[:, 1] - before[:, 1]) == pytest.approx(10, abs=1.5)
