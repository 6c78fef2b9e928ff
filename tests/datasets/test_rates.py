import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.datasets import draw_outcome_study
from hypercate.datasets.rates import KINDS


@pytest.fixture(scope="module", params=KINDS)
def many(request):
    """Twenty thousand training rows and their kind."""
    return request.param, draw_outcome_study(request.param, 20_000, 1).train


class TestOutcomeStudy:
    @given(
        kind=st.sampled_from(KINDS), rows=st.integers(40, 300), replication=st.integers(1, 2**40)
    )
    @settings(max_examples=25, derandomize=True, deadline=None)
    def test_shapes_and_what_outcomes_can_be(self, kind, rows, replication):
        split = draw_outcome_study(kind, rows, replication)
        assert len(split.train) == rows
        assert len(split.test) == 1000
        for sample in (split.train, split.test):
            assert sample.X.shape == (len(sample), 20)
            assert (sample.mu > 0).all()
            if kind == "count":
                assert (sample.y >= 0).all()
                assert (sample.y == np.round(sample.y)).all()
            else:
                assert (sample.y > 0).all()

    def test_outcomes_have_the_means_and_variances_that_are_stated(self, many):
        kind, people = many
        mean = people.mu[np.arange(len(people)), people.treatment]
        miss = people.y - mean
        variance = mean + mean**2 / 4 if kind == "count" else mean**2 / 2
        assert np.mean(miss / variance**0.5) == pytest.approx(0, abs=0.03)
        assert np.mean(miss**2 / variance) == pytest.approx(1, abs=0.08)

    def test_logs_of_means_and_ratios_are_as_stated(self, many):
        kind, people = many
        log_mean = np.log(people.mu)
        ratio = log_mean[:, 1] - log_mean[:, 0]
        level = np.log(2.0 if kind == "count" else 1000.0)
        assert log_mean[:, 0].mean() == pytest.approx(level, abs=0.02)
        assert log_mean[:, 0].std() == pytest.approx(0.6, abs=0.02)
        assert (ratio.mean(), ratio.std()) == pytest.approx((0.3, 0.3), abs=0.02)

    def test_those_of_high_outcomes_are_treated(self, many):
        _, people = many
        treated = people.treatment == 1
        assert treated.mean() == pytest.approx(0.5, abs=0.02)
        log_mean = np.log(people.mu[:, 0])
        assert log_mean[treated].mean() - log_mean[~treated].mean() > 0.3

    def test_replications_reproduce_and_differ(self):
        first, again, other = (draw_outcome_study("count", 40, r) for r in (4, 4, 5))
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        np.testing.assert_array_equal(first.train.y, again.train.y)
        assert not first.test.X.equals(other.test.X)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kind": "binary"}, "kind must be one of count, positive, got 'binary'"),
            ({"rows": 39}, "rows must be at least 40"),
            ({"replication": 0}, "replication must be at least 1"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_outcome_study(**arguments)
