"""Intervals of a person's own effect where noise is independent: narrow, and never too narrow."""

from dataclasses import replace

import numpy as np
import pytest
from held_out import errors_of, random_errors, some_evidence, written_down
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hypercate.inference import conformal
from hypercate.inference.conformal import HeldOutErrors
from hypercate.inference.independent import individual_effect_interval

quick = settings(max_examples=60, deadline=None, derandomize=True)
alphas = st.floats(0.001, 0.999)
seeds = st.integers(0, 10_000)
STEP = 8 / 2**12  # of the lattice, in sums of both arms' errors that nine in ten do not exceed


def whatever_the_dependence(*arguments):
    return conformal.individual_effect_interval(*arguments)


def by_all_pairs(errors, outcomes, propensity, alpha, n_predicting=None):
    """Bounds of arm 1 against arm 0 by the definition, and by how much rounding may widen them."""
    signed, weight, beyond = {}, {}, 1.0
    for arm in (0, 1):
        mine = errors.arm == arm
        mu, error = outcomes[errors.member[mine], arm], errors.error[mine]
        signed[arm] = np.concatenate([mu - error, mu + error])
        total = errors.weight[mine].sum()
        weight[arm] = np.tile(errors.weight[mine], 2) / 2 / (total + 1 / propensity[arm])
        beyond *= 1 - 0.5 / (1 + total * propensity[arm])
    difference = np.subtract.outer(signed[1], signed[0]).ravel()
    weight = np.multiply.outer(weight[1], weight[0]).ravel()
    predicted = outcomes[:n_predicting].mean(axis=0)
    ends = []
    for sign in (1, -1):
        order = np.argsort(sign * difference)
        above = np.append(weight[order][::-1].cumsum()[::-1][1:], 0) + 1 - beyond
        fits = above <= alpha / 2 + 1e-12
        least = (sign * difference)[order][fits.argmax()] if fits.any() else np.inf
        ends.append(sign * max(least, sign * (predicted[1] - predicted[0])))
    largest = (np.quantile(errors.error[errors.arm == arm], 0.95) for arm in (0, 1))
    return ends[1], ends[0], 3 * STEP * sum(largest) + 1e-9


class TestConvolution:
    @quick
    @given(seeds, st.floats(0.15, 0.95), st.sampled_from([None, 1]), st.booleans())
    def test_bounds_are_those_of_all_pairs_of_errors_but_for_rounding(
        self, seed, alpha, n_predicting, ties
    ):
        errors, outcomes, propensity = random_errors(seed, n=80, n_arms=2)
        propensity = propensity.clip(0.2)
        if ties:
            errors, outcomes = replace(errors, error=np.round(errors.error)), np.round(outcomes)
        asked = (errors, 0, 1, outcomes, propensity, alpha, False, n_predicting)
        found = np.array(individual_effect_interval(*asked))[..., 0]
        widest = np.array(whatever_the_dependence(*asked))[..., 0]
        for row in range(20):
            lower, upper, rounding = by_all_pairs(
                errors, outcomes[:, row], propensity[row], alpha, n_predicting
            )
            lower, upper = max(lower, widest[0, row]), min(upper, widest[1, row])
            assert lower - rounding <= found[0, row] <= lower + 1e-9
            assert upper - 1e-9 <= found[1, row] <= upper + rounding

    def test_of_normal_errors_they_are_normal_quantiles_to_a_percent(self):
        n = 20_000
        scale = np.array([1.0, 0.5])
        errors = errors_of(
            stats.norm.ppf((np.arange(n) // 2 + 0.5) / (n // 2)) * scale[np.arange(n) % 2],
            arm=np.arange(n) % 2,
            member=np.arange(n) // 2 % 5,
        )
        for alpha in (0.5, 0.2, 0.1, 0.05, 0.01):
            lower, upper = individual_effect_interval(
                errors, 0, 1, np.zeros((5, 1, 2)), np.full((1, 2), 0.5), alpha
            )
            exact = stats.norm.ppf(1 - alpha / 2) * 1.25**0.5
            assert exact <= upper <= 1.015 * exact
            assert lower == -upper

    @pytest.mark.parametrize("n_members", [1, 40])
    def test_one_member_and_many(self, n_members):
        errors, outcomes, propensity = random_errors(0, n=400, n_arms=2, n_members=n_members)
        propensity = propensity.clip(0.2)
        lower, upper = individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.2)
        for row in range(20):
            exact = by_all_pairs(errors, outcomes[:, row], propensity[row], 0.2)
            assert exact[0] - 0.1 <= lower[row] <= exact[0] + 1e-9
            assert exact[1] - 1e-9 <= upper[row] <= exact[1] + 0.1

    def test_an_outlier_moves_the_bounds_no_more_than_a_large_error(self):
        errors, outcomes, propensity = random_errors(0, n=400, n_arms=2)
        bounds = []
        for largest in (1e2, 1e12):
            error = np.where(np.arange(400) == 7, largest, errors.error)
            bounds.append(
                individual_effect_interval(
                    replace(errors, error=error), 0, 1, outcomes, propensity.clip(0.2), 0.2
                )
            )
        np.testing.assert_array_equal(*bounds)

    @pytest.mark.parametrize("apart", [0.0, 1.0, 1e300])
    def test_members_without_errors_say_what_they_disagree_by(self, apart):
        errors = errors_of(np.zeros(200), arm=np.arange(200) % 2, member=np.arange(200) // 2 % 2)
        outcomes = np.array([[0.0, 0.0], [0.0, apart]])[:, None]
        asked = (errors, 0, 1, outcomes, np.ones((1, 2)), 0.2)
        lower, upper = individual_effect_interval(*asked)
        assert lower <= 0
        assert upper >= apart
        np.testing.assert_array_equal((lower, upper), whatever_the_dependence(*asked))


class TestBounds:
    @quick
    @given(seeds, alphas, st.booleans(), st.sampled_from([None, 1]))
    def test_within_those_of_any_dependence_and_around_the_prediction(
        self, seed, alpha, binary, n_predicting
    ):
        errors, outcomes, propensity = random_errors(seed, binary=binary)
        asked = (errors, 0, 2, outcomes, propensity, alpha, binary, n_predicting)
        lower, upper = individual_effect_interval(*asked)
        widest = whatever_the_dependence(*asked)
        assert (widest[0] <= lower).all()
        assert (upper <= widest[1]).all()
        predicted = outcomes[:n_predicting].mean(axis=0)
        predicted = predicted >= 0.5 if binary else predicted
        effect = predicted[:, [2]] * 1.0 - predicted[:, [0]]
        assert ((lower <= effect) & (effect <= upper)).all()

    @quick
    @given(seeds, alphas, alphas, st.booleans())
    def test_nested_in_alpha(self, seed, one, other, binary):
        errors, outcomes, propensity = random_errors(seed, n=200, binary=binary)
        (low, high), (lower, upper) = (
            individual_effect_interval(errors, 0, 2, outcomes, propensity, alpha, binary)
            for alpha in (max(one, other), min(one, other))
        )
        assert (lower <= low).all()
        assert (low <= high).all()
        assert (high <= upper).all()

    @quick
    @given(seeds, alphas, st.booleans())
    def test_swapped_arms_mirror_the_effect(self, seed, alpha, binary):
        errors, outcomes, propensity = random_errors(seed, n=400, binary=binary)
        lower, upper = individual_effect_interval(errors, 0, 2, outcomes, propensity, alpha, binary)
        mirrored = individual_effect_interval(errors, 2, 0, outcomes, propensity, alpha, binary)
        np.testing.assert_array_equal(mirrored, [-upper, -lower])

    @quick
    @given(seeds, st.sampled_from([0.125, 4.0, 1024.0]))
    def test_follows_the_unit_of_the_outcome(self, seed, factor):
        errors, outcomes, propensity = random_errors(seed, n=200)
        scaled = replace(errors, error=factor * errors.error)
        np.testing.assert_array_equal(
            individual_effect_interval(scaled, 0, 1, factor * outcomes, propensity, 0.4),
            factor * np.array(individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.4)),
        )

    @settings(quick, max_examples=15)
    @given(seeds, alphas, st.booleans())
    def test_several_effects_are_those_of_each_pair(self, seed, alpha, binary):
        errors, outcomes, propensity = random_errors(seed, n=200, binary=binary)
        control = np.random.default_rng(seed).integers(0, 3, (20, 1))
        found = individual_effect_interval(
            errors, control, np.array([2, 0]), outcomes, propensity, alpha, binary
        )
        for column, treated in enumerate([2, 0]):
            for row, arm in enumerate(control[:, 0]):
                lower, upper = individual_effect_interval(
                    errors, arm, treated, outcomes[:, [row]], propensity[[row]], alpha, binary
                )
                assert (lower, upper) == (found[0][row, column], found[1][row, column])

    def test_an_arm_against_itself_has_no_effect(self):
        errors, outcomes, propensity = random_errors(0, n=200)
        arms = np.arange(20)[:, None] % 3
        found = individual_effect_interval(errors, arms, 1, outcomes, propensity, 0.4)
        assert (np.array(found)[:, arms == 1] == 0).all()
        assert (found[0] < found[1])[arms != 1].all()

    @quick
    @given(seeds, alphas, st.integers(2, 4))
    def test_rows_written_down_several_times_give_the_bounds_of_once(self, seed, alpha, times):
        evidence = some_evidence(seed)
        once, often = HeldOutErrors.of(evidence), HeldOutErrors.of(written_down(evidence, times))
        rng = np.random.default_rng(seed)
        new = (0, np.array([1, 2]), rng.random((6, 20, 3)), rng.dirichlet(np.full(3, 2.0), 20))
        np.testing.assert_allclose(
            individual_effect_interval(often, *new, alpha),
            individual_effect_interval(once, *new, alpha),
            rtol=1e-12,
        )

    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 7, 80])
    def test_blocks_of_any_size_give_the_same(self, size, binary, monkeypatch):
        errors, outcomes, propensity = random_errors(0, binary=binary)
        new = (errors, 0, np.array([1, 2]), outcomes, propensity, 0.4, binary)
        whole = individual_effect_interval(*new)
        monkeypatch.setattr(conformal, "BLOCK_ELEMENTS", size)
        np.testing.assert_array_equal(individual_effect_interval(*new), whole)

    def test_infinite_where_the_unknown_outcomes_outweigh_alpha(self):
        """Of n rows an arm, half of 1 in n + 1 is unknown on each side in each arm."""
        for n, known in [(9, False), (10, True)]:
            errors = errors_of(np.arange(2 * n), arm=np.arange(2 * n) % 2)
            lower, upper = individual_effect_interval(
                errors, 0, 1, np.zeros((1, 1, 2)), np.ones((1, 2)), 0.18
            )
            assert np.isfinite([lower, upper]).all() == known

    @pytest.mark.parametrize("arms", [(0, 2), (2, 0)])
    def test_infinite_against_an_arm_without_held_out_rows(self, arms):
        errors = errors_of(np.arange(100.0), arm=np.arange(100) % 2, n_arms=3)
        asked = (errors, *arms, np.zeros((1, 1, 3)), np.full((1, 3), 1 / 3), 0.5)
        assert individual_effect_interval(*asked) == (-np.inf, np.inf)

    def test_infinite_for_a_person_who_never_gets_an_arm(self):
        errors = errors_of(np.arange(100.0), arm=np.arange(100) % 2)
        propensity = np.array([[1.0, 0.0], [0.5, 0.5]])
        lower, upper = individual_effect_interval(
            errors, 0, 1, np.zeros((1, 2, 2)), propensity, 0.5
        )
        assert np.isfinite(upper - lower).ravel().tolist() == [False, True]

    def test_no_new_rows_no_intervals(self):
        errors, outcomes, propensity = random_errors(0)
        found = individual_effect_interval(errors, 0, 1, outcomes[:, :0], propensity[:0], 0.4)
        assert [len(bound) for bound in found] == [0, 0]

    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, 95, np.nan, np.inf, "0.1", None, [0.1]])
    def test_alpha_is_a_number_between_0_and_1(self, alpha, binary):
        errors, outcomes, propensity = random_errors(0)
        with pytest.raises(ValueError, match="alpha="):
            individual_effect_interval(errors, 0, 1, outcomes, propensity, alpha, binary)


class TestBinary:
    @quick
    @given(seeds, alphas)
    def test_classes_are_excluded_at_the_level_of_two_independent_tests(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed, binary=True)
        found = individual_effect_interval(errors, 0, 2, outcomes, propensity, alpha, True)
        (low, high), (lower, upper) = (
            conformal.outcome_interval(
                errors, arm, outcomes[..., arm], propensity[:, arm], 1 - (1 - alpha) ** 0.5, True
            )
            for arm in (0, 2)
        )
        np.testing.assert_array_equal(np.array(found)[..., 0], [lower - high, upper - low])

    @pytest.mark.parametrize("alpha", [1e-300, 1e-17, 1 - 2**-53])
    def test_of_any_alpha(self, alpha):
        errors, outcomes, propensity = random_errors(0, binary=True)
        found = individual_effect_interval(errors, 0, 1, outcomes, propensity, alpha, True)
        assert set(np.ravel(found)) <= {-1, 0, 1}


def coverage(noise, n_rows=500):
    """Share of effects held at 90 %, and width as a share of that for any dependence."""
    held, width = [], []
    arm, none = np.arange(n_rows) % 2, np.zeros((5, 200, 2))
    for seed in range(200):
        rng = np.random.default_rng(seed)
        own = noise(rng, n_rows)[np.arange(n_rows), arm]
        errors = errors_of(own, propensity=0.5, arm=arm, member=np.arange(n_rows) // 2 % 5)
        asked = (errors, 0, 1, none, np.full((200, 2), 0.5), 0.1)
        effect = np.diff(noise(rng, 200))
        lower, upper = individual_effect_interval(*asked)
        held.append(np.mean((lower <= effect) & (effect <= upper)))
        widest = np.subtract(*whatever_the_dependence(*asked)[::-1])
        width.append(np.mean(upper - lower) / np.mean(widest))
    return np.mean(held), np.mean(width)


class TestCoverage:
    """Of effects that are noise alone, in 200 simulations; standard errors are 0.2 points."""

    @pytest.mark.parametrize(
        "noise",
        [
            lambda rng, n: rng.normal(size=(n, 2)),
            lambda rng, n: rng.normal(size=(n, 2)) * [1, 0.3],
            lambda rng, n: rng.standard_t(2, size=(n, 2)),
            lambda rng, n: np.column_stack([rng.normal(size=n), rng.exponential(size=n) - 1]),
            lambda rng, n: rng.uniform(0.1, 0.9, (n, 1)) * rng.normal(size=(n, 2)),
        ],
        ids=["normal", "of two sizes", "heavy", "skew in one arm", "larger for some"],
    )
    def test_independent_noise_is_held_at_the_rate_stated(self, noise):
        held, width = coverage(noise)
        assert 0.895 < held < 0.918
        assert width < 0.8

    def test_noise_that_is_skew_in_both_arms_costs_two_points(self):
        held, _ = coverage(lambda rng, n: rng.exponential(size=(n, 2)) - 1)
        assert 0.88 < held < 0.9

    def test_noise_of_opposite_signs_is_not_held(self):
        """Which is what no data can show: of 90 %, 1.645 / sqrt(2) standard deviations."""
        held, _ = coverage(lambda rng, n: rng.normal(size=(n, 1)) * [1, -1])
        assert held == pytest.approx(0.76, abs=0.02)

    def test_the_same_noise_is_held_always(self):
        assert coverage(lambda rng, n: rng.normal(size=(n, 1)) * [1, 1])[0] == 1
