"""What the pictures promise: the right numbers, readable labels, nothing changed but the axes."""

import inspect
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.exceptions import NotFittedError

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from hypercate import HyperCATE, plots  # noqa: E402
from hypercate.inference.averages import AverageInference  # noqa: E402
from hypercate.inference.effects import EffectInference  # noqa: E402
from hypercate.inference.scales import DIFFERENCE, SCALES  # noqa: E402
from hypercate.metrics import qini_curve, sqrt_pehe, toc_curve, uplift_curve  # noqa: E402
from hypercate.overlap import overlap_report  # noqa: E402
from hypercate.policy import PolicyTree, profit_curve  # noqa: E402

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def nothing_but_axes_changes(monkeypatch):
    """No figure is shown, no global setting changed, in any test."""
    before = matplotlib.rcParams.copy()
    backend = matplotlib.get_backend()
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a figure was shown"))
    yield
    changed = {key for key in before if matplotlib.rcParams[key] != before[key]}
    assert not changed
    assert matplotlib.get_backend() == backend


def inference(n=60, n_effects=None, seed=0, index=None, arms=None):
    """Effects with standard errors, those of each next arm 10 above the last."""
    rng = np.random.default_rng(seed)
    point, stderr = rng.normal(1, 1, n), rng.uniform(0.2, 1.5, n)
    if n_effects:
        point, stderr = (
            point[:, None] + 10 * np.arange(n_effects),
            np.tile(stderr[:, None], n_effects),
        )
    return EffectInference(
        point_estimate=point,
        stderr=stderr,
        dof=20.0,
        bound=np.inf,
        index=pd.RangeIndex(n) if index is None else index,
        arms=arms or [f"dose {k}" for k in range(n_effects or 1)],
    )


def line(ax, label):
    (found,) = [each for each in ax.lines if each.get_label().startswith(label)]
    return np.column_stack(found.get_data()).astype(float)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def title(ax):
    """The text above the axes."""
    (found,) = [each for each in ax.findobj(Text) if each.get_text() == ax.get_title("left")]
    return found


def segments(ax):
    """Ends of all straight strokes, sorted: (m, 2, 2)."""
    ends = np.concatenate([np.array(each.get_segments()) for each in ax.collections])
    return ends[np.lexsort((ends[:, 0, 1], ends[:, 0, 0]))]


def vertices(ax):
    """Corners of all strokes and areas."""
    return np.concatenate([path.vertices for each in ax.collections for path in each.get_paths()])


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def overlapping_texts(ax):
    """Pairs of tick labels of an axis that overlap in the drawn picture."""
    ax.figure.canvas.draw()
    pairs = []
    for axis in (ax.xaxis, ax.yaxis):
        shown = [label for label in axis.get_ticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in shown]
        pairs += [
            (shown[i].get_text(), shown[i + 1].get_text())
            for i in range(len(boxes) - 1)
            if boxes[i].overlaps(boxes[i + 1])
        ]
    return pairs


def covering(ax):
    """What the legend lies on in the drawn picture, or leaves: nothing."""
    ax.figure.canvas.draw()
    found = ax.get_legend()
    if found is None:
        return []
    box, heading = found.get_window_extent(), title(ax).get_window_extent()
    outside = box.y0 > ax.bbox.y1 - 1 or box.x0 > ax.bbox.x1 - 1
    within = box.x1 < ax.figure.bbox.x1 + 1 and heading.y1 < ax.figure.bbox.y1 + 1
    said = {"data": not outside, "title": box.overlaps(heading), "margin": not within}
    return [what for what, lies_on in said.items() if lies_on]


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=["age", "dose", "size"])
    return overlap_report(X, np.where(X["age"] + rng.normal(size=400) > 0, "drug", "control"))


@pytest.fixture(scope="module")
def report_of_three():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(150, 3)), columns=["age", "dose", "size"])
    return overlap_report(X, rng.choice(["a", "b", "c"], 150))


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X, treatment = rng.normal(size=(80, 2)), np.arange(80) % 2
    return HyperCATE(
        n_members=2, max_epochs=6, outcome_hidden=(8,), inputs="raw", random_state=0
    ).fit(X, X[:, 0] + treatment, treatment)


class TestEffects:
    def test_effects_rise_with_their_own_intervals(self):
        result = inference()
        ax = plots.plot_effects(result, alpha=0.2)
        frame = result.summary_frame(0.2).sort_values("point_estimate")
        points = np.concatenate([line(ax, "interval excludes"), line(ax, "interval includes")])
        points = points[np.argsort(points[:, 0])]
        np.testing.assert_allclose(points[:, 1], frame["point_estimate"])
        np.testing.assert_allclose(points[:, 0], 100 * (np.arange(60) + 0.5) / 60)
        bars = segments(ax)
        np.testing.assert_allclose(bars[:, 0, 1], frame["ci_lower"])
        np.testing.assert_allclose(bars[:, 1, 1], frame["ci_upper"])

    def test_those_that_exclude_0_are_told_apart(self):
        result = inference()
        ax = plots.plot_effects(result)
        frame = result.summary_frame(0.05)
        excludes = (frame["ci_lower"] > 0) | (frame["ci_upper"] < 0)
        assert 0 < excludes.mean() < 1
        drawn = line(ax, "interval excludes")[:, 1]
        np.testing.assert_allclose(drawn, np.sort(frame["point_estimate"][excludes]))
        assert f"interval excludes 0: {100 * excludes.mean():.3g} % of rows" in legend(ax)

    def test_the_mean_is_that_of_all_rows_though_few_are_drawn(self):
        result = inference(n=5000)
        ax = plots.plot_effects(result)
        assert len(segments(ax)) == plots.effects.MOST_ROWS
        np.testing.assert_allclose(line(ax, "mean effect")[:, 1], result.point_estimate.mean())

    def test_one_of_several_arms(self):
        result = inference(n_effects=3)
        ax = plots.plot_effects(result, arm="dose 1")
        drawn = np.sort(line(ax, "interval excludes")[:, 1])
        np.testing.assert_allclose(drawn, np.sort(result.point_estimate[:, 1]))
        assert ax.get_ylabel() == "effect of dose 1 (units of the outcome)"

    def test_several_arms_stand_side_by_side_each_in_its_own_order(self):
        result = inference(n_effects=3)
        ax = plots.plot_effects(result, alpha=0.2)
        frame = result.summary_frame(0.2)
        drawn = np.concatenate(
            [np.column_stack(each.get_data()) for each in ax.lines if each.get_marker() == "."]
        )
        drawn = drawn[np.argsort(drawn[:, 0])].astype(float)
        bars = segments(ax)
        for k in range(3):
            own = frame.xs(f"dose {k}", level="arm").sort_values("point_estimate")
            some = slice(60 * k, 60 * (k + 1))
            np.testing.assert_allclose(drawn[some, 1], own["point_estimate"])
            np.testing.assert_allclose(bars[some, :, 1], own[["ci_lower", "ci_upper"]])
        assert [text.split("\n")[0] for text in ticks(ax.xaxis)] == ["dose 0", "dose 1", "dose 2"]
        assert legend(ax).count("mean effect") == 1
        assert not overlapping_texts(ax)

    def test_ratios_are_drawn_against_1_on_a_logarithmic_axis(self):
        result = replace(inference(), point_estimate=np.exp(inference().point_estimate))
        result = replace(result, scale=SCALES[1])
        for ax in (plots.plot_effects(result), plots.plot_effect_by(result, np.arange(60))):
            assert ax.get_yscale() == "log"
            assert ax.get_ylabel().startswith("ratio of mean outcomes")
            assert any(set(each.get_ydata()) == {1} for each in ax.lines)
        frame = result.summary_frame()
        excludes = (frame["ci_lower"] > 1) | (frame["ci_upper"] < 1)
        drawn = line(plots.plot_effects(result), "interval excludes 1")[:, 1]
        np.testing.assert_allclose(drawn, np.sort(frame["point_estimate"][excludes]))

    def test_a_fitted_models_effects(self, fitted):
        X = np.random.default_rng(1).normal(size=(30, 2))
        ax = plots.plot_effects(fitted.effect_inference(X))
        drawn = np.concatenate([each.get_ydata() for each in ax.lines if each.get_marker() == "."])
        np.testing.assert_allclose(np.sort(drawn), np.sort(fitted.predict(X)))

    def test_one_contrast_among_several_arms_needs_no_name(self):
        result = inference(arms=["low", "high"])
        ax = plots.plot_effects(result)
        assert ax.get_ylabel() == "effect (units of the outcome)"
        assert len(segments(ax)) == 60
        with pytest.raises(ValueError, match="effects of one contrast: leave out arm="):
            plots.plot_effects(result, arm="low")

    def test_the_title_states_the_level(self):
        assert "90 % intervals" in plots.plot_effects(inference(), alpha=0.1).get_title("left")


class TestEffectByCovariate:
    def test_bins_of_a_number_hold_means_of_rows_and_of_interval_ends(self):
        result = inference(n=600)
        covariate = pd.Series(np.random.default_rng(1).normal(50, 10, 600), name="age")
        ax = plots.plot_effect_by(result, covariate, alpha=0.2)
        means = np.column_stack(ax.lines[1].get_data())
        assert len(means) == plots.effects.N_BINS
        frame = result.summary_frame(0.2)
        groups = np.array_split(np.argsort(covariate.to_numpy()), plots.effects.N_BINS)
        expected = [
            [covariate.iloc[rows].mean(), frame["point_estimate"].iloc[rows].mean()]
            for rows in groups
        ]
        np.testing.assert_allclose(means, expected, rtol=1e-12)
        band = ax.collections[0].get_paths()[0].vertices
        for name in ("ci_lower", "ci_upper"):
            for (at, _), rows in zip(expected, groups, strict=True):
                ends = band[np.isclose(band[:, 0], at), 1]
                assert np.isclose(ends, frame[name].iloc[rows].mean()).any()
        assert ax.get_xlabel() == "age"

    def test_few_values_are_bins_of_their_own(self):
        children = np.arange(60) % 4
        ax = plots.plot_effect_by(inference(), children)
        assert ax.lines[1].get_xdata().tolist() == [0, 1, 2, 3]

    def test_missing_numbers_are_left_out_and_counted(self):
        result, covariate = inference(), np.linspace(0, 1, 60)
        covariate[:7] = np.nan
        ax = plots.plot_effect_by(result, covariate)
        assert ax.get_xlabel() == "covariate (7 missing, not shown)"
        assert len(ax.lines[0].get_xdata()) == 53

    @pytest.mark.parametrize("dtype", ["object", "category", "string"])
    def test_categories_have_their_means_and_missing_is_one(self, dtype):
        result = inference()
        site = pd.Series(["north", "south", None] * 20, name="site", dtype=dtype)
        ax = plots.plot_effect_by(result, site)
        assert ticks(ax.xaxis) == ["north", "south", "missing"]
        frame = result.summary_frame(0.05).groupby(np.arange(60) % 3).mean()
        np.testing.assert_allclose(ax.lines[1].get_ydata(), frame["point_estimate"])
        np.testing.assert_allclose(segments(ax)[:, :, 1], frame[["ci_lower", "ci_upper"]])

    @pytest.mark.parametrize(
        ("values", "labels"),
        [
            ([True, False], ["False", "True"]),
            ([1, 0], ["0", "1"]),
            ([1.0, np.nan], ["1", "missing"]),
        ],
    )
    def test_two_values_are_categories(self, values, labels):
        ax = plots.plot_effect_by(inference(), values * 30)
        assert ticks(ax.xaxis) == labels

    def test_ordered_categories_keep_their_order(self):
        grade = pd.Categorical(["low", "mid", "high"] * 20, ["low", "mid", "high", "none"])
        assert ticks(plots.plot_effect_by(inference(), grade).xaxis) == ["low", "mid", "high"]

    def test_a_series_in_another_order_is_refused(self):
        result = inference(index=pd.Index([f"row {i}" for i in range(60)]))
        age = pd.Series(np.linspace(20, 80, 60), index=result.index, name="age")
        moved = age.sample(frac=1, random_state=0)
        message = r"{} has an index .* another order: pass {}\.loc\[X\.index\]"
        with pytest.raises(ValueError, match=message.format("covariate", "covariate")):
            plots.plot_effect_by(result, moved)
        with pytest.raises(ValueError, match=message.format("effect_true", "effect_true")):
            plots.plot_calibration(moved, result)
        expected, back = (
            plots.plot_effect_by(result, each) for each in (age, moved.loc[result.index])
        )
        np.testing.assert_array_equal(back.lines[1].get_data(), expected.lines[1].get_data())
        plots.plot_calibration(age, result)

    @pytest.mark.parametrize(
        "kind", [pl.Series, pa.array, lambda values: pa.chunked_array([values])]
    )
    def test_a_series_of_another_library(self, kind):
        for values in (np.linspace(20, 80, 60).tolist(), ["a", None, "b"] * 20):
            expected, found = (
                plots.plot_effect_by(inference(), each) for each in (values, kind(values))
            )
            assert ticks(found.xaxis) == ticks(expected.xaxis)
            assert found.get_xlabel() == "covariate"
            np.testing.assert_array_equal(found.lines[1].get_data(), expected.lines[1].get_data())

    def test_an_index_with_repeats_is_taken_as_it_comes(self):
        result = inference(index=pd.Index([0, 1] * 30))
        age = pd.Series(np.linspace(20, 80, 60), index=result.index)
        ax = plots.plot_effect_by(result, age)
        assert ax.lines[1].get_xdata()[0] < 25

    @pytest.mark.parametrize("covariate", [np.arange(60.0), ["a", "b"] * 30])
    def test_the_legend_says_whose_mean_and_intervals_these_are(self, covariate):
        ax = plots.plot_effect_by(inference(), covariate, alpha=0.2)
        assert legend(ax) == ["rows", "mean of their 80 % intervals", "mean of rows"]
        ax.figure.canvas.draw()
        shown = ax.get_legend().get_window_extent()
        assert shown.y0 > ax.bbox.y1 - 1
        assert shown.y1 < title(ax).get_window_extent().y0
        assert shown.x1 < ax.figure.bbox.x1

    def test_one_of_several_arms(self):
        result = inference(n_effects=2)
        ax = plots.plot_effect_by(result, np.arange(60) % 3, arm="dose 1")
        assert ax.lines[1].get_ydata().min() > 9

    @pytest.mark.parametrize("covariate", [np.arange(60.0), ["a", "b"] * 30])
    def test_all_arms_have_their_own_colour(self, covariate):
        result = inference(n_effects=6)
        ax = plots.plot_effect_by(result, covariate)
        assert legend(ax) == [f"dose {k}" for k in range(6)]
        assert len({to_hex(each.get_color()) for each in ax.lines[:6]}) == 6
        for k, each in enumerate(ax.lines[:6]):
            alone = plots.plot_effect_by(result, covariate, arm=f"dose {k}").lines[1]
            np.testing.assert_allclose(each.get_ydata(), alone.get_ydata())
        ax.figure.canvas.draw()
        assert ax.get_legend().get_window_extent().x0 > ax.bbox.x1
        assert ax.get_legend().get_window_extent().x1 < ax.figure.bbox.x1

    def test_many_category_names_do_not_overlap(self):
        names = [f"a long name of a place {i}" for i in range(20)] * 3
        assert not overlapping_texts(plots.plot_effect_by(inference(), names))


class TestCalibration:
    def test_coverage_is_the_share_of_true_effects_inside(self):
        result = inference(n=200)
        true = result.point_estimate + np.random.default_rng(1).normal(size=200)
        ax = plots.plot_calibration(true, result, levels=[0.5, 0.9], label="ours")
        tables = [result.summary_frame(alpha) for alpha in (0.5, 0.1)]
        inside = [(table["ci_lower"] <= true) & (true <= table["ci_upper"]) for table in tables]
        expected = [100 * rows.mean() for rows in inside]
        np.testing.assert_allclose(line(ax, "ours"), np.column_stack([[50, 90], expected]))
        np.testing.assert_allclose(line(ax, "coverage equal to the level"), [[0, 0], [100, 100]])

    @pytest.mark.parametrize("n_effects", [None, 3])
    def test_inference_function_and_draws_agree(self, n_effects):
        result = inference(n_effects=n_effects)
        true = result.point_estimate + 0.3
        even = (np.arange(1, 2000) / 2000).reshape(-1, *[1] * true.ndim)
        draws = result.point_estimate + result.stderr * stats.t.ppf(even, result.dof)
        first, *others = (
            plots.plot_calibration(true, each, levels=[0.1, 0.5, 0.9]).lines[1].get_ydata()
            for each in (result, result.interval, draws)
        )
        assert first[0] < first[-1]
        for other in others:
            np.testing.assert_allclose(other, first)

    def test_draws_from_the_truth_lie_on_the_line(self):
        draws = np.random.default_rng(0).normal(size=(201, 2000))
        ax = plots.plot_calibration(draws[0], draws[1:])
        assert np.abs(line(ax, "intervals") @ [1, -1]).max() < 3

    def test_several_models_share_axes_and_differ_in_colour(self):
        result, ax = inference(), plt.figure().add_subplot()
        for label in ("ours", "forest"):
            assert plots.plot_calibration(result.point_estimate, result, label=label, ax=ax) is ax
        assert legend(ax) == ["coverage equal to the level", "ours", "forest"]
        assert len({to_hex(each.get_color()) for each in ax.lines}) == 3


class TestOverlap:
    def test_bars_are_shares_of_the_rows_that_received_each_arm(self, report):
        ax = plots.plot_overlap(report)
        assert ax.get_xlabel() == "propensity of drug"
        for received, patch in zip(("control", "drug"), ax.patches, strict=True):
            rows = report.propensity.loc[report.received == received, "drug"]
            assert patch.get_label() == f"received {received} ({len(rows)} rows)"
            at, height = patch.get_xy().T
            edges = np.unique(at)
            expected = np.histogram(rows, edges)[0] * 100 / len(rows)
            assert expected.sum() == pytest.approx(100)
            for low, high, share in zip(edges[:-1], edges[1:], expected, strict=True):
                assert np.isclose(height[np.isclose(at, low)], share).any()
                assert np.isclose(height[np.isclose(at, high)], share).any()

    def test_the_limit_of_support_is_marked(self, report):
        ax = plots.plot_overlap(report)
        assert set(line(ax, "limit of support")[:, 0]) == {report.arms.loc["drug", "limit"]}

    def test_every_received_arm_has_its_histogram(self, report_of_three):
        ax = plots.plot_overlap(report_of_three, arm="a")
        assert [label.split(" (")[0] for label in legend(ax)[:3]] == [
            "received a",
            "received b",
            "received c",
        ]
        assert len({to_hex(patch.get_edgecolor()) for patch in ax.patches}) == 3

    def test_all_arms_at_once(self, report_of_three):
        ax = plots.plot_overlap(report_of_three)
        assert ticks(ax.yaxis) == ["a", "b", "c"]
        for place, arm in enumerate("abc"):
            own = (report_of_three.received == arm).to_numpy()
            propensity = report_of_three.propensity[arm].to_numpy()
            upper, lower = ax.patches[2 * place : 2 * place + 2]
            middle = 2 - place
            shares = []
            for patch, some in ((upper, own), (lower, ~own)):
                values, edges, baseline = patch.get_data()
                assert baseline == middle
                counted = np.histogram(propensity[some], edges)[0] / some.sum()
                shares.append(np.max(np.abs(values - middle) / np.where(counted, counted, np.inf)))
                np.testing.assert_allclose((counted > 0), np.abs(values - middle) > 0)
            assert shares[0] == pytest.approx(shares[1])  # one scale for both
            limits = [each for each in ax.lines if middle - 0.45 in each.get_ydata()]
            assert limits[0].get_xdata()[0] == report_of_three.arms.loc[arm, "limit"]

    def test_balance_of_all_arms(self, report_of_three):
        ax = plots.plot_balance(report_of_three)
        assert legend(ax)[:4] == [
            "b, before", "b, after weighting", "c, before", "c, after weighting",
        ]  # fmt: skip
        names = ticks(ax.yaxis)
        for arm in "bc":
            balance = report_of_three.balance.loc[arm].abs().loc[names]
            np.testing.assert_allclose(line(ax, f"{arm}, before")[:, 0], balance["before"])
            np.testing.assert_allclose(line(ax, f"{arm}, after")[:, 0], balance["after"])

    def test_balance_shows_each_covariate_before_and_after(self, report):
        ax = plots.plot_balance(report)
        balance = report.balance.loc["drug"].abs().sort_values("before")
        assert ticks(ax.yaxis) == balance.index.tolist()
        np.testing.assert_allclose(line(ax, "before")[:, 0], balance["before"])
        np.testing.assert_allclose(line(ax, "after")[:, 0], balance["after"])

    def test_balance_of_many_covariates_shows_the_worst(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(80, 40))
        wide = overlap_report(X, rng.permutation(np.arange(80) % 2))
        ax = plots.plot_balance(wide, most=12)
        worst = wide.balance["before"].abs().nlargest(12)
        np.testing.assert_allclose(line(ax, "before")[::-1, 0], worst)
        assert "12 of 40 covariates" in ax.get_title("left")
        assert not overlapping_texts(plots.plot_balance(wide))

    def test_an_infinite_difference_is_marked_and_inside_the_axes(self):
        received = np.arange(60) % 2
        X = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=60), "drug": received})
        ax = plots.plot_balance(overlap_report(X, received))
        assert ticks(ax.yaxis) == ["noise", "drug (infinite)"]
        assert line(ax, "before")[:, 0].max() < ax.get_xlim()[1]


class TestGroups:
    frame = pd.DataFrame(
        {"point_estimate": [1.0, 2.0, 3.0], "ci_lower": [0.5, 1, 2], "ci_upper": [2.0, 4, 5]},
        index=pd.Index(["north", "south", "west"], name="site"),
    )

    averages = AverageInference(
        point_estimate=np.array([1.0, 3.0]),
        stderr=np.array([0.5, 0.1]),
        dof=np.array([9.0, np.inf]),
        index=pd.Index(["low", "high"], name="arm"),
        estimand="Average treatment effect (ATE)",
        n_rows=40,
    )

    def test_groups_come_from_top_to_bottom_with_their_intervals(self):
        ax = plots.plot_group_effects(self.frame)
        assert ticks(ax.yaxis) == ["north", "south", "west"]
        estimate, height = ax.lines[0].get_data()
        np.testing.assert_allclose(estimate, [1, 2, 3])
        assert (np.diff(height) < 0).all()
        bars = {ends[0, 1]: ends[:, 0].tolist() for ends in segments(ax)}
        assert [bars[at] for at in height] == [[0.5, 2], [1, 4], [2, 5]]
        assert ax.get_ylabel() == "site"

    def test_all_arms_or_one(self):
        both = pd.concat({"low": self.frame, "high": self.frame + 1}, names=["arm"]).swaplevel()
        ax = plots.plot_group_effects(both)
        assert ticks(ax.yaxis) == ["north", "south", "west"]
        assert legend(ax) == ["low", "high"]
        assert len({to_hex(each.get_color()) for each in ax.lines[:2]}) == 2
        for each, more in zip(ax.lines, (0, 1), strict=False):
            np.testing.assert_allclose(each.get_xdata(), [1 + more, 2 + more, 3 + more])
        assert (ax.lines[0].get_ydata() > ax.lines[1].get_ydata()).all()
        ax = plots.plot_group_effects(both, arm="high")
        assert ticks(ax.yaxis) == ["north", "south", "west"]
        np.testing.assert_allclose(ax.lines[0].get_xdata(), [2, 3, 4])
        assert ax.get_xlabel() == "effect of high (units of the outcome)"

    @pytest.mark.parametrize("alpha", [0.05, 0.2])
    def test_averages_are_drawn_with_the_intervals_of_their_table(self, fitted, alpha):
        X = np.random.default_rng(0).normal(size=(80, 2))
        arm = np.arange(80) % 2
        level = {} if alpha == 0.05 else {"alpha": alpha}
        for averages in (
            fitted.gate_inference(np.arange(80) // 2 % 3),
            fitted.ate_inference(),
            fitted.att_inference(X, arm),
        ):
            ax = plots.plot_group_effects(averages, **level)
            table = averages.summary_frame(alpha)
            estimate, height = ax.lines[0].get_data()
            np.testing.assert_array_equal(estimate, table["point_estimate"])
            bars = {ends[0, 1]: ends[:, 0] for ends in segments(ax)}
            np.testing.assert_array_equal(
                [bars[at] for at in height], table[["ci_lower", "ci_upper"]]
            )
            assert ticks(ax.yaxis) == [str(label) for label in table.index]
            assert (
                ax.get_title("left")
                == f"{averages.estimand}\nwith {100 * (1 - alpha):.0f} % intervals"
            )

    def test_averages_of_several_arms(self):
        assert ticks(plots.plot_group_effects(self.averages).yaxis) == ["low", "high"]
        ax = plots.plot_group_effects(self.averages, arm="high")
        assert ax.get_xlabel() == "effect of high (units of the outcome)"
        assert ax.lines[0].get_xdata().tolist() == [3.0]

    def test_the_longest_title_fits_the_figure(self, fitted):
        X, arm = np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2
        ax = plots.plot_group_effects(fitted.att_inference(X, arm))
        ax.figure.canvas.draw()
        assert title(ax).get_window_extent().x1 < ax.figure.bbox.x1

    def test_a_table_has_its_own_intervals_whose_level_nobody_knows(self):
        assert "%" not in plots.plot_group_effects(self.frame).get_title("left")
        with pytest.raises(ValueError, match=r"alpha=0\.1, but a table has its intervals already"):
            plots.plot_group_effects(self.frame, alpha=0.1)

    def test_many_groups_do_not_overlap(self):
        many = pd.concat([self.frame] * 10)
        assert not overlapping_texts(plots.plot_group_effects(many))


class TestHistory:
    def test_each_member_has_its_losses_and_the_epoch_it_kept(self, fitted):
        ax = plots.plot_history(fitted)
        assert legend(ax) == ["member 0", "member 1"]
        for member, epochs in fitted.history_.groupby("member"):
            train, held_out, kept = ax.lines[3 * member : 3 * member + 3]
            np.testing.assert_array_equal(train.get_ydata(), epochs["train_loss"])
            np.testing.assert_array_equal(held_out.get_ydata(), epochs["validation_loss"])
            np.testing.assert_array_equal(held_out.get_xdata(), epochs["epoch"])
            assert kept.get_ydata()[0] == epochs["validation_loss"].min()

    def test_what_was_not_trained_or_is_of_several_outcomes_is_said_so(self):
        X, arm = np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2
        y = pd.DataFrame({"weight": X[:, 0] + arm, "height": X[:, 1]})
        instant = HyperCATE(effort="instant", random_state=0).fit(X, y["weight"], arm)
        with pytest.raises(ValueError, match="trained no networks"):
            plots.plot_history(instant)
        both = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
        with pytest.raises(ValueError, match=r"plot_history\(est\.of\('weight'\)\)"):
            plots.plot_history(both)
        with pytest.raises(TypeError, match=r"several outcomes.*result\.of\('weight'\)"):
            plots.plot_group_effects(both.ate_inference())
        with pytest.raises(TypeError, match=r"several outcomes.*result\.of\('weight'\)"):
            plots.plot_effects(both.effect_inference(X))
        plots.plot_effects(both.effect_inference(X).of("height"))

    def test_losses_of_every_kind_of_outcome_have_a_name(self):
        assert set(plots.training._LOSSES) == set(DIFFERENCE.outcomes)

    def test_an_estimator_that_is_not_fitted(self):
        with pytest.raises(NotFittedError):
            plots.plot_history(HyperCATE())


class TestDoseResponse:
    def test_draws_the_curves_and_the_means_of_ranges(self):
        rng = np.random.default_rng(0)
        X, dose = rng.normal(size=(120, 2)), rng.uniform(0, 9, 120)
        few = {"n_members": 2, "max_epochs": 3, "device": "cpu", "random_state": 0}
        est = HyperCATE(treatment_kind="dose", **few).fit(X, dose + X[:, 0], dose)
        ax = plots.plot_dose_response(est, X)
        curve, dots = ax.lines[:2]
        table = est.average_dose_response()
        np.testing.assert_allclose(
            curve.get_ydata(), est.dose_response(X, curve.get_xdata()).mean(axis=0)
        )
        np.testing.assert_array_equal(dots.get_ydata(), table["point_estimate"])
        assert ((table["least"] < dots.get_xdata()) & (dots.get_xdata() < table["greatest"])).all()
        assert len(legend(ax)) == 3
        assert not overlapping_texts(ax)

    def test_a_model_of_arms_is_refused(self, fitted):
        with pytest.raises(ValueError, match="treatments of this model are arms"):
            plots.plot_dose_response(fitted, np.zeros((2, 2)))
        with pytest.raises(NotFittedError):
            plots.plot_dose_response(HyperCATE(), np.zeros((2, 2)))


class TestRejection:
    def test_error_is_sqrt_pehe_of_the_rows_kept(self):
        rng = np.random.default_rng(0)
        true, pred, doubt = rng.normal(size=(3, 50))
        ax = plots.plot_rejection(true, pred, doubt)
        drawn = line(ax, "least certain first")
        order = np.argsort(-doubt)
        for rejected in (0, 1, 10, 45):
            kept = order[rejected:]
            np.testing.assert_allclose(
                drawn[rejected], [2 * rejected, sqrt_pehe(true[kept], pred[kept])]
            )
        assert drawn[-1, 0] == 90
        assert set(line(ax, "at random")[:, 1].round(12)) == {round(sqrt_pehe(true, pred), 12)}

    def test_an_oracles_uncertainty_is_the_oracle_and_none_is_chance(self):
        rng = np.random.default_rng(0)
        true, pred = rng.normal(size=(2, 80))
        ax = plots.plot_rejection(true, pred, np.abs(true - pred), label="knows")
        np.testing.assert_allclose(line(ax, "knows"), line(ax, "oracle"))
        assert (line(ax, "oracle")[1:, 1] < line(ax, "at random")[1:, 1]).all()
        ax = plots.plot_rejection(true, pred, np.full(80, 3.0), label="knows nothing")
        np.testing.assert_allclose(line(ax, "knows nothing"), line(ax, "at random"))

    def test_several_effects_count_by_their_mean_square(self):
        rng = np.random.default_rng(0)
        true, pred = rng.normal(size=(2, 40, 3))
        ax = plots.plot_rejection(true, pred, np.arange(40))
        drawn = line(ax, "least certain first")
        np.testing.assert_allclose(drawn[10, 1], sqrt_pehe(true[:30], pred[:30]))

    def test_several_models_on_the_same_axes_are_all_in_view(self):
        rng, ax = np.random.default_rng(0), plt.figure().add_subplot()
        true, pred = rng.normal(size=(2, 60))
        plots.plot_rejection(true, pred, rng.random(60), label="ours", ax=ax)
        plots.plot_rejection(true, 9 * pred, rng.random(60), label="forest", ax=ax)
        assert legend(ax) == ["ours", "at random", "oracle", "forest"]
        assert ax.get_ylim()[0] == 0
        assert ax.get_ylim()[1] > max(each.get_ydata().max() for each in ax.lines)

    def test_a_perfect_prediction_draws_too(self):
        ax = plots.plot_rejection(np.ones(9), np.ones(9), np.arange(9))
        assert not line(ax, "least certain first")[:, 1].any()


def every_plot(report):
    result = inference()
    point = result.point_estimate
    yield plots.plot_effects, (result,)
    yield plots.plot_effect_by, (result, np.linspace(0, 1, 60))
    yield plots.plot_effect_by, (result, ["a", "b"] * 30)
    yield plots.plot_calibration, (point, result)
    yield plots.plot_overlap, (report,)
    yield plots.plot_balance, (report,)
    yield plots.plot_group_effects, (TestGroups.frame,)
    yield plots.plot_group_effects, (TestGroups.averages,)
    yield plots.plot_rejection, (point, point + 1, point)
    y, arm = point + np.arange(60) % 2, np.arange(60) % 2
    yield plots.plot_qini, (qini_curve(y, point, arm),)
    yield plots.plot_uplift, (uplift_curve(y, point, arm),)
    yield plots.plot_toc, (toc_curve(point, y),)
    yield plots.plot_profit, (profit_curve(point, y, cost=1.0),)


class TestDecisions:
    def curve(self, seed=0):
        rng = np.random.default_rng(seed)
        arm = rng.choice(["a", "b", "c"], 120)
        effects = pd.DataFrame(rng.normal(size=(120, 2)), columns=["b", "c"])
        return qini_curve(rng.normal(size=120), effects, arm)

    def test_lines_are_the_curves_and_arms_are_named(self):
        curve = self.curve()
        ax = plots.plot_qini(curve, label="model")
        lines = [line for line in ax.lines if line.get_gid() == "qini"]
        for line, arm in zip(lines, ("b", "c"), strict=True):
            own = curve.of(arm)
            np.testing.assert_allclose(line.get_xdata(), 100 * own["share"])
            np.testing.assert_allclose(line.get_ydata(), own["value"])
            assert line.get_label() == f"model {arm}"
        plots.plot_qini(self.curve(1), arm="b", label="other", ax=ax)
        assert len({to_hex(line.get_color()) for line in ax.lines if line.get_gid()}) == 3
        assert legend(ax).count("at random") == 1

    def test_the_largest_profit_is_marked(self):
        effect = np.linspace(3, -1, 100)
        ax = plots.plot_profit(profit_curve(effect, effect, cost=1.0))
        assert "best: 50 % treated" in legend(ax)

    def test_a_tree_shows_its_questions_and_arms(self):
        X = pd.DataFrame({"age": np.arange(90.0), "site": ["north", "south", "west"] * 30})
        gain = np.where(X["site"] == "north", 1.0, np.where(X["age"] > 44.5, 0.5, -1.0))
        tree = PolicyTree().fit(X, pd.DataFrame({"none": 0.0, "drug": gain}))
        ax = plots.plot_policy_tree(tree)
        said = {text.get_text() for text in ax.texts}
        assert {"site=north ?", "yes", "no"} <= said
        assert sum("drug" in text for text in said) >= 1
        assert any(text.startswith("age <= 4") for text in said)
        assert not overlapping_texts(ax)
        assert not ax.get_xticks().size

    def test_what_is_not_a_curve_or_a_tree_is_refused(self):
        with pytest.raises(TypeError, match="what qini_curve returns"):
            plots.plot_qini(np.ones(3))
        with pytest.raises(ValueError, match="draw it by plot_qini"):
            plots.plot_uplift(self.curve())
        with pytest.raises(ValueError, match=r"arm='a' has no curve"):
            plots.plot_qini(self.curve(), arm="a")
        with pytest.raises(TypeError, match="fitted PolicyTree"):
            plots.plot_policy_tree("tree")
        with pytest.raises(NotFittedError):
            plots.plot_policy_tree(PolicyTree())


class TestAxes:
    def test_the_axes_given_are_drawn_on_and_no_figure_is_opened(self, report):
        figure = matplotlib.figure.Figure()
        for draw, arguments in every_plot(report):
            ax = figure.add_subplot()
            assert draw(*arguments, ax=ax) is ax
        assert not plt.get_fignums()

    def test_without_axes_each_opens_one_figure(self, report):
        for draw, arguments in every_plot(report):
            ax = draw(*arguments)
            assert isinstance(ax, Axes)
            assert len(plt.get_fignums()) == 1
            plt.close(ax.figure)

    def test_axes_are_labelled_and_neither_labels_nor_legends_overlap(self, report):
        for draw, arguments in every_plot(report):
            ax = draw(*arguments)
            assert ax.get_xlabel()
            assert ax.get_ylabel() or ticks(ax.yaxis)
            assert not overlapping_texts(ax)
            assert not covering(ax), draw
            plt.close(ax.figure)

    def test_legends_in_large_letters_cover_neither_data_nor_titles(self, report):
        with plt.style.context({"font.size": 14}):
            for draw, arguments in every_plot(report):
                ax = draw(*arguments)
                assert not covering(ax), draw
                plt.close(ax.figure)

    def test_legends_of_several_models_and_of_long_names_cover_nothing_either(self):
        rng, long = np.random.default_rng(0), "sertraline 50 mg, taken once daily"
        true, pred = rng.normal(size=(2, 60))
        for draw, given in (
            (plots.plot_calibration, lambda: (true, inference())),
            (plots.plot_rejection, lambda: (true, pred, rng.random(60))),
            (plots.plot_qini, lambda: (qini_curve(true, rng.normal(size=60), np.arange(60) % 2),)),
        ):
            ax = None
            for name in ("HyperCATE", "causal forest", "X-learner of boosted trees", long):
                ax = draw(*given(), label=name, ax=ax)
            assert not covering(ax), draw
        X = pd.DataFrame({"age": rng.normal(size=150)})
        report = overlap_report(X, rng.choice(["waiting list", f"{long}, with advice"], 150))
        names = [f"{long}, with advice of kind {k}" for k in range(5)]
        for ax in (
            plots.plot_overlap(report),
            plots.plot_balance(report),
            plots.plot_effects(inference(n=6)),
            plots.plot_effects(inference(n_effects=5, arms=names)),
        ):
            assert not covering(ax)
            assert not overlapping_texts(ax)

    def test_all_is_in_the_public_list(self, report):
        others = {"plot_history", "plot_dose_response", "plot_policy_tree"}
        assert {draw.__name__ for draw, _ in every_plot(report)} | others == set(plots.__all__)

    def test_without_matplotlib_the_extra_is_named(self, report, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        for draw, arguments in every_plot(report):
            with pytest.raises(ImportError, match=r'pip install "hypercate\[plots\]"'):
                draw(*arguments)

    def test_the_extra_is_matplotlib_alone_and_the_benchmark_has_it(self):
        pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        extras = pyproject["project"]["optional-dependencies"]
        (only,) = extras["plots"]
        assert only.startswith("matplotlib>=")
        assert "hypercate[plots]" in extras["explain"]
        assert "hypercate[explain]" in extras["benchmark"]

    def test_intervals_are_of_95_percent_as_those_of_the_tables(self, fitted, report):
        for draw, (given, *arguments) in every_plot(report):
            if "alpha" in inspect.signature(draw).parameters and not isinstance(
                given, pd.DataFrame
            ):
                ax = draw(given, *arguments)
                said = [ax.get_title("left"), *legend(ax)]
                assert any("95 % intervals" in text for text in said)
                same = draw(given, *arguments, alpha=0.05)
                np.testing.assert_array_equal(vertices(ax), vertices(same))
                other = draw(given, *arguments, alpha=0.1)
                assert not np.array_equal(vertices(ax), vertices(other))


class TestBadInput:
    @pytest.mark.parametrize(
        "draw",
        [plots.plot_effects, lambda result, **kind: plots.plot_effect_by(result, [1] * 60, **kind)],
    )
    def test_an_arm_has_to_be_a_known_one(self, draw):
        result = inference(n_effects=2)
        with pytest.raises(ValueError, match=r"arm='dose 9' is not an arm: the arms are \['dose 0"):
            draw(result, arm="dose 9")
        with pytest.raises(ValueError, match=r"alpha=1\.5"):
            draw(result, arm="dose 0", alpha=1.5)

    @pytest.mark.parametrize("draw", [plots.plot_overlap, plots.plot_balance])
    def test_an_arm_of_a_report_has_to_be_a_known_one(self, draw, report_of_three):
        with pytest.raises(ValueError, match="arm='z' is not an arm"):
            draw(report_of_three, arm="z")

    def test_a_covariate_of_another_length(self):
        with pytest.raises(ValueError, match="covariate has 59 rows, but X has 60"):
            plots.plot_effect_by(inference(), np.arange(59))

    def test_a_covariate_of_too_many_categories(self):
        with pytest.raises(ValueError, match="60 categories, but a plot shows at most 30"):
            plots.plot_effect_by(inference(), pd.Series(map(str, range(60)), name="name"))

    def test_a_covariate_of_times(self):
        with pytest.raises(TypeError, match="covariate holds times"):
            plots.plot_effect_by(inference(), pd.date_range("2020", periods=60))

    def test_intervals_of_another_shape(self):
        with pytest.raises(ValueError, match=r"effect_true has shape \(3,\).*\(60,\)"):
            plots.plot_calibration(np.ones(3), inference())

    def test_a_table_that_is_not_of_effects(self):
        with pytest.raises(ValueError, match="effects has no column ci_lower, ci_upper"):
            plots.plot_group_effects(TestGroups.frame[["point_estimate"]])
        with pytest.raises(ValueError, match="no rows"):
            plots.plot_group_effects(TestGroups.frame.iloc[:0])
        with pytest.raises(ValueError, match="no level 'arm'"):
            plots.plot_group_effects(TestGroups.frame, arm="drug")

    def test_results_of_another_question_are_sent_to_their_own_picture(self, fitted):
        X = np.random.default_rng(0).normal(size=(9, 2))
        with pytest.raises(TypeError, match=r"AverageInference.*plot_group_effects draws averages"):
            plots.plot_effects(fitted.ate_inference())
        with pytest.raises(
            TypeError, match="inference is a AverageInference: pass what effect_inf"
        ):
            plots.plot_effect_by(fitted.ate_inference(), [1] * 80)
        with pytest.raises(TypeError, match=r"effects is a EffectInference.*plot_effects draws"):
            plots.plot_group_effects(fitted.effect_inference(X))

    def test_averages_at_an_impossible_level(self, fitted):
        with pytest.raises(ValueError, match=r"alpha=0 "):
            plots.plot_group_effects(fitted.ate_inference(), alpha=0)

    def test_rejection_of_shapes_that_differ_or_values_that_lack(self):
        with pytest.raises(ValueError, match=r"uncertainty \(4,\)"):
            plots.plot_rejection(np.ones(5), np.ones(5), np.ones(4))
        with pytest.raises(ValueError, match="uncertainty is missing or infinite in row 1"):
            plots.plot_rejection(np.ones(3), np.ones(3), [1, np.nan, 2])
