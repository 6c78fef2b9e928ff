"""Gross outliers of the outcome: found, named, and without a say in every mean."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import able, trial

from hypercate.outcomes import Bernoulli
from hypercate.outcomes.outliers import pulled_in

pytestmark = pytest.mark.filterwarnings("error")
EVERY = np.ones(400, dtype=bool)


def draw(kind, n=1000, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(size=n),
        "lognormal": lambda: np.exp(2 * rng.normal(size=n)),
        "student": lambda: rng.standard_t(2, size=n),
        "spending": lambda: np.where(rng.random(n) < 0.02, rng.gamma(1, 100, n), 0.0),
        "seldom": lambda: np.where(rng.random(n) < 0.004, rng.gamma(1, 100, n), 0.0),
        "two values": lambda: rng.choice([3.0, 1000.0], n, p=[0.995, 0.005]),
        "constant": lambda: np.full(n, 7.0),
        "counts": lambda: rng.poisson(0.3, n).astype(float),
    }[kind]()


class TestPulledIn:
    @pytest.mark.parametrize(
        "kind",
        [
            "normal",
            "lognormal",
            "student",
            "spending",
            "seldom",
            "two values",
            "constant",
            "counts",
        ],
    )
    @pytest.mark.parametrize("seed", range(3))
    def test_what_is_merely_heavy_is_left_alone(self, kind, seed):
        y = draw(kind, seed=seed)
        np.testing.assert_array_equal(pulled_in(y, np.ones(1000, bool)), y)

    @pytest.mark.parametrize("size", [1e3, -1e6, 1e300])
    @pytest.mark.parametrize("n", [30, 400])
    def test_a_slip_becomes_the_nearest_of_the_others_and_is_named(self, size, n):
        y = draw("normal", n)
        wrong = y.copy()
        wrong[17] = size
        rest = np.delete(y, 17)
        with pytest.warns(UserWarning, match=r"y in row 17 \(counted from 0\) is more than 10 "):
            mended = pulled_in(wrong, np.ones(n, bool))
        assert mended[17] == (rest.max() if size > 0 else rest.min())
        np.testing.assert_array_equal(np.delete(mended, 17), rest)

    def test_slips_of_several_sizes_are_all_found(self):
        y = draw("normal", 400)
        y[[3, 50, 399, 8]] = [999, -9999, 1e7, 1e3]
        with pytest.warns(UserWarning, match="rows 3, 8, 50, 399 "):
            assert np.abs(pulled_in(y, EVERY)).max() < 4

    def test_more_than_one_percent_are_no_slip(self):
        y = draw("normal", 400)
        y[:5] = 1e6
        np.testing.assert_array_equal(pulled_in(y, EVERY), y)

    def test_rows_are_counted_among_those_given(self):
        used = np.arange(500) % 5 > 0
        y = draw("normal", 400)
        y[10] = 1e6
        row = np.flatnonzero(used)[10]
        with pytest.warns(UserWarning, match=f"row {row} "):
            pulled_in(y, used)

    @settings(max_examples=30, derandomize=True, deadline=None)
    @given(
        st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60),
        st.sampled_from([1.0, 1e-200, 1e100]),
        st.floats(-1e3, 1e3),
    )
    def test_keeps_order_and_range_in_any_unit(self, values, unit, location):
        y = (np.array(values) + location) * unit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mended = pulled_in(y, np.ones(len(y), bool))
        assert (np.diff(mended[np.argsort(y)]) >= 0).all()
        assert (np.abs(mended) <= np.abs(y).max()).all()
        assert (mended != y).sum() <= 1


class TestThroughFit:
    def test_three_gross_outcomes_leave_effects_where_they_were(self):
        X, y, arm, effect = trial(400)
        wrong = y.copy()
        wrong[[5, 100, 300]] = 1e6
        with pytest.warns(UserWarning, match="y in rows 5, 100, 300"):
            est = able(n_members=3).fit(X, wrong, arm)
        assert abs(est.predict(X).mean() - effect.mean()) < 0.15
        lower, upper = est.ate_interval()
        assert lower < effect.mean() < upper
        assert upper - lower < 0.6
        assert np.sqrt(np.mean((est.predict(X) - effect) ** 2)) < 0.5

    def test_a_rare_class_is_no_outlier(self):
        y = np.zeros(400)
        y[7] = 1
        np.testing.assert_array_equal(Bernoulli(np.array([0, 1])).without_outliers(y, EVERY), y)
