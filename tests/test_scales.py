"""Ratios of mean outcomes and of odds at the rows' covariates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import tiny, trial

from hypercate import HyperCATE
from hypercate.inference.effects import EffectInference
from hypercate.inference.scales import DIFFERENCE, SCALES, scale_of

quick = settings(max_examples=40, deadline=None, derandomize=True)
RATIO, ODDS = SCALES[1:]
FITS = [("count", "ratio"), ("positive", "ratio"), ("binary", "ratio"), ("binary", "odds")]


def outcome_of(kind, y):
    return (y > 2).astype(int) if kind == "binary" else np.round(np.exp(y / 3)) + 1


@pytest.fixture(scope="module")
def fits():
    """A fit to three arms and its covariates, by the kind of outcome; each is fitted once."""
    made = {}

    def of(kind):
        if kind not in made:
            X, y, arm, _ = trial(200, n_arms=3)
            est = tiny(outcome=kind, max_epochs=20, n_members=3)
            made[kind] = est.fit(X, outcome_of(kind, y), arm), X
        return made[kind]

    return of


class TestLinks:
    @quick
    @given(st.floats(1e-6, 0.999), st.floats(1e-6, 0.999))
    def test_differences_of_links_are_the_scale(self, one, other):
        a, b = np.array([one]), np.array([other])
        assert RATIO.back(RATIO.link(a) - RATIO.link(b))[0] == pytest.approx(one / other)
        odds = one / (1 - one) / (other / (1 - other))
        assert ODDS.back(ODDS.link(a) - ODDS.link(b))[0] == pytest.approx(odds)
        assert DIFFERENCE.back(DIFFERENCE.link(a) - DIFFERENCE.link(b))[0] == one - other

    @pytest.mark.parametrize("scale", SCALES, ids=lambda s: s.name)
    @quick
    @given(st.floats(0.01, 0.99))
    def test_slopes_are_derivatives(self, scale, mean):
        low, high = (scale.link(np.array([mean + step])) for step in (-1e-6, 1e-6))
        assert scale.slope(np.array([mean]))[0] == pytest.approx((high - low)[0] / 2e-6, rel=1e-4)

    def test_there_is_no_ratio_of_what_is_out_of_range(self):
        out = np.array([0.0, -1.0, np.nan])
        assert np.isnan(RATIO.link(out)).all()
        assert np.isnan(ODDS.link(1 - out)).all()

    @pytest.mark.parametrize(
        ("name", "kind", "message"),
        [
            ("ratio", "continuous", "positive or time or survival, but this one is continuous"),
            ("odds", "count", "binary or survival, but this one is count: use scale='difference'"),
            ("logit", "binary", r"scale='logit' must be one of \('difference', 'ratio', 'odds'\)"),
        ],
    )
    def test_refused(self, name, kind, message):
        with pytest.raises(ValueError, match=message):
            scale_of(name, kind)


class TestIntervals:
    @quick
    @given(st.floats(1e-3, 1e3), st.floats(0, 500), st.floats(0.01, 0.5))
    def test_are_above_0_and_hold_the_ratio_in_their_geometric_middle(self, ratio, stderr, alpha):
        one = EffectInference(
            np.array([ratio]), np.array([stderr]), 8.0, np.inf, range(1), ["drug"], RATIO
        )
        low, high = (bound[0] for bound in one.interval(alpha))
        assert 0 < low <= ratio * (1 + 1e-9)
        assert ratio * (1 - 1e-9) <= high < np.inf
        if stderr < 20:
            assert low * high == pytest.approx(ratio**2)

    def test_the_table_tests_for_a_ratio_of_1(self):
        one = EffectInference(
            np.array([1.0, np.e]), np.array([0.5, 0.5]), np.inf, np.inf, range(2), ["drug"], RATIO
        )
        table = one.summary_frame()
        assert table["zstat"].tolist() == pytest.approx([0, 2])
        assert table["pvalue"].tolist() == pytest.approx([1, 0.0455], abs=1e-4)
        assert "geometric mean 1.649" in str(one)
        assert "standard errors of the logarithm" in str(one)


class TestFits:
    @pytest.mark.parametrize(("kind", "scale"), FITS)
    def test_effects_are_of_the_potential_outcomes(self, kind, scale, fits):
        est, X = fits(kind)
        mean = est.predict_outcomes(X).clip(1e-6, 1 - 1e-6 if kind == "binary" else None)
        value = mean / (1 - mean) if scale == "odds" else mean
        expected = value[:, 1:] / value[:, [0]]
        np.testing.assert_allclose(est.effect(X, scale=scale), expected)
        np.testing.assert_allclose(est.effect(X, 1, 2, scale=scale), value[:, 2] / value[:, 1])
        found = est.effect_inference(X, scale=scale)
        np.testing.assert_allclose(found.point_estimate, expected)
        low, high = est.effect_interval(X, scale=scale)
        assert ((low > 0) & (low <= expected) & (expected <= high)).all()

    @pytest.mark.parametrize(("kind", "scale"), FITS)
    def test_arms_exchanged_give_reciprocals(self, kind, scale, fits):
        est, X = fits(kind)
        there, back = (
            est.effect_interval(X, T0=T0, T1=T1, scale=scale) for T0, T1 in ((0, 2), (2, 0))
        )
        np.testing.assert_allclose(there[0], 1 / back[1], rtol=1e-10)
        np.testing.assert_allclose(there[1], 1 / back[0], rtol=1e-10)
        np.testing.assert_allclose(
            est.effect(X, 0, 2, scale=scale), 1 / est.effect(X, 2, 0, scale=scale), rtol=1e-10
        )

    @pytest.mark.parametrize("kind", ["count", "positive", "binary"])
    def test_small_errors_are_those_of_the_difference_over_the_level(self, kind, fits):
        est, X = fits(kind)
        mean, deviations = est.predict_outcomes(X), est._deviations(est._encode(X), None, 0, 1)[1]
        of_arms = [est._deviations(est._encode(X), None, k, k)[1] for k in (0, 1)]
        assert not np.any(of_arms)  # an arm against itself
        found = est.effect_inference(X, T0=0, T1=1, scale="ratio").stderr
        least = np.sqrt((deviations**2).sum(axis=0)) / mean.max(axis=1)
        assert (found > 0).all()
        assert np.median(found / least) < 10

    def test_a_treatment_that_multiplies_is_one_ratio(self):
        X, _, arm, _ = trial(600)
        y = np.random.default_rng(0).poisson(5 * np.exp(0.5 * X[:, 0]) * 2.0**arm)
        est = HyperCATE(outcome="count", effort="instant", random_state=0).fit(X, y, arm)
        ratio = est.effect(X, scale="ratio")
        assert np.abs(np.log(ratio / 2)).max() < 0.5
        low, high = est.effect_interval(X, scale="ratio")
        assert ((low < 2) & (high > 2)).mean() > 0.8

    @pytest.mark.parametrize("method", ["effect", "effect_interval", "effect_inference"])
    def test_another_outcome_or_scale_is_refused(self, method, fits):
        est, X = fits("count")
        with pytest.raises(ValueError, match="scale='odds' is for outcomes of kind binary"):
            getattr(est, method)(X, scale="odds")
        continuous = tiny().fit(*trial(60)[:3])
        with pytest.raises(ValueError, match=r"but this one is continuous.*outcome='count'"):
            getattr(continuous, method)(X, scale="ratio")
