"""Ratios of average outcomes, by the delta method on AIPW averages."""

import numpy as np
import pandas as pd
import pytest
from samples import judged_once
from small import tiny, trial

from hypercate.inference.averages import average_effect, average_effect_at
from hypercate.inference.ratios import average_ratio, average_ratio_at
from hypercate.inference.scales import SCALES

RATIO, ODDS = SCALES[1:]


def randomised(seed, n=400, binary=False, noise=1.0):
    """Evidence of a randomised trial of means 0.3 and 0.6, or 4 and 6; predictions are rough."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(2, size=n)
    mean = np.array([0.3, 0.6] if binary else [4.0, 6.0])
    y = rng.random(n) < mean[arm] if binary else rng.poisson(mean[arm])
    outcomes = mean * rng.uniform(0.5, 1.0, (n, 2)) ** noise
    return judged_once(arm, y, outcomes, np.full((n, 2), 0.5)), mean


class TestTrainingRows:
    def test_is_the_ratio_of_aipw_means(self):
        fit, _ = randomised(0)
        own = fit.arm[:, None] == np.arange(2)
        miss = own * (fit.y[:, None] - fit.mean_outcomes)
        mean = fit.mean_outcomes.mean(axis=0) + miss.sum(axis=0) / own.sum(axis=0)
        found = average_ratio(fit, RATIO)
        assert found.point_estimate[0] == pytest.approx(mean[1] / mean[0])
        difference = average_effect(fit)
        assert difference.point_estimate[0] == pytest.approx(mean[1] - mean[0])

    @pytest.mark.parametrize("scale", [RATIO, ODDS], ids=lambda s: s.name)
    def test_intervals_cover_and_standard_errors_are_right(self, scale):
        found, covered = [], 0
        for seed in range(300):
            fit, mean = randomised(seed, binary=True)
            truth = scale.link(mean)[1] - scale.link(mean)[0]
            one = average_ratio(fit, scale)
            found.append((np.log(one.point_estimate[0]) - truth, one.stderr[0]))
            low, high = one.interval(0.1)
            covered += low[0] <= np.exp(truth) <= high[0]
        error, stderr = np.array(found).T
        assert 0.86 < covered / 300 < 0.94
        assert error.std() == pytest.approx(stderr.mean(), rel=0.1)
        assert abs(error.mean()) < 3 * stderr.mean() / 300**0.5

    def test_arms_exchanged_give_reciprocals(self):
        fit, _ = randomised(1)
        there, back = (average_ratio(fit, RATIO, control).interval() for control in (0, 1))
        assert there[0] == pytest.approx(1 / back[1])
        assert there[1] == pytest.approx(1 / back[0])

    def test_a_mean_out_of_range_has_no_ratio(self):
        fit, _ = randomised(2)
        fit = judged_once(fit.arm, -fit.y, -fit.mean_outcomes, fit.propensity)
        found = average_ratio(fit, RATIO)
        assert np.isnan(found.point_estimate).all()
        assert np.isnan(found.interval()).all()


class TestNewRows:
    def test_intervals_cover(self):
        covered = 0
        for seed in range(300):
            fit, mean = randomised(seed)
            new = mean * np.random.default_rng(seed + 1000).uniform(0.5, 1.0, (200, 2))
            low, high = average_ratio_at(fit, new, RATIO).interval(0.1)
            covered += low[0] <= mean[1] / mean[0] <= high[0]
        assert 0.86 < covered / 300 < 0.94

    def test_is_the_ratio_of_predicted_means_that_are_corrected(self):
        fit, mean = randomised(3)
        new = mean * np.random.default_rng(0).uniform(0.5, 1.0, (100, 2))
        own = fit.arm[:, None] == np.arange(2)
        miss = own * (fit.y[:, None] - fit.mean_outcomes)
        corrected = new.mean(axis=0) + miss.sum(axis=0) / own.sum(axis=0)
        found = average_ratio_at(fit, new, RATIO).point_estimate[0]
        assert found == pytest.approx(corrected[1] / corrected[0])
        difference = average_effect_at(fit, new[:, 1] - new[:, 0]).point_estimate[0]
        assert difference == pytest.approx(corrected[1] - corrected[0])

    def test_no_standard_error_of_one_row_and_no_answer_of_none(self):
        fit, mean = randomised(4)
        one = average_ratio_at(fit, mean[None], RATIO)
        assert np.isnan(one.stderr).all()
        assert "not available for one row" in str(one)
        with pytest.raises(ValueError, match="at least 1 row"):
            average_ratio_at(fit, mean[None][:0], RATIO)


class TestFits:
    @pytest.mark.parametrize(("kind", "scale"), [("count", "ratio"), ("binary", "odds")])
    def test_of_training_rows_some_of_them_and_new_rows(self, kind, scale):
        X, y, arm, _ = trial(300, n_arms=3)
        y = (y > 2).astype(int) if kind == "binary" else np.round(np.exp(y / 3)) + 1
        est = tiny(outcome=kind, max_epochs=20).fit(X, y, arm)
        everyone = est.ate_inference(scale=scale)
        assert everyone.summary_frame().equals(est.ate_inference(X, scale=scale).summary_frame())
        some, new = X[:150], X + 0.01
        titles = ("ratio of average outcomes", "some training rows", "of new rows")
        for rows, title in zip((None, some, new), titles, strict=True):
            found = est.ate_inference(rows, scale=scale)
            assert title in str(found).lower()
            low, high = est.ate_interval(rows, scale=scale)
            assert ((low > 0) & (low < found.point_estimate) & (found.point_estimate < high)).all()
            np.testing.assert_array_equal(est.ate(rows, scale=scale), found.point_estimate)
            swapped = est.ate_inference(rows, T0=2, scale=scale)
            assert swapped.point_estimate[0] == pytest.approx(1 / found.point_estimate[1])
            assert swapped.index.equals(pd.Index([0, 1], name="arm"))

    def test_another_outcome_is_refused(self):
        est = tiny().fit(*trial(60)[:3])
        for method in ("ate", "ate_interval", "ate_inference"):
            with pytest.raises(ValueError, match="this one is continuous"):
                getattr(est, method)(scale="ratio")
