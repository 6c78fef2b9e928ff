import gzip

import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import load_twins

FILE = "twins/ganite_Twin_data.csv.gz"


@pytest.fixture
def raw(data_folder):
    with gzip.open(data_folder([FILE]) / FILE, "rt", encoding="utf-8") as lines:
        return np.loadtxt(lines, delimiter=",", skiprows=1)


def whole(split):
    """Covariates beside both outcomes, rows in sorted order."""
    parts = split.train, split.test
    table = np.concatenate([np.column_stack([part.X, part.mu]) for part in parts])
    return table[np.lexsort(table.T)]


class TestTwins:
    def test_pairs_are_those_of_the_raw_table(self, raw):
        split = load_twins(1)
        assert (split.name, split.replication) == ("twins", 1)
        assert (len(split.train), len(split.test)) == (9120, 2280)
        died = raw[:, 30:] < 9999
        expected = np.column_stack([raw[:, :30], died])
        np.testing.assert_array_equal(whole(split), expected[np.lexsort(expected.T)])

    @pytest.mark.usefixtures("raw")
    def test_observed_outcome_is_that_of_the_observed_twin(self):
        for sample in (load_twins(2).train, load_twins(2).test):
            np.testing.assert_array_equal(
                sample.y, sample.mu[np.arange(len(sample)), sample.treatment]
            )
            assert set(np.unique(sample.y)) == {0, 1}
            assert set(np.unique(sample.treatment)) == {0, 1}
            assert sample.randomized is None

    @pytest.mark.usefixtures("raw")
    def test_heavier_twins_die_less(self):
        split = load_twins(1)
        effect = np.concatenate([split.train.effect, split.test.effect])
        assert effect.mean() == pytest.approx(0.160789 - 0.176930, abs=1e-5)

    @pytest.mark.usefixtures("raw")
    def test_column_names_fit_their_values(self):
        X = pd.concat([load_twins(1).train.X, load_twins(1).test.X])
        assert X.shape == (11400, 30)
        assert set(X["dmar"]) == {1, 2}
        assert X["dmage"].between(12, 50).all()
        assert X["gestat"].between(17, 47).all()
        assert X["dmeduc"].max() == 17
        assert X["adequacy"].between(1, 3).all()

    @pytest.mark.usefixtures("raw")
    def test_assignment_depends_on_covariates_and_keeps_arms_alike_in_size(self):
        differences = []
        for replication in range(1, 6):
            train = load_twins(replication).train
            assert 0.45 < train.treatment.mean() < 0.55
            z = (train.X - train.X.mean()) / train.X.std()
            gap = z[train.treatment == 1].mean() - z[train.treatment == 0].mean()
            differences.append(gap.abs().max())
        chance = 3.5 * np.sqrt(4 / 9120)
        assert np.min(differences) > chance

    @pytest.mark.usefixtures("raw")
    def test_replications_reproduce_and_differ(self):
        first, again, other = load_twins(1), load_twins(1), load_twins(2)
        pd.testing.assert_frame_equal(first.train.X, again.train.X)
        np.testing.assert_array_equal(first.train.treatment, again.train.treatment)
        assert not first.test.X.equals(other.test.X)

    @pytest.mark.usefixtures("raw")
    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_twins(1).train
        sample.X.iloc[:, :] = 0
        sample.mu[:] = 0
        assert load_twins(1).train.X["dmage"].std() > 0
        assert load_twins(1).train.mu.std() > 0

    def test_absent_file_is_named_with_where_it_comes_from(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"ganite_Twin_data.*jsyoon0823/GANITE"):
            load_twins(1)

    @pytest.mark.parametrize("replication", [1.0, "1", True])
    def test_replication_must_be_an_integer(self, replication):
        with pytest.raises(TypeError, match="replication must be an int"):
            load_twins(replication)

    def test_replication_starts_at_one(self):
        with pytest.raises(ValueError, match="at least 1"):
            load_twins(0)
