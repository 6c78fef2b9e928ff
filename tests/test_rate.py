"""Metrics on doubly robust scores: ranks, calibration, the value of policies."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.metrics import (
    aipw_scores,
    calibration_error,
    calibration_table,
    dr_score,
    policy_value,
    rate_inference,
    rate_score,
    toc_curve,
)

settings.register_profile("rate", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("rate")
WEIGHTINGS = ["AUTOC", "QINI"]


def scored(seed, n=50, ties=True):
    """Predicted effects, and scores of two arms."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(size=n)
    scores = rng.normal(size=(n, 2)) + np.column_stack([np.zeros(n), effect])
    return np.round(effect, 1) if ties else effect, scores


samples = st.builds(scored, seed=st.integers(0, 10_000), n=st.integers(5, 60), ties=st.booleans())


def on_a_grid(effect, gain, weighting, fine=2000):
    """RATE by adding up the TOC over a fine grid, rows cut into small parts."""
    order = np.argsort(-effect, kind="stable")
    means = pd.Series(gain).groupby(effect).transform("mean").to_numpy()[order]
    parts = np.repeat(means, fine)
    u = (np.arange(len(parts)) + 1) / len(parts)
    toc = np.cumsum(parts) / np.arange(1, len(parts) + 1) - gain.mean()
    return np.mean(toc * (1 if weighting == "AUTOC" else u))


def draw(seed, n, noise=2.0):
    """Scores around effects ``max(x, 0)``, and a prediction of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    predicted = x + 0.5 * rng.normal(size=n)
    return predicted, np.maximum(x, 0) + noise * (1 + 0.5 * np.abs(x)) * rng.normal(size=n)


class TestRate:
    @given(samples, st.sampled_from(WEIGHTINGS))
    def test_it_is_the_area_under_the_toc(self, sample, weighting):
        effect, scores = sample
        gain = scores[:, 1] - scores[:, 0]
        expected = on_a_grid(effect, gain, weighting)
        assert rate_score(effect, scores, weighting=weighting) == pytest.approx(expected, abs=2e-3)

    @given(samples)
    def test_the_toc_is_the_gain_of_the_first_rows(self, sample):
        effect, scores = sample
        gain = scores[:, 1] - scores[:, 0]
        table = toc_curve(effect, scores).table
        assert table["value"].iloc[-1] == 0
        assert table["stderr"].iloc[-1] == 0
        largest = effect == effect.max()
        first = table[(table["share"] > 0) & (table["share"] <= largest.mean())]
        np.testing.assert_allclose(first["value"], gain[largest].mean() - gain.mean(), atol=1e-9)

    @given(samples, st.sampled_from(WEIGHTINGS))
    def test_weights_are_repetitions(self, sample, weighting):
        effect, scores = sample
        times = np.random.default_rng(0).integers(1, 4, len(effect))
        repeated = np.repeat(effect, times), np.repeat(scores, times, axis=0)
        expected = rate_score(*repeated, weighting=weighting)
        found = rate_score(effect, scores, weighting=weighting, sample_weight=times)
        assert found == pytest.approx(expected, abs=1e-9)
        curve = toc_curve(effect, scores, sample_weight=times).table["value"]
        np.testing.assert_allclose(curve, toc_curve(*repeated).table["value"], atol=1e-9)

    @given(samples, st.sampled_from(WEIGHTINGS))
    def test_the_standard_error_is_of_what_each_row_adds(self, sample, weighting):
        """The influence of a row is the derivative of the score by its weight."""
        effect, scores = sample
        n, step = len(effect), 1e-5
        moved = []
        for sign in (1, -1):
            weights = np.ones((n, n)) + sign * step * np.eye(n)
            moved.append(
                [
                    rate_score(effect, scores, weighting=weighting, sample_weight=weight)
                    for weight in weights
                ]
            )
        influence = n * (np.array(moved[0]) - np.array(moved[1])) / (2 * step)
        expected = np.sqrt(np.sum(influence**2) / n / (n - 1))
        found = rate_inference(effect, scores, weighting=weighting).stderr[0]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)

    @given(st.integers(0, 500), st.sampled_from(WEIGHTINGS))
    def test_the_true_order_beats_its_reverse_and_chance(self, seed, weighting):
        _, scores = scored(seed)
        gain = scores[:, 1] - scores[:, 0]
        assert rate_score(gain, scores, weighting=weighting) > 0
        assert rate_score(-gain, scores, weighting=weighting) < 0
        assert rate_score(np.zeros(50), scores, weighting=weighting) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("weighting", WEIGHTINGS)
    def test_intervals_hold_the_truth_as_often_as_they_say(self, weighting):
        truth = rate_score(*draw(501, 1_000_000), weighting=weighting)
        held = []
        for seed in range(502, 902):
            found = rate_inference(*draw(seed, 600), weighting=weighting)
            lower, upper = found.interval()
            held.append(lower[0] < truth < upper[0])
        assert 0.92 <= np.mean(held) <= 0.98

    def test_intervals_of_the_toc_hold_the_truth_as_often_as_they_say(self):
        truth = toc_curve(*draw(501, 300_000)).table["value"].to_numpy()
        held = []
        for seed in range(502, 702):
            table = toc_curve(*draw(seed, 600)).summary_frame()
            held.append((table["ci_lower"] < truth) & (truth < table["ci_upper"]))
        held = np.mean(held, axis=0)[[10, 20, 50, 80]]
        assert ((held >= 0.9) & (held <= 0.985)).all()

    @pytest.mark.parametrize("weighting", WEIGHTINGS)
    def test_an_order_that_says_nothing_is_rarely_found_to_say_something(self, weighting):
        found = []
        for seed in range(502, 902):
            _, gain = draw(seed, 400)
            order = np.random.default_rng(seed + 10_000).normal(size=400)
            table = rate_inference(order, gain, weighting=weighting).summary_frame()
            found.append(table["pvalue"].iloc[0] < 0.05)
        assert 0.02 <= np.mean(found) <= 0.09

    def test_clusters_of_equal_rows_count_once(self):
        effect, scores = scored(1)
        alone = rate_inference(effect, scores)
        three = np.repeat(effect, 3), np.repeat(scores, 3, axis=0)
        clustered = rate_inference(*three, groups=np.repeat(np.arange(50), 3))
        assert clustered.stderr == pytest.approx(alone.stderr)
        assert clustered.dof == alone.dof
        assert rate_inference(*three).stderr < 0.7 * alone.stderr

    def test_arms_are_named_and_compared_with_control(self):
        rng = np.random.default_rng(0)
        scores = pd.DataFrame(rng.normal(size=(80, 3)), columns=["c", "a", "b"])
        effects = pd.DataFrame(rng.normal(size=(80, 2)), columns=["c", "b"])
        found = rate_score(effects, scores, control="a")
        assert found.index.tolist() == ["c", "b"]
        for label in found.index:
            alone = rate_score(effects[label], scores[[label, "a"]], control="a")
            assert found[label] == pytest.approx(alone)
        assert "RATE, AUTOC" in str(rate_inference(effects, scores, control="a"))
        assert toc_curve(effects, scores, control="a").arms == ["c", "b"]

    def test_bad_input_is_named(self):
        effect, scores = scored(0)
        with pytest.raises(ValueError, match="weighting='auto'"):
            rate_score(effect, scores, weighting="auto")
        with pytest.raises(ValueError, match="scores has 49 rows, but effects has 50"):
            rate_score(effect, scores[:-1])
        with pytest.raises(ValueError, match="control 5 is none of the arms"):
            rate_score(effect, scores, control=5)
        with pytest.raises(ValueError, match="leave out control"):
            rate_score(effect, scores[:, 0], control=0)
        with pytest.raises(ValueError, match="scores is missing or infinite in row 3"):
            rate_score(effect, np.where(np.arange(50)[:, None] == 3, np.nan, scores))
        index = pd.RangeIndex(50)
        with pytest.raises(ValueError, match="labels of effects in another order"):
            rate_score(pd.Series(effect, index), pd.DataFrame(scores, index[::-1]))


class TestScores:
    def test_their_means_are_the_arms_in_an_experiment(self):
        rng = np.random.default_rng(0)
        arm = rng.choice(["b", "a", "c"], 200, p=[0.5, 0.3, 0.2])
        y = rng.normal(size=200) + (arm == "c")
        scores = aipw_scores(y, arm, control="b")
        assert scores.columns.tolist() == ["b", "a", "c"]
        means = pd.Series(y).groupby(arm).mean()
        np.testing.assert_allclose(scores.mean(), means[scores.columns])

    def test_either_outcomes_or_propensities_may_be_wrong(self):
        rng = np.random.default_rng(501)
        n = 40_000
        x = rng.normal(size=n)
        chance = 1 / (1 + np.exp(-x))
        arm = (rng.random(n) < chance).astype(int)
        mean = np.column_stack([x, x + 1 + x])
        y = mean[np.arange(n), arm] + rng.normal(size=n)
        for propensity, outcomes in ((chance, None), (np.full(n, 0.3), mean), (chance, mean + 1)):
            scores = aipw_scores(y, arm, propensity=propensity, outcomes=outcomes)
            effect = scores[1] - scores[0]
            assert effect.mean() == pytest.approx(1, abs=4 * effect.std() / np.sqrt(n))
        naive = y[arm == 1].mean() - y[arm == 0].mean()
        assert naive > 1.5

    def test_tables_go_by_name_and_keep_the_index(self):
        rng = np.random.default_rng(0)
        index = pd.Index(list("vwxyz"))
        arm = pd.Series(["a", "b", "a", "b", "c"], index)
        table = pd.DataFrame(rng.dirichlet(np.ones(3), 5), index, columns=["c", "a", "b"])
        y = pd.Series(np.arange(5.0), index)
        found = aipw_scores(y, arm, propensity=table, outcomes=table)
        assert found.index.equals(index)
        other = aipw_scores(
            y, arm, propensity=table[["a", "b", "c"]].to_numpy(), outcomes=table[["b", "c", "a"]]
        )
        pd.testing.assert_frame_equal(found, other)
        with pytest.raises(ValueError, match="propensity has an index"):
            aipw_scores(y, arm, propensity=table[::-1])


class TestCalibration:
    def test_true_effects_have_no_error_and_slope_1(self):
        rng = np.random.default_rng(501)
        effect = rng.normal(size=4000)
        table = calibration_table(effect, effect + rng.normal(size=4000))
        assert table.errors["error"].iloc[0] < 0.1
        lower, upper = table.line.interval(0.01)
        assert lower[1] < 1 < upper[1]
        assert "slope" in str(table)

    def test_effects_twice_too_large_have_the_error_of_their_excess(self):
        rng = np.random.default_rng(502)
        effect = rng.normal(size=20_000)
        gain = effect + rng.normal(size=20_000)
        table = calibration_table(2 * effect, gain, n_bins=50)
        assert table.errors["error"].iloc[0] == pytest.approx(1, abs=0.05)
        ends = table.interval()
        assert ends["ci_lower"].iloc[0] < 1 < ends["ci_upper"].iloc[0] + 0.02
        assert table.line.point_estimate[1] == pytest.approx(0.5, abs=0.03)
        assert calibration_error(2 * effect, gain, n_bins=50) == table.errors["error"].iloc[0]

    def test_what_chance_adds_is_taken_off(self):
        squared = []
        for seed in range(502, 702):
            rng = np.random.default_rng(seed)
            effect = rng.normal(size=200)
            found = calibration_table(effect, effect + 3 * rng.normal(size=200))
            squared.append(found.errors["squared"].iloc[0])
        assert np.mean(squared) == pytest.approx(0, abs=3 * np.std(squared) / np.sqrt(200))

    def test_the_slopes_interval_holds_1_as_often_as_it_says(self):
        held = []
        for seed in range(502, 802):
            rng = np.random.default_rng(seed)
            effect = rng.normal(size=150)
            gain = effect + (1 + np.abs(effect)) * rng.normal(size=150)
            lower, upper = calibration_table(effect, gain).line.interval()
            held.append(lower[1] < 1 < upper[1])
        assert 0.91 <= np.mean(held) <= 0.98

    def test_constant_effects_have_no_slope(self):
        table = calibration_table(np.ones(20), np.arange(20.0))
        assert np.isnan(table.line.point_estimate[1])
        assert len(table.bins) == 1
        assert "not available" in str(table)

    def test_bins_of_one_row_are_refused(self):
        with pytest.raises(ValueError, match="n_bins=10 leaves 1 row"):
            calibration_table(np.arange(10.0), np.arange(10.0))
        with pytest.raises(ValueError, match="n_bins=0"):
            calibration_table(np.arange(10.0), np.arange(10.0), n_bins=0)

    @given(samples)
    def test_the_dr_score_is_0_for_the_mean_and_1_for_the_scores(self, sample):
        _, scores = sample
        gain = scores[:, 1] - scores[:, 0]
        assert dr_score(gain, scores) == pytest.approx(1)
        assert dr_score(np.full(len(gain), gain.mean()), scores) == pytest.approx(0, abs=1e-12)
        weight = np.random.default_rng(0).integers(1, 4, len(gain))
        effect = gain / 2
        repeated = dr_score(np.repeat(effect, weight), np.repeat(gain, weight))
        assert dr_score(effect, gain, sample_weight=weight) == pytest.approx(repeated)


class TestPolicyValue:
    @given(samples)
    def test_it_is_the_mean_score_of_the_arms_advised(self, sample):
        effect, scores = sample
        n = len(effect)
        policy = (effect > 0).astype(int)
        own = scores[np.arange(n), policy] - 0.25 * policy
        found = policy_value(policy, scores, costs={0: 0, 1: 0.25})
        assert found.point_estimate[0] == pytest.approx(own.mean())
        assert found.stderr[0] == pytest.approx(own.std(ddof=1) / np.sqrt(n))
        gain = policy_value(policy, scores, baseline=0).point_estimate[0]
        assert gain == pytest.approx(np.mean(policy * (scores[:, 1] - scores[:, 0])))

    def test_several_policies_are_rows_of_the_table(self):
        effect, scores = scored(0)
        labels = np.array(["none", "drug"])
        scores = pd.DataFrame(scores, columns=labels)
        rule = labels[(effect > 0).astype(int)]
        found = policy_value({"rule": rule, "everyone": "drug"}, scores, baseline="none")
        assert found.index.tolist() == ["rule", "everyone"]
        table = found.summary_frame()
        assert table.loc["everyone", "point_estimate"] == pytest.approx(
            (scores["drug"] - scores["none"]).mean()
        )
        assert "gains over the baseline" in str(found)
        assert policy_value("drug", scores).index.tolist() == ["everyone drug"]

    def test_intervals_hold_the_value_as_often_as_they_say(self):
        held = []
        for seed in range(502, 902):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=200)
            arm = rng.integers(2, size=200)
            y = rng.poisson(np.exp(0.5 * x * arm))
            scores = aipw_scores(y, arm, propensity=np.full(200, 0.5))
            lower, upper = policy_value((x > 0).astype(int), scores).interval()
            held.append((lower[0], upper[0]))
        x = np.random.default_rng(501).normal(size=2_000_000)
        truth = np.mean(np.exp(0.5 * x * (x > 0)))
        assert 0.91 <= np.mean([lower < truth < upper for lower, upper in held]) <= 0.98

    @pytest.mark.parametrize(
        ("policy", "options", "message"),
        [
            (np.full(50, 7), {}, "policy has unknown labels 7.*the arms are"),
            (np.zeros(49, dtype=int), {}, "rows"),
            (3, {}, "policy 3 is none of the arms"),
            (np.zeros(50, dtype=int), {"costs": {0: 1}}, "costs are given for"),
            (np.zeros(50, dtype=int), {"costs": [1, 2, 3]}, "costs has 3 values"),
            (np.zeros(50, dtype=int), {"costs": [0, np.nan]}, "costs is missing"),
        ],
    )
    def test_bad_input_is_named(self, policy, options, message):
        with pytest.raises(ValueError, match=message):
            policy_value(policy, scored(0)[1], **options)

    def test_advice_in_another_order_is_refused(self):
        _, scores = scored(0)
        scores = pd.DataFrame(scores, [f"p{i}" for i in range(50)])
        policy = pd.Series(0, scores.index[::-1])
        with pytest.raises(ValueError, match="in another order"):
            policy_value(policy, scores)

    def test_rows_of_weight_0_need_no_scores(self):
        effect, scores = scored(0)
        weight = (np.arange(50) > 9).astype(float)
        missing = np.where(weight[:, None] == 0, np.nan, scores)
        policy = (effect > 0).astype(int)
        found = policy_value(policy, missing, sample_weight=weight)
        expected = policy_value(policy[10:], scores[10:])
        assert found.point_estimate == pytest.approx(expected.point_estimate)
        assert found.stderr == pytest.approx(expected.stderr)
