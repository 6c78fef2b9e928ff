import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.datasets import draw_arms_study

SHARING = ["much", "little", "nothing"]


def centred(mu):
    return mu - mu.mean(axis=0)


class TestArmsStudy:
    @given(
        n_arms=st.integers(2, 25),
        rows_per_arm=st.integers(1, 60),
        sharing=st.sampled_from(SHARING),
        replication=st.integers(1, 2**40),
    )
    @settings(max_examples=25, derandomize=True, deadline=None)
    def test_shapes_and_rows_of_each_arm(self, n_arms, rows_per_arm, sharing, replication):
        split = draw_arms_study(n_arms, rows_per_arm, sharing, replication)
        assert split.replication == replication
        counts = np.bincount(split.train.treatment, minlength=n_arms)
        assert counts.tolist() == [4 * rows_per_arm] + [rows_per_arm] * (n_arms - 1)
        assert len(split.test) == 1000
        for sample in (split.train, split.test):
            assert sample.X.shape == (len(sample), 20)
            assert sample.mu.shape == (len(sample), n_arms)
            assert np.isfinite(sample.X.to_numpy()).all()
            assert np.isfinite(sample.mu).all()
            assert np.isfinite(sample.y).all()

    @pytest.mark.parametrize("sharing", SHARING)
    def test_noise_leaves_an_r2_of_seven_tenths(self, sharing):
        r2, noise = [], []
        for replication in range(1, 21):
            test = draw_arms_study(5, 30, sharing, replication).test
            rows = np.arange(len(test))
            noise.append(test.y - test.mu[rows, test.treatment])
            r2.append(1 - noise[-1].var() / (noise[-1].var() + test.mu.var(axis=0).mean()))
        assert np.concatenate(noise).var() == pytest.approx(3 / 7, abs=0.02)
        assert abs(np.concatenate(noise).mean()) < 0.02
        assert np.mean(r2) == pytest.approx(0.7, abs=0.03)

    def test_arms_that_share_much_differ_in_two_directions(self):
        mu = centred(draw_arms_study(20, 5, "much", 1).test.mu)
        differences = mu[:, 1:] - mu[:, :1]
        assert np.linalg.matrix_rank(differences, tol=1e-8) == 2

    @pytest.mark.parametrize("sharing", ["little", "nothing"])
    def test_other_arms_differ_in_as_many_directions_as_there_are(self, sharing):
        mu = centred(draw_arms_study(20, 5, sharing, 1).test.mu)
        assert np.linalg.matrix_rank(mu[:, 1:] - mu[:, :1], tol=1e-8) == 19

    @pytest.mark.parametrize(
        ("sharing", "expected"), [("much", 0.9), ("little", 0.5), ("nothing", 0)]
    )
    def test_surfaces_correlate_as_much_as_they_share(self, sharing, expected):
        correlations = []
        for replication in range(1, 31):
            mu = draw_arms_study(5, 5, sharing, replication).test.mu
            correlations.append(np.corrcoef(mu.T)[np.triu_indices(5, 1)].mean())
        assert np.mean(correlations) == pytest.approx(expected, abs=0.07)

    def test_arms_are_confounded(self):
        gaps = []
        for replication in range(1, 11):
            test = draw_arms_study(2, 5, "nothing", replication).test
            z = (test.X - test.X.mean()) / test.X.std()
            gaps.append((z[test.treatment == 1].mean() - z[test.treatment == 0].mean()).abs().max())
        assert np.mean(gaps) > 3 * np.sqrt(4 / 1000)

    def test_half_the_columns_are_binary(self):
        X = draw_arms_study().test.X
        binary = X.nunique() == 2
        assert binary.tolist() == [False] * 10 + [True] * 10
        assert set(np.unique(X.loc[:, binary])) == {0, 1}
        assert X["x1"].corr(X["x2"]) == pytest.approx(0.3, abs=0.1)

    def test_replications_reproduce_and_differ(self):
        first, again, other = (draw_arms_study(3, 10, "much", r) for r in (4, 4, 5))
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        np.testing.assert_array_equal(first.train.y, again.train.y)
        assert not first.test.X.equals(other.test.X)

    def test_train_and_test_are_disjoint(self):
        split = draw_arms_study(3)
        both = pd.concat([split.train.X, split.test.X])
        assert not both.duplicated().any()


class TestArmsStudyArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_arms": 1}, "n_arms must be at least 2"),
            ({"rows_per_arm": 0}, "rows_per_arm must be at least 1"),
            ({"replication": 0}, "replication must be at least 1"),
            ({"sharing": "some"}, "'some'"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_arms_study(**arguments)

    @pytest.mark.parametrize("name", ["n_arms", "rows_per_arm", "replication"])
    def test_numbers_must_be_integers(self, name):
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            draw_arms_study(**{name: 2.0})
