"""Conformal intervals hold what they say they hold, and say so when they know nothing."""

from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures

from hypercate.conformal import individual_effect_interval, outcome_interval
from hypercate.crossfit import CrossFit

quick = settings(max_examples=60, deadline=None, derandomize=True)
alphas = st.floats(0.001, 0.999)
seeds = st.integers(0, 10_000)
ROWS, N, N_NEW, N_SIMULATIONS = np.arange(400), 400, 200, 200


def crossfit_of(errors, propensity=1.0, weight=1.0, arm=0, n_arms=2):
    """Held-out rows whose predicted outcomes are 0, so that an outcome is its own error."""
    y = np.asarray(errors, dtype=float)
    return CrossFit(
        arm=np.broadcast_to(arm, len(y)),
        y=y,
        weight=np.broadcast_to(np.asarray(weight, dtype=float), len(y)),
        outcomes=np.zeros((len(y), n_arms)),
        propensity=np.broadcast_to(np.reshape(propensity, (-1, 1)), (len(y), n_arms)).astype(float),
    )


def random_crossfit(seed, n=60, n_arms=3, binary=False):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float) if binary else rng.normal(size=n)
    outcomes = rng.random((n, n_arms)) if binary else rng.normal(size=(n, n_arms))
    fit = CrossFit(
        arm=rng.integers(0, n_arms, n),
        y=y,
        weight=rng.gamma(2, 0.5, n),
        outcomes=outcomes,
        propensity=rng.dirichlet(np.full(n_arms, 2.0), n).clip(1e-3),
    )
    new_outcomes = rng.random((20, n_arms)) if binary else rng.normal(size=(20, n_arms))
    return fit, new_outcomes, rng.dirichlet(np.full(n_arms, 2.0), 20).clip(1e-3)


def radius(fit, propensity, alpha, arm=0):
    propensity = np.atleast_1d(np.asarray(propensity, dtype=float))
    lower, upper = outcome_interval(fit, arm, np.zeros(len(propensity)), propensity, alpha)
    np.testing.assert_array_equal(lower, -upper)
    return upper


class TestQuantile:
    def test_nine_rows_alike_by_hand(self):
        fit = crossfit_of([9, -8, 7, -6, 5, -4, 3, -2, 1])
        for alpha, expected in [(0.9, 1), (0.5, 5), (0.2, 8), (0.1, 9), (0.11, 9), (0.09, np.inf)]:
            assert radius(fit, 1, alpha) == [expected]

    def test_three_unequal_rows_by_hand(self):
        # weights 2, 4, 2; the new row's own is 2 at a propensity of a half, 1 at one
        fit = crossfit_of([1, -2, 3], propensity=[0.5, 0.25, 0.5])
        for alpha, expected in [(0.8, 1), (0.7, 2), (0.4, 2), (0.39, 3), (0.2, 3), (0.1, np.inf)]:
            assert radius(fit, 0.5, alpha) == [expected]
        assert radius(fit, 1, 0.12) == [3]
        assert radius(fit, 1, 0.11) == [np.inf]

    def test_the_extreme_errors_are_reached_in_spite_of_rounding(self):
        for n in range(1, 100):
            fit = crossfit_of(np.arange(3 * n), propensity=0.3, arm=np.repeat([0, 1], [2 * n, n]))
            assert radius(fit, 0.3, 1 / (n + 1), arm=1) == [3 * n - 1]
            assert radius(fit, 0.3, 1 - 1e-15, arm=1) == [2 * n]

    @quick
    @given(
        st.lists(st.tuples(*[st.integers(1, 20)] * 3), min_size=1, max_size=15),
        st.lists(st.integers(1, 40), min_size=1, max_size=5),
        st.integers(1, 99),
    )
    def test_agrees_with_its_definition_in_exact_arithmetic(self, rows, own, percent):
        errors, inverse, weight = np.array(rows).T
        fit = crossfit_of(errors, 1 / inverse, weight)
        weights = (inverse * weight).tolist()
        for new, found in zip(own, radius(fit, 1 / np.array(own), percent / 100), strict=True):
            needed = Fraction(100 - percent, 100) * (sum(weights) + new)
            expected = [
                error
                for error in sorted(errors.tolist())
                if sum(w for w, e in zip(weights, errors, strict=True) if e <= error) >= needed
            ]
            assert found == (expected[0] if expected else np.inf)

    @quick
    @given(seeds, alphas)
    def test_a_row_of_double_weight_is_two_rows(self, seed, alpha):
        fit, _, propensity = random_crossfit(seed)
        repeats = np.random.default_rng(seed).integers(1, 4, len(fit.y))
        weighted = replace(fit, weight=fit.weight * repeats)
        repeated = CrossFit(
            *(
                values.repeat(repeats, axis=0)
                for values in (fit.arm, fit.y, fit.weight, fit.outcomes, fit.propensity)
            )
        )
        np.testing.assert_array_equal(
            radius(weighted, propensity[:, 1], alpha, 1),
            radius(repeated, propensity[:, 1], alpha, 1),
        )

    @quick
    @given(seeds, alphas)
    def test_only_held_out_rows_of_the_arm_count_in_whatever_order(self, seed, alpha):
        fit, _, propensity = random_crossfit(seed)
        order = np.random.default_rng(seed).permutation(len(fit.y))
        own = order[fit.arm[order] == 2]
        alone = CrossFit(
            fit.arm[own], fit.y[own], fit.weight[own], fit.outcomes[own], fit.propensity[own]
        )
        unseen = CrossFit(
            arm=np.append(fit.arm, [2, 2]),
            y=np.append(fit.y, [0.0, 1e9]),
            weight=np.append(fit.weight, [5.0, 5.0]),
            outcomes=np.vstack([fit.outcomes, np.full((2, 3), np.nan)]),
            propensity=np.vstack([fit.propensity, np.full((2, 3), 1 / 3)]),
        )
        expected = radius(fit, propensity[:, 2], alpha, 2)
        np.testing.assert_array_equal(radius(alone, propensity[:, 2], alpha, 2), expected)
        np.testing.assert_array_equal(radius(unseen, propensity[:, 2], alpha, 2), expected)

    @quick
    @given(seeds, alphas)
    def test_each_row_may_have_its_own_arm(self, seed, alpha):
        fit, outcomes, propensity = random_crossfit(seed)
        rows = np.arange(len(outcomes))
        arms = np.random.default_rng(seed).integers(0, 3, len(outcomes))
        mixed = outcome_interval(fit, arms, outcomes[rows, arms], propensity[rows, arms], alpha)
        for arm in range(3):
            own = outcome_interval(fit, arm, outcomes[:, arm], propensity[:, arm], alpha)
            np.testing.assert_array_equal(
                np.array(mixed)[:, arms == arm], np.array(own)[:, arms == arm]
            )

    @quick
    @given(seeds, st.sampled_from([0.125, 4.0, 1024.0]))
    def test_follows_the_unit_of_the_outcome(self, seed, factor):
        fit, outcomes, propensity = random_crossfit(seed)
        scaled = replace(fit, y=factor * fit.y, outcomes=factor * fit.outcomes)
        np.testing.assert_array_equal(
            individual_effect_interval(scaled, 0, 1, factor * outcomes, propensity, 0.4),
            factor * np.array(individual_effect_interval(fit, 0, 1, outcomes, propensity, 0.4)),
        )


class TestNothingKnown:
    @pytest.mark.parametrize(("n", "known"), [(18, False), (19, True), (20, True)])
    def test_too_few_rows_for_alpha(self, n, known):
        fit = crossfit_of(np.arange(n))
        assert np.isfinite(radius(fit, 1, 0.05)) == known

    def test_an_arm_without_held_out_rows(self):
        fit = crossfit_of(np.arange(100.0), n_arms=3)
        lower, upper = outcome_interval(fit, 1, np.zeros(2), np.array([0.5, 1.0]), 0.5)
        assert (lower == -np.inf).all()
        assert (upper == np.inf).all()
        nobody = crossfit_of([])
        assert radius(nobody, 1, 0.99) == [np.inf]

    def test_a_person_who_outweighs_the_held_out_rows(self):
        fit = crossfit_of(np.arange(100.0), propensity=0.5)
        found = radius(fit, [0.5, 0.1, 0.05, 0.04, 1e-9, 5e-324, 0], 0.1)
        assert np.isfinite(found).tolist() == [True] * 3 + [False] * 4

    def test_the_effect_is_unknown_if_either_outcome_is(self):
        fit = crossfit_of(np.arange(100.0), arm=np.arange(100) % 2, n_arms=3)
        outcomes, propensity = np.zeros((1, 3)), np.full((1, 3), 1 / 3)
        assert np.isfinite(individual_effect_interval(fit, 0, 1, outcomes, propensity, 0.5)).all()
        for control, treated in [(0, 2), (2, 0)]:
            lower, upper = individual_effect_interval(
                fit, control, treated, outcomes, propensity, 0.5
            )
            assert (lower, upper) == (-np.inf, np.inf)

    def test_both_classes_of_a_binary_outcome_are_possible(self):
        fit = crossfit_of(np.zeros(5))
        outcomes, propensity = np.array([[0.01, 0.99]]), np.ones((1, 2))
        assert outcome_interval(fit, 0, outcomes[:, 0], propensity[:, 0], 0.1, True) == (0, 1)
        assert individual_effect_interval(fit, 0, 1, outcomes, propensity, 0.1, True) == (-1, 1)


class TestShape:
    @quick
    @given(seeds, alphas, st.booleans())
    def test_wider_where_overlap_is_poorer(self, seed, alpha, binary):
        fit, _, _ = random_crossfit(seed, binary=binary)
        propensity = np.geomspace(1e-4, 1, 50)
        lower, upper = outcome_interval(fit, 0, np.full(50, 0.4), propensity, alpha, binary)
        assert (lower[1:] >= lower[:-1]).all()
        assert (upper[1:] <= upper[:-1]).all()

    def test_poor_overlap_costs_width_by_degrees(self):
        fit = crossfit_of(np.random.default_rng(0).normal(size=200), propensity=0.5)
        found = radius(fit, [0.5, 0.1, 0.05, 0.03], 0.1)
        assert (np.diff(found) > 0).all()
        assert np.isfinite(found).all()

    @quick
    @given(seeds, alphas, alphas, st.booleans())
    def test_nested_in_alpha(self, seed, one, other, binary):
        fit, outcomes, propensity = random_crossfit(seed, binary=binary)
        bold, shy = max(one, other), min(one, other)
        for bounds in (
            lambda a: outcome_interval(fit, 1, outcomes[:, 1], propensity[:, 1], a, binary),
            lambda a: individual_effect_interval(fit, 0, 2, outcomes, propensity, a, binary),
        ):
            (low, high), (lower, upper) = bounds(bold), bounds(shy)
            assert (lower <= low).all()
            assert (low <= high).all()
            assert (high <= upper).all()

    @quick
    @given(seeds, alphas, st.booleans())
    def test_swapped_arms_mirror_the_effect(self, seed, alpha, binary):
        fit, outcomes, propensity = random_crossfit(seed, n=400, binary=binary)
        lower, upper = individual_effect_interval(fit, 0, 2, outcomes, propensity, alpha, binary)
        mirrored = individual_effect_interval(fit, 2, 0, outcomes, propensity, alpha, binary)
        np.testing.assert_array_equal(mirrored, [-upper, -lower])

    @quick
    @given(seeds, alphas, st.booleans())
    def test_several_effects_are_those_of_each_pair(self, seed, alpha, binary):
        fit, outcomes, propensity = random_crossfit(seed, n=200, binary=binary)
        control = np.random.default_rng(seed).integers(0, 3, (20, 1))
        found = individual_effect_interval(
            fit, control, np.array([2, 0]), outcomes, propensity, alpha, binary
        )
        for column, treated in enumerate([2, 0]):
            for row, arm in enumerate(control[:, 0]):
                lower, upper = individual_effect_interval(
                    fit, arm, treated, outcomes[[row]], propensity[[row]], alpha, binary
                )
                assert (lower, upper) == (found[0][row, column], found[1][row, column])

    def test_an_arm_against_itself_has_no_effect(self):
        fit, outcomes, propensity = random_crossfit(0)
        arms = np.arange(20)[:, None] % 3
        found = individual_effect_interval(fit, arms, 1, outcomes, propensity, 0.4)
        assert (np.array(found)[:, arms == 1] == 0).all()
        assert (found[0] < found[1])[arms != 1].all()

    @pytest.mark.parametrize("binary", [False, True])
    def test_a_constant_outcome_has_no_width(self, binary):
        fit = replace(crossfit_of(np.ones(100), arm=np.arange(100) % 2), outcomes=np.ones((100, 2)))
        outcomes, propensity = np.ones((3, 2)), np.ones((3, 2))
        np.testing.assert_array_equal(
            outcome_interval(fit, 0, outcomes[:, 0], propensity[:, 0], 0.1, binary), 1
        )
        np.testing.assert_array_equal(
            individual_effect_interval(fit, 0, 1, outcomes, propensity, 0.1, binary), 0
        )

    def test_no_new_rows_no_intervals(self):
        fit, outcomes, propensity = random_crossfit(0)
        found = individual_effect_interval(fit, 0, 1, outcomes[:0], propensity[:0], 0.4)
        assert [len(bound) for bound in found] == [0, 0]

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, 95, np.nan, np.inf, "0.1", None, [0.1]])
    def test_alpha_is_a_number_between_0_and_1(self, alpha):
        fit, outcomes, propensity = random_crossfit(0)
        with pytest.raises(ValueError, match="alpha="):
            outcome_interval(fit, 0, outcomes[:, 0], propensity[:, 0], alpha)
        with pytest.raises(ValueError, match="alpha="):
            individual_effect_interval(fit, 0, 1, outcomes, propensity, alpha)


class TestBinary:
    def test_a_class_is_excluded_if_the_errors_are_smaller_than_its_distance(self):
        fit = crossfit_of(np.full(100, 0.3))
        probability = np.array([0.0, 0.29, 0.31, 0.5, 0.69, 0.71, 1.0])
        lower, upper = outcome_interval(fit, 0, probability, np.ones(7), 0.1, binary=True)
        assert lower.tolist() == [0, 0, 0, 1, 1, 1, 1]
        assert upper.tolist() == [0, 0, 0, 1, 1, 1, 1]
        fit = crossfit_of(np.full(100, 0.7))
        lower, upper = outcome_interval(fit, 0, probability, np.ones(7), 0.1, binary=True)
        assert lower.tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert upper.tolist() == [0, 0, 1, 1, 1, 1, 1]

    @quick
    @given(seeds, alphas)
    def test_the_likelier_class_stays_in_and_nothing_else_comes_in(self, seed, alpha):
        fit, outcomes, propensity = random_crossfit(seed, binary=True)
        lower, upper = outcome_interval(fit, 0, outcomes[:, 0], propensity[:, 0], alpha, True)
        assert set(lower) | set(upper) <= {0.0, 1.0}
        likelier = outcomes[:, 0] >= 0.5
        assert ((lower <= likelier) & (likelier <= upper)).all()
        bounds = individual_effect_interval(fit, 0, 1, outcomes, propensity, alpha, True)
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
    """Held-out rows, and new persons with the average of the folds' predictions."""
    rng = np.random.default_rng(seed)
    x, y, propensity = population(rng, N, noise)
    new_x, new_y, new_propensity = population(rng, N_NEW, noise)
    arm = (rng.random(N) < propensity[:, 1]).astype(int)
    basis = PolynomialFeatures(2)
    z, new_z, y = basis.fit_transform(x), basis.fit_transform(new_x), y[ROWS, arm]
    outcomes, new_outcomes = np.empty((N, 2)), np.zeros((N_NEW, 2))
    for train, held_out in KFold(5, shuffle=True, random_state=seed).split(z):
        for k in (0, 1):
            own = train[arm[train] == k]
            model = Ridge(1.0).fit(z[own], y[own])
            outcomes[held_out, k] = model.predict(z[held_out])
            new_outcomes[:, k] += model.predict(new_z) / 5
    if noise == "binary":
        outcomes, new_outcomes = outcomes.clip(0, 1), new_outcomes.clip(0, 1)
    return CrossFit(arm, y, np.ones(N), outcomes, propensity), new_y, new_outcomes, new_propensity


@cache
def coverage(noise):
    """Share covered in each simulation at each alpha.

    In turn of outcomes if all get arm 0, all arm 1, a coin's arm, and of effects.
    """
    binary, rows = noise == "binary", np.arange(N_NEW)
    shares: dict = {alpha: [] for alpha in (0.1, 0.2)}
    for seed in range(N_SIMULATIONS):
        fit, y, outcomes, propensity = simulate(seed, noise)
        coin = np.random.default_rng(seed).integers(0, 2, N_NEW)
        effect = y[:, [1]] - y[:, [0]]
        for alpha, found in shares.items():
            share = []
            for arm in (np.zeros_like(coin), np.ones_like(coin), coin):
                lower, upper = outcome_interval(
                    fit, arm, outcomes[rows, arm], propensity[rows, arm], alpha, binary
                )
                share.append(np.mean((lower <= y[rows, arm]) & (y[rows, arm] <= upper)))
            lower, upper = individual_effect_interval(
                fit, 0, 1, outcomes, propensity, alpha, binary
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
        fit = crossfit_of(rng.normal(size=20_000), arm=np.arange(20_000) % 2)
        control = rng.random(20_000)
        treated = control + 0.91 * (control < 0.09) - 0.91 * (control > 0.91)
        effect = (stats.norm.ppf(treated) - stats.norm.ppf(control))[:, None]
        none = np.zeros((20_000, 2))
        lower, upper = individual_effect_interval(fit, 0, 1, none, none + 0.5, 0.2)
        assert 0.8 <= np.mean((lower <= effect) & (effect <= upper)) <= 0.83
