import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.datasets import draw_arms_study, draw_interval_study
from hypercate.datasets.synthetic import DESIGNS

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


def mean_bias(design):
    """Of the difference in means of the training rows, over twelve replications."""
    gaps = []
    for replication in range(1, 13):
        train = draw_interval_study(design, 1000, replication).train
        treated = train.treatment == 1
        gaps.append(train.y[treated].mean() - train.y[~treated].mean() - train.effect.mean())
    return np.mean(gaps)


class TestIntervalStudy:
    @given(
        design=st.sampled_from(DESIGNS),
        rows=st.integers(40, 400),
        replication=st.integers(1, 2**40),
    )
    @settings(max_examples=25, derandomize=True, deadline=None)
    def test_shapes_and_share_of_treated(self, design, rows, replication):
        split = draw_interval_study(design, rows, replication)
        assert split.replication == replication
        share = 0.05 if design == "few" else 0.5
        assert split.train.treatment.sum() == round(share * rows)
        assert split.test.treatment.mean() == pytest.approx(share, abs=0.08)
        assert (len(split.train), len(split.test)) == (rows, 1000)
        for sample in (split.train, split.test):
            assert sample.X.shape == (len(sample), 20)
            assert sample.mu.shape == (len(sample), 2)
            assert np.isfinite(np.column_stack([sample.X, sample.mu, sample.y])).all()

    @pytest.mark.parametrize("design", DESIGNS)
    def test_effects_have_the_spread_stated(self, design):
        effects = np.array([draw_interval_study(design, 40, r).test.effect for r in range(1, 13)])
        if design == "null":
            assert (effects == 0).all()
        else:
            assert effects.mean() == pytest.approx(0.5, abs=0.05)
            assert effects.std(axis=1).mean() == pytest.approx(0.5, abs=0.03)

    def test_steps_are_few_and_smooth_effects_all_differ(self):
        for replication in range(1, 5):
            stepped, smooth = (
                draw_interval_study(design, 40, replication).test.effect.round(9)
                for design in ("stepped", "smooth")
            )
            assert 2 <= len(np.unique(stepped)) <= 2**4
            assert len(np.unique(smooth)) == 1000

    def test_noise_is_that_stated(self):
        test = draw_interval_study(replication=3).test
        noise = test.y - test.mu[np.arange(1000), test.treatment]
        assert noise.var() == pytest.approx(3 / 7, abs=0.07)

    @pytest.mark.parametrize("design", ["smooth", "stepped", "few", "null"])
    def test_the_treated_would_do_better_without_treatment_too(self, design):
        assert mean_bias(design) > 0.5

    def test_at_random_they_would_not(self):
        assert abs(mean_bias("randomised")) < 0.08

    def test_the_training_sample_is_assigned_as_the_population_is(self):
        """Weighting by the propensity of the docstring takes the bias away."""
        gaps = []
        for replication in range(1, 13):
            train = draw_interval_study("smooth", 2000, replication).train
            treated = train.treatment == 1
            odds = np.exp(train.mu[:, 0])  # c = 0, near enough: half are treated
            weight = np.where(treated, 1 + 1 / odds, 1 + odds)
            means = [
                np.average(train.y[rows], weights=weight[rows]) for rows in (~treated, treated)
            ]
            gaps.append(means[1] - means[0] - train.effect.mean())
        assert np.mean(gaps) == pytest.approx(0, abs=0.06)

    def test_designs_share_covariates_and_control_outcomes(self):
        first, second = (draw_interval_study(design, 60, 2).test for design in ("smooth", "null"))
        pd.testing.assert_frame_equal(first.X, second.X)
        np.testing.assert_array_equal(first.mu[:, 0], second.mu[:, 0])

    def test_replications_reproduce_and_differ(self):
        first, again, other = (draw_interval_study("few", 60, r) for r in (4, 4, 5))
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        np.testing.assert_array_equal(first.train.y, again.train.y)
        assert not first.test.X.equals(other.test.X)

    def test_train_and_test_are_disjoint(self):
        split = draw_interval_study()
        assert not pd.concat([split.train.X, split.test.X]).duplicated().any()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rows": 39}, "rows must be at least 40, got 39"),
            ({"replication": 0}, "replication must be at least 1"),
            ({"design": "rough"}, "design must be one of smooth, .*'rough'"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_interval_study(**arguments)

    @pytest.mark.parametrize("name", ["rows", "replication"])
    def test_numbers_must_be_integers(self, name):
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            draw_interval_study(**{name: 50.0})
