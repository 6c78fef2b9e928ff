import sys

import numpy as np
import pandas as pd
import pytest

from hypercate.datasets import load_lalonde
from hypercate.metrics import att_error


@pytest.mark.usefixtures("causaldata")
class TestLalonde:
    def test_shapes(self):
        split = load_lalonde()
        assert (split.name, split.replication) == ("lalonde-cps", 1)
        assert np.bincount(split.train.treatment).tolist() == [15992, 185]
        assert np.bincount(split.test.treatment).tolist() == [260, 185]
        for sample in (split.train, split.test):
            assert sample.X.shape == (len(sample), 8)
            assert np.isfinite(sample.X.to_numpy()).all()
            assert sample.mu is None

    def test_effect_of_the_experiment_is_the_published_one(self):
        test = load_lalonde().test
        difference = test.y[test.treatment == 1].mean() - test.y[test.treatment == 0].mean()
        assert difference == pytest.approx(1794.34, abs=0.01)
        said = np.full(len(test), 1794.34)
        assert att_error(test.y, test.treatment, test.randomized, said) < 0.01

    def test_survey_controls_mislead(self):
        train = load_lalonde().train
        difference = train.y[train.treatment == 1].mean() - train.y[train.treatment == 0].mean()
        assert difference == pytest.approx(-8497.5, abs=0.1)

    def test_the_treated_are_in_both_samples(self):
        split = load_lalonde()
        train, test = (
            sample.X[sample.treatment == 1].assign(re78=sample.y[sample.treatment == 1])
            for sample in (split.train, split.test)
        )
        pd.testing.assert_frame_equal(train.reset_index(drop=True), test.reset_index(drop=True))

    def test_only_the_experiment_is_randomised(self):
        split = load_lalonde()
        np.testing.assert_array_equal(split.train.randomized, split.train.treatment == 1)
        assert split.test.randomized.all()

    def test_equals_the_tables_of_dehejia_and_wahba(self, data_folder):
        names = ["jobs/nsw_dw.dta", "jobs/cps_controls.dta"]
        folder = data_folder(names)
        split = load_lalonde()
        experiment, survey = (pd.read_stata(folder / name) for name in names)
        for X, y, table in (
            (split.test.X, split.test.y, experiment),
            (split.train.X[185:], split.train.y[185:], survey),
        ):
            np.testing.assert_array_equal(X, table[list(X.columns)])
            np.testing.assert_array_equal(y, table["re78"])

    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_lalonde().train
        sample.X.iloc[:, :] = 0.0
        sample.y[:] = 0
        assert load_lalonde().train.X["age"].std() > 0
        assert load_lalonde().train.y.std() > 0


def test_without_causaldata_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "causaldata", None)
    with pytest.raises(ImportError, match=r"hypercate\[benchmark\]"):
        load_lalonde()
