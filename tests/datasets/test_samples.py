import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import CausalSample


class TestCausalSample:
    X = pd.DataFrame({"age": [30.0, 40.0]})

    def test_effect_of_two_arms_is_a_vector(self):
        mu = np.array([[1.0, 3.0], [2.0, 1.5]])
        sample = CausalSample(self.X, np.array([0, 1]), np.zeros(2), mu, None)
        np.testing.assert_array_equal(sample.effect, [2.0, -0.5])
        assert len(sample) == 2

    def test_effect_of_three_arms_has_a_column_for_each_arm_but_the_control(self):
        mu = np.array([[1.0, 3.0, 0.0], [2.0, 1.5, 2.0]])
        sample = CausalSample(self.X, np.array([0, 2]), np.zeros(2), mu, None)
        np.testing.assert_array_equal(sample.effect, [[2.0, -1.0], [-0.5, 0.0]])

    def test_effect_without_potential_outcomes_raises(self):
        sample = CausalSample(self.X, np.array([0, 1]), np.zeros(2), None, None)
        with pytest.raises(ValueError, match="mu is None"):
            _ = sample.effect

    @pytest.mark.parametrize("rows", [[1, 0], [1], []])
    def test_take_gives_the_rows_asked_for_in_every_part(self, rows):
        mu = np.array([[1.0, 3.0], [2.0, 1.5]])
        sample = CausalSample(self.X, np.array([0, 1]), np.array([5.0, 6.0]), mu, np.array([1, 0]))
        taken = sample.take(np.array(rows, dtype=int))
        expected = self.X.iloc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(taken.X, expected)
        for name in ("treatment", "y", "mu", "randomized"):
            np.testing.assert_array_equal(getattr(taken, name), getattr(sample, name)[rows])

    def test_taken_rows_are_a_copy(self):
        sample = CausalSample(self.X.copy(), np.array([0, 1]), np.zeros(2), None, None)
        taken = sample.take(np.array([0, 1]))
        taken.X.iloc[:, :] = -1.0
        taken.y[:] = -1.0
        assert taken.mu is None
        assert taken.randomized is None
        assert sample.X["age"].tolist() == [30.0, 40.0]
        assert not sample.y.any()
