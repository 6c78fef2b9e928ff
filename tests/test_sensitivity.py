"""Unmeasured confounding: bounds, robustness values, strengths of covariates, refuters."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE
from hypercate.sensitivity import e_value, leave_out, plot_sensitivity, refute, sensitivity
from hypercate.sensitivity.bounds import strength

matplotlib.use("Agg")

quick = settings(max_examples=50, deadline=None, derandomize=True)
shares = st.floats(0, 0.9)
SMALL = {"effort": "instant", "random_state": 0, "device": "cpu"}


def rows(n=400, n_arms=2, seed=501):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["age", "weight", "noise"])
    if n_arms == 2:
        arm = (rng.random(n) < 1 / (1 + np.exp(-X["age"]))).astype(int).to_numpy()
    else:
        arm = rng.integers(n_arms, size=n)
    y = X["age"] + X["weight"] / 2 + arm + rng.normal(size=n)
    return X, y, arm


@pytest.fixture(scope="module")
def fitted():
    X, y, arm = rows()
    return HyperCATE(**SMALL).fit(X, y, arm), X, y, arm


@pytest.fixture(scope="module")
def three_arms():
    X, y, arm = rows(n_arms=3)
    return HyperCATE(**SMALL).fit(X, y, np.array(["none", "pill", "surgery"])[arm])


def by_hand(evidence, estimand):
    """Riesz representer and largest bias of two arms, by the formulas of DoubleML's IRM model."""
    d, m = evidence.arm, evidence.propensity[:, 1]
    residual = evidence.y - evidence.mean_outcomes[np.arange(len(d)), d]
    if estimand == "ate":
        weight, mean_weight = np.ones(len(d)), np.ones(len(d))
    else:
        weight, mean_weight = d / d.mean(), m / d.mean()
    alpha = mean_weight * (d / m - (1 - d) / (1 - m))
    square = np.mean(2 * weight * mean_weight * (1 / m + 1 / (1 - m)) - alpha**2)
    return np.sqrt(np.mean(residual**2) * square)


class TestBounds:
    @pytest.mark.parametrize("estimand", ["ate", "att"])
    def test_the_largest_bias_is_that_of_doubleml(self, fitted, estimand):
        est = fitted[0]
        found = sensitivity(est, estimand=estimand)
        expected = by_hand(est.fitted_.evidence, estimand)
        np.testing.assert_allclose(found.parts.largest_bias, expected, rtol=1e-9)
        lower, upper = found.bounds(0.1, 0.2)
        np.testing.assert_allclose(upper - lower, 2 * np.sqrt(0.1 * 0.2 / 0.8) * expected)

    @pytest.mark.parametrize("estimand", ["ate", "att"])
    def test_without_confounding_they_are_the_average_and_its_interval(self, fitted, estimand):
        est = fitted[0]
        found = sensitivity(est, estimand=estimand)
        average = getattr(est, f"{estimand}_inference")()
        np.testing.assert_allclose(found.bounds(0, 0)[0], average.point_estimate)
        np.testing.assert_allclose(found.stderr, average.stderr)
        for alpha in (0.05, 0.3):
            np.testing.assert_allclose(
                found.bounds_interval(0, 0.5, alpha=alpha), average.interval(alpha)
            )

    @given(shares, shares, st.floats(-1, 1))
    @quick
    def test_stronger_confounding_gives_wider_bounds(self, fitted, cf_y, cf_d, rho):
        found = sensitivity(fitted[0])
        width = np.subtract(*found.bounds(cf_y, cf_d, rho)[::-1])
        more = np.subtract(*found.bounds(min(cf_y + 0.05, 0.99), cf_d, rho)[::-1])
        assert (more >= width).all()
        lower, upper = found.bounds(cf_y, cf_d, rho)
        ci_lower, ci_upper = found.bounds_interval(cf_y, cf_d, rho)
        assert (ci_lower <= lower).all()
        assert (ci_upper >= upper).all()

    def test_they_hold_the_truth_where_a_confounder_was_left_out(self):
        """As strong as `leave_out` says that it was, were it there."""
        rng = np.random.default_rng(502)
        X, _, _ = rows(2000, seed=502)
        hidden = rng.normal(size=2000)
        arm = (rng.random(2000) < 1 / (1 + np.exp(-hidden))).astype(int)
        y = X["age"] + hidden + arm + rng.normal(size=2000)
        complete = X.assign(hidden=hidden)
        strengths = leave_out(
            HyperCATE(**SMALL).fit(complete, y, arm), complete, y, arm, ["hidden"]
        ).loc["hidden"]
        found = sensitivity(HyperCATE(**SMALL).fit(X, y, arm))
        assert found.point_estimate[0] > 1.5  # where the effect is 1
        lower, upper = found.bounds_interval(min(strengths["cf_y"], 0.99), strengths["cf_d"])
        assert lower[0] < 1 < upper[0]
        assert lower[0] > 0

    def test_rows_of_other_arms_do_not_count(self, three_arms):
        evidence = three_arms.fitted_.evidence
        found = sensitivity(three_arms, T0="pill")
        assert found.index.tolist() == ["none", "surgery"]
        pair = np.isin(evidence.arm, [0, 1])
        residual = evidence.y - evidence.mean_outcomes[np.arange(len(pair)), evidence.arm]
        np.testing.assert_allclose(found.parts.noise[0], np.mean(pair * residual**2))

    def test_weights_of_two_are_rows_twice(self):
        X, y, arm = rows(200)
        twice = HyperCATE(**SMALL).fit(X, y, arm, sample_weight=np.full(200, 2.0))
        once = HyperCATE(**SMALL).fit(X, y, arm)
        np.testing.assert_allclose(
            sensitivity(twice).parts.largest_bias, sensitivity(once).parts.largest_bias, rtol=1e-4
        )


class TestRobustnessValues:
    @pytest.mark.parametrize("estimand", ["ate", "att"])
    def test_at_them_the_null_is_reached(self, fitted, estimand):
        found = sensitivity(fitted[0], estimand=estimand, null=0.3)
        value = found.robustness_value()[0]
        assert 0 < value < 1
        np.testing.assert_allclose(found.bounds(value, value)[0][0], 0.3)
        of_interval = found.robustness_value_interval()[0]
        assert 0 < of_interval < value
        np.testing.assert_allclose(found.bounds_interval(of_interval, of_interval)[0][0], 0.3)

    def test_from_below_it_is_the_upper_bound(self, fitted):
        found = sensitivity(fitted[0], null=3.0)
        value = found.robustness_value()[0]
        np.testing.assert_allclose(found.bounds(value, value)[1][0], 3.0)
        of_interval = found.robustness_value_interval()[0]
        np.testing.assert_allclose(found.bounds_interval(of_interval, of_interval)[1][0], 3.0)

    def test_they_are_0_at_the_estimate_and_inside_its_interval(self, fitted):
        estimate = fitted[0].ate()
        assert sensitivity(fitted[0], null=estimate).robustness_value()[0] == 0
        near = estimate + 0.5 * fitted[0].ate_inference().stderr[0]
        assert sensitivity(fitted[0], null=near).robustness_value_interval()[0] == 0
        assert sensitivity(fitted[0], null=near).robustness_value()[0] > 0

    def test_the_table_prints_and_says_what_it_means(self, fitted, three_arms):
        found = sensitivity(three_arms)
        assert "robustness_value" in str(found)
        assert "cf_y" in found._repr_html_()
        assert found.summary_frame().index.tolist() == ["pill", "surgery"]
        frame = sensitivity(fitted[0]).summary_frame(alpha=0.1, cf_y=0.2, cf_d=0.2)
        wider = sensitivity(fitted[0]).summary_frame(alpha=0.01, cf_y=0.2, cf_d=0.2)
        assert (wider["ci_lower"] < frame["ci_lower"]).all()


class TestLeavingOut:
    def test_a_confounder_is_strong_and_noise_is_not(self, fitted):
        table = leave_out(*fitted)
        assert table.index.tolist() == ["age", "weight", "noise"]
        assert table.loc["age", "cf_y"] > table.loc["weight", "cf_y"] > 0.1
        assert table.loc["noise", "cf_y"] < 0.05
        assert table.loc["age", "cf_d"] > 0.1 > table.loc["weight", "cf_d"]
        assert table.loc["age", "change"] > 0.3
        without = HyperCATE(**SMALL).fit(fitted[1].drop(columns="age"), *fitted[2:])
        np.testing.assert_allclose(
            table.loc["age", "change"], without.ate() - fitted[0].ate(), rtol=1e-9
        )

    def test_groups_have_names_and_arms_rows(self, three_arms):
        X, y, arm = rows(n_arms=3)
        labels = np.array(["none", "pill", "surgery"])[arm]
        table = leave_out(three_arms, X, y, labels, {"both": ["age", "weight"], "one": ["noise"]})
        assert table.index.tolist() == [
            (arm, name) for arm in ("pill", "surgery") for name in ("both", "one")
        ]

    @pytest.mark.parametrize(
        ("covariates", "message"),
        [
            (["height"], "no column 'height'"),
            ("age", r"pass \['age'\]"),
            ([], "is empty"),
            ({"all": ["age", "weight", "noise"]}, "every column"),
            ({"none": []}, "no column of X"),
        ],
    )
    def test_columns_that_cannot_be_left_out_are_refused(self, fitted, covariates, message):
        with pytest.raises(ValueError, match=message):
            leave_out(*fitted, covariates)

    def test_other_rows_and_arrays_are_refused(self, fitted):
        est, X, y, arm = fitted
        with pytest.raises(ValueError, match="fitted to 400"):
            leave_out(est, X[:100], y[:100], arm[:100])
        with pytest.raises(TypeError, match="frame"):
            leave_out(est, X.to_numpy(), y, arm)


class TestEValues:
    def test_they_are_those_of_the_formula(self):
        X, _, arm = rows()
        rng = np.random.default_rng(503)
        y = (rng.random(400) < 0.2 + 0.4 * arm).astype(int)
        est = HyperCATE(**SMALL).fit(X, y, arm)
        inference = est.ate_inference(scale="ratio")
        table = e_value(inference)
        ratio = est.ate(scale="ratio")
        np.testing.assert_allclose(table["e_value"], ratio + np.sqrt(ratio * (ratio - 1)))
        assert 1 < table["e_value_ci"].iloc[0] < table["e_value"].iloc[0]
        back = e_value(est.ate_inference(T0=1, scale="ratio"))
        np.testing.assert_allclose(back["e_value"], table["e_value"], rtol=1e-6)
        np.testing.assert_allclose(back["e_value_ci"], table["e_value_ci"], rtol=1e-6)
        with pytest.raises(ValueError, match="scale='difference'"):
            e_value(est.ate_inference())

    def test_a_ratio_that_may_be_1_needs_no_confounder(self):
        X, _, arm = rows()
        y = np.random.default_rng(504).integers(2, size=400)
        est = HyperCATE(**SMALL).fit(X, y, arm)
        assert e_value(est.ate_inference(scale="ratio"))["e_value_ci"].iloc[0] == 1

    def test_other_things_are_refused(self):
        with pytest.raises(TypeError, match="ate_inference"):
            e_value(pd.DataFrame())


class TestRefuters:
    def test_no_effect_is_found_where_there_is_none_and_else_the_same(self, fitted):
        est, X, y, arm = fitted
        table = refute(est, X, y, arm)
        assert table.loc["as they are", "point_estimate"].iloc[0] == est.ate()
        assert table["holds"].all()
        none, same = ["placebo treatment", "dummy outcome"], ["random common cause", "subset"]
        assert (table.loc[none, "expected"] == 0).all()
        assert (table.loc[same, "expected"] == est.ate()).all()
        assert (table.loc[none, "point_estimate"].abs() < 0.4).all()
        assert (table.loc[same, "point_estimate"] > 0.7).all()

    def test_it_leaves_the_estimator_and_can_be_repeated(self, fitted):
        est, X, y, arm = fitted
        before = est.predict(X)
        first = refute(est, X, y, arm, refuters=["subset"], random_state=3)
        again = refute(est, X, y, arm, refuters=["dummy outcome", "subset"], random_state=3)
        pd.testing.assert_frame_equal(first.loc[["subset"]], again.loc[["subset"]])
        np.testing.assert_array_equal(est.predict(X), before)

    def test_whole_clusters_are_left_out_and_weights_go_along(self, fitted):
        est, X, y, arm = fitted
        school = np.arange(400) // 8
        table = refute(
            est, X, y, arm, refuters=["subset"], groups=school, sample_weight=np.ones(400)
        )
        assert table.loc["subset", "stderr"].iloc[0] > 0

    def test_trained_models_take_the_effort_that_is_asked_for(self):
        X, y, arm = rows(120)
        est = HyperCATE(n_members=2, max_epochs=3, inputs="raw", random_state=0, device="cpu")
        table = refute(est, X, y, arm, refuters=["random common cause"])
        fast = HyperCATE(**est.get_params() | {"effort": "fast"}).fit(X, y, arm)
        assert table.loc["as they are", "point_estimate"].iloc[0] == fast.ate()

    def test_times_keep_whether_their_event_was_seen(self):
        """Else times of censored rows would be taken for those of events, and effects remain."""
        X, _, arm = rows(300)
        rng = np.random.default_rng(505)
        time = rng.exponential(np.where(arm == 1, 4.0, 1.0))
        event = time < rng.exponential(4.0, 300)
        est = HyperCATE(outcome="time", horizon=2.0, **SMALL)
        table = refute(est, X, time, arm, refuters=["dummy outcome"], event=event)
        assert table["point_estimate"].iloc[0] > 0.3
        assert table.loc["dummy outcome", "holds"].all()
        assert table.loc["dummy outcome", "point_estimate"].abs().iloc[0] < 0.3

    def test_what_is_unknown_or_short_is_refused(self, fitted):
        est, X, y, arm = fitted
        with pytest.raises(ValueError, match="placebo treatment"):
            refute(est, X, y, arm, refuters=["magic"])
        with pytest.raises(ValueError, match="rows"):
            refute(est, X, y[:10], arm)


class TestArguments:
    def test_strengths_outside_their_range_are_refused(self, fitted):
        for bad in (-0.1, 1.0, "a", np.nan, True):
            with pytest.raises(ValueError, match="cf_y"):
                strength(bad, 0.1, 1.0)
        with pytest.raises(ValueError, match="rho"):
            sensitivity(fitted[0]).bounds(0.1, 0.1, 2.0)

    def test_estimands_nulls_and_models_that_cannot_be_asked_are_refused(self, fitted, tmp_path):
        est = fitted[0]
        with pytest.raises(ValueError, match="estimand"):
            sensitivity(est, estimand="late")
        with pytest.raises(ValueError, match="null"):
            sensitivity(est, null=np.inf)
        with pytest.raises(ValueError, match="T0"):
            sensitivity(est, T0="nobody")
        est.save(tmp_path / "slim.hypercate", evidence=False)
        with pytest.raises(ValueError, match="evidence"):
            sensitivity(HyperCATE.load(tmp_path / "slim.hypercate"))


class TestPicture:
    def test_it_shows_the_null_the_value_and_the_covariates(self, fitted):
        strengths = leave_out(*fitted, ["age", "noise"])
        ax = plot_sensitivity(sensitivity(fitted[0]), covariates=strengths)
        assert [text.get_text() for text in ax.texts if text.get_text() == "age"] == ["age"]
        value = sensitivity(fitted[0]).robustness_value()[0]
        assert f"robustness value: {value:.3f}" in [text.get_text() for text in ax.texts]

    def test_all_arms_show_where_their_bounds_reach_the_null(self, three_arms):
        found = sensitivity(three_arms)
        ax = plot_sensitivity(found)
        for k, (arm, value) in enumerate(zip(found.index, found.robustness_value(), strict=True)):
            (way,) = [each for each in ax.lines if each.get_label() == f"{arm}: {value:.3f}"]
            for cf_d, cf_y in list(zip(*way.get_data(), strict=True))[::10]:
                if cf_y < 1:
                    ends = np.array(found.bounds(cf_y, cf_d))[:, k]
                    assert np.abs(ends - found.null).min() < 1e-6 * np.abs(ends).max()
        assert plot_sensitivity(found, arm="pill").get_title("left").endswith("arm pill")
        with pytest.raises(ValueError, match="arm='nobody' is not an arm"):
            plot_sensitivity(found, arm="nobody")
        with pytest.raises(TypeError, match="sensitivity"):
            plot_sensitivity(three_arms)
