import numpy as np
import pandas as pd
import pytest

from hypercate import HyperCATE
from hypercate.datasets import load_hillstrom
from hypercate.datasets.hillstrom import ARMS, COLUMNS, FILE, OUTCOMES


@pytest.fixture
def table(data_folder):
    return pd.read_csv(data_folder([FILE]) / FILE)


class TestHillstrom:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_equals_the_table(self, outcome, table):
        split = load_hillstrom(3, outcome)
        assert (split.name, split.replication) == ("hillstrom", 3)
        assert len(split.train) == len(split.test) == 32_000
        rows = np.random.default_rng(3).permutation(64_000)
        for sample, own in ((split.test, rows[:32_000]), (split.train, rows[32_000:])):
            expected = table.iloc[own].reset_index(drop=True)
            for column in COLUMNS:
                assert sample.X[column].tolist() == expected[column].tolist()
            assert [ARMS[k] for k in sample.treatment] == expected["segment"].tolist()
            np.testing.assert_array_equal(sample.y, expected[outcome])
            assert sample.randomized.all()
            assert sample.mu is None

    def test_mean_outcomes_are_those_of_the_datasheet(self, table):
        spend, visit = load_hillstrom().train, load_hillstrom(outcome="visit").train
        for sample, means in ((spend, (0.65, 1.42, 1.08)), (visit, (0.106, 0.183, 0.151))):
            for arm, mean in enumerate(means):
                own = sample.y[sample.treatment == arm]
                assert own.mean() == pytest.approx(mean, abs=4 * own.std() / len(own) ** 0.5)

    def test_categories_are_fitted_as_they_are(self, table):
        sample = load_hillstrom(outcome="visit").train.take(np.arange(600))
        est = HyperCATE(effort="instant", random_state=0)
        est.fit(sample.X, sample.y, sample.treatment, propensity=np.full((600, 3), 1 / 3))
        assert est.predict(sample.X).shape == (600, 2)

    def test_an_unknown_outcome_is_refused(self):
        with pytest.raises(ValueError, match="outcome='sales' is unknown"):
            load_hillstrom(1, "sales")

    def test_a_replication_below_1_is_refused(self):
        with pytest.raises(ValueError, match="replication"):
            load_hillstrom(0)
