import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hypercate.metrics import ate_error, att_error, policy_risk, sqrt_pehe

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
            ({"treatment": TREATMENT * 2}, "treatment must hold only 0 and 1"),
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
