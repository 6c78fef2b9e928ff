import hashlib

import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import files, load_acic2016

COVARIATES = "acic2016/x.csv"
CATEGORICAL = ["x_2", "x_21", "x_24"]


@pytest.fixture
def raw(data_folder):
    """Gives the raw tables of a simulation, or skips."""

    def tables(simulation):
        names = [COVARIATES, f"acic2016/zymu_{simulation}.csv"]
        folder = data_folder(names)
        return [pd.read_csv(folder / name) for name in names]

    return tables


def find(frame, table):
    """Positions in the table of the rows of a frame, by all columns."""
    numbered = table.assign(position=np.arange(len(table)))
    by = list(table.columns)
    as_read = frame.astype(dict.fromkeys(CATEGORICAL, str))
    found = as_read.merge(numbered, how="left", on=by, validate="one_to_one")
    return found["position"].to_numpy()


class TestAcic2016:
    @pytest.mark.parametrize("simulation", range(1, 11))
    def test_every_row_is_a_row_of_the_raw_tables(self, raw, simulation):
        x, zymu = raw(simulation)
        split = load_acic2016(simulation)
        assert (split.name, split.replication) == ("acic2016", simulation)
        assert (len(split.train), len(split.test)) == (3802, 1000)
        positions = [find(sample.X, x) for sample in (split.train, split.test)]
        assert sorted(np.concatenate(positions)) == list(range(4802))
        for sample, rows in zip((split.train, split.test), positions, strict=True):
            truth = zymu.iloc[rows]
            np.testing.assert_array_equal(sample.treatment, truth["z"])
            np.testing.assert_array_equal(sample.mu, truth[["mu0", "mu1"]])
            observed = np.where(truth["z"] == 1, truth["y1"], truth["y0"])
            np.testing.assert_array_equal(sample.y, observed)
            assert sample.treatment.dtype.kind == "i"
            assert sample.randomized is None

    def test_three_columns_are_categories_and_the_same_in_both_samples(self, raw):
        x, _ = raw(1)
        split = load_acic2016(1, n_train=300)
        for name in CATEGORICAL:
            assert split.train.X[name].dtype == split.test.X[name].dtype
            assert list(split.train.X[name].cat.categories) == sorted(x[name].unique())
        others = split.train.X.drop(columns=CATEGORICAL)
        assert others.shape[1] == 55
        assert all(dtype.kind in "if" for dtype in others.dtypes)

    @pytest.mark.parametrize("n_train", [300, 500, 1000])
    def test_a_smaller_training_sample_is_part_of_the_whole(self, raw, n_train):
        raw(2)
        small, whole = load_acic2016(2, n_train), load_acic2016(2)
        pd.testing.assert_frame_equal(small.test.X, whole.test.X)
        np.testing.assert_array_equal(small.test.y, whole.test.y)
        pd.testing.assert_frame_equal(small.train.X, whole.train.X.iloc[:n_train])
        np.testing.assert_array_equal(small.train.mu, whole.train.mu[:n_train])

    def test_noise_is_standard_normal(self, raw):
        raw(3)
        train = load_acic2016(3).train
        noise = train.y - train.mu[np.arange(len(train)), train.treatment]
        assert abs(noise.mean()) < 0.05
        assert noise.std() == pytest.approx(1, abs=0.05)

    def test_splits_and_simulations_differ_and_reproduce(self, raw):
        raw(1)
        raw(2)
        first, again = load_acic2016(1), load_acic2016(1)
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        for other in (load_acic2016(1, split=2), load_acic2016(2)):
            assert not first.test.X.equals(other.test.X)

    def test_changing_a_sample_does_not_change_the_next_load(self, raw):
        raw(1)
        sample = load_acic2016(1).train
        sample.X["x_1"] = 0
        sample.treatment[:] = 0
        sample.mu[:] = 0
        again = load_acic2016(1).train
        assert again.X["x_1"].std() > 0
        assert again.treatment.sum() > 0
        assert again.mu.std() > 0

    def test_absent_simulation_is_named_with_where_it_comes_from(self, copy_data):
        copy_data([COVARIATES])
        with pytest.raises(FileNotFoundError, match=r"zymu_7\.csv.*BiomedSciAI/causallib"):
            load_acic2016(7)

    def test_damaged_covariates_are_refused(self, copy_data):
        names = [COVARIATES, "acic2016/zymu_1.csv"]
        path = copy_data(names) / COVARIATES
        path.write_bytes(path.read_bytes().replace(b'"C"', b'"D"', 1))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(ValueError, match=found):
            load_acic2016(1)

    def test_all_ten_simulations_can_be_downloaded(self):
        names = [COVARIATES, *(f"acic2016/zymu_{number}.csv" for number in range(1, 11))]
        for name in names:
            remote = files.REGISTRY[name]
            assert remote.url.endswith("acic_challenge_2016/" + name.removeprefix("acic2016/"))
            assert remote.checksums[0].startswith("sha256:")


class TestAcic2016Arguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"simulation": 0}, "simulation must be from 1 to 10"),
            ({"simulation": 11}, "simulation must be from 1 to 10"),
            ({"n_train": 0}, "n_train must be from 1 to 3802"),
            ({"n_train": 3803}, "n_train must be from 1 to 3802"),
            ({"split": 0}, "split must be at least 1"),
        ],
    )
    def test_out_of_range_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            load_acic2016(**arguments)

    @pytest.mark.parametrize("name", ["simulation", "n_train", "split"])
    @pytest.mark.parametrize("value", [1.0, "1", True])
    def test_every_argument_must_be_an_integer(self, name, value):
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            load_acic2016(**{name: value})
