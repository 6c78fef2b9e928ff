import numpy as np
import pandas as pd
import pytest

from hypercate.benchmark.studies import STUDIES
from hypercate.datasets import load_realcause
from hypercate.datasets.realcause import COLUMNS, SAMPLES

PSID, CPS = "realcause/lalonde_psid_sample0.csv", "realcause/lalonde_cps_sample0.csv"


@pytest.mark.parametrize(("source", "file", "n"), [("psid", PSID, 2675), ("cps", CPS, 16177)])
class TestRealCause:
    def test_equals_the_table(self, source, file, n, data_folder):
        table = pd.read_csv(data_folder([file]) / file)
        split = load_realcause(1, source)
        assert (split.name, split.replication) == (f"realcause-{source}", 1)
        assert len(split.test) == round(n / 5)
        rows = np.random.default_rng(1).permutation(n)
        for sample, own in (
            (split.test, rows[: len(split.test)]),
            (split.train, rows[len(split.test) :]),
        ):
            expected = table.iloc[own]
            np.testing.assert_array_equal(sample.X, expected[COLUMNS])
            np.testing.assert_array_equal(sample.treatment, expected["t"])
            np.testing.assert_array_equal(sample.y, expected["y"])
            np.testing.assert_allclose(sample.effect, expected["ite"], atol=0.01)
            assert sample.randomized is None

    def test_observed_outcomes_are_those_of_the_arm(self, source, file, n, data_folder):
        data_folder([file])
        for sample in (load_realcause(1, source).train, load_realcause(1, source).test):
            np.testing.assert_array_equal(
                sample.y, sample.mu[np.arange(len(sample)), sample.treatment]
            )

    def test_changing_a_sample_does_not_change_the_next_load(self, source, file, n, data_folder):
        data_folder([file])
        sample = load_realcause(1, source).train
        sample.X.iloc[:, :] = 0.0
        sample.y[:] = 0
        assert load_realcause(1, source).train.X["age"].std() > 0
        assert load_realcause(1, source).train.y.std() > 0


class TestArguments:
    @pytest.mark.parametrize("replication", [0, SAMPLES + 1])
    def test_a_sample_that_is_none_is_refused(self, replication):
        with pytest.raises(ValueError, match="replication"):
            load_realcause(replication)

    def test_an_unknown_survey_is_refused(self):
        with pytest.raises(ValueError, match="source='nsw' is unknown: use one of psid, cps"):
            load_realcause(1, "nsw")

    def test_intervals_cannot_be_judged_by_noisy_effects(self):
        assert not STUDIES["realcause"].effect_known
