import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.datasets import draw_low_rank_study


class TestLowRankStudy:
    @given(
        n_arms=st.integers(2, 25),
        rows_per_arm=st.integers(1, 60),
        replication=st.integers(1, 2**40),
    )
    @settings(max_examples=25, derandomize=True, deadline=None)
    def test_shapes_and_rows_of_each_arm(self, n_arms, rows_per_arm, replication):
        split = draw_low_rank_study(n_arms, rows_per_arm, replication)
        assert split.replication == replication
        assert np.bincount(split.train.treatment).tolist() == [rows_per_arm] * n_arms
        assert len(split.test) == 1000
        for sample in (split.train, split.test):
            assert sample.X.shape == (len(sample), 20)
            assert sample.mu.shape == (len(sample), n_arms)
            assert np.isfinite(np.column_stack([sample.X, sample.mu, sample.y])).all()

    def test_twenty_arms_of_forty_rows_unless_said_otherwise(self):
        split = draw_low_rank_study()
        assert np.bincount(split.train.treatment).tolist() == [40] * 20
        assert split.replication == 1

    def test_effects_of_all_arms_lie_in_two_directions(self):
        effect = draw_low_rank_study(20, 5, 3).test.effect
        assert np.linalg.matrix_rank(effect, tol=1e-8) == 2

    def test_effects_are_smooth_in_six_columns_and_additive(self):
        """The derivatives of a column's part are those of a sigmoid, a wave or a parabola."""
        test = draw_low_rank_study(20, 5, 3).test
        z = ((test.X - test.X.mean()) / test.X.std()).iloc[:, :10].to_numpy()
        parts = np.hstack([np.tanh(2 * z), np.sin(2 * z), z**2])
        design = np.column_stack([np.ones(len(z)), parts])
        left = test.effect - design @ np.linalg.lstsq(design, test.effect)[0]
        assert left.std() < 0.05 * test.effect.std()

    def test_an_effect_varies_as_much_as_the_noise_and_averages_as_its_mixture_says(self):
        variances, means = [], []
        for replication in range(1, 31):
            effect = draw_low_rank_study(20, 5, replication).test.effect
            variances.append(effect.var(axis=0).mean())
            means.append(effect.mean(axis=0))
        assert np.mean(variances) == pytest.approx(1, abs=0.12)
        assert np.mean(means) == pytest.approx(0, abs=0.12)
        assert np.var(means) == pytest.approx(1, abs=0.2)

    def test_noise_is_that_stated_and_the_baseline_varies_as_much(self):
        noise, baseline = [], []
        for replication in range(1, 11):
            test = draw_low_rank_study(5, 30, replication).test
            noise.append(test.y - test.mu[np.arange(1000), test.treatment])
            baseline.append(test.mu[:, 0])
        assert np.var(noise) == pytest.approx(1, abs=0.04)
        assert np.abs(np.mean(noise)) < 0.03
        assert np.var(baseline) == pytest.approx(1, abs=0.1)

    def test_arms_are_at_random(self):
        gaps = []
        for replication in range(1, 31):
            train = draw_low_rank_study(2, 200, replication).train
            treated = train.treatment == 1
            gaps.append(train.y[treated].mean() - train.y[~treated].mean() - train.effect.mean())
        assert np.mean(gaps) == pytest.approx(0, abs=0.08)

    def test_replications_reproduce_and_differ(self):
        first, again, other = (draw_low_rank_study(3, 10, r) for r in (4, 4, 5))
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        np.testing.assert_array_equal(first.train.y, again.train.y)
        assert not first.test.X.equals(other.test.X)

    def test_train_and_test_are_disjoint(self):
        split = draw_low_rank_study(3)
        assert not pd.concat([split.train.X, split.test.X]).duplicated().any()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_arms": 1}, "n_arms must be at least 2"),
            ({"rows_per_arm": 0}, "rows_per_arm must be at least 1"),
            ({"replication": 0}, "replication must be at least 1"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_low_rank_study(**arguments)

    @pytest.mark.parametrize("name", ["n_arms", "rows_per_arm", "replication"])
    def test_numbers_must_be_integers(self, name):
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            draw_low_rank_study(**{name: 2.0})
