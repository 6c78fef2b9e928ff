"""Average effects: exact on small cases, covered intervals, and one wrong nuisance forgiven."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import judged_once
from scipy import stats

from hypercate.inference.averages import (
    AverageInference,
    average_effect,
    average_effect_at,
    effect_on_treated,
    effect_on_treated_at,
    group_effects,
)
from hypercate.inference.heterogeneity import heterogeneity_test, potential_outcome_scores

quick = settings(max_examples=30, deadline=None, derandomize=True)
N_SIMULATIONS = 400
COLUMNS = ["point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper"]


def noise(n=12, n_arms=2, seed=0, cluster=None, model=None):
    """Rows without any structure, unequally weighted, at least three of an arm."""
    rng = np.random.default_rng(seed)
    arm, y = rng.permutation(np.arange(n) % n_arms), rng.normal(size=n)
    weight, outcomes = rng.uniform(0.5, 2, n), rng.normal(size=(n, n_arms))
    propensity = rng.dirichlet(np.full(n_arms, 5.0), n)
    return judged_once(arm, y, outcomes, propensity, weight, cluster, model)


def part(fit, rows, weight=None):
    """The same rows, or some of them, or some several times; clusters go with their rows."""
    names = ("arm", "y", "outcomes", "propensity", "weight", "cluster", "model")
    parts = {name: getattr(fit, name)[rows] for name in names}
    return judged_once(**parts | ({} if weight is None else {"weight": weight}))


def changed(fit, **parts):
    """The same rows with other parts."""
    names = ("arm", "y", "outcomes", "propensity", "weight", "cluster", "model")
    return judged_once(**{name: getattr(fit, name) for name in names} | parts)


def out_of_fold(x, arm, y, rng):
    """Ridge regressions of each arm's outcome, and of the treatment (logistic), in five folds."""
    design = np.column_stack([np.ones(len(x)), x])
    penalty = 0.3 * np.eye(design.shape[1])
    fold = rng.permutation(len(x)) % 5
    outcomes, treated = np.empty((len(x), 2)), np.empty(len(x))
    for held in range(5):
        seen = fold != held
        for k in range(2):
            rows = seen & (arm == k)
            gram = design[rows].T @ design[rows] + penalty
            beta = np.linalg.solve(gram, design[rows].T @ y[rows])
            outcomes[fold == held, k] = design[fold == held] @ beta
        beta = np.zeros(design.shape[1])
        for _ in range(6):
            p = 1 / (1 + np.exp(-design[seen] @ beta))
            hessian = (design[seen] * (p * (1 - p))[:, None]).T @ design[seen] + penalty
            step = design[seen].T @ (arm[seen] - p) - penalty @ beta
            beta += np.linalg.solve(hessian, step)
        treated[fold == held] = 1 / (1 + np.exp(-design[fold == held] @ beta))
    propensity = np.clip(np.column_stack([1 - treated, treated]), 0.01, 1)
    return judged_once(arm, y, outcomes, propensity, model=fold)


def confounded(n, seed, effect=lambda x: 1 + x[:, 1], strength=1.0):
    """Covariates, effects, the probability of treatment, and the cross-fit."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    truth = 1 / (1 + np.exp(strength * (0.5 * x[:, 1] - x[:, 0])))
    arm = (rng.random(n) < truth).astype(int)
    y = 2 * x[:, 0] + x[:, 2] + arm * effect(x) + rng.normal(size=n)
    return x, effect(x), truth, out_of_fold(x, arm, y, rng)


def large(seed=0):
    """The same with 40,000 rows, whose nuisances are known: effect 1 on average."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40_000, 2))
    truth = 1 / (1 + np.exp(-x[:, 0]))
    arm = (rng.random(len(x)) < truth).astype(int)
    mean = np.column_stack([2 * x[:, 0], 2 * x[:, 0] + 1 + x[:, 1]])
    y = mean[np.arange(len(x)), arm] + rng.normal(size=len(x))
    propensity = np.column_stack([1 - truth, truth])
    return judged_once(arm, y, mean, propensity)


def randomised(n, seed):
    """A trial whose effect is 1, and predictions of 0."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(n) % 2)
    return judged_once(arm, arm + rng.normal(size=n), np.zeros((n, 2)), np.full((n, 2), 0.5))


def schools(seed):
    """Forty schools of 2 to 14 pupils, each of one arm, with noise of their own; the effect is 1.

    And a group of each pupil, which half of the schools have both of.
    """
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(40), rng.integers(2, 15, 40))
    arm = rng.permutation(np.arange(40) % 2)[school]
    y = arm + rng.normal(size=40)[school] + rng.normal(size=len(school))
    zero, half = np.zeros((len(school), 2)), np.full((len(school), 2), 0.5)
    group = np.where(school < 20, rng.integers(0, 2, len(school)), school % 2)
    return judged_once(arm, y, zero, half, cluster=school), group


def rare(seed):
    """Three rows of the arm whose effect is 1, and sixty of control."""
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], [60, 3])
    propensity = np.tile([60 / 63, 3 / 63], (63, 1))
    return judged_once(arm, arm + rng.normal(size=63), np.zeros((63, 2)), propensity)


def covers(inference, truth, alpha=0.05):
    lower, upper = inference.interval(alpha)
    return (lower <= truth) & (truth <= upper)


def same(first, second, **tolerance):
    for name in ("point_estimate", "stderr", "dof"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), **tolerance)


def by_hand(fit, control=0):
    """ATE of each other arm: two weighted means, in plain Python."""
    means = []
    for k in range(fit.n_arms):
        predicted = total = corrected = scale = 0.0
        for i in range(len(fit.y)):
            predicted += fit.weight[i] * fit.outcomes[i, k]
            total += fit.weight[i]
            if fit.arm[i] == k:
                scale += fit.weight[i] / fit.propensity[i, k]
                error = fit.y[i] - fit.outcomes[i, k]
                corrected += fit.weight[i] / fit.propensity[i, k] * error
        means.append(predicted / total + corrected / scale)
    return np.array([mean - means[control] for k, mean in enumerate(means) if k != control])


def treated_by_hand(fit, control=0):
    """ATT of each other arm, in plain Python."""
    effects = []
    for k in range(fit.n_arms):
        if k == control:
            continue
        treated = treated_scale = untreated = untreated_scale = 0.0
        for i in range(len(fit.y)):
            error = fit.y[i] - fit.outcomes[i, control]
            if fit.arm[i] == k:
                treated += fit.weight[i] * error
                treated_scale += fit.weight[i]
            if fit.arm[i] == control:
                odds = fit.weight[i] * fit.propensity[i, k] / fit.propensity[i, control]
                untreated += odds * error
                untreated_scale += odds
        effects.append(treated / treated_scale - untreated / untreated_scale)
    return np.array(effects)


def jackknife(estimate, fit):
    """Standard error by leaving out each cluster in turn, of one row each if none are given."""
    left_out = np.array([estimate(part(fit, fit.cluster != c)) for c in np.unique(fit.cluster)])
    return np.sqrt(((left_out - estimate(fit)) ** 2).sum(axis=0))


UNEVEN = np.array([4, 0, 0, 1, 1, 1, 0, 2, 3, 3, 5, 2])  # clusters of twelve rows
in_clusters = pytest.mark.parametrize("cluster", [None, UNEVEN], ids=["rows", "clusters"])


class TestSmallCases:
    @in_clusters
    @pytest.mark.parametrize("n_arms", [2, 3])
    @pytest.mark.parametrize("control", [0, 1])
    def test_the_average_effect_is_the_hand_computed_one(self, n_arms, control, cluster):
        fit = noise(n_arms=n_arms, cluster=cluster)
        result = average_effect(fit, control)
        np.testing.assert_allclose(result.point_estimate, by_hand(fit, control), rtol=1e-12)
        np.testing.assert_allclose(
            result.stderr, jackknife(lambda rest: by_hand(rest, control), fit), rtol=1e-10
        )

    @in_clusters
    @pytest.mark.parametrize("n_arms", [2, 3])
    @pytest.mark.parametrize("control", [0, 1])
    def test_the_effect_on_the_treated_is_the_hand_computed_one(self, n_arms, control, cluster):
        fit = noise(n_arms=n_arms, cluster=cluster)
        result = effect_on_treated(fit, control)
        np.testing.assert_allclose(result.point_estimate, treated_by_hand(fit, control), rtol=1e-12)
        np.testing.assert_allclose(
            result.stderr, jackknife(lambda rest: treated_by_hand(rest, control), fit), rtol=1e-10
        )

    @pytest.mark.parametrize("cluster", [None, np.arange(60) // 4], ids=["rows", "clusters"])
    def test_a_groups_effect_is_its_rows_average_effect(self, cluster):
        fit = noise(60, 3, cluster=cluster)
        groups = np.random.default_rng(1).choice(["b", "a"], 60)
        result = group_effects(fit, groups)
        alone = [average_effect(part(fit, groups == label)) for label in ("a", "b")]
        for name in ("point_estimate", "stderr", "dof"):
            expected = np.concatenate([getattr(inference, name) for inference in alone])
            np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-12)

    def test_scores_average_to_the_potential_outcomes(self):
        fit = noise(n_arms=3)
        means = np.average(potential_outcome_scores(fit), axis=0, weights=fit.weight)
        np.testing.assert_allclose(means[1:] - means[0], by_hand(fit), rtol=1e-12)

    def test_scores_of_calibrated_propensities_are_the_textbooks(self):
        fit = noise()
        fit = changed(fit, weight=np.ones(12), propensity=np.full((12, 2), 0.5))
        own = fit.arm[:, None] == np.arange(2)
        expected = fit.outcomes + own / fit.propensity * (fit.y[:, None] - fit.outcomes)
        scores = potential_outcome_scores(fit)
        mean = (own / fit.propensity * (fit.y[:, None] - fit.outcomes)).mean(axis=0)
        np.testing.assert_allclose(scores, expected + mean * (1 - own / fit.propensity))
        np.testing.assert_allclose(scores.mean(axis=0), expected.mean(axis=0))

    @in_clusters
    def test_new_rows_add_their_variance_and_the_training_rows_their_correction(self, cluster):
        fit, effects = noise(cluster=cluster), np.array([1.0, 4.0, 2.0])
        residual = fit.y - fit.outcomes[np.arange(12), fit.arm]
        residuals = changed(fit, y=residual, outcomes=fit.outcomes * 0)
        result = average_effect_at(fit, effects)
        np.testing.assert_allclose(result.point_estimate, effects.mean() + by_hand(residuals))
        variance = jackknife(by_hand, residuals) ** 2 + effects.var(ddof=1) / 3
        np.testing.assert_allclose(result.stderr, np.sqrt(variance))

    @pytest.mark.parametrize("cluster", [None, np.arange(18) // 3], ids=["rows", "clusters"])
    @pytest.mark.parametrize("n_arms", [2, 3])
    @pytest.mark.parametrize("control", [0, 1])
    def test_so_it_is_on_new_rows_that_had_an_arm(self, n_arms, control, cluster):
        fit, rng = noise(18, n_arms, cluster=cluster), np.random.default_rng(1)
        arm = rng.permutation(np.arange(13) % n_arms)
        effects = rng.normal(size=(13, n_arms - 1))
        others = [k for k in range(n_arms) if k != control]

        def correction(fit):
            robust = treated_by_hand(fit, control)
            for position, k in enumerate(others):
                mine = fit.arm == k
                predicted = fit.outcomes[mine, k] - fit.outcomes[mine, control]
                robust[position] -= np.average(predicted, weights=fit.weight[mine])
            return robust

        result = effect_on_treated_at(fit, effects.squeeze(), arm, control)
        had = [effects[arm == k, position] for position, k in enumerate(others)]
        mean = np.array([values.mean() for values in had])
        np.testing.assert_allclose(result.point_estimate, mean + correction(fit), rtol=1e-12)
        variance = np.array([values.var(ddof=1) / len(values) for values in had])
        variance += jackknife(correction, fit) ** 2
        np.testing.assert_allclose(result.stderr, np.sqrt(variance), rtol=1e-10)
        assert list(result.index) == others
        assert result.n_rows == 13

    @pytest.mark.parametrize("at", [average_effect_at, effect_on_treated_at])
    def test_of_the_training_rows_out_of_fold_predictions_give_the_plain_estimate(self, at):
        fit = part(noise(30, 3), np.arange(30), np.ones(30))
        effects = fit.outcomes[:, 1:] - fit.outcomes[:, :1]
        if at is average_effect_at:
            new, plain = at(fit, effects), average_effect(fit)
        else:
            new, plain = at(fit, effects, fit.arm), effect_on_treated(fit)
        np.testing.assert_allclose(new.point_estimate, plain.point_estimate, rtol=1e-10)

    def test_on_few_new_treated_rows_they_set_the_degrees_of_freedom(self):
        """Three rows of wild effects among many, beside training rows of no doubt."""
        fit = noise(400)
        fit = changed(fit, y=np.zeros(400), outcomes=np.zeros((400, 2)))
        arm = np.repeat([0, 1], [50, 3])
        result = effect_on_treated_at(fit, np.append(np.zeros(50), [-9.0, 0, 9.0]), arm)
        np.testing.assert_allclose(result.dof, 2)
        np.testing.assert_allclose(result.stderr, 9 / np.sqrt(3))

    def test_a_trial_without_predictions_is_welchs_t_test(self):
        fit = randomised(20, 0)
        fit.y[fit.arm == 1] *= 3
        welch = stats.ttest_ind(fit.y[fit.arm == 1], fit.y[fit.arm == 0], equal_var=False)
        result = average_effect(fit)
        np.testing.assert_allclose(result.dof, welch.df, rtol=1e-9)
        np.testing.assert_allclose(result.summary_frame()["zstat"], welch.statistic * np.sqrt(0.9))

    def test_exact_predictions_leave_no_doubt_of_a_constant_effect(self):
        fit = noise()
        outcomes = np.column_stack([np.zeros(12), np.full(12, 2.0)])
        fit = changed(fit, y=outcomes[np.arange(12), fit.arm], outcomes=outcomes)
        frame = average_effect(fit).summary_frame()
        np.testing.assert_allclose(frame["point_estimate"], 2)
        np.testing.assert_allclose(frame[["ci_lower", "ci_upper"]], 2)
        assert frame["pvalue"].item() < 1e-12

    def test_a_constant_outcome_has_no_effect(self):
        fit = noise()
        fit = changed(fit, y=np.ones(12), outcomes=np.ones((12, 2)))
        for estimate in (average_effect, effect_on_treated):
            assert estimate(fit).point_estimate == pytest.approx(0)
            assert estimate(fit).stderr == pytest.approx(0)
        assert heterogeneity_test(fit)["pvalue"].tolist() == [1, 1]


class TestInvariances:
    estimators = pytest.mark.parametrize(
        "estimate",
        [
            average_effect,
            effect_on_treated,
            lambda fit, **options: group_effects(fit, np.arange(len(fit.y)) // 20, **options),
            lambda fit, **options: average_effect_at(fit, np.arange(5.0), **options),
            lambda fit, **options: effect_on_treated_at(
                fit, np.arange(5.0), np.array([1, 1, 0, 1, 0]), **options
            ),
        ],
        ids=["ate", "att", "gate", "at", "att at"],
    )

    @estimators
    def test_only_ratios_of_weights_matter(self, estimate):
        fit = noise(40)
        scaled = part(fit, np.arange(40), 1000 * fit.weight)
        same(estimate(fit), estimate(scaled), rtol=1e-9)

    @pytest.mark.parametrize("estimate", [average_effect, effect_on_treated])
    def test_a_weight_of_three_is_three_rows(self, estimate):
        fit = noise(40)
        weight = np.random.default_rng(3).integers(1, 4, 40)
        repeated = part(fit, np.repeat(np.arange(40), weight), np.ones(weight.sum()))
        weighted = part(fit, np.arange(40), weight.astype(float))
        np.testing.assert_allclose(
            estimate(weighted).point_estimate, estimate(repeated).point_estimate, rtol=1e-12
        )

    @pytest.mark.parametrize("estimate", [group_effects, average_effect_at])
    def test_so_it_is_in_groups_and_for_other_rows(self, estimate):
        fit, weight = noise(40), np.random.default_rng(3).integers(1, 4, 40)
        repeats = np.repeat(np.arange(40), weight)
        other = np.arange(40) // 20  # labels, or effects
        again = other[repeats] if estimate is group_effects else other
        np.testing.assert_allclose(
            estimate(part(fit, np.arange(40), weight.astype(float)), other).point_estimate,
            estimate(part(fit, repeats, np.ones(weight.sum())), again).point_estimate,
            rtol=1e-12,
        )

    @estimators
    def test_a_row_that_two_models_judge_counts_by_their_mean(self, estimate):
        fit, apart = noise(40), np.random.default_rng(1).normal(size=(40, 2))
        twice = replace(
            fit,
            row=np.tile(np.arange(40), 2),
            model=np.repeat([0, 1], 40),
            outcomes=np.concatenate([fit.outcomes - apart, fit.outcomes + apart]),
        )
        same(estimate(twice), estimate(fit), rtol=1e-12)
        pd.testing.assert_frame_equal(heterogeneity_test(twice), heterogeneity_test(fit))

    @quick
    @given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-1e4, 1e4))
    def test_the_unit_of_the_outcome_does_not_matter(self, seed, factor, shift):
        fit = noise(30, 3, seed)
        moved = changed(fit, y=factor * fit.y + shift, outcomes=factor * fit.outcomes + shift)
        for estimate in (average_effect, effect_on_treated):
            plain, result = estimate(fit), estimate(moved)
            scale = 1e-8 * (1 + abs(shift))
            np.testing.assert_allclose(
                result.point_estimate, factor * plain.point_estimate, atol=scale, rtol=1e-9
            )
            np.testing.assert_allclose(result.stderr, factor * plain.stderr, rtol=1e-6)

    @quick
    @given(st.integers(0, 1000))
    def test_arms_swapped_mirror_the_interval(self, seed):
        fit = noise(30, 2, seed)
        turned = fit.outcomes[:, ::-1], fit.propensity[:, ::-1]
        swapped = changed(fit, arm=1 - fit.arm, outcomes=turned[0], propensity=turned[1])
        lower, upper = average_effect(fit).interval()
        for mirror in (average_effect(swapped), average_effect(fit, control=1)):
            np.testing.assert_allclose(mirror.interval(), (-upper, -lower), rtol=1e-9)
        same(effect_on_treated(swapped, control=1), effect_on_treated(fit), rtol=1e-9)
        effects, arm = np.random.default_rng(seed).normal(size=9), np.arange(9) % 2
        same(
            effect_on_treated_at(swapped, effects, 1 - arm, control=1),
            effect_on_treated_at(fit, effects, arm),
            rtol=1e-9,
        )

    def test_arms_relabelled_move_with_their_labels(self):
        fit, order = noise(60, 3), [2, 0, 1]
        moved = changed(
            fit,
            arm=np.argsort(order)[fit.arm],
            outcomes=fit.outcomes[:, order],
            propensity=fit.propensity[:, order],
        )
        for estimate in (average_effect, effect_on_treated, heterogeneity_test):
            plain = estimate(fit, 0, ["a", "b", "c"])
            other = estimate(moved, 1, ["c", "a", "b"])
            if isinstance(plain, AverageInference):
                plain, other = plain.summary_frame(), other.summary_frame()
            pd.testing.assert_frame_equal(other.loc[plain.index], plain)


class TestClusters:
    estimators = pytest.mark.parametrize(
        "estimate",
        [
            *(average_effect, effect_on_treated),
            lambda fit: group_effects(fit, fit.y > np.median(fit.y)),
            lambda fit: average_effect_at(fit, np.arange(10).reshape(5, 2) / 100),
            lambda fit: effect_on_treated_at(
                fit, np.arange(10).reshape(5, 2) / 100, np.array([1, 1, 2, 1, 2])
            ),
        ],
        ids=["ate", "att", "gate", "at", "att at"],
    )

    @estimators
    @pytest.mark.parametrize("times", [2, 5])
    def test_rows_written_down_several_times_say_no_more_than_once(self, estimate, times):
        fit = noise(60, 3, model=np.arange(60) % 4)
        copies = part(fit, np.repeat(np.arange(60), times))
        same(estimate(copies), estimate(fit), rtol=1e-9)
        pd.testing.assert_frame_equal(heterogeneity_test(copies), heterogeneity_test(fit))
        apart = estimate(changed(copies, cluster=None)).stderr
        assert (apart < 0.95 * estimate(fit).stderr).all()

    @estimators
    def test_clusters_of_one_row_are_rows(self, estimate):
        fit = noise(60, 3)
        alone = changed(fit, cluster=np.random.default_rng(1).permutation(60))
        same(estimate(alone), estimate(fit), rtol=1e-12)
        pd.testing.assert_frame_equal(heterogeneity_test(alone), heterogeneity_test(fit))

    @estimators
    def test_their_names_do_not_matter(self, estimate):
        fit = noise(60, 3, cluster=np.arange(60) // 3)
        named = changed(fit, cluster=np.random.default_rng(1).permutation(20)[fit.cluster])
        same(estimate(named), estimate(fit), rtol=1e-12)

    def test_where_all_hold_both_arms_their_number_less_one_is_the_degrees_of_freedom(self):
        fit = randomised(60, 0)
        paired = changed(fit, cluster=fit.arm.argsort(kind="stable").argsort() % 30)
        for estimate in (average_effect, effect_on_treated):
            np.testing.assert_allclose(estimate(paired).dof, 29)

    def test_where_each_holds_one_arm_it_is_welchs_t_test_of_their_means(self):
        fit, cluster = randomised(80, 0), np.arange(80) // 4
        fit = changed(fit, arm=cluster % 2, y=fit.y * (1 + 2 * (cluster % 2)), cluster=cluster)
        means = fit.y.reshape(20, 4).mean(axis=1)
        welch = stats.ttest_ind(means[1::2], means[::2], equal_var=False)
        result = average_effect(fit)
        np.testing.assert_allclose(result.dof, welch.df, rtol=1e-9)
        np.testing.assert_allclose(result.summary_frame()["zstat"], welch.statistic * np.sqrt(0.9))

    def test_an_arm_of_one_cluster_is_named(self):
        fit = noise(30, 3)
        fit = changed(fit, cluster=np.where(fit.arm == 2, 99, np.arange(30)))
        message = "at least 2 clusters of every arm, but the sample has 1 of arm 'c'"
        for estimate in (average_effect, effect_on_treated, heterogeneity_test):
            with pytest.raises(ValueError, match=message):
                estimate(fit, arms=["a", "b", "c"])


class TestCoverage:
    """95 % intervals over simulations with confounding, nuisances by regression."""

    @pytest.fixture(scope="class")
    @staticmethod
    def hits():
        """How often each interval held its truth, in the order of the tests' names."""
        _, effect, treated, _ = confounded(400_000, 10**6)
        on_treated = np.average(effect, weights=treated)
        half = np.sqrt(2 / np.pi)  # mean of a half-normal
        result = []
        for seed in range(N_SIMULATIONS):
            x, _, _, fit = confounded(300, seed)
            in_groups = covers(group_effects(fit, x[:, 1] > 0), [1 - half, 1 + half])
            shrunk = 1.5 + 0.5 * x[:, 1]  # effects as a model might see them: half as far apart
            outcomes = np.column_stack([fit.outcomes[:, 0], fit.outcomes[:, 0] + shrunk])
            fit_of_shrunk = changed(fit, outcomes=outcomes)
            rng = np.random.default_rng(10**5 + seed)
            new = rng.normal(size=(200, 2))
            arm = (rng.random(200) < 1 / (1 + np.exp(0.5 * new[:, 1] - new[:, 0]))).astype(int)
            predicted = 1.5 + 0.5 * new[:, 1]
            result.append(
                [
                    covers(average_effect(fit), 1.0)[0],
                    covers(effect_on_treated(fit), on_treated)[0],
                    *in_groups,
                    covers(average_effect_at(fit_of_shrunk, predicted), 1.0)[0],
                    covers(effect_on_treated_at(fit_of_shrunk, predicted, arm), on_treated)[0],
                ]
            )
        return np.mean(result, axis=0)

    @pytest.mark.parametrize(
        "which",
        range(6),
        ids=[
            *("average", "on the treated", "low group", "high group"),
            *("new rows", "new treated rows"),
        ],
    )
    def test_intervals_cover_at_their_level(self, hits, which):
        assert 0.92 <= hits[which] <= 0.98

    def test_so_they_do_with_little_overlap(self):
        hits = [
            covers(average_effect(confounded(500, seed, strength=2.0)[-1]), 1.0)[0]
            for seed in range(N_SIMULATIONS)
        ]
        assert 0.92 <= np.mean(hits) <= 0.98

    def test_so_they_do_in_groups_of_twenty_rows(self):
        hits = [
            covers(group_effects(noisy, np.arange(400) // 20), 1.0)
            for noisy in (randomised(400, seed) for seed in range(40))
        ]
        assert 0.92 <= np.mean(hits) <= 0.98

    @pytest.fixture(scope="class")
    @staticmethod
    def in_clusters():
        """How often intervals held the truth: with their clusters, and without."""
        result = []
        for seed in range(N_SIMULATIONS):
            fit, group = schools(seed)
            result.append(
                [
                    np.concatenate(
                        [
                            covers(average_effect(rows), 1.0),
                            covers(effect_on_treated(rows), 1.0),
                            covers(group_effects(rows, group), 1.0),
                        ]
                    )
                    for rows in (fit, changed(fit, cluster=None))
                ]
            )
        return np.mean(result, axis=0)

    @pytest.mark.parametrize(
        "which", range(4), ids=["average", "on the treated", "first group", "second group"]
    )
    def test_so_they_do_where_clusters_share_their_noise(self, in_clusters, which):
        clustered, as_rows = in_clusters[:, which]
        assert 0.92 <= clustered <= 0.98
        assert as_rows < 0.8

    def test_and_where_three_rows_had_the_arm(self):
        hits = [covers(average_effect(rare(seed)), 1.0) for seed in range(N_SIMULATIONS)]
        assert 0.90 <= np.mean(hits) <= 0.99


class TestDoubleRobustness:
    def test_the_naive_difference_is_far_off(self):
        fit = large()
        assert fit.y[fit.arm == 1].mean() - fit.y[fit.arm == 0].mean() > 2.5

    @pytest.mark.parametrize("wrong", ["outcomes", "propensity", "neither"])
    @pytest.mark.parametrize("estimate", [average_effect, effect_on_treated])
    def test_one_wrong_nuisance_is_forgiven(self, estimate, wrong):
        fit = large()
        outcomes = fit.outcomes * 0 + 5 if wrong == "outcomes" else fit.outcomes
        propensity = np.full((40_000, 2), 0.5) if wrong == "propensity" else fit.propensity
        result = estimate(changed(fit, outcomes=outcomes, propensity=propensity))
        assert result.stderr < 0.07
        assert result.point_estimate == pytest.approx(1, abs=4 * result.stderr.item())

    def test_both_wrong_are_not(self):
        fit = large()
        half = np.full((40_000, 2), 0.5)
        result = average_effect(changed(fit, outcomes=fit.outcomes * 0, propensity=half))
        assert result.point_estimate > 2.5

    def test_training_errors_correct_the_effects_of_new_rows(self):
        fit = large()
        biased = changed(fit, outcomes=fit.outcomes + np.array([0, 3]))
        result = average_effect_at(biased, np.random.default_rng(1).normal(4, 1, 10_000))
        assert result.point_estimate == pytest.approx(1, abs=4 * result.stderr.item())
        assert result.stderr < 0.04

    @pytest.mark.parametrize("wrong", ["outcomes", "propensity"])
    def test_so_they_do_those_of_new_treated_rows(self, wrong):
        """Outcomes are wrong in what the control would have had, not in the effect alone."""
        fit, rng = large(), np.random.default_rng(1)
        outcomes = fit.outcomes + np.array([0, 3]) - (wrong == "outcomes") * fit.outcomes[:, :1]
        propensity = np.full((40_000, 2), 0.5) if wrong == "propensity" else fit.propensity
        biased = changed(fit, outcomes=outcomes, propensity=propensity)
        arm = rng.integers(2, size=20_000)
        predicted = np.where(arm == 1, rng.normal(4, 1, 20_000), 50)
        result = effect_on_treated_at(biased, predicted, arm)
        assert result.point_estimate == pytest.approx(1, abs=4 * result.stderr.item())
        assert result.stderr < 0.07


class TestHeterogeneity:
    @staticmethod
    def design(fit, arm, control):
        """Mean predicted effect, and predicted effects less the mean of their model."""
        predicted = fit.outcomes[:, arm] - fit.outcomes[:, control]
        mean = np.average(predicted, weights=fit.weight)
        apart = predicted.copy()
        for m in np.unique(fit.model):
            own = fit.model == m
            apart[own] -= np.average(predicted[own], weights=fit.weight[own])
        return np.column_stack([np.full(len(apart), mean), apart])

    @pytest.mark.parametrize("model", [None, np.arange(50) % 4], ids=["one model", "four models"])
    def test_it_is_the_weighted_regression_with_hc3_errors(self, model):
        sm = pytest.importorskip("statsmodels.api")
        fit = noise(50, 3, model=model)
        table = heterogeneity_test(fit, 1)
        scores = potential_outcome_scores(fit)
        for arm in (0, 2):
            design = self.design(fit, arm, 1)
            reference = sm.WLS(scores[:, arm] - scores[:, 1], design, weights=fit.weight)
            reference = reference.fit(cov_type="HC3")
            own = table.loc[arm]
            np.testing.assert_allclose(own["coefficient"], reference.params, rtol=1e-9)
            np.testing.assert_allclose(own["stderr"], reference.bse, rtol=1e-9)
            one_sided = stats.t.sf(reference.params / reference.bse, 48)
            np.testing.assert_allclose(own["pvalue"], one_sided, rtol=1e-9)

    @pytest.mark.parametrize("n_clusters", [2, 3, 6, 25])
    def test_its_errors_are_those_of_leaving_each_cluster_out(self, n_clusters):
        cluster = np.minimum(np.random.default_rng(1).geometric(0.3, 90), n_clusters) - 1
        fit = noise(90, 2, cluster=cluster, model=np.arange(90) % 3)
        design, scores = self.design(fit, 1, 0), potential_outcome_scores(fit)

        def regression(rows):
            root = np.sqrt(fit.weight[rows])
            effect = scores[rows, 1] - scores[rows, 0]
            return np.linalg.lstsq(root[:, None] * design[rows], root * effect, rcond=None)[0]

        whole, names = regression(slice(None)), np.unique(fit.cluster)
        left_out = np.array([regression(fit.cluster != c) for c in names])
        table = heterogeneity_test(fit)
        np.testing.assert_allclose(table["coefficient"], whole, rtol=1e-9)
        stderr = np.sqrt(((left_out - whole) ** 2).sum(axis=0))
        np.testing.assert_allclose(table["stderr"], stderr, rtol=1e-8)
        one_sided = stats.t.sf(whole / stderr, max(len(names) - 2, 1))
        np.testing.assert_allclose(table["pvalue"], one_sided, rtol=1e-7)

    @quick
    @given(st.lists(st.floats(-100, 100), min_size=5, max_size=5))
    def test_what_a_model_says_of_all_its_rows_alike_changes_nothing(self, constants):
        """Pairs of a treated and a control row alike: what scores gain and lose is the pair's."""
        rng, model = np.random.default_rng(0), np.arange(80).repeat(2) % 5
        arm, pair = np.arange(160) % 2, np.arange(80).repeat(2)
        outcomes, half = rng.normal(size=(80, 2)).repeat(2, axis=0), np.full((160, 2), 0.5)
        outcomes[:, 1] += 3
        fit = judged_once(arm, rng.normal(size=160), outcomes, half, cluster=pair, model=model)
        shifted = outcomes + np.array([0, 1]) * np.array(constants)[model, None]
        plain, moved = (heterogeneity_test(each) for each in (fit, changed(fit, outcomes=shifted)))
        pd.testing.assert_series_equal(moved.iloc[1], plain.iloc[1], rtol=1e-6)

    def test_models_that_see_no_effects_but_differ_in_what_they_leave_out_are_no_finding(self):
        """A model's mean is the lower the higher its own rows are: the contrary of a finding."""
        tstats = []
        for seed in range(N_SIMULATIONS):
            fit = randomised(200, seed)
            rng = np.random.default_rng(10**6 + seed)
            model = rng.permutation(200) % 5
            seen = [fit.y[(fit.arm == 1) & (model != m)].mean() for m in range(5)]
            effect = np.array(seen)[model] + 0.05 * rng.normal(size=200)
            outcomes = np.column_stack([np.zeros(200), effect])
            table = heterogeneity_test(changed(fit, outcomes=outcomes, model=model))
            tstats.append(table["tstat"].iloc[1])
        assert abs(np.mean(tstats)) < 0.2
        assert 0.025 <= np.mean(np.array(tstats) > stats.t.isf(0.05, 198)) <= 0.08

    def test_clusters_that_share_their_noise_are_no_finding(self):
        rejected = []
        for seed in range(N_SIMULATIONS):
            fit, _ = schools(seed)
            unrelated = np.random.default_rng(10**6 + seed).normal(size=40)[fit.cluster]
            fit = changed(fit, outcomes=np.column_stack([fit.y * 0, 1 + unrelated]))
            rejected.append(
                [
                    heterogeneity_test(each)["pvalue"].iloc[1] < 0.05
                    for each in (fit, changed(fit, cluster=None))
                ]
            )
        clustered, as_rows = np.mean(rejected, axis=0)
        assert 0.02 <= clustered <= 0.09
        assert as_rows > 0.15

    @staticmethod
    def pvalues(effect, n_simulations):
        return np.array(
            [
                heterogeneity_test(confounded(300, seed, effect)[-1])["pvalue"].iloc[1]
                for seed in range(n_simulations)
            ]
        )

    def test_no_heterogeneity_is_rejected_at_most_as_often_as_stated(self):
        pvalues = self.pvalues(lambda x: np.ones(len(x)), N_SIMULATIONS)
        assert 0.005 <= (pvalues < 0.05).mean() <= 0.08

    def test_predictions_unrelated_to_the_effect_are_rejected_as_often_as_stated(self):
        rejected = []
        for seed in range(N_SIMULATIONS):
            fit = randomised(200, seed)
            unrelated = np.random.default_rng(10**6 + seed).normal(size=200)
            fit.outcomes[:, 1] += 1 + unrelated
            rejected.append(heterogeneity_test(fit)["pvalue"].iloc[1] < 0.05)
        assert 0.025 <= np.mean(rejected) <= 0.08

    def test_true_heterogeneity_is_found(self):
        assert (self.pvalues(lambda x: 1 + x[:, 1], 60) < 0.05).mean() > 0.95

    def test_true_effects_have_both_coefficients_1(self):
        table = heterogeneity_test(large())
        np.testing.assert_allclose(table["coefficient"], 1, atol=0.06)
        assert (table["pvalue"] < 1e-10).all()

    def test_constant_predictions_have_no_spread_to_test(self):
        fit = noise(50)
        constant = np.column_stack([fit.outcomes[:, 0], fit.outcomes[:, 0] + 1])
        table = heterogeneity_test(changed(fit, outcomes=constant))
        first, second = (table.iloc[row] for row in range(2))
        assert np.isfinite(first).all()
        assert np.isnan(second[["coefficient", "stderr", "tstat"]].astype(float)).all()
        assert second["pvalue"] == 1

    def test_nor_have_predictions_that_each_model_holds_constant(self):
        fit = noise(50, 3, model=np.arange(50) % 5)
        effects = np.random.default_rng(1).normal(size=(5, 2))[fit.model]
        outcomes = fit.outcomes[:, :1] + np.column_stack([np.zeros(50), effects])
        table = heterogeneity_test(changed(fit, outcomes=outcomes))
        assert table["pvalue"].xs("differential_prediction", level="term").tolist() == [1, 1]


class TestTable:
    inference = average_effect(noise(60, 3), arms=["none", "low", "high"])

    def test_it_has_econmls_columns_and_the_arms(self):
        frame = self.inference.summary_frame()
        assert list(frame.columns) == COLUMNS
        assert list(frame.index) == ["low", "high"]
        assert frame.index.name == "arm"

    def test_its_numbers_agree_with_one_another(self):
        frame = self.inference.summary_frame(0.1)
        np.testing.assert_allclose(frame[["ci_lower", "ci_upper"]].T, self.inference.interval(0.1))
        np.testing.assert_allclose(frame["zstat"], frame["point_estimate"] / frame["stderr"])
        lower, upper = self.inference.interval(frame["pvalue"].iloc[0])
        assert min(abs(lower[0]), abs(upper[0])) < 1e-9  # the level at which 0 is on the edge

    def test_intervals_are_nested(self):
        lower, upper = map(
            np.array, zip(*(self.inference.interval(a) for a in (0.01, 0.05, 0.5)), strict=True)
        )
        assert (np.diff(lower, axis=0) > 0).all()
        assert (np.diff(upper, axis=0) < 0).all()

    def test_the_text_says_what_was_estimated_from_what(self):
        text = str(self.inference)
        for words in ("Average treatment effect (ATE)", "AIPW", "60 rows", "0.95", "low", "high"):
            assert words in text
        assert "0.9" in self.inference.summary(0.1)

    def test_it_is_what_is_shown_in_a_terminal_and_as_html_in_a_notebook(self):
        assert repr(self.inference) == str(self.inference)
        page = self.inference._repr_html_()
        for words in ("<table", "Average treatment effect (ATE)", "60 rows", "low", "high"):
            assert words in page
        noted = replace(self.inference, notes=("Only <some>.",))
        assert "<p>Only &lt;some&gt;.</p>" in noted._repr_html_()
        assert str(noted).endswith("Only <some>.")

    def test_groups_and_arms_are_named(self):
        groups = pd.Series(np.arange(60) % 2, name="site").map({0: "north", 1: "south"})
        fit = noise(60, 3, seed=5)
        frame = group_effects(fit, groups, arms=["none", "low", "high"]).summary_frame()
        assert frame.index.names == ["site", "arm"]
        assert frame.index.tolist() == [
            ("north", "low"), ("north", "high"), ("south", "low"), ("south", "high"),
        ]  # fmt: skip
        assert group_effects(noise(60), groups).summary_frame().index.tolist() == ["north", "south"]

    def test_a_categorical_keeps_its_order(self):
        groups = pd.Categorical(["high", "low"] * 30, ["low", "high", "unseen"])
        assert list(group_effects(noise(60, seed=3), groups).index) == ["low", "high"]

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, "0.05", None, np.nan])
    def test_an_impossible_alpha_is_refused(self, alpha):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            self.inference.interval(alpha)


class TestErrors:
    @pytest.mark.parametrize("estimate", [average_effect, effect_on_treated, heterogeneity_test])
    def test_an_arm_of_one_row_is_named(self, estimate):
        fit = noise(30, 3)
        rows = np.append(np.flatnonzero(fit.arm != 2), np.flatnonzero(fit.arm == 2)[:1])
        with pytest.raises(ValueError, match="the sample has 1 of arm 'c'"):
            estimate(part(fit, rows), arms=["a", "b", "c"])

    def test_groups_without_both_arms_are_named(self):
        fit = noise(30)
        groups = np.where(fit.arm == 1, "mixed", "plain")
        groups[np.flatnonzero(fit.arm == 0)[:5]] = "mixed"
        with pytest.raises(ValueError, match=re.escape("plain has 0 of arm 1: merge")):
            group_effects(fit, groups)

    def test_many_bad_groups_are_counted(self):
        with pytest.raises(ValueError, match=re.escape("(and 55 more)")):
            group_effects(noise(30), np.arange(30))

    def test_groups_of_another_length_are_refused(self):
        with pytest.raises(ValueError, match="29 labels for 30 training rows"):
            group_effects(noise(30), np.zeros(29))

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
    def test_a_missing_group_is_counted(self, missing):
        groups = pd.Series(["a"] * 28 + [missing] * 2, dtype=object)
        with pytest.raises(ValueError, match="2 missing labels, the first at row 28"):
            group_effects(noise(30), groups)

    def test_one_new_row_has_an_estimate_but_no_standard_error(self):
        fit = noise(30)
        one, two = (average_effect_at(fit, np.full(m, 3.0)) for m in (1, 2))
        np.testing.assert_array_equal(one.point_estimate, two.point_estimate)
        frame = one.summary_frame()
        assert frame.drop(columns="point_estimate").isna().all(axis=None)
        assert "not available for one row" in str(one)
        assert "not available" not in str(two)
        assert np.isfinite(two.stderr).all()

    def test_no_new_row_has_no_average(self):
        with pytest.raises(ValueError, match="at least 1 row, not 0"):
            average_effect_at(noise(30), np.ones(0))

    def test_an_arm_that_one_new_row_had_has_no_standard_error_and_is_named(self):
        fit, arms = noise(30, 3), ["a", "b", "c"]
        effects = np.ones((9, 2))
        for n_rows in (0, 1):
            arm = np.repeat([0, 1, 2], [5, 4 - n_rows, n_rows])
            result = effect_on_treated_at(fit, effects, arm, 0, arms)
            assert np.isfinite(result.point_estimate).tolist() == [True, n_rows == 1]
            for part in (result.stderr, result.dof, *result.interval()):
                assert np.isfinite(part).tolist() == [True, False]
            note = result.notes[-1]
            assert f"not available, because too few rows had arm 'c' ({n_rows} rows)" in note
        with pytest.raises(ValueError, match="had an arm other than 'a'"):
            effect_on_treated_at(fit, effects, np.zeros(9, int), 0, arms)
        without_control = np.repeat([1, 2], [5, 4])
        assert np.isfinite(effect_on_treated_at(fit, effects, without_control).stderr).all()

    def test_an_arm_of_one_training_row_is_named_for_new_rows_too(self):
        fit = noise(30)
        rows = np.append(np.flatnonzero(fit.arm == 0), np.flatnonzero(fit.arm == 1)[:1])
        with pytest.raises(ValueError, match="the sample has 1 of arm 1"):
            effect_on_treated_at(part(fit, rows), np.ones(4), np.arange(4) % 2)
        with pytest.raises(ValueError, match="the sample has 1 of arm 1"):
            average_effect_at(part(fit, rows), np.ones(4))
