"""Contrasts between arms, their intervals and table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from hypercate.inference.effects import EffectInference, against, check_alpha, contrast

quick = settings(max_examples=40, deadline=None, derandomize=True)

outcome_arrays = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5).filter(lambda s: s[-1] > 1),
    elements=st.floats(-1e6, 1e6),
)


class TestContrasts:
    @quick
    @given(outcome_arrays, st.data())
    def test_against_is_every_other_arm_less_the_control(self, outcomes, data):
        n_arms = outcomes.shape[-1]
        control = data.draw(st.integers(0, n_arms - 1))
        result = against(outcomes, control)
        assert result.shape == outcomes.shape[:-1] + ((n_arms - 1,) if n_arms > 2 else ())
        others = [arm for arm in range(n_arms) if arm != control]
        for at in np.ndindex(outcomes.shape[:-1]):
            expected = [outcomes[at][arm] - outcomes[at][control] for arm in others]
            np.testing.assert_array_equal(np.atleast_1d(result[at]), expected)

    @quick
    @given(outcome_arrays, st.data())
    def test_contrast_takes_each_row_s_own_arms(self, outcomes, data):
        n, n_arms = outcomes.shape[-2:]
        arms = arrays(int, n, elements=st.integers(0, n_arms - 1))
        control, treated = data.draw(arms), data.draw(arms)
        result = contrast(outcomes, control, treated)
        assert result.shape == outcomes.shape[:-1]
        for at in np.ndindex(result.shape):
            row = at[-1]
            assert result[at] == outcomes[at][treated[row]] - outcomes[at][control[row]]
        np.testing.assert_array_equal(contrast(outcomes, treated, control), -result)

    def test_the_control_is_arm_0_by_default(self):
        np.testing.assert_array_equal(against(np.array([[1.0, 5.0, 2.0]])), [[4.0, 1.0]])


def inference(n=4, n_effects=None, index=None, dof=8.0, bound=np.inf):
    rng = np.random.default_rng(0)
    shape = (n,) if n_effects is None else (n, n_effects)
    return EffectInference(
        point_estimate=rng.normal(size=shape),
        stderr=rng.exponential(size=shape),
        dof=dof,
        bound=bound,
        index=pd.RangeIndex(n) if index is None else index,
        arms=["drug", "placebo", "surgery"][: n_effects or 1],
    )


def of_numbers(point, stderr, dof, bound=np.inf):
    return EffectInference(
        np.array(point), np.array(stderr), dof, bound, pd.RangeIndex(len(point)), ["drug"]
    )


numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=3)
sizes = st.lists(st.just(0.0) | st.floats(1e-6, 100), min_size=3, max_size=3)
dofs = st.sampled_from([1.0, 5.0, 8.0, 40.0, np.inf])
levels = st.floats(0.001, 0.999)


class TestIntervals:
    @quick
    @given(numbers, sizes, dofs, levels)
    def test_ends_are_quantiles_of_student_s_t_about_the_point(self, point, stderr, dof, alpha):
        lower, upper = of_numbers(point, stderr, dof).interval(alpha)
        law = stats.norm if np.isinf(dof) else stats.t(dof)
        for p, s, low, high in zip(point, stderr, lower, upper, strict=True):
            assert low == pytest.approx(p + s * law.ppf(alpha / 2), abs=1e-9, rel=1e-9)
            assert high == pytest.approx(p + s * law.ppf(1 - alpha / 2), abs=1e-9, rel=1e-9)

    def test_numbers_known_from_tables(self):
        for dof, half in [(8.0, 2.306), (1.0, 12.706), (np.inf, 1.960)]:
            lower, upper = of_numbers([1.0], [2.0], dof).interval()
            assert lower[0] == pytest.approx(1 - 2 * half, abs=2e-3)
            assert upper[0] == pytest.approx(1 + 2 * half, abs=2e-3)

    @quick
    @given(numbers, sizes, dofs, st.sampled_from([1.0, np.inf]), st.floats(0.01, 0.98))
    def test_a_higher_level_holds_a_lower_one(self, point, stderr, dof, bound, alpha):
        point = np.clip(point, -bound, bound)
        result = of_numbers(point, stderr, dof, bound)
        outer, inner = result.interval(alpha), result.interval(alpha + 0.01)
        assert (outer[0] <= inner[0]).all()
        assert (inner[0] <= point).all()
        assert (point <= inner[1]).all()
        assert (inner[1] <= outer[1]).all()

    @quick
    @given(numbers, sizes, dofs, st.sampled_from([1.0, np.inf]), levels)
    def test_the_opposite_effect_has_the_mirrored_interval(self, point, stderr, dof, bound, alpha):
        lower, upper = of_numbers(point, stderr, dof, bound).interval(alpha)
        mirrored = of_numbers(np.negative(point), stderr, dof, bound).interval(alpha)
        np.testing.assert_array_equal(mirrored, (-upper, -lower))

    def test_what_cannot_be_is_cut_off(self):
        lower, upper = of_numbers([0.9, -0.8, 0.0], [0.2, 0.4, 0.1], np.inf, 1.0).interval()
        np.testing.assert_allclose(lower, [0.508, -1, -0.196], atol=1e-3)
        np.testing.assert_allclose(upper, [1, -0.016, 0.196], atol=1e-3)

    def test_the_shape_is_that_of_the_effects(self):
        for n_effects, shape in ((None, (4,)), (3, (4, 3))):
            lower, upper = inference(n_effects=n_effects).interval()
            assert lower.shape == upper.shape == shape

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, np.nan, np.inf, "0.05", None, True, [0.1]])
    def test_a_bad_alpha_is_named(self, alpha):
        for call in (check_alpha, inference().interval, inference().summary_frame):
            with pytest.raises(ValueError, match=r"alpha=.*between 0 and 1"):
                call(alpha)

    @pytest.mark.parametrize("alpha", [np.float64(0.25), np.float32(0.25)])
    def test_numpy_numbers_will_do(self, alpha):
        np.testing.assert_array_equal(inference().interval(alpha), inference().interval(0.25))


class TestSummaryFrame:
    columns = ("point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper")

    @pytest.mark.parametrize(
        "index", [pd.Index([7, 7, 3, 1]), pd.Index(list("dcba"), name="person")]
    )
    def test_one_effect_is_on_the_index_of_the_data(self, index):
        frame = inference(index=index).summary_frame()
        assert tuple(frame.columns) == self.columns
        pd.testing.assert_index_equal(frame.index, index)

    def test_several_effects_get_a_level_that_names_the_arm(self):
        index = pd.Index(list("dcba"), name="person")
        result = inference(n_effects=3, index=index)
        frame = result.summary_frame()
        assert tuple(frame.columns) == self.columns
        assert frame.index.names == ["person", "arm"]
        for i, person in enumerate(index):
            for j, arm in enumerate(["drug", "placebo", "surgery"]):
                row = frame.loc[(person, arm)]
                assert row["point_estimate"] == result.point_estimate[i, j]
                assert row["stderr"] == result.stderr[i, j]

    def test_several_effects_on_an_index_of_several_levels(self):
        index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["site", "person"])
        frame = inference(n_effects=2, index=index).summary_frame()
        assert len(frame) == 8
        assert frame.index.get_level_values("arm").tolist() == ["drug", "placebo"] * 4

    @pytest.mark.parametrize("n_effects", [None, 3])
    @pytest.mark.parametrize("alpha", [0.05, 0.3])
    @pytest.mark.parametrize("dof", [5.0, np.inf])
    def test_columns_are_what_they_say(self, n_effects, alpha, dof):
        result = inference(n_effects=n_effects, dof=dof)
        frame = result.summary_frame(alpha)
        lower, upper = result.interval(alpha)
        np.testing.assert_array_equal(frame["ci_lower"], lower.ravel())
        np.testing.assert_array_equal(frame["ci_upper"], upper.ravel())
        np.testing.assert_array_equal(frame["stderr"], result.stderr.ravel())
        z = result.point_estimate.ravel() / result.stderr.ravel()
        np.testing.assert_allclose(frame["zstat"], z)
        law = stats.norm if np.isinf(dof) else stats.t(dof)
        np.testing.assert_allclose(frame["pvalue"], 2 * (1 - law.cdf(np.abs(z))), atol=1e-12)

    @quick
    @given(numbers, sizes, dofs, levels)
    def test_the_interval_leaves_out_0_where_the_p_value_is_below_alpha(
        self, point, stderr, dof, alpha
    ):
        frame = of_numbers(point, stderr, dof).summary_frame(alpha)
        clear = (frame["pvalue"] - alpha).abs() > 1e-6
        outside = (frame["ci_lower"] > 0) | (frame["ci_upper"] < 0)
        assert (outside == (frame["pvalue"] < alpha))[clear].all()

    def test_effects_without_error_give_no_warning(self):
        frame = of_numbers([1.0, 0.0], [0.0, 0.0], 8.0).summary_frame()
        assert frame["pvalue"][0] == 0
        assert np.isnan(frame["pvalue"][1])
        assert frame["ci_lower"].tolist() == frame["ci_upper"].tolist() == [1, 0]


class TestPrinting:
    @pytest.mark.parametrize("n_effects", [None, 3])
    def test_the_text_has_the_first_rows_their_number_and_the_mean(self, n_effects):
        index = pd.Index([f"person {i}" for i in range(500)])
        result = inference(500, n_effects, index)
        text = str(result)
        assert text == repr(result) == result.summary()
        for words in ("(CATE)", "the first 10 of 500 rows", "intervals at 0.95", "person 9"):
            assert words in text
        assert "person 10" not in text
        for mean in np.atleast_1d(result.point_estimate.mean(axis=0)):
            assert f"{mean:.4g}" in text
        if n_effects:
            assert "(surgery)" in text
        assert "intervals at 0.8" in result.summary(0.2)
        assert "array" not in text

    def test_few_rows_are_all_shown(self):
        text = str(inference(4))
        assert "4 rows, mean effect" in text
        assert "first" not in text

    def test_arms_that_differ_by_row_have_one_mean(self):
        result = replace(inference(4), arms=[])
        assert f"mean effect {result.point_estimate.mean():.4g}," in str(result)

    def test_the_html_has_the_same_table_and_escapes_labels(self):
        result = inference(4, 3, pd.Index(["<b>", "x", "y", "z"], name="person"))
        page = result._repr_html_()
        assert "<table" in page
        assert "&lt;b&gt;" in page
        assert "<b>" not in page.split("</p>", 1)[1]
        for value in result.point_estimate.ravel():
            assert f"{value:.4g}" in page
