"""Conformal intervals hold what they say they hold, and say so when they know nothing."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from held_out import errors_of, random_errors, some_evidence, written_down
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import judged_once
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures

from hypercate.inference import conformal
from hypercate.inference.conformal import (
    HeldOutErrors,
    individual_effect_interval,
    outcome_interval,
)

quick = settings(max_examples=60, deadline=None, derandomize=True)
alphas = st.floats(0.001, 0.999)
seeds = st.integers(0, 10_000)
ROWS, N, N_NEW, N_SIMULATIONS = np.arange(400), 400, 200, 200


def rows_of(errors, rows):
    parts = ("arm", "member", "error", "weight")
    return replace(errors, **{name: getattr(errors, name)[rows] for name in parts})


def radius(errors, propensity, alpha, arm=0):
    """Half the width around the outcome of one member."""
    propensity = np.atleast_1d(np.asarray(propensity, dtype=float))
    errors = replace(errors, member=np.zeros_like(errors.member))
    lower, upper = outcome_interval(errors, arm, np.zeros((1, len(propensity))), propensity, alpha)
    np.testing.assert_array_equal(lower, -upper)
    return upper


class TestErrors:
    def test_there_is_one_for_each_judgement_of_the_rows_own_arm(self):
        evidence = some_evidence()
        found = HeldOutErrors.of(evidence)
        assert found.n_arms == 3
        times = np.bincount(evidence.row)
        assert set(times) > {1, 2, 3}
        each = zip(found.member, found.arm, found.error, found.weight, strict=True)
        for judgement, (model, arm, error, weight) in enumerate(each):
            row = evidence.row[judgement]
            assert (model, arm) == (evidence.model[judgement], evidence.arm[row])
            assert error == abs(evidence.y[row] - evidence.outcomes[judgement, arm])
            expected = evidence.weight[row] / evidence.propensity[row, arm] / times[row]
            assert weight == pytest.approx(expected)

    def test_a_row_weighs_the_same_however_many_models_judge_it(self):
        evidence = some_evidence()
        found = HeldOutErrors.of(evidence)
        inverse = evidence.weight / evidence.propensity[np.arange(60), evidence.arm]
        np.testing.assert_allclose(
            np.bincount(found.arm, found.weight), np.bincount(evidence.arm, inverse)
        )

    def test_a_row_alone_is_a_person_and_one_of_a_cluster_as_many_as_are_of_its_arm(self):
        evidence = some_evidence()
        assert HeldOutErrors.of(evidence).together.tolist() == [1, 1, 1]
        cluster = np.random.default_rng(1).permutation(np.minimum(np.arange(60) // 4, 9))
        found = HeldOutErrors.of(replace(evidence, cluster=cluster)).together
        for arm in range(3):
            mine = cluster[evidence.arm == arm]
            assert found[arm] == pytest.approx(np.mean([(mine == own).sum() for own in mine]))

    @quick
    @given(seeds, alphas, st.integers(2, 4), st.booleans())
    def test_rows_written_down_several_times_give_the_bounds_of_once(
        self, seed, alpha, times, binary
    ):
        evidence = some_evidence(seed, binary=binary)
        once, often = HeldOutErrors.of(evidence), HeldOutErrors.of(written_down(evidence, times))
        rng = np.random.default_rng(seed)
        outcomes, propensity = rng.random((6, 20, 3)), rng.dirichlet(np.full(3, 2.0), 20)
        for arm in range(3):
            new = (arm, outcomes[..., arm], propensity[:, arm], alpha, binary)
            np.testing.assert_array_equal(
                outcome_interval(often, *new), outcome_interval(once, *new)
            )
        new = (np.array([[0]]), np.array([1, 2]), outcomes, propensity, alpha, binary)
        np.testing.assert_array_equal(
            individual_effect_interval(often, *new), individual_effect_interval(once, *new)
        )

    def test_copies_that_pass_for_persons_give_narrower_bounds(self):
        evidence = some_evidence()
        copies = written_down(evidence, 3)
        apart = replace(copies, cluster=np.arange(len(copies.y)))
        once, often = (radius(HeldOutErrors.of(each), 0.3, 0.12) for each in (evidence, apart))
        assert often < once


class TestQuantile:
    def test_nine_rows_alike_by_hand(self):
        errors = errors_of([9, -8, 7, -6, 5, -4, 3, -2, 1])
        for alpha, expected in [(0.9, 1), (0.5, 5), (0.2, 8), (0.1, 9), (0.11, 9), (0.09, np.inf)]:
            assert radius(errors, 1, alpha) == [expected]

    def test_three_unequal_rows_by_hand(self):
        # weights 2, 4, 2; the new row's own is 2 at a propensity of a half, 1 at one
        errors = errors_of([1, -2, 3], propensity=[0.5, 0.25, 0.5])
        for alpha, expected in [(0.8, 1), (0.7, 2), (0.4, 2), (0.39, 3), (0.2, 3), (0.1, np.inf)]:
            assert radius(errors, 0.5, alpha) == [expected]
        assert radius(errors, 1, 0.12) == [3]
        assert radius(errors, 1, 0.11) == [np.inf]

    def test_the_extreme_errors_are_reached_in_spite_of_rounding(self):
        for n in range(1, 100):
            errors = errors_of(np.arange(3 * n), propensity=0.3, arm=np.repeat([0, 1], [2 * n, n]))
            assert radius(errors, 0.3, 1 / (n + 1), arm=1) == [3 * n - 1]
            assert radius(errors, 0.3, 1 - 1e-15, arm=1) == [2 * n]

    @quick
    @given(
        st.lists(st.tuples(*[st.integers(1, 20)] * 3), min_size=1, max_size=15),
        st.lists(st.integers(1, 40), min_size=1, max_size=5),
        st.integers(1, 99),
    )
    def test_agrees_with_its_definition_in_exact_arithmetic(self, rows, own, percent):
        error, inverse, weight = np.array(rows).T
        errors = errors_of(error, 1 / inverse, weight)
        weights = (inverse * weight).tolist()
        for new, found in zip(own, radius(errors, 1 / np.array(own), percent / 100), strict=True):
            needed = Fraction(100 - percent, 100) * (sum(weights) + new)
            expected = [
                at
                for at in sorted(error.tolist())
                if sum(w for w, e in zip(weights, error, strict=True) if e <= at) >= needed
            ]
            assert found == (expected[0] if expected else np.inf)

    @quick
    @given(seeds, alphas)
    def test_a_row_of_double_weight_is_two_rows(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed)
        repeats = np.random.default_rng(seed).integers(1, 4, len(errors.error))
        weighted = replace(errors, weight=errors.weight * repeats)
        repeated = rows_of(errors, np.arange(len(repeats)).repeat(repeats))
        np.testing.assert_array_equal(
            outcome_interval(weighted, 1, outcomes[..., 1], propensity[:, 1], alpha),
            outcome_interval(repeated, 1, outcomes[..., 1], propensity[:, 1], alpha),
        )

    @quick
    @given(seeds, alphas, st.booleans())
    def test_only_errors_in_the_arm_count_in_whatever_order(self, seed, alpha, binary):
        errors, outcomes, propensity = random_errors(seed, binary=binary)
        order = np.random.default_rng(seed).permutation(len(errors.error))
        alone = rows_of(errors, order[errors.arm[order] == 2])
        new = (2, outcomes[..., 2], propensity[:, 2], alpha, binary)
        np.testing.assert_array_equal(outcome_interval(alone, *new), outcome_interval(errors, *new))

    @quick
    @given(seeds, alphas)
    def test_each_row_may_have_its_own_arm(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed)
        rows = np.arange(len(propensity))
        arms = np.random.default_rng(seed).integers(0, 3, len(rows))
        mixed = outcome_interval(
            errors, arms, outcomes[:, rows, arms], propensity[rows, arms], alpha
        )
        for arm in range(3):
            own = outcome_interval(errors, arm, outcomes[..., arm], propensity[:, arm], alpha)
            np.testing.assert_array_equal(
                np.array(mixed)[:, arms == arm], np.array(own)[:, arms == arm]
            )

    @quick
    @given(seeds, st.sampled_from([0.125, 4.0, 1024.0]))
    def test_follows_the_unit_of_the_outcome(self, seed, factor):
        errors, outcomes, propensity = random_errors(seed)
        scaled = replace(errors, error=factor * errors.error)
        np.testing.assert_array_equal(
            individual_effect_interval(scaled, 0, 1, factor * outcomes, propensity, 0.4),
            factor * np.array(individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.4)),
        )


class TestCVPlus:
    def test_two_members_by_hand(self):
        """Sums 0 + 1, 0 + 5, 4 + 2, 4 + 3 and differences 0 - 1, 0 - 5, 4 - 2, 4 - 3."""
        errors = errors_of([1, 5, 2, 3], member=[0, 0, 1, 1])
        new = np.array([[0.0], [4.0]])
        for alpha, expected in [(0.2, (-5, 7)), (0.4, (-1, 6)), (0.6, (1, 5)), (0.8, (2, 2))]:
            assert outcome_interval(errors, 0, new, np.ones(1), alpha) == expected
        assert outcome_interval(errors, 0, new, np.ones(1), 0.19) == (-np.inf, np.inf)

    @quick
    @given(
        st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 9)] * 2), max_size=25),
        st.lists(st.tuples(st.integers(1, 40), *[st.integers(-6, 6)] * 3), min_size=1, max_size=5),
        st.integers(1, 99),
    )
    def test_agrees_with_its_definition_in_exact_arithmetic(self, rows, persons, percent):
        """With ties, members without rows, and persons of whom nothing is known."""
        error, member, inverse, weight = np.array(rows, dtype=int).reshape(-1, 4).T
        member = member % 3
        own, *outcomes = np.array(persons).T
        outcomes = np.array(outcomes)
        errors = errors_of(error, 1 / inverse, weight, member=member)
        found = outcome_interval(errors, 0, outcomes.astype(float), 1 / own, percent / 100)
        weights = (inverse * weight).tolist()
        for person, (lower, upper) in enumerate(zip(*found, strict=True)):
            needed = Fraction(100 - percent, 100) * (sum(weights) + int(own[person]))

            def least(sums, needed=needed):
                reaching = (
                    at
                    for at in sorted(sums)
                    if sum(w for w, s in zip(weights, sums, strict=True) if s <= at) >= needed
                )
                return next(reaching, np.inf)

            mu, mean = outcomes[member, person], outcomes[:, person].mean()
            assert upper == max(least((mu + error).tolist()), mean)
            assert lower == min(-least((error - mu).tolist()), mean)

    @quick
    @given(seeds, alphas)
    def test_agrees_with_a_sort_of_all_sums(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed, n=300)
        for arm in range(3):
            mine = rows_of(errors, errors.arm == arm)
            mu = outcomes[mine.member, :, arm]
            needed = (1 - alpha) * (mine.weight.sum() + 1 / propensity[:, arm])
            mean = outcomes[..., arm].mean(axis=0)
            bounds = []
            for sums in (mine.error[:, None] - mu, mine.error[:, None] + mu):
                order = np.argsort(sums, axis=0)
                few = (np.cumsum(mine.weight[order], axis=0) < needed).sum(axis=0)
                ordered = np.vstack([np.take_along_axis(sums, order, 0), np.full(20, np.inf)])
                bounds.append(ordered[few, np.arange(20)])
            found = outcome_interval(errors, arm, outcomes[..., arm], propensity[:, arm], alpha)
            np.testing.assert_allclose(found[0], np.minimum(-bounds[0], mean), rtol=1e-14)
            np.testing.assert_allclose(found[1], np.maximum(bounds[1], mean), rtol=1e-14)

    @quick
    @given(seeds, alphas, st.booleans())
    def test_a_class_is_excluded_if_too_few_err_by_as_much(self, seed, alpha, binary_errors):
        errors, outcomes, propensity = random_errors(seed, binary=True)
        if binary_errors:  # ties
            errors = replace(errors, error=np.round(errors.error, 1))
            outcomes = np.round(outcomes, 1)
        found = outcome_interval(errors, 1, outcomes[..., 1], propensity[:, 1], alpha, True)
        mine = rows_of(errors, errors.arm == 1)
        own, likelier = 1 / propensity[:, 1], outcomes[..., 1].mean(axis=0) >= 0.5
        possible = []
        for y in (0, 1):
            distance = y - outcomes[..., 1] if y else outcomes[..., 1]
            as_far = (mine.error[:, None] >= distance[mine.member]) * mine.weight[:, None]
            p_value = (as_far.sum(axis=0) + own) / (mine.weight.sum() + own)
            possible.append((p_value > alpha) | (likelier == y))
        np.testing.assert_array_equal(found[0], ~possible[0])
        np.testing.assert_array_equal(found[1], possible[1])

    @quick
    @given(seeds, alphas, st.sampled_from([1, 4]))
    def test_members_alike_have_their_mean_and_the_errors_quantile(self, seed, alpha, n_members):
        errors, outcomes, propensity = random_errors(seed, n_members=n_members)
        alike = outcomes[:1, :, 2].repeat(n_members, axis=0)
        lower, upper = outcome_interval(errors, 2, alike, propensity[:, 2], alpha)
        width = radius(errors, propensity[:, 2], alpha, 2)
        np.testing.assert_array_equal(lower, alike[0] - width)
        np.testing.assert_array_equal(upper, alike[0] + width)

    @quick
    @given(seeds, alphas)
    def test_lies_within_the_errors_quantile_of_the_outermost_members(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed)
        outcomes, width = outcomes[..., 0], radius(errors, propensity[:, 0], alpha)
        lower, upper = outcome_interval(errors, 0, outcomes, propensity[:, 0], alpha)
        assert (lower <= outcomes.mean(axis=0)).all()
        assert (outcomes.mean(axis=0) <= upper).all()
        assert (lower >= outcomes.min(axis=0) - width).all()
        assert (upper <= outcomes.max(axis=0) + width).all()
        np.testing.assert_array_equal(np.isfinite(lower), np.isfinite(width))
        np.testing.assert_array_equal(np.isfinite(upper), np.isfinite(width))

    @quick
    @given(seeds, alphas, st.integers(0, 3), st.floats(0, 3))
    def test_follows_a_member_that_says_more_by_no_more_than_it(self, seed, alpha, member, more):
        errors, outcomes, propensity = random_errors(seed, n=200)
        before, after = outcomes[..., 0], outcomes[..., 0].copy()
        after[member] += more
        old, new = (
            np.array(outcome_interval(errors, 0, mu, propensity[:, 0], alpha))
            for mu in (before, after)
        )
        known = np.isfinite(old)
        np.testing.assert_array_equal(np.isfinite(new), known)
        assert (new >= old - 1e-12).all()
        assert (new <= old + more + 1e-12).all()

    def test_members_that_disagree_have_wider_intervals(self):
        rng = np.random.default_rng(0)
        errors = errors_of(rng.normal(size=5000), member=np.arange(5000) % 5)
        spread = np.linspace(-1, 1, 5)[:, None] * np.array([0, 0.5, 1, 2, 4])
        lower, upper = outcome_interval(errors, 0, spread, np.ones(5), 0.1)
        assert (np.diff(upper - lower) > 0.05).all()
        np.testing.assert_allclose(lower, -upper, atol=0.3)

    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 7, 80])
    def test_blocks_of_any_size_give_the_same(self, size, binary, monkeypatch):
        errors, outcomes, propensity = random_errors(0, binary=binary)
        whole = individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.4, binary)
        monkeypatch.setattr(conformal, "BLOCK_ELEMENTS", size)
        in_blocks = individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.4, binary)
        np.testing.assert_array_equal(in_blocks, whole)


class TestNothingKnown:
    @pytest.mark.parametrize(("n", "known"), [(18, False), (19, True), (20, True)])
    def test_too_few_rows_for_alpha(self, n, known):
        errors = errors_of(np.arange(n))
        assert np.isfinite(radius(errors, 1, 0.05)) == known

    def test_an_arm_without_held_out_rows(self):
        errors = errors_of(np.arange(100.0), n_arms=3)
        lower, upper = outcome_interval(errors, 1, np.zeros((1, 2)), np.array([0.5, 1.0]), 0.5)
        assert (lower == -np.inf).all()
        assert (upper == np.inf).all()
        nobody = errors_of([])
        assert radius(nobody, 1, 0.99) == [np.inf]

    def test_a_person_who_outweighs_the_held_out_rows(self):
        errors = errors_of(np.arange(100.0), propensity=0.5)
        found = radius(errors, [0.5, 0.1, 0.05, 0.04, 1e-9, 5e-324, 0], 0.1)
        assert np.isfinite(found).tolist() == [True] * 3 + [False] * 4

    def test_the_effect_is_unknown_if_either_outcome_is(self):
        errors = errors_of(np.arange(100.0), arm=np.arange(100) % 2, n_arms=3)
        outcomes, propensity = np.zeros((1, 1, 3)), np.full((1, 3), 1 / 3)
        assert np.isfinite(
            individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.5)
        ).all()
        for control, treated in [(0, 2), (2, 0)]:
            lower, upper = individual_effect_interval(
                errors, control, treated, outcomes, propensity, 0.5
            )
            assert (lower, upper) == (-np.inf, np.inf)

    def test_both_classes_of_a_binary_outcome_are_possible(self):
        errors = errors_of(np.zeros(5))
        outcomes, propensity = np.array([[[0.01, 0.99]]]), np.ones((1, 2))
        assert outcome_interval(errors, 0, outcomes[..., 0], propensity[:, 0], 0.1, True) == (0, 1)
        assert individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.1, True) == (-1, 1)


class TestShape:
    @quick
    @given(seeds, alphas, st.booleans())
    def test_wider_where_overlap_is_poorer(self, seed, alpha, binary):
        errors, outcomes, _ = random_errors(seed, binary=binary)
        propensity, outcomes = np.geomspace(1e-4, 1, 50), outcomes[:, :1, 0].repeat(50, axis=1)
        lower, upper = outcome_interval(errors, 0, outcomes, propensity, alpha, binary)
        assert (lower[1:] >= lower[:-1]).all()
        assert (upper[1:] <= upper[:-1]).all()

    def test_poor_overlap_costs_width_by_degrees(self):
        errors = errors_of(np.random.default_rng(0).normal(size=200), propensity=0.5)
        found = radius(errors, [0.5, 0.1, 0.05, 0.03], 0.1)
        assert (np.diff(found) > 0).all()
        assert np.isfinite(found).all()

    @quick
    @given(seeds, alphas, alphas, st.booleans())
    def test_nested_in_alpha(self, seed, one, other, binary):
        errors, outcomes, propensity = random_errors(seed, binary=binary)
        bold, shy = max(one, other), min(one, other)
        for bounds in (
            lambda a: outcome_interval(errors, 1, outcomes[..., 1], propensity[:, 1], a, binary),
            lambda a: individual_effect_interval(errors, 0, 2, outcomes, propensity, a, binary),
        ):
            (low, high), (lower, upper) = bounds(bold), bounds(shy)
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
        errors, outcomes, propensity = random_errors(0)
        arms = np.arange(20)[:, None] % 3
        found = individual_effect_interval(errors, arms, 1, outcomes, propensity, 0.4)
        assert (np.array(found)[:, arms == 1] == 0).all()
        assert (found[0] < found[1])[arms != 1].all()

    @pytest.mark.parametrize("binary", [False, True])
    def test_a_constant_outcome_has_no_width(self, binary):
        errors = errors_of(np.zeros(100), arm=np.arange(100) % 2, member=np.arange(100) % 5)
        outcomes, propensity = np.ones((5, 3, 2)), np.ones((3, 2))
        np.testing.assert_array_equal(
            outcome_interval(errors, 0, outcomes[..., 0], propensity[:, 0], 0.1, binary), 1
        )
        np.testing.assert_array_equal(
            individual_effect_interval(errors, 0, 1, outcomes, propensity, 0.1, binary), 0
        )

    def test_no_new_rows_no_intervals(self):
        errors, outcomes, propensity = random_errors(0)
        found = individual_effect_interval(errors, 0, 1, outcomes[:, :0], propensity[:0], 0.4)
        assert [len(bound) for bound in found] == [0, 0]

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, 95, np.nan, np.inf, "0.1", None, [0.1]])
    def test_alpha_is_a_number_between_0_and_1(self, alpha):
        errors, outcomes, propensity = random_errors(0)
        with pytest.raises(ValueError, match="alpha="):
            outcome_interval(errors, 0, outcomes[..., 0], propensity[:, 0], alpha)
        with pytest.raises(ValueError, match="alpha="):
            individual_effect_interval(errors, 0, 1, outcomes, propensity, alpha)


class TestBinary:
    def test_a_class_is_excluded_if_the_errors_are_smaller_than_its_distance(self):
        errors = errors_of(np.full(100, 0.3))
        probability = np.array([0.0, 0.29, 0.31, 0.5, 0.69, 0.71, 1.0])
        lower, upper = outcome_interval(errors, 0, probability[None], np.ones(7), 0.1, binary=True)
        assert lower.tolist() == [0, 0, 0, 1, 1, 1, 1]
        assert upper.tolist() == [0, 0, 0, 1, 1, 1, 1]
        errors = errors_of(np.full(100, 0.7))
        lower, upper = outcome_interval(errors, 0, probability[None], np.ones(7), 0.1, binary=True)
        assert lower.tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert upper.tolist() == [0, 0, 1, 1, 1, 1, 1]

    @quick
    @given(seeds, alphas)
    def test_the_likelier_class_stays_in_and_nothing_else_comes_in(self, seed, alpha):
        errors, outcomes, propensity = random_errors(seed, binary=True)
        lower, upper = outcome_interval(errors, 0, outcomes[..., 0], propensity[:, 0], alpha, True)
        assert set(lower) | set(upper) <= {0.0, 1.0}
        likelier = outcomes[..., 0].mean(axis=0) >= 0.5
        assert ((lower <= likelier) & (likelier <= upper)).all()
        bounds = individual_effect_interval(errors, 0, 1, outcomes, propensity, alpha, True)
        assert set(np.ravel(bounds)) <= {-1.0, 0.0, 1.0}


def population(rng, n, noise):
    """Persons, treated the less the noisier; both potential outcomes and each arm's probability."""
    x = rng.uniform(-1, 1, (n, 2))
    treated = 1 / (1 + np.exp(1.5 * x[:, 0] + 0.5 * x[:, 1]))
    mean = np.column_stack([x[:, 0] * (1 + x[:, 1]), 1 + x[:, 1] + np.sin(3 * x[:, 0])])
    if noise == "binary":
        y = (rng.random((n, 2)) < 1 / (1 + np.exp(-2 * mean))).astype(float)
    elif noise == "heavy":
        y = mean + rng.standard_t(2, (n, 2))
    else:
        y = mean + (0.5 + 0.4 * x[:, :1]) * rng.normal(size=(n, 2))
    return x, y, np.column_stack([1 - treated, treated])


def simulate(seed, noise):
    """Errors of five folds' models at their folds, and new persons with every model's outcomes."""
    rng = np.random.default_rng(seed)
    x, y, propensity = population(rng, N, noise)
    new_x, new_y, new_propensity = population(rng, N_NEW, noise)
    arm = (rng.random(N) < propensity[:, 1]).astype(int)
    basis = PolynomialFeatures(2)
    z, new_z, y = basis.fit_transform(x), basis.fit_transform(new_x), y[ROWS, arm]
    fold, outcomes, new_outcomes = np.empty(N, int), np.empty((N, 2)), np.empty((5, N_NEW, 2))
    for m, (train, held_out) in enumerate(KFold(5, shuffle=True, random_state=seed).split(z)):
        fold[held_out] = m
        for k in (0, 1):
            own = train[arm[train] == k]
            model = Ridge(1.0).fit(z[own], y[own])
            outcomes[held_out, k] = model.predict(z[held_out])
            new_outcomes[m, :, k] = model.predict(new_z)
    if noise == "binary":
        outcomes, new_outcomes = outcomes.clip(0, 1), new_outcomes.clip(0, 1)
    errors = errors_of(
        y - outcomes[ROWS, arm], propensity[ROWS, arm], arm=arm, n_arms=2, member=fold
    )
    return errors, new_y, new_outcomes, new_propensity


@cache
def coverage(noise):
    """Share covered in each simulation at each alpha.

    In turn of outcomes if all get arm 0, all arm 1, a coin's arm, and of effects.
    """
    binary, rows = noise == "binary", np.arange(N_NEW)
    shares: dict = {alpha: [] for alpha in (0.1, 0.2)}
    for seed in range(N_SIMULATIONS):
        errors, y, outcomes, propensity = simulate(seed, noise)
        coin = np.random.default_rng(seed).integers(0, 2, N_NEW)
        effect = y[:, [1]] - y[:, [0]]
        for alpha, found in shares.items():
            share = []
            for arm in (np.zeros_like(coin), np.ones_like(coin), coin):
                lower, upper = outcome_interval(
                    errors, arm, outcomes[:, rows, arm], propensity[rows, arm], alpha, binary
                )
                share.append(np.mean((lower <= y[rows, arm]) & (y[rows, arm] <= upper)))
            lower, upper = individual_effect_interval(
                errors, 0, 1, outcomes, propensity, alpha, binary
            )
            found.append([*share, np.mean((lower <= effect) & (effect <= upper))])
    return {alpha: np.array(found) for alpha, found in shares.items()}


class TestCoverage:
    """Over 200 simulations with confounding and known propensities; error of the mean allowed."""

    @pytest.mark.parametrize("alpha", [0.1, 0.2])
    @pytest.mark.parametrize("noise", ["normal", "heavy"])
    @pytest.mark.parametrize("assignment", [0, 1, 2], ids=["nobody", "everybody", "coin"])
    def test_outcomes_of_the_population_under_another_assignment(self, noise, alpha, assignment):
        share = coverage(noise)[alpha][:, assignment]
        error = share.std() / np.sqrt(N_SIMULATIONS)
        assert error < 0.005
        assert 1 - alpha - 2.5 * error <= share.mean() <= 1 - alpha + 0.06

    @pytest.mark.parametrize("assignment", [0, 1, 2], ids=["nobody", "everybody", "coin"])
    def test_binary_outcomes(self, assignment):
        share = coverage("binary")[0.2][:, assignment]
        error = share.std() / np.sqrt(N_SIMULATIONS)
        assert 0.8 - 2.5 * error <= share.mean() <= 0.9

    @pytest.mark.parametrize("noise", ["normal", "heavy", "binary"])
    def test_individual_effects(self, noise):
        share = coverage(noise)[0.2][:, 3]
        assert share.mean() >= 0.8 - 2.5 * share.std() / np.sqrt(N_SIMULATIONS)

    def test_individual_effects_need_their_width_where_dependence_is_worst(self):
        """The last 9 % of each tail of one outcome come with the first 9 % of the other's."""
        rng = np.random.default_rng(0)
        errors = errors_of(rng.normal(size=20_000), arm=np.arange(20_000) % 2)
        control = rng.random(20_000)
        treated = control + 0.91 * (control < 0.09) - 0.91 * (control > 0.91)
        effect = (stats.norm.ppf(treated) - stats.norm.ppf(control))[:, None]
        none = np.zeros((20_000, 2))
        lower, upper = individual_effect_interval(errors, 0, 1, none[None], none + 0.5, 0.2)
        assert 0.8 <= np.mean((lower <= effect) & (effect <= upper)) <= 0.83

    @pytest.mark.parametrize(("n_clusters", "alpha"), [(9, 0.1), (14, 0.1), (17, 0.2)])
    def test_a_new_person_of_another_cluster(self, n_clusters, alpha):
        """Rows that are wrong alike within clusters say no more than there are clusters."""
        rng = np.random.default_rng(0)
        cluster, zero = np.arange(n_clusters).repeat(8), np.zeros((8 * n_clusters, 1))
        held = []
        for _ in range(2000):
            y, own = rng.normal(size=n_clusters)[cluster], rng.normal()
            rows = judged_once(np.zeros_like(cluster), y, zero, zero + 1, cluster=cluster)
            held.append(radius(HeldOutErrors.of(rows), 1, alpha) >= np.abs(own))
        assert 1 - alpha - 0.015 <= np.mean(held) <= 1 - alpha + 1 / n_clusters
