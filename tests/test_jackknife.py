"""Deviations, the jackknife that scales them, draws of functions, and the intervals they make."""

import ast
import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import judged_once
from scipy import stats

import hypercate
from hypercate import HyperCATE
from hypercate.generator.draws import SOURCES, draw_networks
from hypercate.generator.evaluate import potential_outcomes
from hypercate.generator.hypernetwork import PERTURBATIONS
from hypercate.inference.jackknife import (
    Calibration,
    between_models,
    calibrate,
    missed_heterogeneity,
    mix,
    spread,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)


def stderr(deviations, arm=1, control=0):
    """Standard error of a contrast at each row."""
    return np.sqrt(np.square(deviations[..., arm] - deviations[..., control]).sum(axis=0))


def some_outcomes(b=5, n=7, n_arms=2, seed=0):
    """By b models at n rows."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(b, n, n_arms)) * rng.exponential(size=(n, 1))


def deviations_of(outcomes, partition=None):
    """Of models from the mean of their partition, by default of one."""
    partition = np.zeros(len(outcomes), int) if partition is None else partition
    return np.tensordot(between_models(partition), outcomes, 1)


def calibrated(outcomes, deviations=None, n_members=None, missed=None):
    """As of the models of one partition, whose two starts agree; draws differ by the models."""
    b = len(outcomes)
    deviations = deviations_of(outcomes) if deviations is None else deviations
    partition = np.zeros(b, int)
    return calibrate(deviations, outcomes, outcomes, partition, b, n_members or b, missed)


def spread_out(outcomes, **options):
    """The models' own deviations, calibrated."""
    return spread(deviations_of(outcomes), calibrated(outcomes, **options))


def of_means(y, groups):
    """By models that predict arm 1 by the mean of y without a group of rows, and arm 0 by 0."""
    outcomes = np.zeros((len(groups), 3, 2))
    outcomes[..., 1] = np.array([np.delete(y, group).mean() for group in groups])[:, None]
    return outcomes


def leaving_parts_out(n_parts, n_models):
    """Weight of every row in the models' means (n_models, n), each of the rows out of its part."""
    rng, n = np.random.default_rng(0), 4 * n_parts
    parts = [rng.permutation(n) % n_parts for _ in range(-(-n_models // n_parts))]
    fit = np.concatenate([part != np.arange(n_parts)[:, None] for part in parts])[:n_models]
    return fit / fit.sum(axis=1, keepdims=True), np.arange(n_models) // n_parts


class TestBetweenModels:
    @quick
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 10**6))
    def test_deviations_are_from_the_mean_of_the_models_of_a_partition(self, partition, seed):
        partition = np.unique(partition, return_inverse=True)[1]
        f = np.random.default_rng(seed).normal(size=len(partition))
        found = between_models(partition) @ f
        dof = max(len(partition) - len(np.unique(partition)), 1)
        for model, own in enumerate(partition):
            expected = (f[model] - f[partition == own].mean()) / dof**0.5
            assert found[model] == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("n_models", [2, 5, 9])
    def test_of_one_partition_their_squares_add_to_the_sample_variance(self, n_models):
        f = np.random.default_rng(0).normal(size=n_models)
        found = between_models(np.zeros(n_models, int)) @ f
        assert np.square(found).sum() == pytest.approx(f.var(ddof=1))

    def test_of_several_they_add_to_the_pooled_variance_as_in_an_analysis_of_variance(self):
        partition, f = np.repeat([0, 1, 2], [5, 5, 3]), np.random.default_rng(0).normal(size=13)
        within = sum(
            np.square(f[partition == p] - f[partition == p].mean()).sum() for p in range(3)
        )
        found = between_models(partition) @ f
        assert np.square(found).sum() == pytest.approx(within / (13 - 3))

    def test_what_partitions_differ_by_is_no_deviation(self):
        partition, f = np.repeat([0, 1], 4), np.random.default_rng(0).normal(size=8)
        mixture = between_models(partition)
        np.testing.assert_allclose(mixture @ (f + 7 * partition), mixture @ f, atol=1e-12)

    def test_a_lone_model_of_the_last_partition_does_not_deviate(self):
        f = np.random.default_rng(0).normal(size=6)
        found = between_models(np.repeat([0, 1], [5, 1])) @ f
        assert found[5] == 0
        np.testing.assert_allclose(found[:5], between_models(np.zeros(5, int)) @ f[:5])


class TestJackknife:
    y = np.random.default_rng(0).normal(size=20) * 3 + 1
    fifths = np.arange(20).reshape(5, 4)

    def test_of_means_without_one_row_each_is_the_standard_error_of_the_mean(self):
        found = stderr(spread_out(of_means(self.y, np.arange(20)[:, None])))
        np.testing.assert_allclose(found, self.y.std(ddof=1) / 20**0.5, rtol=1e-12)

    def test_of_means_without_a_fifth_each_is_that_of_a_mean_of_five_means(self):
        found = stderr(spread_out(of_means(self.y, self.fifths)))
        of_fifths = self.y[self.fifths].mean(axis=1)
        np.testing.assert_allclose(found, of_fifths.std(ddof=1) / 5**0.5, rtol=1e-12)

    def test_of_all_fifths_is_what_the_books_say(self):
        means = [np.delete(self.y, fifth).mean() for fifth in self.fifths]
        variance = 4 / 5 * sum((mean - np.mean(means)) ** 2 for mean in means)
        found = stderr(spread_out(of_means(self.y, self.fifths)))
        np.testing.assert_allclose(found**2, variance, rtol=1e-12)

    @pytest.mark.parametrize("n_members", [1, 2, 3, 4, 5])
    def test_of_few_members_is_that_of_their_mean_of_means(self, n_members):
        """A fifth that a member leaves out weighs less in their mean, and the others more."""
        weight = ((1 - np.eye(5)) / 4)[:n_members].mean(axis=0)
        found = stderr(spread_out(of_means(self.y, self.fifths), n_members=n_members))
        of_fifths = self.y[self.fifths].mean(axis=1)
        np.testing.assert_allclose(
            found**2, of_fifths.var(ddof=1) * np.square(weight).sum(), rtol=1e-12
        )

    @pytest.mark.parametrize("n_parts", [10, 5, 2])
    def test_other_deviations_get_the_size_of_the_models_at_a_typical_row(self, n_parts):
        outcomes, drawn = some_outcomes(n_parts), some_outcomes(40, seed=1)
        needed = (n_parts - 1) / n_parts**0.5 * stderr(deviations_of(outcomes)).mean()
        found = calibrated(outcomes, drawn).scale * stderr(drawn).mean()
        assert found == pytest.approx(needed, rel=1e-12)

    def test_what_all_arms_have_in_common_has_no_say(self):
        outcomes, drawn = some_outcomes(4, n_arms=3), some_outcomes(40, n_arms=3, seed=1)
        common = 9 * np.random.default_rng(2).normal(size=(4, 7, 1))
        plain, shifted = calibrated(outcomes, drawn), calibrated(outcomes + common, drawn)
        assert shifted.scale == pytest.approx(plain.scale, rel=1e-12)
        np.testing.assert_allclose(shifted.level, plain.level, atol=1e-9)

    @pytest.mark.parametrize(
        ("sizes", "dof", "shrinkage"),
        [
            ([2], 9, 8 / 9),
            ([5], 12, 2 / 3),
            ([9], 16, 1 / 2),
            ([5, 5], 16, 1 / 2),
            ([5, 1], 12, 2 / 3),
        ],
        ids=str,
    )
    def test_degrees_of_freedom_and_shrinkage_weigh_models_against_a_prior_of_8(
        self, sizes, dof, shrinkage
    ):
        partition = np.repeat(np.arange(len(sizes)), sizes)
        outcomes = some_outcomes(len(partition))
        deviations = deviations_of(outcomes, partition)
        found = calibrate(deviations, outcomes, outcomes, partition, sizes[0], len(partition))
        assert found.dof == dof
        assert found.shrinkage == pytest.approx(shrinkage)


class TestRandomStart:
    """Models also differ by their start, and two starts of each tell by how much."""

    def test_starts_that_agree_have_no_share(self):
        assert calibrated(some_outcomes()).start_share == 0

    def test_models_that_differ_by_their_start_alone_have_no_other(self):
        """Then the prediction is a mean of independent members."""
        rng = np.random.default_rng(0)
        outcomes, second = rng.normal(size=(2, 5, 100_000, 2))
        deviations = deviations_of(outcomes)
        found = calibrate(deviations, outcomes, second, np.zeros(5, int), 5, 2)
        assert found.start_share == pytest.approx(1, abs=0.01)
        assert found.scale**2 == pytest.approx(1 / 2, rel=0.05)
        wild = calibrate(deviations, outcomes, 9 * second, np.zeros(5, int), 5, 2)
        assert wild.start_share == pytest.approx(1, abs=0.01)
        assert wild.scale**2 == pytest.approx(25 / 2, rel=0.05)  # of the mean of sizes 1 and 9

    def test_models_that_all_agree_have_none(self):
        outcomes = np.ones((5, 4, 2))
        found = calibrate(0 * outcomes, outcomes, outcomes + 1, np.zeros(5, int), 5, 5)
        assert (found.start_share, found.scale) == (0, 1)

    @pytest.mark.parametrize("unit", [1e-200, 1e200])
    def test_the_share_has_no_unit(self, unit):
        outcomes = some_outcomes()
        second = outcomes + 0.3 * some_outcomes(seed=1)
        partition = np.zeros(5, int)
        found = [
            calibrate(u * deviations_of(outcomes), u * outcomes, u * second, partition, 5, 5)
            for u in (1, unit)
        ]
        assert 0 < found[0].start_share < 1
        assert found[1].start_share == pytest.approx(found[0].start_share)
        assert found[1].scale == pytest.approx(found[0].scale)


class TestArmsWithoutEmittedNetworks:
    def test_keep_the_scale_of_the_jackknife(self):
        outcomes, posterior = some_outcomes(n_arms=3), 5 * some_outcomes(b=4, seed=1)

        def scaled(n_arms, **options):
            known = outcomes[..., :n_arms]
            partition = np.zeros(5, int)
            return calibrate(deviations_of(known), known, known, partition, 5, 5, **options)

        by_posterior = {"posterior": posterior, "posterior_share": 1.0}
        found, emitted, plain = scaled(3, **by_posterior), scaled(2, **by_posterior), scaled(3)
        assert emitted.scale > 2 * plain.scale
        assert emitted.relative is None
        np.testing.assert_allclose(
            found.scale * found.relative, [emitted.scale, emitted.scale, plain.scale]
        )
        deviations = deviations_of(outcomes)
        own = spread(deviations, found)[: len(deviations)]
        expected = spread(deviations, plain)[: len(deviations)]
        np.testing.assert_allclose(own[..., 2], expected[..., 2])


class TestUnbiased:
    """Of models that are means of the rows that they do not leave out, the variance is known."""

    many = pytest.mark.parametrize(
        ("n_parts", "n_members"),
        [(5, 5), (5, 2), (5, 1), (2, 2), (2, 1), (10, 10), (5, 10), (5, 7), (2, 3), (3, 4)],
        ids=str,
    )

    @many
    def test_the_factor_is_that_of_the_mean_of_the_members(self, n_parts, n_members):
        """Exactly: the expectation of a sum of squares is that of the weights of rows."""
        weight, partition = leaving_parts_out(n_parts, max(n_parts, n_members))
        outcomes = np.stack([0 * weight, weight], axis=2)
        deviations = deviations_of(outcomes, partition)
        found = calibrate(deviations, outcomes, outcomes, partition, n_parts, n_members)
        expected = np.square(weight[:n_members].mean(axis=0)).sum()
        assert found.scale**2 * np.square(stderr(deviations)).sum() == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("n_parts", "n_members"), [(5, 5), (5, 2), (5, 1), (2, 2), (5, 10), (2, 3)], ids=str
    )
    def test_the_variance_of_the_mean_is_met_over_many_samples(self, n_parts, n_members):
        weight, partition = leaving_parts_out(n_parts, max(n_parts, n_members))
        rng, found = np.random.default_rng(1), []
        for _ in range(1500 if n_parts > 2 else 3000):
            outcomes = np.zeros((len(weight), 1, 2))
            outcomes[:, 0, 1] = weight @ rng.normal(size=weight.shape[1])
            deviations = deviations_of(outcomes, partition)
            calibration = calibrate(deviations, outcomes, outcomes, partition, n_parts, n_members)
            found.append(np.square(stderr(spread(deviations, calibration))))
        expected = np.square(weight[:n_members].mean(axis=0)).sum()
        assert np.mean(found) == pytest.approx(expected, rel=0.07)

    @many
    @pytest.mark.parametrize("share", [0.3, 0.7])
    def test_random_starts_are_told_from_the_sample(self, n_parts, n_members, share):
        """At many rows, each of a sample and with starts of its own."""
        weight, partition = leaving_parts_out(n_parts, max(n_parts, n_members))
        of_sample = np.square(deviations_of(weight, partition)).sum()
        of_start = share / (1 - share) * of_sample
        rng, shape = np.random.default_rng(2), (len(weight), 20_000)
        first, second = np.zeros((2, *shape, 2))
        of_rows = weight @ rng.normal(size=(weight.shape[1], shape[1]))
        for outcomes in (first, second):
            outcomes[..., 1] = of_rows + of_start**0.5 * rng.normal(size=shape)
        deviations = deviations_of(first, partition)
        found = calibrate(deviations, first, second, partition, n_parts, n_members)
        assert found.start_share == pytest.approx(share, rel=0.05)
        expected = np.square(weight[:n_members].mean(axis=0)).sum() + of_start / n_members
        variance = found.scale**2 * np.square(stderr(deviations)).mean()
        assert variance == pytest.approx(expected, rel=0.05)
        empirical = first[:n_members, :, 1].mean(axis=0).var()
        assert empirical == pytest.approx(expected, rel=0.05)


class TestShrinkage:
    @quick
    @given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 10**6))
    def test_two_arms_variance_lies_between_a_rows_own_and_a_typical_rows(self, b, n, seed):
        outcomes = some_outcomes(b, n, seed=seed)
        deviations, calibration = deviations_of(outcomes), calibrated(outcomes)
        own = calibration.scale * stderr(deviations)
        share = calibration.shrinkage
        expected = (1 - share) * own**2 + share * own.mean() ** 2
        np.testing.assert_allclose(stderr(spread(deviations, calibration)) ** 2, expected)

    def test_a_typical_row_of_many_arms_is_the_mean_of_rows_by_their_share(self):
        outcomes = some_outcomes(6, 5, 4)
        deviations, calibration = deviations_of(outcomes), calibrated(outcomes)
        between = deviations - deviations.mean(axis=2, keepdims=True)
        size = [np.sqrt((between[:, i] ** 2).sum()) for i in range(5)]
        covariance = np.zeros((4, 4))
        for i in range(5):
            covariance += between[:, i].T @ between[:, i] * np.mean(size) / size[i] / 5
        found = calibration.level.T @ calibration.level
        expected = calibration.shrinkage * calibration.scale**2 * covariance
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert np.trace(covariance) == pytest.approx(np.mean(size) ** 2)

    def test_a_contrast_gets_the_typical_variance_of_its_own_arms(self):
        """Arm 2 alone is uncertain: arms 0 and 1 do not borrow from it."""
        outcomes = np.zeros((6, 5, 3))
        outcomes[..., 2] = np.random.default_rng(0).normal(size=(6, 5))
        found = spread_out(outcomes)
        np.testing.assert_allclose(stderr(found, 1, 0), 0, atol=1e-7)
        assert (stderr(found, 2, 0) > 0.1).all()
        np.testing.assert_allclose(stderr(found, 2, 0), stderr(found, 2, 1))

    @pytest.mark.parametrize("unit", [1e-9, 1e9])
    def test_the_unit_of_the_outcome_goes_through(self, unit):
        outcomes = some_outcomes(n_arms=3)
        plain, scaled = calibrated(outcomes), calibrated(unit * outcomes)
        assert scaled.scale == pytest.approx(plain.scale, rel=1e-9)
        np.testing.assert_allclose(
            stderr(spread_out(unit * outcomes)), unit * stderr(spread_out(outcomes)), rtol=1e-6
        )

    @quick
    @given(st.permutations(range(4)), st.integers(0, 10**6))
    def test_the_order_of_arms_does_not_matter(self, order, seed):
        outcomes = some_outcomes(n_arms=4, seed=seed)
        plain, turned = spread_out(outcomes), spread_out(outcomes[..., order])
        for at, of in itertools.combinations(range(4), 2):
            np.testing.assert_allclose(
                stderr(turned, at, of), stderr(plain, order[at], order[of]), rtol=1e-6, atol=1e-9
            )

    def test_a_row_without_deviations_is_still_not_certain(self):
        outcomes = some_outcomes()
        outcomes[:, 3] = 5
        found = stderr(spread_out(outcomes))
        assert found.min() == found[3] > 0

    @pytest.mark.filterwarnings("error")
    def test_nothing_deviates_at_all(self):
        still = np.zeros((5, 4, 2))
        assert np.isfinite(calibrated(still).scale)
        assert (spread_out(still) == 0).all()
        moving = some_outcomes(n=4)
        assert (spread(moving, calibrated(still, moving)) == 0).all()

    def test_without_calibration_deviations_are_as_they_are(self):
        deviations = some_outcomes(n_arms=3)
        calibration = Calibration.none(3)
        plain = spread(deviations, calibration)
        np.testing.assert_array_equal(plain[:5], deviations)
        assert (plain[5:] == 0).all()
        assert calibration.dof == np.inf


def with_residuals(residual, arm, weight=None, cluster=None):
    n_arms = arm.max() + 1
    outcomes = np.random.default_rng(1).normal(size=(len(arm), n_arms))
    y = outcomes[np.arange(len(arm)), arm] + residual
    propensity = np.full(outcomes.shape, 1 / n_arms)
    return judged_once(arm, y, outcomes, propensity, weight, cluster)


class TestPosterior:
    """Of emitted networks, as far as the prediction is theirs."""

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_takes_the_place_of_the_jackknife_at_a_typical_row(self, share):
        outcomes, drawn = some_outcomes(5), some_outcomes(40, seed=1)
        deviations = deviations_of(outcomes)
        given = deviations, outcomes, outcomes, np.zeros(5, int), 5, 5
        alone, both = (calibrate(*given, None, *more) for more in ((), (drawn, share)))
        of_jackknife = alone.scale * stderr(deviations).mean()
        of_posterior = stderr(drawn).mean()
        expected = (1 - share) * of_jackknife + share * of_posterior
        assert both.scale * stderr(deviations).mean() == pytest.approx(expected)
        np.testing.assert_allclose(both.level / both.scale, alone.level / alone.scale)
        assert (both.dof, both.shrinkage) == (alone.dof, alone.shrinkage)

    def test_through_fit_it_is_that_of_the_instant_effort(self):
        X, y, arm = rows(60, 3, noise=2)
        est = fit(X, y, arm, sharing="auto", n_members=5)
        instant = HyperCATE(effort="instant", device="cpu", random_state=est.random_state)
        instant.fit(X, y, arm)
        alone = fit(X, y, arm, sharing="auto", n_members=5, pretrained="none")
        share = est.weights_["emitted"].mean()
        assert share > 0.3
        width = {}
        for name, model in (("both", est), ("emitted", instant), ("trained", alone)):
            width[name] = model.effect_inference(X).stderr.mean()
        assert width["both"] > 0.5 * share * width["emitted"]
        assert width["both"] < 1.5 * max(width["emitted"], width["trained"])


class TestMissedHeterogeneity:
    arm = np.repeat([0, 1], [100, 25])

    def test_is_that_of_a_gain_of_one_standard_error(self):
        """A network that knew effects of the size found would gain its own standard error."""
        rng = np.random.default_rng(0)
        arm = np.repeat([0, 1], 20_000)
        noise = 3 * rng.normal(size=len(arm))
        found = missed_heterogeneity(with_residuals(noise, arm))[1]
        departure = found * rng.choice([-1, 1], 20_000)
        of_constant, of_other = (noise[arm == 1] + departure) ** 2, noise[arm == 1] ** 2
        error = (of_constant - of_other).std() / 20_000**0.5
        assert found**2 == pytest.approx(error, rel=0.03)

    def test_fewer_rows_and_noisier_ones_miss_more(self):
        noise = np.where(self.arm, 2.0, 1.0)
        np.testing.assert_allclose(
            missed_heterogeneity(with_residuals(noise, self.arm)), [0.2, 0.8]
        )

    def test_weights_count_by_their_ratios(self):
        noise = np.random.default_rng(0).normal(size=125)
        plain = missed_heterogeneity(with_residuals(noise, self.arm))
        weighted = missed_heterogeneity(with_residuals(noise, self.arm, np.full(125, 7.0)))
        np.testing.assert_allclose(weighted, plain)
        uneven = np.where(np.arange(125) % 2, 1e-9, 1.0)
        kept = missed_heterogeneity(with_residuals(noise[::2], self.arm[::2]))
        np.testing.assert_allclose(
            missed_heterogeneity(with_residuals(noise, self.arm, uneven)), kept, rtol=1e-6
        )

    def test_rows_written_down_several_times_miss_as_much_as_once(self):
        noise = np.random.default_rng(0).normal(size=125)
        once = missed_heterogeneity(with_residuals(noise, self.arm))
        copies = noise.repeat(3), self.arm.repeat(3), None
        clustered = with_residuals(*copies, cluster=np.arange(125).repeat(3))
        np.testing.assert_allclose(missed_heterogeneity(clustered), once)
        as_rows = missed_heterogeneity(with_residuals(*copies))
        np.testing.assert_allclose(as_rows, once / 3**0.5)

    def test_a_row_of_another_arm_in_its_cluster_takes_nothing_from_a_row(self):
        noise, arm = np.random.default_rng(0).normal(size=80), np.arange(80) % 2
        pairs = with_residuals(noise, arm, cluster=np.arange(80) // 2)
        np.testing.assert_allclose(
            missed_heterogeneity(pairs), missed_heterogeneity(with_residuals(noise, arm))
        )

    @pytest.mark.parametrize("unit", [1e-200, 1e200])
    def test_the_unit_of_the_outcome_goes_through(self, unit):
        noise = np.random.default_rng(0).normal(size=125)
        fit = judged_once(self.arm, np.zeros(125), np.zeros((125, 2)), np.full((125, 2), 0.5))
        plain, found = (missed_heterogeneity(replace(fit, y=y)) for y in (noise, unit * noise))
        np.testing.assert_allclose(found, unit * plain)

    def test_adds_its_variance_to_every_row_of_a_contrast(self):
        outcomes = some_outcomes(n_arms=3)
        plain, wider = spread_out(outcomes), spread_out(outcomes, missed=np.array([0.0, 3.0, 4.0]))
        for arm, control, added in [(1, 0, 9), (2, 0, 16), (2, 1, 25)]:
            expected = stderr(plain, arm, control) ** 2 + added
            np.testing.assert_allclose(stderr(wider, arm, control) ** 2, expected)


class TestMixtures:
    centre = np.array([1.0, -2.0, 5.0])
    deviations = np.array([[1.0, 0, 2], [0.5, -1, 0], [0, 2, -1], [0.2, 0.1, 0]])

    @pytest.mark.parametrize("dof", [5.0, 8.0, np.inf])
    def test_draws_are_jointly_student_s_t_about_the_centre(self, dof):
        draws = mix(self.centre, self.deviations, dof, 50_000, 0)
        assert draws.shape == (50_000, 3)
        covariance = self.deviations.T @ self.deviations
        law = stats.norm if np.isinf(dof) else stats.t(dof)
        for weights in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, -1, 0]):
            weights = np.array(weights)
            size = (weights @ covariance @ weights) ** 0.5
            found = stats.kstest((draws - self.centre) @ weights / size, law.cdf)
            assert found.pvalue > 1e-4

    def test_draws_lie_in_the_span_of_the_deviations(self):
        draws = mix(self.centre, self.deviations[:2], 5.0, 9, 0) - self.centre
        parts, *_ = np.linalg.lstsq(self.deviations[:2].T, draws.T, rcond=None)
        np.testing.assert_allclose(self.deviations[:2].T @ parts, draws.T, atol=1e-9)

    @pytest.mark.parametrize("dof", [5.0, np.inf])
    def test_a_seed_repeats_the_mixture_whatever_the_rows(self, dof):
        whole = mix(self.centre, self.deviations, dof, 30, 4)
        for rows in ([1], [2, 0]):
            some = mix(self.centre[rows], self.deviations[:, rows], dof, 30, 4)
            np.testing.assert_allclose(some, whole[:, rows], atol=1e-12)
        assert not np.allclose(mix(self.centre, self.deviations, dof, 30, 5), whole)

    def test_any_shape_of_effects(self):
        centre, deviations = np.zeros((4, 2)), np.ones((3, 4, 2))
        draws = mix(centre, deviations, 5.0, 6, 0)
        assert draws.shape == (6, 4, 2)
        np.testing.assert_allclose(draws, np.broadcast_to(draws[:, :1, :1], draws.shape))


class TestImports:
    def test_inference_needs_neither_the_networks_nor_what_trains_them(self):
        """What it imports from the package, and what that imports, counts too."""
        root = Path(hypercate.__file__).parent
        waiting, seen, foreign = sorted((root / "inference").glob("*.py")), set(), set()
        while waiting:
            path = waiting.pop()
            seen.add(path)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert node.level == 0
                    names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
                else:
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                own = [name.split(".")[1:] for name in names if name.split(".")[0] == "hypercate"]
                foreign |= {name.split(".")[0] for name in names} - {"hypercate"}
                files = [root.joinpath(*parts).with_suffix(".py") for parts in own if parts]
                folders = [root.joinpath(*parts, "__init__.py") for parts in own if parts]
                waiting += [file for file in files + folders if file.exists() and file not in seen]
        assert len(seen) >= 5
        assert {"numpy", "scipy"} <= foreign
        assert not foreign & {"torch", "sklearn", "lightgbm"}


def rows(n=200, n_arms=2, seed=0, effect=1.0, noise=1.0):
    rng = np.random.default_rng(seed)
    X, arm = rng.normal(size=(n, 3)), rng.integers(0, n_arms, n)
    return X, X[:, 0] + effect * arm * X[:, 1] + noise * rng.normal(size=n), arm


def fit(X, y, arm, **parameters):
    small = {"n_members": 4, "max_epochs": 15, "outcome_hidden": (8, 8), "inputs": "raw"}
    small |= {"sharing": "moderate", "learning_rate": 0.02, "random_state": 0}
    return HyperCATE(**small | parameters).fit(X, y, arm)


PERTURBED = {"hypernet_dropout": 0.3, "hypernet_noise": 0.3}


@pytest.fixture(scope="module")
def fits():
    """Every source of draws, calibrated and not, of one perturbed training with three arms."""
    data = rows(n_arms=3)
    return data[0], {
        (source, calibrated): fit(*data, **PERTURBED, uncertainty=source, calibrate=calibrated)
        for source in SOURCES
        for calibrated in (True, False)
    }


every_fit = pytest.mark.parametrize("key", [*itertools.product(SOURCES, (True, False))], ids=str)


def effects_of(est, theta, model, X):
    """By networks whose weights are in the canonical order of arms, each in its model's unit."""
    fitted = est.fitted_
    unit = (fitted.networks.location, fitted.networks.scale)
    location, scale = (torch.as_tensor(part[model])[:, None, None] for part in unit)
    outcomes = potential_outcomes(
        fitted.networks.net,
        theta[:, fitted.conditions.place],
        fitted.features.transform(X),
        None,
        lambda output, _: fitted.networks.learner.potential_outcome(output, location, scale),
    )
    return outcomes[..., 1:] - outcomes[..., :1]


def generator(est):
    """Its hypernetwork and the models' parameters and buffers."""
    generator = est.fitted_.generators[0]
    params, buffers = (
        {name: torch.as_tensor(value) for name, value in part.items()}
        for part in (generator.params, generator.buffers)
    )
    return generator.hypernet, params, buffers


def models_effects(est, X):
    hypernet, params, buffers = generator(est)
    with torch.no_grad():
        theta = hypernet.generate(params, buffers)
    return effects_of(est, theta, np.arange(len(theta)), X)


class TestFits:
    def test_how_sure_predictions_are_has_no_say_in_them(self, fits):
        X, by_key = fits
        expected = by_key["members", True].predict(X)
        for est in by_key.values():
            np.testing.assert_array_equal(est.predict(X), expected)

    def test_uncalibrated_models_have_their_plain_spread_and_normal_quantiles(self, fits):
        """About the mean of four members; the fifth model says what rows they all have seen."""
        X, by_key = fits
        est = by_key["members", False]
        effects = models_effects(est, X)
        assert len(effects) == 5
        centre, half = effects[:4].mean(axis=0), 1.959964 * effects.std(axis=0, ddof=1)
        lower, upper = est.effect_interval(X)
        np.testing.assert_allclose(upper, centre + half, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(lower, centre - half, rtol=1e-5, atol=1e-5)
        assert (est.calibration_.scale, est.calibration_.dof) == (1, np.inf)

    @pytest.mark.parametrize("source", PERTURBATIONS)
    def test_uncalibrated_a_perturbation_has_the_spread_of_its_networks(self, source, fits):
        X, by_key = fits
        est = by_key[source, False]
        theta, model, mixture = draw_networks(*generator(est), source, est.fitted_.seed)
        drawn = effects_of(est, theta, model, X)
        effects = np.tensordot(mixture, np.concatenate([models_effects(est, X), drawn]), 1)
        expected = np.sqrt(np.square(effects).sum(axis=0))
        found = est.effect_inference(X).stderr
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert not np.allclose(found, by_key["members", False].effect_inference(X).stderr, rtol=0.1)
        both = by_key["both", False].effect_inference(X).stderr
        assert both.mean() > max(found.mean(), 0.9 * models_effects(est, X).std(axis=0).mean())

    def test_calibrated_sources_agree_on_a_typical_row(self, fits):
        """Root mean square over all pairs of arms of the deviations between them."""
        X, by_key = fits
        sizes = {}
        for source in SOURCES:
            est = by_key[source, True]
            assert est.calibration_.dof == 8 + 4
            assert est.calibration_.scale > 0
            pairs = itertools.combinations(range(3), 2)
            variance = [est.effect_inference(X, T0=a, T1=b).stderr ** 2 for a, b in pairs]
            sizes[source] = np.sqrt(np.sum(variance, axis=0)).mean()
        for source in SOURCES:
            assert sizes[source] == pytest.approx(sizes["members"], rel=0.1)

    def test_calibration_widens_what_models_that_share_rows_leave_narrow(self):
        """Four members of five parts: but for the starts the factor of the variance is 3.25."""
        X, y, arm = rows(n_arms=3)
        wide, narrow = (fit(X, y, arm, max_epochs=60, calibrate=c) for c in (True, False))
        share = wide.calibration_.start_share
        assert 0 < share < 0.7
        assert np.isnan(narrow.calibration_.start_share)
        factor = 3.25 * (1 - share) + share / 4
        assert wide.calibration_.scale**2 == pytest.approx(factor, rel=0.25)  # of both starts
        sizes = [est.effect_inference(X).stderr.mean() for est in (wide, narrow)]
        assert sizes[0] == pytest.approx(wide.calibration_.scale * sizes[1], rel=0.1)
        assert sizes[0] > 1.25 * sizes[1]

    @every_fit
    def test_quantiles_of_many_draws_are_the_intervals(self, key, fits):
        X, by_key = fits
        est, X = by_key[key], X[:4]
        draws = est.sample_effects(X, n_samples=20_000, random_state=1)
        error = est.effect_inference(X).stderr
        for alpha in (0.5, 0.1):
            ends = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=0)
            found = np.abs(ends - est.effect_interval(X, alpha=alpha)) / error
            assert found.max() < 0.1

    @every_fit
    def test_a_row_alone_gets_the_draws_and_the_interval_it_gets_among_others(self, key, fits):
        X, by_key = fits
        est = by_key[key]
        together, interval = est.sample_effects(X, 50, 3), np.array(est.effect_interval(X))
        for row in (0, 11, len(X) - 1):
            alone = est.sample_effects(X[[row]], 50, 3)[:, 0]
            np.testing.assert_allclose(alone, together[:, row], atol=2e-4)
            np.testing.assert_allclose(
                np.array(est.effect_interval(X[[row]]))[:, 0], interval[:, row], atol=2e-4
            )

    @every_fit
    def test_draws_of_one_contrast_come_from_draws_of_the_others(self, key, fits):
        X, by_key = fits
        est = by_key[key]
        draws = est.sample_effects(X, n_samples=20)
        assert draws.shape == (20, len(X), 2)
        between = est.sample_effects(X, n_samples=20, T0=1, T1=2)
        np.testing.assert_allclose(between, draws[..., 1] - draws[..., 0], atol=1e-9)
        np.testing.assert_array_equal(est.sample_effects(X, 20, T0=2, T1=1), -between)
        assert (est.sample_effects(X, 20, T0=2, T1=2) == 0).all()
        own = est.sample_effects(X, 20, T0=np.zeros(len(X), int), T1=np.arange(len(X)) % 2 + 1)
        np.testing.assert_allclose(own[:, ::2], draws[:, ::2, 0], atol=1e-9)
        np.testing.assert_allclose(own[:, 1::2], draws[:, 1::2, 1], atol=1e-9)

    @every_fit
    def test_draws_repeat_by_seed_and_are_more_functions_than_networks(self, key, fits):
        X, by_key = fits
        est = by_key[key]
        draws = est.sample_effects(X, 150, 1)
        np.testing.assert_array_equal(est.sample_effects(X, 150, 1), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 7), est.sample_effects(X, 7))
        assert not np.array_equal(est.sample_effects(X, 150, 2), draws)
        assert len(np.unique(draws[:, 0, 0])) == 150

    @every_fit
    def test_intervals_are_nested_and_hold_the_effect(self, key, fits):
        X, by_key = fits
        est, effects, before = by_key[key], by_key[key].predict(X), None
        for alpha in (0.9, 0.5, 0.1, 0.001):
            lower, upper = est.effect_interval(X, alpha=alpha)
            assert ((lower < effects) & (effects < upper)).all()
            if before is not None:
                assert ((lower < before[0]) & (before[1] < upper)).all()
            before = lower, upper

    @pytest.mark.parametrize("source", SOURCES)
    @pytest.mark.parametrize("calibrated", [True, False])
    def test_relabelled_arms_have_the_same_draws_and_intervals(self, source, calibrated):
        X, y, arm = rows(80, 3)
        settings = PERTURBED | {"uncertainty": source, "calibrate": calibrated}
        settings |= {"n_members": 2, "max_epochs": 3}
        first = fit(X, y, arm, **settings)
        second = fit(X, y, np.array(["z", "x", "y"])[arm], control="y", **settings)
        for (T0, T1), (of, against) in {(0, 1): "zx", (1, 2): "xy", (2, 0): "yz"}.items():
            np.testing.assert_array_equal(
                second.effect_interval(X, T0=of, T1=against), first.effect_interval(X, T0=T0, T1=T1)
            )
            np.testing.assert_array_equal(
                second.sample_effects(X, 9, T0=of, T1=against),
                first.sample_effects(X, 9, T0=T0, T1=T1),
            )

    @pytest.mark.parametrize("unit", [2.0**20, 10.0])
    def test_standard_errors_are_in_units_of_the_outcome(self, unit):
        X, y, arm = rows()
        plain, scaled = fit(X, y, arm), fit(X, unit * y, arm)
        np.testing.assert_allclose(
            scaled.effect_inference(X).stderr,
            unit * plain.effect_inference(X).stderr,
            rtol=1e-9 if unit == 2.0**20 else 0.02,
        )
        assert scaled.calibration_.scale == pytest.approx(plain.calibration_.scale, rel=0.02)

    @pytest.mark.parametrize("source", SOURCES)
    def test_one_member_is_enough(self, source):
        """All the models that judge rows are there, however few of them predict."""
        X, y, arm = rows(80)
        est = fit(X, y, arm, n_members=1, **PERTURBED, uncertainty=source)
        np.testing.assert_allclose(est.predict(X), models_effects(est, X)[0, :, 0], rtol=1e-5)
        lower, upper = est.effect_interval(X)
        assert (lower < upper).all()
        assert est.calibration_.dof == 8 + 4
        assert np.ptp(est.sample_effects(X), axis=0).min() > 0

    @pytest.mark.parametrize("source", ["members", *PERTURBATIONS])
    def test_risk_differences_stay_between_minus_1_and_1(self, source):
        X, y, arm = rows(60, noise=0.1, effect=4)
        happened = y + 2 * arm > np.median(y + 2 * arm)
        perturbed = {"hypernet_dropout": 0.5, "hypernet_noise": 1.0}
        est = fit(X, happened, arm, **perturbed, uncertainty=source, n_members=2)
        draws = est.sample_effects(X, 500)
        lower, upper = est.effect_interval(X, alpha=1e-6)
        for answer in (draws, lower, upper):
            assert np.abs(answer).max() <= 1
        assert (lower <= upper).all()
        assert max(np.abs(draws).max(), -lower.min(), upper.max()) == 1

    @pytest.mark.parametrize(
        ("source", "generation"), [*((source, "chunk") for source in SOURCES), ("members", "none")]
    )
    def test_a_constant_outcome_is_no_trouble(self, source, generation):
        X, _, arm = rows(80, 3)
        settings = PERTURBED | {"uncertainty": source, "generation": generation}
        settings |= {"sharing": "auto", "pretrained": "none"}  # those emitted are quite sure
        est = fit(X, np.full(80, 7.0), arm, max_epochs=30, **settings)
        lower, upper = est.effect_interval(X)
        assert np.isfinite(est.sample_effects(X, 9)).all()
        assert ((lower <= 0.5) & (upper >= -0.5)).all()
        assert np.isfinite(est.effect_inference(X).summary_frame()).all(axis=None)

    def test_arms_that_differ_by_a_constant_are_as_sure_everywhere(self):
        X, y, arm = rows(effect=0)
        found = fit(X, y, arm, sharing="intercept").effect_inference(X).stderr
        assert found.min() > 0
        np.testing.assert_allclose(found, found[0], rtol=1e-3)

    def test_effects_found_constant_are_less_sure_than_effects_said_to_be(self):
        """By what each arm's own rows may have missed."""
        X, y, arm = rows(400, effect=0, seed=19)
        arm = np.where(arm == 1, np.where(np.arange(400) % 8, 2, 1), arm)[::-1]
        found, said = (
            fit(X, y, arm, sharing=sharing, n_members=5, max_epochs=60, pretrained="none")
            for sharing in ("auto", "intercept")
        )
        assert (found.sharing_["chosen"] == "intercept").all()
        missed = missed_heterogeneity(found.fitted_.evidence)
        assert missed[1] > 2 * missed[2]
        added = found.calibration_.level[-3:]
        np.testing.assert_allclose(np.sqrt(np.square(added).sum(axis=0)), missed)
        for T0, T1 in [(0, 1), (0, 2), (1, 2)]:
            stderr = found.effect_inference(X, T0=T0, T1=T1).stderr
            assert (stderr**2 > missed[T0] ** 2 + missed[T1] ** 2).all()
        assert len(said.calibration_.level) == 3

    def test_constant_effects_count_by_their_weight_beside_emitted_networks(self):
        X, y, arm = rows(400, effect=0, seed=19)
        est = fit(X, y, arm, sharing="auto", inputs="raw", n_members=5, max_epochs=60)
        choice = est.fitted_.choice
        alike = np.array(choice.sharing)[choice.chosen] == "intercept"
        assert alike.any()
        assert choice.emitted.all()
        share = (alike * (1 - choice.emitted)).mean()
        assert 0 < share < 1
        added = np.sqrt(np.square(est.calibration_.level[2:]).sum(axis=0))
        np.testing.assert_allclose(added, share * missed_heterogeneity(est.fitted_.evidence))

    @pytest.mark.parametrize("source", SOURCES)
    def test_the_process_own_dtype_and_device_change_nothing(self, source):
        X, y, arm = rows(60)
        settings = PERTURBED | {"uncertainty": source, "device": "cpu"}
        settings |= {"n_members": 2, "max_epochs": 2}
        expected = fit(X, y, arm, **settings).effect_interval(X)
        torch.set_default_dtype(torch.float64)
        try:
            with torch.device("meta"):
                found = fit(X, y, arm, **settings).effect_interval(X)
        finally:
            torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(found, expected)

    @every_fit
    def test_draws_for_many_rows_take_little_more_memory_than_they_are(self, key, fits):
        """By a copy of the draws and one of each network's outcomes and deviations."""
        X, by_key = fits
        many = np.tile(X, (100, 1))
        tracemalloc.start()
        try:
            draws = by_key[key].sample_effects(many, n_samples=200)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert draws.shape == (200, len(many), 2)
        assert peak < 2.5 * draws.nbytes


class TestCoverage:
    @pytest.mark.parametrize("sharing", ["auto", "moderate"])
    def test_intervals_hold_an_effect_that_is_zero_everywhere_at_their_rate(self, sharing):
        holds = []
        for seed in range(16):
            X, y, arm = rows(150, seed=seed, effect=0)
            est = fit(X, y, arm, sharing=sharing, n_members=5, max_epochs=40, random_state=seed)
            lower, upper = est.effect_interval(X, alpha=0.1)
            holds.append(((lower <= 0) & (upper >= 0)).mean())
        assert np.mean(holds) >= 0.8  # the rows of a fit are held together: a standard error of .07

    def test_intervals_hold_effects_that_vary_at_about_their_rate(self):
        new = np.random.default_rng(99).normal(size=(300, 3))
        calibrated, plain = [], []
        for seed in range(10):
            X, y, arm = rows(300, seed=seed)
            settings = {"n_members": 5, "max_epochs": 60, "random_state": seed}
            for holds, scaled in ((calibrated, True), (plain, False)):
                est = fit(X, y, arm, calibrate=scaled, **settings)
                lower, upper = est.effect_interval(new, alpha=0.1)
                holds.append(((lower <= new[:, 1]) & (new[:, 1] <= upper)).mean())
        assert np.mean(calibrated) > 0.75
        assert np.mean(plain) < np.mean(calibrated) - 0.1
