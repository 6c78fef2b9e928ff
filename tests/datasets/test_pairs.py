import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from hypercate.datasets import draw_pair_study


@pytest.fixture(scope="module", params=["much", "nothing"])
def many(request):
    """Twenty thousand training rows and what they share."""
    pair = draw_pair_study(20_000, request.param, 501)
    return request.param, pair["biomarker"].train, pair["event"].train


class TestPairStudy:
    def test_both_outcomes_are_of_the_same_people(self):
        pair = draw_pair_study(60, replication=502)
        assert list(pair) == ["biomarker", "event"]
        marker, event = pair.values()
        for part in ("train", "test"):
            one, other = getattr(marker, part), getattr(event, part)
            pd.testing.assert_frame_equal(one.X, other.X)
            np.testing.assert_array_equal(one.treatment, other.treatment)
        assert len(marker.train) == 60
        assert len(marker.test) == 1000

    def test_means_and_noise_are_as_stated(self, many):
        _, marker, event = many
        rows = np.arange(len(marker))
        miss = marker.y - marker.mu[rows, marker.treatment]
        assert (miss.mean(), miss.var()) == pytest.approx((0, 3 / 7), abs=0.02)
        assert (marker.effect.mean(), marker.effect.std()) == pytest.approx((0.5, 0.5), abs=0.02)
        index = ndtri(event.mu)
        assert (index[:, 0].mean(), index[:, 0].std()) == pytest.approx((-0.8, 0.6), abs=0.15)
        chance = event.mu[rows, event.treatment]
        assert set(event.y) == {0.0, 1.0}
        assert np.mean((event.y - chance) / np.sqrt(chance * (1 - chance))) == pytest.approx(
            0, abs=0.03
        )
        assert np.corrcoef(miss, event.y - chance)[0, 1] > 0.2

    def test_effects_are_as_alike_as_stated(self, many):
        sharing, marker, event = many
        on_index = np.diff(ndtri(event.mu), axis=1)[:, 0]
        alike = np.corrcoef(marker.effect, on_index)[0, 1]
        if sharing == "much":
            assert alike > 0.6
        else:
            assert abs(alike) < 0.4

    def test_replications_reproduce_and_differ(self):
        first, again, other = (draw_pair_study(40, replication=r)["event"] for r in (4, 4, 5))
        np.testing.assert_array_equal(first.train.y, again.train.y)
        assert not first.test.X.equals(other.test.X)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"sharing": "little"}, "sharing must be one of much, nothing, got 'little'"),
            ({"rows": 39}, "rows must be at least 40"),
            ({"replication": 0}, "replication must be at least 1"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_pair_study(**arguments)
