import functools
import sys

import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import ihdp, load_ihdp

IHDP_FILES = [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")]


def whole(split):
    """Covariates, treatment and potential outcomes of train and test together."""
    parts = split.train, split.test
    return (
        pd.concat([part.X for part in parts], ignore_index=True),
        np.concatenate([part.treatment for part in parts]),
        np.concatenate([part.mu for part in parts]),
    )


@pytest.mark.usefixtures("npci")
class TestNpci:
    def test_shapes(self):
        split = load_ihdp(3)
        assert (split.name, split.replication) == ("ihdp-npci", 3)
        assert (len(split.train), len(split.test)) == (672, 75)
        for sample in (split.train, split.test):
            n = len(sample)
            assert sample.X.shape == (n, 25)
            assert sample.treatment.shape == sample.y.shape == sample.effect.shape == (n,)
            assert sample.mu.shape == (n, 2)
            assert sample.randomized is None
            assert set(np.unique(sample.treatment)) == {0, 1}
            assert np.isfinite(sample.X.to_numpy()).all()

    def test_covariates_follow_the_published_coding(self):
        X, treatment, _ = whole(load_ihdp(1))
        assert treatment.sum() == 139
        np.testing.assert_allclose(X.iloc[:, :6].mean(), 0, atol=1e-12)
        np.testing.assert_allclose(X.iloc[:, :6].std(ddof=1), 1)
        assert set(X["first"]) == {1, 2}
        assert set(np.unique(X.drop(columns="first").iloc[:, 6:])) == {0, 1}

    @pytest.mark.parametrize("replication", [1, 2, 25, 1000, np.int64(7)])
    def test_average_effect_on_the_treated_is_four(self, replication):
        _, treatment, mu = whole(load_ihdp(replication))
        assert np.mean((mu[:, 1] - mu[:, 0])[treatment == 1]) == pytest.approx(4, abs=1e-9)

    @pytest.mark.parametrize("replication", [1, 2, 3])
    def test_outcomes_follow_response_surface_b(self, replication):
        X, _, mu = whole(load_ihdp(replication))
        design = np.column_stack([np.ones(len(X)), X])
        log_control, *_ = np.linalg.lstsq(design, np.log(mu[:, 0]), rcond=None)
        treated, *_ = np.linalg.lstsq(design, mu[:, 1], rcond=None)
        np.testing.assert_allclose(design @ log_control, np.log(mu[:, 0]), atol=1e-9)
        np.testing.assert_allclose(design @ treated, mu[:, 1], atol=1e-9)
        beta = treated[1:]
        np.testing.assert_allclose(log_control[1:], beta, atol=1e-9)
        np.testing.assert_allclose(beta, np.round(beta, 1), atol=1e-9)
        assert set(np.abs(np.round(beta, 1))) <= {0, 0.1, 0.2, 0.3, 0.4}
        intercept = log_control[0] - 0.5 * beta.sum()
        assert abs(intercept) <= 1 + 1e-9
        assert intercept * 4 == pytest.approx(round(intercept * 4), abs=1e-8)

    def test_noise_is_standard_normal(self):
        splits = [load_ihdp(replication) for replication in range(1, 21)]
        noise = np.concatenate(
            [s.train.y - s.train.mu[np.arange(672), s.train.treatment] for s in splits]
        )
        assert abs(noise.mean()) < 0.04
        assert noise.std() == pytest.approx(1, abs=0.03)

    def test_same_replication_is_the_same_draw(self):
        first, second = load_ihdp(5), load_ihdp(5)
        pd.testing.assert_frame_equal(first.train.X, second.train.X)
        np.testing.assert_array_equal(first.train.y, second.train.y)
        np.testing.assert_array_equal(first.test.mu, second.test.mu)

    def test_replications_differ_in_surface_and_split(self):
        first, second = load_ihdp(1), load_ihdp(2)
        assert not first.train.X.equals(second.train.X)
        assert first.train.effect.std() != pytest.approx(second.train.effect.std())

    def test_global_random_state_is_untouched(self):
        np.random.seed(0)  # noqa: NPY002
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        load_ihdp(1)
        assert np.random.random() == expected  # noqa: NPY002

    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_ihdp(4).train
        sample.X.iloc[:, :] = 0.0
        sample.treatment[:] = 0
        assert load_ihdp(4).train.X["bw"].std() > 0
        assert load_ihdp(4).train.treatment.sum() > 0

    def test_without_econml_the_error_says_what_to_install(self, monkeypatch):
        ihdp._covariates.cache_clear()
        monkeypatch.setitem(sys.modules, "econml", None)
        with pytest.raises(ImportError, match=r"hypercate\[benchmark\]"):
            load_ihdp(1)


class TestPublishedIhdp:
    @pytest.mark.parametrize("replication", range(1, 26))
    def test_equals_the_raw_arrays(self, published_ihdp, replication):
        split = load_ihdp(replication, source="published")
        assert (split.name, split.replication) == ("ihdp-published", replication)
        for sample, raw in zip((split.train, split.test), published_ihdp, strict=True):
            i = replication - 1
            np.testing.assert_array_equal(sample.X, raw["x"][:, :, i])
            np.testing.assert_array_equal(sample.treatment, raw["t"][:, i])
            np.testing.assert_array_equal(sample.y, raw["yf"][:, i])
            np.testing.assert_array_equal(sample.mu[:, 0], raw["mu0"][:, i])
            np.testing.assert_array_equal(sample.effect, raw["mu1"][:, i] - raw["mu0"][:, i])
            assert sample.treatment.dtype.kind == "i"

    @pytest.mark.usefixtures("npci", "published_ihdp")
    def test_columns_and_rows_are_those_of_the_npci_source(self):
        (X, t, _), (X_published, t_published, _) = (
            whole(load_ihdp(1, source)) for source in ("npci", "published")
        )
        assert list(X.columns) == list(X_published.columns)
        by = list(X.columns)
        ours = X.round(6).assign(treatment=t).sort_values(by).to_numpy()
        theirs = X_published.round(6).assign(treatment=t_published).sort_values(by).to_numpy()
        np.testing.assert_allclose(ours, theirs, atol=2e-6)

    @pytest.mark.usefixtures("published_ihdp")
    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_ihdp(1, "published").train
        y = sample.y.copy()
        sample.y[:] = 0
        sample.mu[:] = 0
        sample.X.iloc[:, :] = 0.0
        again = load_ihdp(1, "published").train
        np.testing.assert_array_equal(again.y, y)
        assert again.mu.std() > 0
        assert again.X["bw"].std() > 0

    def test_a_file_is_read_once_per_process(self, copy_data):
        folder = copy_data(IHDP_FILES)
        first = load_ihdp(1, "published")
        for name in IHDP_FILES:
            (folder / name).write_bytes(b"")
        np.testing.assert_array_equal(load_ihdp(1, "published").train.y, first.train.y)

    def test_beyond_the_excerpt_the_complete_file_is_asked_for(self, copy_data):
        copy_data(IHDP_FILES)
        with pytest.raises(FileNotFoundError, match=r"ihdp_npci_1-100\.train\.npz"):
            load_ihdp(26, "published")


class TestIhdpArguments:
    @pytest.mark.parametrize("replication", [0, -1])
    def test_npci_replication_starts_at_one(self, replication):
        with pytest.raises(ValueError, match="at least 1"):
            load_ihdp(replication)

    @pytest.mark.parametrize("replication", [0, 101])
    def test_published_ihdp_has_a_hundred_replications(self, replication):
        with pytest.raises(ValueError, match="from 1 to 100"):
            load_ihdp(replication, source="published")

    @pytest.mark.parametrize("replication", [1.0, "1", None, True])
    @pytest.mark.parametrize("load", [load_ihdp, functools.partial(load_ihdp, source="published")])
    def test_replication_must_be_an_integer(self, load, replication):
        with pytest.raises(TypeError, match="replication must be an int"):
            load(replication)

    def test_unknown_source_is_named(self):
        with pytest.raises(ValueError, match="'hill'"):
            load_ihdp(1, source="hill")
