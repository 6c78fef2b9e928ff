import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import load_jobs


class TestJobs:
    @pytest.mark.parametrize("replication", range(1, 11))
    def test_equals_the_raw_arrays(self, published_jobs, replication):
        split = load_jobs(replication)
        assert (split.name, split.replication) == ("jobs", replication)
        assert (len(split.train), len(split.test)) == (2570, 642)
        for sample, raw in zip((split.train, split.test), published_jobs, strict=True):
            i = replication - 1
            np.testing.assert_array_equal(sample.X, raw["x"][:, :, i])
            np.testing.assert_array_equal(sample.treatment, raw["t"][:, i])
            np.testing.assert_array_equal(sample.y, raw["yf"][:, i])
            np.testing.assert_array_equal(sample.randomized, raw["e"][:, i])
            assert sample.randomized.dtype == bool
            assert sample.mu is None
            assert set(np.unique(sample.y)) == {0, 1}
            assert sample.randomized[sample.treatment == 1].all()

    @pytest.mark.usefixtures("published_jobs")
    def test_randomised_effect_on_employment(self):
        split = load_jobs(1)
        y, t, e = (
            np.concatenate([getattr(split.train, name), getattr(split.test, name)])
            for name in ("y", "treatment", "randomized")
        )
        assert (t.sum(), e.sum()) == (297, 722)
        assert y[e & (t == 1)].mean() - y[e & (t == 0)].mean() == pytest.approx(0.07794, abs=1e-5)

    def test_columns_are_what_their_names_say(self, published_jobs, data_folder):
        raw = pd.read_csv(data_folder(["jobs/jobs_full.csv"]) / "jobs/jobs_full.csv")
        expected = raw[["age", "education", "black", "hispanic", "married", "nodegree"]].assign(
            re74=raw.re74,
            re75=raw.re75,
            age_squared=raw.age**2,
            age_cubed=raw.age**3,
            education_squared=raw.education**2,
            re74_squared=raw.re74**2,
            re75_squared=raw.re75**2,
            re74_zero=raw.re74 == 0,
            re75_zero=raw.re75 == 0,
            education_re74=raw.education * raw.re74,
            re74_zero_hispanic=(raw.re74 == 0) & (raw.hispanic == 1),
        )
        expected = expected.astype(float)
        standardised = expected.nunique() > 2
        expected.loc[:, standardised] = (expected - expected.mean()) / expected.std()
        for sample, part in zip(
            (load_jobs(1).train, load_jobs(1).test), published_jobs, strict=True
        ):
            rows = expected.iloc[part["I"][:, 0]].reset_index(drop=True)
            pd.testing.assert_frame_equal(sample.X, rows, atol=1e-9)


class TestJobsArguments:
    @pytest.mark.parametrize("replication", [0, 11])
    def test_jobs_has_ten_replications(self, replication):
        with pytest.raises(ValueError, match="from 1 to 10"):
            load_jobs(replication)

    @pytest.mark.parametrize("replication", [1.0, "1", None, True])
    def test_replication_must_be_an_integer(self, replication):
        with pytest.raises(TypeError, match="replication must be an int"):
            load_jobs(replication)
