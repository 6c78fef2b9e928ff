"""Deviations, the jackknife that scales them, draws of functions, and the intervals they make."""

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hypercate import HyperCATE
from hypercate.crossfit import CrossFit
from hypercate.effects import potential_outcomes
from hypercate.hypernet.hypernetwork import PERTURBATIONS, HyperNet
from hypercate.outcome_net import OutcomeNet
from hypercate.uncertainty import (
    FACTOR,
    SOURCES,
    Calibration,
    calibrate,
    missed_heterogeneity,
    mix,
    networks,
    spread,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
NET = OutcomeNet(3, (6, 5), "blunt_silu")


def about_their_mean(outcomes):
    """Deviations of members, whose sum of squares is their variance."""
    return (outcomes - outcomes.mean(axis=0)) / (len(outcomes) - 1) ** 0.5


def stderr(deviations, arm=1, control=0):
    """Standard error of a contrast at each row."""
    return np.sqrt(np.square(deviations[..., arm] - deviations[..., control]).sum(axis=0))


def some_deviations(b=5, n=7, n_arms=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(b, n, n_arms)) * rng.exponential(size=(n, 1))


def replicates(y, groups):
    """Members that predict arm 1 by the mean of y without a group of rows, and arm 0 by 0."""
    means = np.array([np.delete(y, group).mean() for group in groups])
    outcomes = np.zeros((len(groups), 3, 2))
    outcomes[..., 1] = means[:, None]
    return about_their_mean(outcomes)


class TestJackknife:
    y = np.random.default_rng(0).normal(size=20) * 3 + 1

    def test_of_means_without_one_row_each_is_the_standard_error_of_the_mean(self):
        members = replicates(self.y, np.arange(20)[:, None])
        found = stderr(spread(members, calibrate(members, members, 1 / 20)))
        np.testing.assert_allclose(found, FACTOR * self.y.std(ddof=1) / 20**0.5, rtol=1e-12)

    @pytest.mark.parametrize("n_groups", [5, 3, 2])
    def test_of_means_without_a_fifth_each_is_that_of_a_mean_of_five_means(self, n_groups):
        """With some of the fifths only, their means' variance is estimated from these."""
        groups = np.arange(20).reshape(5, 4)[:n_groups]
        members = replicates(self.y, groups)
        of_groups = self.y[groups].mean(axis=1)
        found = stderr(spread(members, calibrate(members, members, 1 / 5)))
        np.testing.assert_allclose(found, FACTOR * of_groups.std(ddof=1) / 5**0.5, rtol=1e-12)

    def test_of_all_fifths_is_what_the_books_say(self):
        members = replicates(self.y, np.arange(20).reshape(5, 4))
        means = [np.delete(self.y, group).mean() for group in np.arange(20).reshape(5, 4)]
        variance = 4 / 5 * sum((mean - np.mean(means)) ** 2 for mean in means)
        found = stderr(spread(members, calibrate(members, members, 1 / 5)))
        np.testing.assert_allclose(found**2, FACTOR**2 * variance, rtol=1e-12)

    @pytest.mark.parametrize("held_share", [0.1, 0.2, 0.5])
    def test_other_deviations_get_the_size_of_the_members_at_a_typical_row(self, held_share):
        members, drawn = some_deviations(4), some_deviations(40, seed=1)
        calibration = calibrate(drawn, members, held_share)
        needed = FACTOR * (1 - held_share) / held_share**0.5 * stderr(members).mean()
        assert calibration.scale * stderr(drawn).mean() == pytest.approx(needed, rel=1e-12)

    def test_what_all_arms_have_in_common_has_no_say(self):
        members, drawn = some_deviations(4, n_arms=3), some_deviations(40, n_arms=3, seed=1)
        common = 9 * np.random.default_rng(2).normal(size=(4, 7, 1))
        plain, shifted = calibrate(drawn, members, 0.2), calibrate(drawn, members + common, 0.2)
        assert shifted.scale == pytest.approx(plain.scale, rel=1e-12)
        np.testing.assert_allclose(shifted.level, plain.level, atol=1e-9)

    def test_degrees_of_freedom_and_shrinkage_weigh_members_against_a_prior_of_8(self):
        for n_members, dof, shrinkage in [(2, 9, 8 / 9), (5, 12, 2 / 3), (9, 16, 1 / 2)]:
            members = some_deviations(n_members)
            calibration = calibrate(members, members, 0.2)
            assert calibration.dof == dof
            assert calibration.shrinkage == pytest.approx(shrinkage)


class TestShrinkage:
    @quick
    @given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 10**6))
    def test_two_arms_variance_lies_between_a_rows_own_and_a_typical_rows(self, b, n, seed):
        deviations = some_deviations(b, n, seed=seed)
        calibration = calibrate(deviations, deviations, 0.2)
        own = calibration.scale * stderr(deviations)
        share = calibration.shrinkage
        expected = (1 - share) * own**2 + share * own.mean() ** 2
        np.testing.assert_allclose(stderr(spread(deviations, calibration)) ** 2, expected)

    def test_a_typical_row_of_many_arms_is_the_mean_of_rows_by_their_share(self):
        deviations = some_deviations(6, 5, 4)
        calibration = calibrate(deviations, deviations, 0.2)
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
        deviations = np.zeros((6, 5, 3))
        deviations[..., 2] = np.random.default_rng(0).normal(size=(6, 5))
        spread_out = spread(deviations, calibrate(deviations, deviations, 0.2))
        np.testing.assert_allclose(stderr(spread_out, 1, 0), 0, atol=1e-7)
        assert (stderr(spread_out, 2, 0) > 0.1).all()
        np.testing.assert_allclose(stderr(spread_out, 2, 0), stderr(spread_out, 2, 1))

    @pytest.mark.parametrize("unit", [1e-9, 1e9])
    def test_the_unit_of_the_outcome_goes_through(self, unit):
        deviations = some_deviations(n_arms=3)
        plain = calibrate(deviations, deviations, 0.2)
        scaled = calibrate(unit * deviations, unit * deviations, 0.2)
        assert scaled.scale == pytest.approx(plain.scale, rel=1e-9)
        np.testing.assert_allclose(
            stderr(spread(unit * deviations, scaled)),
            unit * stderr(spread(deviations, plain)),
            rtol=1e-6,
        )

    @quick
    @given(st.permutations(range(4)), st.integers(0, 10**6))
    def test_the_order_of_arms_does_not_matter(self, order, seed):
        deviations = some_deviations(n_arms=4, seed=seed)
        plain = spread(deviations, calibrate(deviations, deviations, 0.2))
        turned = deviations[..., order]
        turned = spread(turned, calibrate(turned, turned, 0.2))
        for at, of in itertools.combinations(range(4), 2):
            np.testing.assert_allclose(
                stderr(turned, at, of), stderr(plain, order[at], order[of]), rtol=1e-6, atol=1e-9
            )

    def test_a_row_without_deviations_is_still_not_certain(self):
        deviations = some_deviations()
        deviations[:, 3] = 0
        found = stderr(spread(deviations, calibrate(deviations, deviations, 0.2)))
        assert found.min() == found[3] > 0

    @pytest.mark.filterwarnings("error")
    def test_nothing_deviates_at_all(self):
        still = np.zeros((5, 4, 2))
        calibration = calibrate(still, still, 0.2)
        assert np.isfinite(calibration.scale)
        assert (spread(still, calibration) == 0).all()
        moving = calibrate(some_deviations(n=4), still, 0.2)
        assert (spread(some_deviations(n=4), moving) == 0).all()

    def test_without_calibration_deviations_are_as_they_are(self):
        deviations = some_deviations(n_arms=3)
        calibration = Calibration.none(3)
        plain = spread(deviations, calibration)
        np.testing.assert_array_equal(plain[:5], deviations)
        assert (plain[5:] == 0).all()
        assert calibration.dof == np.inf


def ensemble(dropout=0.4, n_members=3, device="cpu", noise=0.3):
    """Members whose weights lie 1000 apart, so that a network tells whose it is."""
    hypernet = HyperNet(NET, 2, "chunk", 4, 2, 4, (8, 8), dropout, False, noise)
    generator = torch.Generator().manual_seed(0)
    params, buffers = hypernet.init(
        torch.ones(n_members), torch.ones(n_members, NET.n_inputs), generator
    )
    params["common"] += 1000 * torch.arange(n_members)[:, None]
    return (
        hypernet,
        {k: v.to(device) for k, v in params.items()},
        {k: v.to(device) for k, v in buffers.items()},
    )


def owner(theta):
    return (theta.mean(dim=(1, 2)) / 1000).round().int().tolist()


def at_random(theta, seed=0):
    """Outcomes of so many networks, one number each."""
    return np.random.default_rng(seed).normal(size=len(theta))


def cross_fit(residual, arm, weight=None):
    n_arms = arm.max() + 1
    outcomes = np.random.default_rng(1).normal(size=(len(arm), n_arms))
    weight = np.ones(len(arm)) if weight is None else weight
    propensity = np.full(outcomes.shape, 1 / n_arms)
    return CrossFit(
        arm, outcomes[np.arange(len(arm)), arm] + residual, weight, outcomes, propensity
    )


class TestMissedHeterogeneity:
    arm = np.repeat([0, 1], [100, 25])

    def test_is_that_of_a_gain_of_one_standard_error(self):
        """A network that knew effects of the size found would gain its own standard error."""
        rng = np.random.default_rng(0)
        arm = np.repeat([0, 1], 20_000)
        noise = 3 * rng.normal(size=len(arm))
        found = missed_heterogeneity(cross_fit(noise, arm))[1]
        departure = found * rng.choice([-1, 1], 20_000)
        of_constant, of_other = (noise[arm == 1] + departure) ** 2, noise[arm == 1] ** 2
        error = (of_constant - of_other).std() / 20_000**0.5
        assert found**2 == pytest.approx(error, rel=0.03)

    def test_fewer_rows_and_noisier_ones_miss_more(self):
        noise = np.where(self.arm, 2.0, 1.0)
        np.testing.assert_allclose(missed_heterogeneity(cross_fit(noise, self.arm)), [0.2, 0.8])

    def test_weights_count_by_their_ratios_and_rows_of_none_held_out_do_not(self):
        noise = np.random.default_rng(0).normal(size=125)
        plain = missed_heterogeneity(cross_fit(noise, self.arm))
        weighted = missed_heterogeneity(cross_fit(noise, self.arm, np.full(125, 7.0)))
        np.testing.assert_allclose(weighted, plain)
        uneven = np.where(np.arange(125) % 2, 1e-9, 1.0)
        kept = missed_heterogeneity(cross_fit(noise[::2], self.arm[::2]))
        np.testing.assert_allclose(
            missed_heterogeneity(cross_fit(noise, self.arm, uneven)), kept, rtol=1e-6
        )
        fit = cross_fit(noise, self.arm)
        fit.outcomes[1::2] = np.nan
        np.testing.assert_allclose(missed_heterogeneity(fit), kept)

    @pytest.mark.parametrize("unit", [1e-200, 1e200])
    def test_the_unit_of_the_outcome_goes_through(self, unit):
        noise = np.random.default_rng(0).normal(size=125)
        fit = cross_fit(np.zeros(125), self.arm)
        fit.outcomes[:] = 0
        plain, found = (missed_heterogeneity(replace(fit, y=y)) for y in (noise, unit * noise))
        np.testing.assert_allclose(found, unit * plain)

    def test_adds_its_variance_to_every_row_of_a_contrast(self):
        deviations = some_deviations(n_arms=3)
        missed = np.array([0.0, 3.0, 4.0])
        plain = spread(deviations, calibrate(deviations, deviations, 0.2))
        wider = spread(deviations, calibrate(deviations, deviations, 0.2, missed))
        for arm, control, added in [(1, 0, 9), (2, 0, 16), (2, 1, 25)]:
            expected = stderr(plain, arm, control) ** 2 + added
            np.testing.assert_allclose(stderr(wider, arm, control) ** 2, expected)


class TestNetworks:
    @pytest.mark.parametrize("rate", [0.0, 0.4])
    def test_members_spread_about_their_mean_with_their_variance(self, rate):
        theta, mixture = networks(*ensemble(rate, noise=rate), "members", 0)
        assert owner(theta) == [0, 1, 2]
        f = at_random(theta)
        assert np.square(mixture @ f).sum() == pytest.approx(f.var(ddof=1))

    @pytest.mark.parametrize("source", PERTURBATIONS)
    @pytest.mark.parametrize("n_members", [1, 3, 5, 60])
    def test_a_perturbation_spreads_about_each_member(self, n_members, source):
        theta, mixture = networks(*ensemble(0.4, n_members), source, 0)
        f, whose = at_random(theta), owner(theta)
        assert whose[:n_members] == [*range(n_members)]
        drawn = range(n_members, len(theta))
        expected = np.mean([(f[i] - f[whose[i]]) ** 2 for i in drawn])
        assert np.square(mixture @ f).sum() == pytest.approx(expected)

    @pytest.mark.parametrize("n_members", [1, 3])
    def test_both_spread_about_the_mean_of_the_members(self, n_members):
        theta, mixture = networks(*ensemble(0.4, n_members), "both", 0)
        f = at_random(theta)
        expected = np.square(f[n_members:] - f[:n_members].mean()).mean()
        assert np.square(mixture @ f).sum() == pytest.approx(expected)

    @pytest.mark.parametrize("source", SOURCES)
    def test_what_is_the_same_in_all_networks_is_no_deviation(self, source):
        theta, mixture = networks(*ensemble(), source, 0)
        np.testing.assert_allclose(mixture @ np.ones(len(theta)), 0, atol=1e-12)

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("source", [*PERTURBATIONS, "both"])
    @pytest.mark.parametrize("n_members", [1, 3, 7])
    def test_members_are_perturbed_equally_often_and_not_too_many_networks_are_held(
        self, source, device, n_members
    ):
        theta, _ = networks(*ensemble(0.4, n_members, device), source, 0)
        times = np.bincount(owner(theta.cpu())[n_members:])
        assert len(times) == n_members
        assert np.ptp(times) == 0
        assert 40 <= times.sum() < 40 + n_members

    @pytest.mark.parametrize("source", [*PERTURBATIONS, "both"])
    def test_a_seed_gives_the_same_networks_and_global_state_is_left_alone(self, source):
        members = ensemble()
        state = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        first, again, other = (networks(*members, source, seed)[0] for seed in (0, 0, 1))
        after = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        assert after == state
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @pytest.mark.parametrize("noise", [0.0, 0.3])
    def test_by_dropout_each_is_a_generator_with_some_units_dropped_and_no_noise(self, noise):
        members = ensemble(n_members=1, noise=noise)
        theta, _ = networks(*members, "dropout", 0)
        assert len(theta.unique(dim=0)) > 30
        masks = torch.tensor(list(itertools.product([0.0, 1 / 0.6], repeat=8)))
        possible = torch.cat(
            [members[0].generate(*members[1:], {"dropout": mask}) for mask in masks[:, None]]
        )
        for network in theta[1:]:
            assert (network - possible).abs().amax(dim=(1, 2)).min() < 1e-5

    @pytest.mark.parametrize("dropout", [0.0, 0.4])
    def test_by_noise_each_is_a_generator_told_noise_with_no_unit_dropped(self, dropout):
        """Only what the noise does to the first hidden layer tells networks apart."""
        hypernet, params, buffers = ensemble(dropout, n_members=1)
        theta, _ = networks(hypernet, params, buffers, "noise", 0)
        assert len(theta.unique(dim=0)) == len(theta)
        params = params | {"noise_matrix": torch.zeros_like(params["noise_matrix"])}
        still, _ = networks(hypernet, params, buffers, "noise", 0)
        torch.testing.assert_close(still, theta[:1].expand_as(still))

    def test_both_are_perturbed_by_all_that_is_on(self):
        """Without the one, networks are those that the other alone gives."""
        hypernet, params, buffers = ensemble(n_members=1)
        both, by_dropout, by_noise = (
            networks(hypernet, params, buffers, source, 0)[0] for source in ("both", *PERTURBATIONS)
        )
        assert not torch.isclose(both[1:], by_dropout[1:]).all(dim=(1, 2)).any()
        assert not torch.isclose(both[1:], by_noise[1:]).all(dim=(1, 2)).any()
        quiet = params | {"noise_matrix": torch.zeros_like(params["noise_matrix"])}
        dropped, _ = networks(hypernet, quiet, buffers, "both", 0)
        torch.testing.assert_close(dropped, by_dropout)
        only_noise = ensemble(0.0, n_members=1)
        told, alone = (networks(*only_noise, source, 0)[0] for source in ("both", "noise"))
        assert torch.equal(told, alone)

    @pytest.mark.parametrize("source", SOURCES)
    def test_they_carry_no_gradient(self, source):
        hypernet, params, buffers = ensemble()
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        assert not networks(hypernet, params, buffers, source, 0)[0].requires_grad


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


def members_effects(est, X):
    theta = est._hypernet.generate(est._params, est._buffers)[:, est._rank]
    link = est._learner.potential_outcome
    outcomes = potential_outcomes(est._hypernet.net, theta, est._inputs(est._encode(X)), link)
    return outcomes[..., 1:] - outcomes[..., :1]


class TestFits:
    def test_how_sure_predictions_are_has_no_say_in_them(self, fits):
        X, by_key = fits
        expected = by_key["members", True].predict(X)
        for est in by_key.values():
            np.testing.assert_array_equal(est.predict(X), expected)

    def test_uncalibrated_members_have_their_plain_spread_and_normal_quantiles(self, fits):
        X, by_key = fits
        est = by_key["members", False]
        effects = members_effects(est, X)
        half = 1.959964 * effects.std(axis=0, ddof=1)
        lower, upper = est.effect_interval(X)
        np.testing.assert_allclose(upper, effects.mean(axis=0) + half, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(lower, effects.mean(axis=0) - half, rtol=1e-5, atol=1e-5)
        assert (est.calibration_.scale, est.calibration_.dof) == (1, np.inf)

    @pytest.mark.parametrize("source", PERTURBATIONS)
    def test_uncalibrated_a_perturbation_has_the_spread_of_its_networks(self, source, fits):
        X, by_key = fits
        est = by_key[source, False]
        theta, mixture = networks(est._hypernet, est._params, est._buffers, source, est._seed)
        link = est._learner.potential_outcome
        outcomes = potential_outcomes(
            est._hypernet.net, theta[:, est._rank], est._inputs(est._encode(X)), link
        )
        effects = np.tensordot(mixture, outcomes[..., 1:] - outcomes[..., :1], 1)
        expected = np.sqrt(np.square(effects).sum(axis=0))
        found = est.effect_inference(X).stderr
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert not np.allclose(found, by_key["members", False].effect_inference(X).stderr, rtol=0.1)
        both = by_key["both", False].effect_inference(X).stderr
        assert both.mean() > max(found.mean(), 0.9 * members_effects(est, X).std(axis=0).mean())

    def test_calibrated_sources_agree_on_a_typical_row(self, fits):
        """Root mean square over all pairs of arms of the deviations between them."""
        X, by_key = fits
        sizes = {}
        for source in SOURCES:
            est = by_key[source, True]
            assert est.calibration_.dof == 8 + 3
            assert est.calibration_.scale > 0
            pairs = itertools.combinations(range(3), 2)
            variance = [est.effect_inference(X, T0=a, T1=b).stderr ** 2 for a, b in pairs]
            sizes[source] = np.sqrt(np.sum(variance, axis=0)).mean()
        for source in SOURCES:
            assert sizes[source] == pytest.approx(sizes["members"], rel=0.1)

    def test_calibration_widens_what_members_that_share_rows_leave_narrow(self, fits):
        """Each holds out 1 of 5 rows: the jackknife's own factor is 0.8 / sqrt(0.2)."""
        X, by_key = fits
        jackknife = FACTOR * 0.8 / 0.2**0.5
        assert by_key["members", True].calibration_.scale == pytest.approx(jackknife, rel=0.02)
        wide, narrow = (by_key["members", c].effect_inference(X).stderr for c in (True, False))
        assert wide.mean() > 1.4 * narrow.mean()

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

    @pytest.mark.parametrize("source", PERTURBATIONS)
    def test_a_perturbation_needs_one_member_only(self, source):
        X, y, arm = rows(80)
        est = fit(X, y, arm, n_members=1, **PERTURBED, uncertainty=source)
        lower, upper = est.effect_interval(X)
        assert (lower < upper).all()
        assert est.calibration_.dof == np.inf
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
        est = fit(X, np.full(80, 7.0), arm, sharing="auto", max_epochs=30, **settings)
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
        X, y, arm = rows(400, effect=0)
        arm = np.where(arm == 1, np.where(np.arange(400) % 8, 2, 1), arm)[::-1]
        found, said = (fit(X, y, arm, sharing=sharing) for sharing in ("auto", "intercept"))
        assert (found.sharing_["chosen"] == "intercept").all()
        missed = missed_heterogeneity(found._crossfit)
        assert missed[1] > 2 * missed[2]
        added = found.calibration_.level[-3:, found._rank]
        np.testing.assert_allclose(np.sqrt(np.square(added).sum(axis=0)), missed)
        for T0, T1 in [(0, 1), (0, 2), (1, 2)]:
            stderr = found.effect_inference(X, T0=T0, T1=T1).stderr
            assert (stderr**2 > missed[T0] ** 2 + missed[T1] ** 2).all()
        assert len(said.calibration_.level) == 3

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
        assert np.mean(holds) >= 0.9

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
