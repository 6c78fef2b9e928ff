"""Several averages at once, and numbers needed to treat."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from hypercate import HyperCATE
from hypercate.inference.averages import AverageInference
from hypercate.inference.simultaneous import adjusted, level_of_each

quick = settings(max_examples=100, deadline=None, derandomize=True)
SMALL = {"effort": "instant", "random_state": 0, "device": "cpu"}


class TestPValues:
    @given(st.lists(st.floats(0, 0.9999), min_size=1, max_size=12))
    @quick
    def test_they_are_those_of_statsmodels(self, pvalues):
        found = adjusted(np.array(pvalues))
        expected = multipletests(pvalues, method="holm-sidak")[1]
        np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_one_alone_stays_and_missing_ones_do_not_count(self):
        np.testing.assert_allclose(adjusted(np.array([0.03])), [0.03])
        np.testing.assert_allclose(
            adjusted(np.array([np.nan, 0.03, 0.5])), [np.nan, 1 - 0.97**2, 0.5]
        )


class TestIntervals:
    @pytest.mark.parametrize("correlation", [0.0, 0.8])
    def test_all_hold_at_once_as_often_as_stated(self, correlation):
        rng = np.random.default_rng(501)
        common = rng.normal(size=(4000, 1)) * correlation**0.5
        estimates = common + rng.normal(size=(4000, 6)) * (1 - correlation) ** 0.5
        held = []
        for row in estimates:
            found = AverageInference(
                row, np.ones(6), np.full(6, np.inf), pd.RangeIndex(6), "Averages", 9
            )
            table = found.simultaneous_frame(alpha=0.1)
            held.append(((table["ci_lower"] < 0) & (table["ci_upper"] > 0)).all())
            assert ((table["pvalue"] < 0.1) <= (np.abs(row) > 1.6)).all()
        assert np.mean(held) > 0.9 - 3 * (0.09 / 4000) ** 0.5
        if not correlation:
            assert np.mean(held) < 0.9 + 3 * (0.09 / 4000) ** 0.5

    def test_they_are_wider_than_one_by_one(self):
        assert level_of_each(0.05, 1) == pytest.approx(0.05)
        assert level_of_each(0.05, 10) == pytest.approx(0.00511, abs=1e-5)


class TestNumberNeeded:
    def test_it_is_one_over_the_effect_and_its_interval(self):
        rng = np.random.default_rng(502)
        X, arm = rng.normal(size=(600, 2)), rng.choice(["none", "good", "idle"], 600)
        y = rng.random(600) < 0.3 + 0.3 * (arm == "good")
        est = HyperCATE(control="none", **SMALL).fit(X, y, arm)
        table = est.number_needed_to_treat()
        lower, upper = est.ate_interval()
        np.testing.assert_allclose(table["number_needed"], 1 / est.ate())
        assert table["excludes_zero"].tolist() == [True, False]
        assert table.loc["good", ["ci_lower", "ci_upper"]].tolist() == [1 / upper[0], 1 / lower[0]]
        assert table.loc["idle", "ci_lower"] == 1 / lower[1] < 0 < 1 / upper[1]
        less = est.number_needed_to_treat(T0="good").loc["none"]
        assert less["number_needed"] == pytest.approx(-table.loc["good", "number_needed"])
        assert less["ci_lower"] < less["number_needed"] < less["ci_upper"] < 0

    def test_other_outcomes_have_none(self):
        rng = np.random.default_rng(503)
        X, arm = rng.normal(size=(100, 2)), rng.integers(2, size=100)
        est = HyperCATE(**SMALL).fit(X, X[:, 0] + arm, arm)
        with pytest.raises(ValueError, match="binary"):
            est.number_needed_to_treat()
