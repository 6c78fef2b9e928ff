import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hypercate.metrics import (
    ate_error,
    att_error,
    coverage,
    interval_score,
    policy_risk,
    rejection_curve,
    sqrt_pehe,
)

fuzzed = settings(derandomize=True, deadline=None)
VALUES = st.floats(-1e3, 1e3)
SHAPES = st.one_of(st.tuples(st.integers(1, 20)), st.tuples(st.integers(1, 20), st.integers(1, 4)))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(float, shape, elements=VALUES)] * 2))


@st.composite
def experiments(draw):
    """y, treatment, randomized and effect_pred with both arms among the randomised rows."""
    n = draw(st.integers(2, 30))
    y, treatment, randomized = (draw(arrays(int, n, elements=st.integers(0, 1))) for _ in range(3))
    treatment[:2], randomized[:2] = (0, 1), 1
    return y, treatment, randomized, draw(arrays(float, n, elements=VALUES))


class TestKnownTruth:
    def test_by_hand(self):
        true, pred = [1.0, 2.0, 3.0], [1.0, 4.0, 7.0]
        assert sqrt_pehe(true, pred) == pytest.approx(np.sqrt(20 / 3))
        assert ate_error(true, pred) == pytest.approx(2)

    def test_errors_of_opposite_sign_cancel_in_the_average_only(self):
        assert ate_error([0.0, 0.0], [3.0, -3.0]) == 0
        assert sqrt_pehe([0.0, 0.0], [3.0, -3.0]) == 3

    def test_contrasts_do_not_cancel_each_other(self):
        true, pred = np.zeros((2, 2)), np.array([[1.0, -1.0], [1.0, -1.0]])
        assert ate_error(true, pred) == 1
        assert sqrt_pehe(true, pred) == 1

    @given(PAIRS)
    def test_average_error_never_exceeds_pehe(self, pair):
        assert 0 <= ate_error(*pair) <= sqrt_pehe(*pair) + 1e-9

    @given(PAIRS)
    def test_symmetric_and_zero_for_the_truth(self, pair):
        true, pred = pair
        for metric in (sqrt_pehe, ate_error):
            assert metric(true, pred) == metric(pred, true)
            assert metric(true, true) == 0

    @given(PAIRS, VALUES)
    def test_a_shifted_truth_is_wrong_by_the_shift(self, pair, shift):
        true, _ = pair
        assert sqrt_pehe(true, true + shift) == pytest.approx(abs(shift), abs=1e-9)
        assert ate_error(true, true + shift) == pytest.approx(abs(shift), abs=1e-9)

    @given(PAIRS, st.floats(0.1, 10), st.randoms(use_true_random=False))
    def test_scales_with_the_outcome_and_ignores_row_order(self, pair, scale, random):
        true, pred = pair
        rows = list(range(len(true)))
        random.shuffle(rows)
        for metric in (sqrt_pehe, ate_error):
            expected = scale * metric(true, pred)
            found = metric(scale * true[rows], scale * pred[rows])
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)

    @pytest.mark.parametrize("metric", [sqrt_pehe, ate_error])
    @pytest.mark.parametrize(
        ("true", "pred", "message"),
        [
            ([1.0, 2.0], [1.0], "shape"),
            ([1.0, 2.0], [[1.0], [2.0]], "shape"),
            ([], [], "shape"),
            (1.0, 1.0, "shape"),
            (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), "shape"),
            ([1.0, np.nan], [1.0, 2.0], "effect_true is missing or infinite in row 1"),
            ([[1.0], [2.0]], [[1.0], [np.inf]], "effect_pred is missing or infinite in row 1"),
        ],
    )
    def test_bad_input_is_named(self, metric, true, pred, message):
        with pytest.raises(ValueError, match=message):
            metric(true, pred)


@st.composite
def intervals(draw):
    """True effects, lower and upper ends."""
    shape = draw(SHAPES)
    true, first, second = (draw(arrays(float, shape, elements=VALUES)) for _ in range(3))
    return true, np.minimum(first, second), np.maximum(first, second)


class TestIntervals:
    def test_by_hand(self):
        true, lower, upper = [0.0, 1.0, 5.0, -2.0], [-1.0, 1.0, 2.0, 0.0], [1.0, 3.0, 4.0, 1.0]
        # Two covered, one at its end; the others are missed by 1 and 2. Widths 2, 2, 2, 1.
        assert coverage(true, lower, upper) == 0.5
        assert interval_score(true, lower, upper, 0.1) == pytest.approx((7 + 20 * 3) / 4)
        assert interval_score(true, lower, upper, 0.5) == pytest.approx((7 + 4 * 3) / 4)

    def test_rows_and_contrasts_count_alike(self):
        true = np.array([[0.0, 9.0], [0.0, 0.0]])
        assert coverage(true, true * 0 - 1, true * 0 + 1) == 0.75

    @fuzzed
    @given(intervals(), st.floats(0, 10))
    def test_wider_intervals_cover_no_less(self, case, by):
        true, lower, upper = case
        assert coverage(true, lower - by, upper + by) >= coverage(true, lower, upper)

    @fuzzed
    @given(intervals(), st.floats(0.01, 0.98), st.floats(0.001, 0.01))
    def test_a_miss_costs_more_at_a_higher_level(self, case, alpha, less):
        low, high = (interval_score(*case, level) for level in (alpha + less, alpha))
        assert high >= low - 1e-9 * abs(low)

    @fuzzed
    @given(intervals(), st.floats(0.01, 0.99))
    def test_the_score_is_the_mean_width_where_all_are_covered_and_more_elsewhere(
        self, case, alpha
    ):
        true, lower, upper = case
        width, score = np.mean(upper - lower), interval_score(true, lower, upper, alpha)
        if coverage(true, lower, upper) == 1:
            assert score == pytest.approx(width)
        else:
            assert score >= width
        around = np.minimum(lower, true), np.maximum(upper, true)
        assert interval_score(true, *around, alpha) <= score + 1e-9 * abs(score)

    @fuzzed
    @given(intervals(), VALUES, st.floats(0.1, 10))
    def test_the_score_moves_with_the_outcomes_unit_and_not_with_its_origin(
        self, case, shift, scale
    ):
        expected = scale * interval_score(*case, 0.1)
        moved = interval_score(*(scale * (values + shift) for values in case), 0.1)
        assert moved == pytest.approx(expected, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("alpha", [0.05, 0.1, 0.5])
    def test_the_quantiles_of_the_truth_score_least(self, alpha):
        true = np.random.default_rng(0).normal(size=20_000)
        ends = np.quantile(true, [alpha / 2, 1 - alpha / 2])
        least = interval_score(true, *(np.full(20_000, end) for end in ends), alpha)
        for factor in (0.7, 0.9, 1.1, 1.5):
            other = (np.full(20_000, factor * end) for end in ends)
            assert interval_score(true, *other, alpha) > least

    def test_an_unbounded_interval_covers_and_scores_infinitely(self):
        case = [3.0, 0.0], [-np.inf, -1.0], [np.inf, 1.0]
        assert coverage(*case) == 1
        assert interval_score(*case, 0.1) == np.inf

    @pytest.mark.parametrize("metric", [coverage, lambda *case: interval_score(*case, 0.1)])
    @pytest.mark.parametrize(
        ("case", "message"),
        [
            (([1.0], [0.0, 0.0], [1.0, 1.0]), "shape"),
            (([1.0, 1.0], [0.0, 0.0], [1.0]), "shape"),
            (([], [], []), "shape"),
            (([np.nan, 1.0], [0.0, 0.0], [2.0, 2.0]), "effect_true is missing .* row 0"),
            (([1.0, 1.0], [0.0, 3.0], [2.0, 2.0]), r"row 1 is \[3.0, 2.0\]"),
            (([1.0, 1.0], [0.0, np.nan], [2.0, 2.0]), r"row 1 is \[nan, 2.0\]"),
            (([1.0, 1.0], [np.inf, 0.0], [np.inf, 2.0]), r"row 0 is \[inf, inf\]"),
        ],
    )
    def test_bad_input_is_named(self, metric, case, message):
        with pytest.raises(ValueError, match=message):
            metric(*case)

    @pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 90, np.nan])
    def test_alpha_is_a_share(self, alpha):
        with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
            interval_score([0.0], [0.0], [1.0], alpha)


class TestRejection:
    def test_by_hand(self):
        curve = rejection_curve(
            np.zeros(4), [1.0, 2.0, 3.0, 4.0], [4, 1, 3, 2], [0, 0.25, 0.5, 0.75]
        )
        kept = [[1, 2, 3, 4], [2, 3, 4], [2, 4], [2]]
        np.testing.assert_allclose(curve, [np.sqrt(np.mean(np.square(rows))) for rows in kept])

    def test_shares_are_rounded_to_whole_rows_of_which_one_is_kept(self):
        curve = rejection_curve(np.zeros(3), [1.0, 2.0, 3.0], [1, 2, 3], [0.1, 0.3, 0.36, 0.99])
        np.testing.assert_allclose(curve, np.sqrt([14 / 3, 5 / 2, 5 / 2, 1]))

    def test_several_contrasts_are_one_row(self):
        pred = np.array([[3.0, 4.0], [1.0, 1.0]])
        curve = rejection_curve(np.zeros((2, 2)), pred, [2.0, 1.0], [0, 0.5])
        np.testing.assert_allclose(curve, [np.sqrt(27 / 4), 1])

    @fuzzed
    @given(PAIRS, st.randoms(use_true_random=False))
    def test_nothing_rejected_is_the_error_of_all_and_ties_are_as_good_as_random(
        self, pair, random
    ):
        true, pred = pair
        doubt = [random.random() for _ in true]
        assert rejection_curve(true, pred, doubt, [0])[0] == pytest.approx(sqrt_pehe(true, pred))
        np.testing.assert_allclose(
            rejection_curve(true, pred, np.ones(len(true)), [0, 0.3, 0.9]),
            sqrt_pehe(true, pred),
            rtol=1e-9,
            atol=1e-9,
        )

    @fuzzed
    @given(PAIRS, st.randoms(use_true_random=False))
    def test_no_order_beats_that_of_the_errors_themselves(self, pair, random):
        true, pred = pair
        error = ((true - pred) ** 2).reshape(len(true), -1).mean(axis=1)
        shares = np.arange(10) / 10
        oracle = rejection_curve(true, pred, error, shares)
        other = rejection_curve(true, pred, [random.random() for _ in true], shares)
        assert (np.diff(oracle) <= 1e-9).all()
        assert (oracle <= other + 1e-9).all()

    @fuzzed
    @given(PAIRS, st.randoms(use_true_random=False))
    def test_only_the_order_of_doubt_counts_and_not_that_of_rows(self, pair, random):
        true, pred = pair
        doubt = np.array([float(random.randrange(4)) for _ in true])
        rows = list(range(len(true)))
        random.shuffle(rows)
        shares = [0, 0.25, 0.5]
        np.testing.assert_allclose(
            rejection_curve(true[rows], pred[rows], np.exp(doubt[rows]), shares),
            rejection_curve(true, pred, doubt, shares),
            rtol=1e-9,
            atol=1e-9,
        )

    def test_unbounded_intervals_go_first(self):
        curve = rejection_curve(np.zeros(3), [1.0, 5.0, 1.0], [2.0, np.inf, 3.0], [0.34])
        assert curve[0] == pytest.approx(1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"effect_pred": [1.0]}, "shape"),
            ({"uncertainty": [1.0]}, r"uncertainty must have one value per row: \(2,\)"),
            ({"uncertainty": [[1.0], [2.0]]}, "uncertainty must have one value per row"),
            ({"uncertainty": [1.0, np.nan]}, "uncertainty is missing in row 1"),
            ({"shares": [0.5, 1.0]}, r"shares must be one-dimensional and in \[0, 1\)"),
            ({"shares": [-0.1]}, "shares must be"),
            ({"shares": [np.nan]}, "shares must be"),
            ({"shares": 0.5}, "shares must be one-dimensional"),
        ],
    )
    def test_bad_input_is_named(self, change, message):
        arguments = {
            "effect_true": [1.0, 2.0],
            "effect_pred": [1.0, 2.0],
            "uncertainty": [1.0, 2.0],
            "shares": [0.0],
        }
        with pytest.raises(ValueError, match=message):
            rejection_curve(**arguments | change)


# Six randomised rows, then one that is not: treated y = 1, 1, 0; controls y = 0, 1, 0.
Y = np.array([1, 1, 0, 0, 1, 0, 1])
TREATMENT = np.array([1, 1, 1, 0, 0, 0, 0])
RANDOMIZED = np.array([True] * 6 + [False])


class TestExperiment:
    def test_att_error_by_hand(self):
        # ATT = 2/3 - 1/3; predictions over the treated average 0.5.
        pred = [0.4, 0.5, 0.6, 9.0, 9.0, 9.0, 9.0]
        assert att_error(Y, TREATMENT, RANDOMIZED, pred) == pytest.approx(0.5 - 1 / 3)

    def test_att_error_of_the_experimental_estimate_is_zero(self):
        assert att_error(Y, TREATMENT, RANDOMIZED, np.full(7, 1 / 3)) == pytest.approx(0)

    def test_policy_risk_by_hand(self):
        # Advised: rows 0, 1, 3 (half). Followed by 0, 1 (mean 1); elsewhere 4, 5 (mean 1/2).
        pred = [1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0]
        assert policy_risk(Y, TREATMENT, RANDOMIZED, pred) == pytest.approx(1 - (0.5 + 0.25))

    def test_treating_all_or_none_costs_the_risk_of_that_arm(self):
        ones = np.ones(7)
        assert policy_risk(Y, TREATMENT, RANDOMIZED, ones) == pytest.approx(1 - 2 / 3)
        assert policy_risk(Y, TREATMENT, RANDOMIZED, -ones) == pytest.approx(1 - 1 / 3)

    def test_zero_effect_is_not_treated(self):
        risk = policy_risk(Y, TREATMENT, RANDOMIZED, np.zeros(7))
        assert risk == pytest.approx(1 - 1 / 3)

    def test_advice_nobody_followed_counts_as_worst(self):
        # Treat only row 4, a control whose outcome is 1; the other controls have outcome 0.
        pred = [-1.0, -1.0, -1.0, -1.0, 1.0, -1.0, -1.0]
        assert policy_risk(Y, TREATMENT, RANDOMIZED, pred) == 1

    @given(experiments(), st.floats(1e-3, 1e3))
    def test_policy_risk_is_a_share_and_reads_only_signs(self, experiment, scale):
        y, treatment, randomized, pred = experiment
        risk = policy_risk(y, treatment, randomized, pred)
        assert -1e-12 <= risk <= 1 + 1e-12
        assert policy_risk(y, treatment, randomized, np.sign(pred) * scale) == risk

    @given(experiments())
    def test_rows_outside_the_experiment_do_not_count(self, experiment):
        y, treatment, randomized, pred = experiment
        rows = randomized == 1
        for metric in (att_error, policy_risk):
            inside = metric(y[rows], treatment[rows], randomized[rows], pred[rows])
            assert metric(y, treatment, randomized, pred) == pytest.approx(inside, abs=1e-9)

    @given(experiments(), VALUES)
    def test_att_error_of_a_constant_effect(self, experiment, constant):
        y, treatment, randomized, pred = experiment
        treated, control = (y[(randomized == 1) & (treatment == arm)].mean() for arm in (1, 0))
        error = att_error(y, treatment, randomized, np.full(len(pred), constant))
        assert error == pytest.approx(abs(treated - control - constant), abs=1e-9)

    def test_oracle_policy_has_the_lowest_risk(self):
        rng = np.random.default_rng(0)
        n = 20_000
        effect = rng.choice([-0.4, 0.4], size=n)
        treatment = rng.integers(0, 2, size=n)
        y = (rng.random(n) < 0.5 + (treatment - 0.5) * effect).astype(int)
        all_randomized = np.ones(n, dtype=bool)
        oracle = policy_risk(y, treatment, all_randomized, effect)
        assert oracle == pytest.approx(0.3, abs=0.02)
        for other in (np.ones(n), -np.ones(n), -effect, rng.normal(size=n)):
            assert oracle < policy_risk(y, treatment, all_randomized, other)

    @pytest.mark.parametrize("metric", [att_error, policy_risk])
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"treatment": TREATMENT[:-1]}, "treatment must be one-dimensional"),
            ({"effect_pred": np.zeros((7, 1))}, "effect_pred must be one-dimensional"),
            ({"y": np.zeros((7, 1))}, "y must be one-dimensional"),
            ({"treatment": np.zeros(7) + 5}, "at least two arms"),
            ({"treatment": TREATMENT / 2}, "treatment looks continuous"),
            ({"randomized": np.full(7, 0.5)}, "randomized must hold only 0 and 1"),
            ({"randomized": np.zeros(7)}, "randomized selects no row"),
            ({"y": np.where(Y == 1, np.nan, Y)}, "y is missing or infinite in row 0"),
            ({"effect_pred": np.full(7, np.inf)}, "effect_pred is missing or infinite in row 0"),
        ],
    )
    def test_bad_input_is_named(self, metric, change, message):
        data = {
            "y": Y,
            "treatment": TREATMENT,
            "randomized": RANDOMIZED,
            "effect_pred": np.zeros(7),
        }
        with pytest.raises(ValueError, match=message):
            metric(**data | change)

    @pytest.mark.parametrize("arm", [0, 1])
    def test_att_error_needs_both_arms(self, arm):
        with pytest.raises(ValueError, match=f"arm {1 - arm} has no randomised row"):
            att_error([0, 1], [arm, arm], [1, 1], [0.0, 0.0])

    def test_policy_risk_needs_outcomes_between_zero_and_one(self):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            policy_risk(Y * 2, TREATMENT, RANDOMIZED, np.zeros(7))
