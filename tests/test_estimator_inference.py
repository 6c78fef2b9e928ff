"""How sure a fitted model is: draws, intervals of effects, of averages and of persons."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small import three_arms, tiny, trial, two_arms

dependences = pytest.mark.parametrize("dependence", ["any", "independent"])


def intervals_of_persons(est):
    independent = partial(est.individual_effect_interval, dependence="independent")
    return est.predict_outcome_interval, est.individual_effect_interval, independent


@pytest.fixture(scope="module")
def two():
    return two_arms()


@pytest.fixture(scope="module")
def three():
    return three_arms()


@pytest.fixture(scope="module")
def dropped():
    X, y, arm, _ = trial(n_arms=3)
    return tiny(max_epochs=20, hypernet_dropout=0.2, uncertainty="both").fit(X, y, arm), X


@pytest.fixture(params=["two", "three"])
def fitted(request):
    return request.getfixturevalue(request.param)


class TestDraws:
    def test_draws_repeat_by_seed_and_differ_between_seeds(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=9, random_state=1)
        np.testing.assert_array_equal(est.sample_effects(X, 9, 1), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9, np.random.RandomState(1)), draws)
        assert not np.array_equal(est.sample_effects(X, 9, 2), draws)
        np.testing.assert_array_equal(est.sample_effects(X, 9), est.sample_effects(X, 9))

    def test_draws_without_dropout_are_mixtures_of_five_models_and_a_constant(self, two):
        """Of whom there are as many as parts, and whose deviations from their mean are four."""
        est, X, *_ = two
        draws = est.sample_effects(X, n_samples=30, random_state=0) - est.predict(X)
        sizes = np.linalg.svd(draws, compute_uv=False)
        assert sizes[4] > 1e-3 * sizes[0]
        assert sizes[5] < 1e-9 * sizes[0]
        with_constant = np.vstack([draws, np.ones(len(X))])
        assert np.linalg.matrix_rank(with_constant, tol=1e-6) == 5

    def test_with_dropout_there_are_many_more_functions_than_members(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=150)
        assert len(np.unique(draws[:, 0, 0])) > 100

    def test_the_mean_of_the_draws_is_near_the_point_prediction(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=1000, random_state=0)
        assert (np.abs(draws.mean(axis=0) - est.predict(X)) < 0.5 * draws.std(axis=0)).all()

    @pytest.mark.parametrize("model", ["three", "dropped"])
    def test_a_row_alone_gets_the_draws_that_it_gets_among_others(self, model, request):
        est, X, *_ = request.getfixturevalue(model)
        together = est.sample_effects(X, n_samples=70, random_state=3)
        for row in (0, 5, len(X) - 1):
            alone = est.sample_effects(X[[row]], n_samples=70, random_state=3)
            np.testing.assert_allclose(alone[:, 0], together[:, row], atol=1e-5)

    def test_draws_of_one_contrast_come_from_draws_of_the_others(self, dropped):
        est, X = dropped
        draws = est.sample_effects(X, n_samples=20)
        between = est.sample_effects(X, n_samples=20, T0=1, T1=2)
        np.testing.assert_allclose(between, draws[..., 1] - draws[..., 0], atol=1e-9)

    def test_one_draw_at_a_time_is_another_for_every_seed(self, two):
        est, X, *_ = two
        singles = [est.sample_effects(X[:1], 1, random_state=seed)[0, 0] for seed in range(30)]
        assert len(set(singles)) == 30

    def test_asking_does_not_change_the_answers(self, dropped):
        est, X = dropped
        before = est.predict(X)
        est.sample_effects(X, random_state=5)
        est.effect_interval(X)
        np.testing.assert_array_equal(est.predict(X), before)


class TestIntervals:
    @pytest.mark.parametrize("model", ["two", "three", "dropped"])
    def test_bounds_are_student_s_quantiles_about_the_effect(self, model, request):
        est, X, *_ = request.getfixturevalue(model)
        effects, stderr = est.predict(X), est.effect_inference(X).stderr
        for alpha in (0.05, 0.2):
            half = stats.t(est.calibration_.dof).ppf(1 - alpha / 2) * stderr
            np.testing.assert_allclose(
                est.effect_interval(X, alpha=alpha), (effects - half, effects + half), atol=1e-5
            )
        np.testing.assert_array_equal(est.effect_interval(X), est.effect_interval(X, alpha=0.05))

    def test_bounds_are_ordered_and_nested_in_alpha(self, dropped):
        est, X = dropped
        before = None
        for alpha in (0.9, 0.5, 0.2, 0.05, 0.001):
            lower, upper = est.effect_interval(X, alpha=alpha)
            assert (lower < upper).all()
            if before is not None:
                assert ((lower < before[0]) & (upper > before[1])).all()
            before = lower, upper

    def test_bounds_follow_the_contrast(self, dropped):
        est, X = dropped
        lower, upper = est.effect_interval(X, T0=1, T1=2)
        np.testing.assert_allclose(est.effect_interval(X, T0=2, T1=1), (-upper, -lower))
        point = est.effect(X, T0=1, T1=2)
        assert ((lower < point) & (point < upper)).all()

    @pytest.mark.parametrize("alpha", [np.float32(0.1), np.float64(0.1)])
    def test_alpha_may_be_any_real_number(self, two, alpha):
        est, X, *_ = two
        np.testing.assert_allclose(
            est.effect_interval(X, alpha=alpha), est.effect_interval(X, alpha=0.1), atol=1e-6
        )


def shifted_trial(n, seed):
    """Confounded, with both outcomes of everyone; noise is larger under treatment."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    arm = (rng.random(n) < 1 / (1 + np.exp(-X[:, 0] - 0.7 * X[:, 1]))).astype(int)
    both = X[:, [0]] + np.array([0, 1]) * (1 + X[:, [1]]) + rng.normal(size=(n, 2)) * [0.5, 1]
    return X, both, arm


@pytest.fixture(scope="module")
def fits():
    """Fits to confounded trials, with their rows and others of the same population."""
    found = []
    for seed in range(16):
        X, both, arm = shifted_trial(250, seed)
        settings = {"n_members": 5, "inputs": "raw", "learning_rate": 0.02, "max_epochs": 40}
        est = tiny(**settings, random_state=seed).fit(X, both[np.arange(250), arm], arm)
        found.append((est, X, shifted_trial(400, 100 + seed)))
    return found


class TestCoverageOfAverages:
    @pytest.fixture(scope="class")
    @staticmethod
    def frames(fits):
        """Each question's answers, and what is true of the population."""
        X, both, arm = shifted_trial(200_000, 10**6)
        naive = both[arm == 1, 1].mean() - both[arm == 0, 0].mean()
        effect = 1 + X[:, 1]
        on_treated = effect[arm == 1].mean()
        half = np.sqrt(2 / np.pi)  # mean of a half-normal
        answers = {"ate": 1, "new": 1, "att": on_treated, "new att": on_treated}
        answers |= {"low": 1 - half, "high": 1 + half}
        rows = []
        for est, X, (new, _, new_arm) in fits:
            found = [
                *(est.ate_inference(), est.ate_inference(new)),
                *(est.att_inference(), est.att_inference(new, new_arm)),
                est.gate_inference(X[:, 1] > 0),
            ]
            rows.append(pd.concat([part.summary_frame() for part in found]).set_axis([*answers]))
        return rows, pd.Series(answers), naive

    def test_confounding_that_misleads_the_difference_of_means_is_adjusted_for(self, frames):
        rows, truth, naive = frames
        assert naive - truth["att"] > 0.5
        error = np.mean([frame["point_estimate"] - truth for frame in rows], axis=0)
        assert (np.abs(error) < 0.12).all()

    def test_intervals_hold_the_truth_at_their_rate(self, frames):
        rows, truth, _ = frames
        held = [(frame["ci_lower"] <= truth) & (truth <= frame["ci_upper"]) for frame in rows]
        assert np.mean(held, axis=0).min() >= 0.75  # 12 of 16
        assert 0.89 <= np.mean(held) <= 0.99

    def test_standard_errors_are_the_spread_of_the_estimates(self, frames):
        rows, truth, _ = frames
        error = np.sqrt(np.mean([(f["point_estimate"] - truth) ** 2 for f in rows], axis=0))
        stated = np.sqrt(np.mean([frame["stderr"] ** 2 for frame in rows], axis=0))
        assert ((error / stated > 0.5) & (error / stated < 1.6)).all()


class TestIntervalsOfPersons:
    def test_outcomes_and_effects_of_new_persons_are_held_at_the_rate_stated(self, fits):
        outcome, effect, width, independent = [], [], [], []
        for est, _, (new, truth, _) in fits[:10]:
            for k in (0, 1):
                lower, upper = est.predict_outcome_interval(new, arm=k, alpha=0.2)
                outcome.append(((lower <= truth[:, k]) & (truth[:, k] <= upper)).mean())
                width.append(np.median(upper - lower))
            lower, upper = est.individual_effect_interval(new, alpha=0.2)
            own = truth[:, 1] - truth[:, 0]
            effect.append(((lower <= own) & (own <= upper)).mean())
            low, high = est.individual_effect_interval(new, alpha=0.2, dependence="independent")
            independent.append(((low <= own) & (own <= high)).mean())
            assert np.median(high - low) < 0.75 * np.median(upper - lower)
        assert 0.78 < np.mean(outcome) < 0.9
        assert np.mean(effect) > 0.9
        assert 0.78 < np.mean(independent) < 0.87
        assert np.mean(width[::2]) < 0.75 * np.mean(width[1::2])

    def test_shapes_and_labels_of_outcomes(self, three):
        est, X, _, labels = three
        n = len(X)
        each = {arm: est.predict_outcome_interval(X, arm=arm, alpha=0.2) for arm in "abc"}
        outcomes = dict(zip(est.arms_.tolist(), est.predict_outcomes(X).T, strict=True))
        for arm, (lower, upper) in each.items():
            assert lower.shape == upper.shape == (n,)
            assert ((lower < outcomes[arm]) & (outcomes[arm] < upper)).all()
        np.testing.assert_array_equal(est.predict_outcome_interval(X, alpha=0.2), each["b"])
        for given in (labels, pd.Series(labels, index=np.arange(n)[::-1]), pd.Categorical(labels)):
            found = est.predict_outcome_interval(X, arm=given, alpha=0.2)
            for arm in "abc":
                mine = labels == arm
                np.testing.assert_array_equal(
                    np.array(found)[:, mine], np.array(each[arm])[:, mine]
                )

    @dependences
    def test_shapes_and_labels_of_effects(self, dependence, three):
        est, X, _, labels = three
        interval, n = partial(est.individual_effect_interval, dependence=dependence), len(X)
        for T0, others in ((None, "ac"), ("b", "ac"), ("a", "bc"), ("c", "ba")):
            lower, upper = interval(X, T0=T0, alpha=0.3)
            assert lower.shape == upper.shape == (n, 2)
            for k, T1 in enumerate(others):
                one = interval(X, T0=T0, T1=T1, alpha=0.3)
                np.testing.assert_array_equal(one, (lower[:, k], upper[:, k]))
        low, high = interval(X, T0="a", T1="c", alpha=0.3)
        assert low.shape == (n,)
        np.testing.assert_array_equal(interval(X, T0="c", T1="a", alpha=0.3), (-high, -low))
        own = np.array(interval(X, T0=labels, T1="c", alpha=0.3))
        np.testing.assert_array_equal(
            own[:, labels == "a"], np.array([low, high])[:, labels == "a"]
        )
        assert (own[:, labels == "c"] == 0).all()

    @pytest.mark.parametrize("alpha", [0.4, 0.97])
    def test_of_one_member_they_are_those_of_all_models_and_hold_its_prediction(self, alpha):
        X, y, arm, _ = trial()
        one, five = (tiny(n_members=m).fit(X, y, arm) for m in (1, 5))
        for k in (0, 1):
            predicted, by_all = (est.predict_outcomes(X)[:, k] for est in (one, five))
            lower, upper = one.predict_outcome_interval(X, arm=k, alpha=alpha)
            assert ((lower - 1e-12 <= predicted) & (predicted <= upper + 1e-12)).all()
            of_all = five.predict_outcome_interval(X, arm=k, alpha=alpha)
            assert ((predicted < of_all[0]) | (of_all[1] < predicted)).any() == (alpha > 0.9)
            np.testing.assert_allclose(
                (np.minimum(lower, by_all), np.maximum(upper, by_all)),
                (np.minimum(of_all[0], predicted), np.maximum(of_all[1], predicted)),
                atol=1e-12,
            )

    @pytest.mark.parametrize(
        "judges", [{"validation_fraction": 0.1}, {"validation_fraction": 0.6}, {"n_members": 7}]
    )
    def test_rows_may_be_judged_by_one_model_of_few_or_of_many_or_by_several(self, judges):
        X, y, arm, _ = trial()
        est = tiny(**judges).fit(X, y, arm)
        times = np.bincount(est.fitted_.evidence.row, minlength=len(X))
        assert times.min() == 1
        assert times.max() == (2 if "n_members" in judges else 1)
        lower, upper = est.predict_outcome_interval(X, arm=arm, alpha=0.4)
        assert np.isfinite(upper - lower).all()
        assert np.mean((lower <= y) & (y <= upper)) > 0.5

    @dependences
    def test_with_two_arms_there_is_one_effect(self, dependence, two):
        est, X, *_ = two
        interval = partial(est.individual_effect_interval, X, alpha=0.2, dependence=dependence)
        lower, upper = interval()
        assert lower.shape == upper.shape == (len(X),)
        effects = est.predict(X)
        assert ((lower < effects) & (effects < upper)).all()
        np.testing.assert_array_equal(interval(T0=1), (-upper, -lower))

    def test_nothing_is_supposed_of_dependence_unless_asked(self, two):
        est, X, *_ = two
        supposed, nothing = (
            np.array(est.individual_effect_interval(X, alpha=0.2, **dependence))
            for dependence in ({"dependence": "independent"}, {})
        )
        np.testing.assert_array_equal(
            est.individual_effect_interval(X, alpha=0.2, dependence="any"), nothing
        )
        assert (nothing[0] < supposed[0]).all()
        assert (supposed[1] < nothing[1]).all()

    def test_they_are_nested_in_alpha(self, fitted):
        est, X, *_ = fitted
        for method in intervals_of_persons(est):
            before = None
            for alpha in (0.9, 0.5, 0.2, 0.05):
                lower, upper = method(X, alpha=alpha)
                assert (lower <= upper).all()
                if before is not None:
                    assert ((lower <= before[0]) & (before[1] <= upper)).all()
                    assert (upper - lower > before[1] - before[0]).any()
                before = lower, upper
            np.testing.assert_array_equal(method(X), before)

    def test_a_row_alone_gets_what_it_gets_among_others(self, fitted):
        est, X, *_ = fitted
        for method, rounding in zip(intervals_of_persons(est), (1e-5, 1e-5, 0.02), strict=True):
            together = np.array(method(X, alpha=0.2))
            for row in (0, 17, len(X) - 1):
                alone = np.array(method(X[[row]], alpha=0.2))
                np.testing.assert_allclose(alone[:, 0], together[:, row], atol=rounding)

    def test_relabelled_arms_have_the_same(self):
        X, y, arm, _ = trial(n_arms=3)
        first, labels = tiny().fit(X, y, arm), np.array(["z", "x", "y"])
        second = tiny(control="y").fit(X, y, labels[arm])
        for T0, T1 in ((0, 1), (1, 2), (2, 0)):
            np.testing.assert_array_equal(
                second.predict_outcome_interval(X, arm=labels[T0], alpha=0.2),
                first.predict_outcome_interval(X, arm=T0, alpha=0.2),
            )
            for dependence in ("any", "independent"):
                options = {"alpha": 0.3, "dependence": dependence}
                np.testing.assert_array_equal(
                    second.individual_effect_interval(X, T0=labels[T0], T1=labels[T1], **options),
                    first.individual_effect_interval(X, T0=T0, T1=T1, **options),
                )

    def test_nothing_is_known_of_an_arm_of_few_rows(self):
        X, y, arm, _ = trial()
        arm = np.where(np.arange(len(arm)) < 4, 2, arm)
        est = tiny().fit(X, y, arm)
        lower, upper = est.predict_outcome_interval(X, arm=2)
        assert (lower == -np.inf).all()
        assert (upper == np.inf).all()
        assert np.isfinite(est.predict_outcome_interval(X, arm=1, alpha=0.2)).all()
        for dependence in ("any", "independent"):
            lower, upper = est.individual_effect_interval(X, alpha=0.2, dependence=dependence)
            assert np.isfinite(upper - lower).all(axis=0).tolist() == [True, False]

    def test_a_binary_outcome_has_classes_and_their_differences(self):
        X, y, arm, _ = trial()
        est = tiny(max_epochs=30).fit(X, np.where(y > 2, "yes", "no"), arm)
        for arm in (0, 1):
            lower, upper = est.predict_outcome_interval(X, arm=arm, alpha=0.2)
            assert {*zip(lower, upper, strict=True)} <= {(0, 0), (0, 1), (1, 1)}
            likelier = est.predict_outcomes(X)[:, arm] >= 0.5
            assert np.where(likelier, upper == 1, lower == 0).all()
        lower, upper = est.individual_effect_interval(X, alpha=0.2)
        assert {*lower, *upper} <= {-1, 0, 1}
        low, high = est.individual_effect_interval(X, alpha=0.2, dependence="independent")
        assert ((lower <= low) & (low <= high) & (high <= upper)).all()
