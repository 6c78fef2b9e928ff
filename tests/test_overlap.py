"""What the overlap report promises: measures by the book, and a name for an arm without support."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from hypercate import HyperCATE, overlap
from hypercate.datasets import load_ihdp, load_jobs, load_lalonde
from hypercate.encoding import FeatureEncoder
from hypercate.overlap import (
    OverlapWarning,
    outside_support,
    overlap_report,
    poor_support,
    warn_of_poor_support,
)

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=40, deadline=None, derandomize=True)
LABELS = np.array(["placebo", "drug", "surgery"])


def covariates(n=600, seed=0):
    """Uniform columns, which encoding only shifts and scales."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"age": rng.uniform(20, 80, n), "weight": rng.uniform(50, 100, n)},
        index=[f"patient {i}" for i in range(n)],
    )


def by_age(X, slope, seed=1):
    """Two arms, the second the likelier the older: log odds of `slope` for a standard deviation."""
    z = (X["age"] - 50) / 17.3
    return np.where(
        np.random.default_rng(seed).random(len(X)) < expit(slope * z), "drug", "control"
    )


def two_arms(n=40, likely=0.5):
    """Half of the rows in each arm, and a propensity of the second arm."""
    arm = np.arange(n) % 2
    return np.column_stack([1 - np.full(n, likely), np.full(n, likely)]), arm, np.ones(n)


def encoded(n):
    """An encoder and what it makes of rows."""
    X = covariates(n)
    features = FeatureEncoder.fit(X)
    return features, features.transform(X)


@pytest.fixture(scope="module")
def trial():
    X = covariates()
    received = LABELS[np.random.default_rng(1).integers(0, 3, len(X))]
    return X, received, overlap_report(X, received, control="placebo")


@pytest.fixture(scope="module")
def confounded():
    X = covariates()
    received = by_age(X, slope=1.0)
    return X, received, overlap_report(X, received)


@pytest.fixture(scope="module")
def apart():
    """A third arm, one row in ten, for the oldest only, and for all of them."""
    X = covariates()
    received = LABELS[np.random.default_rng(1).integers(0, 2, len(X))]
    received[X["age"] > X["age"].quantile(0.9)] = "surgery"
    return X, received, overlap_report(X, received, control="placebo")


class TestRandomisedTrial:
    def test_weighting_leaves_nearly_all_rows(self, trial):
        arms = trial[2].arms
        assert (arms["effective_rows"] > 0.97 * arms["rows"]).all()
        assert (arms["effective_rows"] <= arms["rows"] + 1e-9).all()

    def test_arms_are_balanced_and_weighting_does_not_upset_that(self, trial):
        assert (trial[2].balance.abs() < 0.2).all(axis=None)

    def test_no_row_is_outside_support_and_no_arm_is_poor(self, trial):
        report = trial[2]
        assert (report.arms["outside"] == 0).all()
        assert not report.arms["poor"].any()
        assert report.common_support.all()

    def test_the_summary_names_no_arm_as_poor(self, trial):
        assert "poor support" not in str(trial[2])

    @pytest.mark.parametrize("n_arms", [2, 4])
    def test_few_rows_and_many_columns_raise_no_alarm(self, n_arms):
        rng = np.random.default_rng(n_arms)
        X, received = rng.normal(size=(60, 15)), rng.permutation(np.arange(60) % n_arms)
        assert not overlap_report(X, received).arms["poor"].any()


class TestConfounding:
    def test_weighting_reduces_imbalance(self, confounded):
        age = confounded[2].balance.loc[("drug", "age")]
        assert age["before"] > 0.7
        assert abs(age["after"]) < 0.3 * age["before"]

    def test_weighting_costs_effective_rows(self, confounded):
        arms = confounded[2].arms
        assert (arms["effective_rows"] < 0.92 * arms["rows"]).all()

    def test_moderate_confounding_is_not_poor_support(self, confounded):
        assert not confounded[2].arms["poor"].any()

    def test_the_likelier_have_the_higher_propensity(self, confounded):
        X, _, report = confounded
        assert report.propensity["drug"].corr(X["age"], method="spearman") > 0.9


class TestMeasuresByTheBook:
    def test_effective_rows_are_kishs_of_the_inverse_propensities(self, confounded):
        _, received, report = confounded
        for label in report.arms.index:
            weight = 1 / report.propensity.loc[received == label, label]
            expected = weight.sum() ** 2 / (weight**2).sum()
            assert report.arms.loc[label, "effective_rows"] == pytest.approx(expected, rel=1e-12)

    def test_differences_are_austins_in_units_of_the_covariate(self, confounded):
        X, received, report = confounded
        treated, control = X[received == "drug"], X[received == "control"]
        unit = np.sqrt((treated.var(ddof=0) + control.var(ddof=0)) / 2)
        before = (treated.mean() - control.mean()) / unit
        weight = 1 / report.propensity
        means = [
            np.average(rows, axis=0, weights=weight.loc[rows.index, label])
            for rows, label in ((treated, "drug"), (control, "control"))
        ]
        balance = report.balance.loc["drug"]
        np.testing.assert_allclose(balance["before"], before, rtol=1e-4)
        np.testing.assert_allclose(balance["after"], (means[0] - means[1]) / unit, rtol=1e-4)

    def test_limit_of_two_equal_arms_is_crumps(self):
        X = covariates(60)
        report = overlap_report(X, np.arange(60) % 2)
        np.testing.assert_allclose(report.arms["limit"], 0.1)

    def test_common_support_is_above_every_arms_limit(self):
        """A fifth of the rows, the oldest, receive one of two arms only."""
        X = covariates()
        oldest = X["age"] > X["age"].quantile(0.8)
        report = overlap_report(X, np.where(oldest, "drug", by_age(X, slope=0.0)))
        inside = (report.propensity >= report.arms["limit"]).all(axis=1)
        pd.testing.assert_series_equal(report.common_support, inside, check_names=False)
        assert report.common_support[~oldest].mean() > 0.95
        assert report.common_support[oldest].mean() < 0.1

    def test_smallest_is_the_smallest_propensity(self, confounded):
        report = confounded[2]
        pd.testing.assert_series_equal(
            report.arms["smallest"], report.propensity.min(), check_names=False
        )

    def test_rows_of_the_propensity_sum_to_1(self, trial):
        np.testing.assert_allclose(trial[2].propensity.sum(axis=1), 1, rtol=1e-12)

    def test_outside_is_a_share_of_the_other_arms_rows(self):
        arm = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        treated = np.array([0.01, 0.05, 0.2, 0.5, 0.01, 0.5, 0.5, 0.95])
        propensity = np.column_stack([1 - treated, treated])
        share = outside_support(propensity, arm, np.ones(8))
        np.testing.assert_allclose(share, [1 / 4, 2 / 4])
        share = outside_support(propensity, arm, np.array([3.0, 1, 1, 1, 1, 1, 1, 1]))
        np.testing.assert_allclose(share, [1 / 4, 4 / 6])

    def test_a_covariate_that_is_the_treatment_differs_infinitely(self):
        X = covariates(80).assign(same=1.0)
        received = np.arange(80) % 2
        balance = overlap_report(X.assign(drug=received, none=1 - received), received).balance.loc[
            1
        ]
        assert (balance.loc["drug"] == np.inf).all()
        assert (balance.loc["none"] == -np.inf).all()
        assert (balance.loc["same"] == 0).all()


class TestPoorSupport:
    def test_an_arm_given_to_a_few_alone_is_named(self, apart):
        report = apart[2]
        assert report.arms.index[report.arms["poor"]].tolist() == ["surgery"]
        assert report.arms.loc["surgery", "outside"] > 0.8
        assert "arm 'surgery' has poor support" in str(report)

    def test_arms_wholly_apart_are_both_poor_though_all_rows_are_effective(self):
        X = covariates(400)
        report = overlap_report(X, (X["age"] > 50).to_numpy())
        assert report.arms["poor"].all()
        assert report.arms["effective_rows"].sum() > 200

    def test_the_warning_names_the_arm_its_share_and_what_to_do(self):
        def fit():
            warn_of_poor_support(
                *two_arms(likely=0.01), np.array(["control", "drug"]), *encoded(40)
            )

        with pytest.warns(OverlapWarning, match="arm 'drug' has poor support: 100%") as caught:
            fit()
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert caught[0].lineno > fit.__code__.co_firstlineno + 1  # where fit is called
        assert "common_support" in str(caught[0].message)

    def test_support_that_will_do_raises_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_poor_support(*two_arms(likely=0.2), np.array([0, 1]), *encoded(40))

    @quick
    @given(st.lists(st.integers(1, 60), min_size=2, max_size=6))
    def test_propensities_that_are_the_shares_are_never_poor(self, counts):
        arm = np.repeat(np.arange(len(counts)), counts)
        propensity = np.tile(np.array(counts) / len(arm), (len(arm), 1))
        assert not outside_support(propensity, arm, np.ones(len(arm))).any()
        assert not poor_support(propensity, arm, np.ones(len(arm))).any()

    @quick
    @given(st.integers(0, 10_000), st.integers(2, 4))
    def test_a_weight_counts_as_that_many_rows(self, seed, n_arms):
        rng = np.random.default_rng(seed)
        arm = rng.permutation(np.arange(20) % n_arms)
        propensity = rng.dirichlet(np.full(n_arms, 0.3), 20)
        weight = rng.integers(1, 4, 20)
        rows = np.repeat(np.arange(20), weight)
        np.testing.assert_allclose(
            outside_support(propensity, arm, weight.astype(float)),
            outside_support(propensity[rows], arm[rows], np.ones(len(rows))),
            atol=1e-12,
        )

    @quick
    @given(st.integers(0, 10_000))
    def test_the_order_of_arms_does_not_matter(self, seed):
        rng = np.random.default_rng(seed)
        arm, propensity = rng.permutation(np.arange(30) % 3), rng.dirichlet(np.full(3, 0.3), 30)
        order = rng.permutation(3)
        shares = outside_support(propensity, arm, np.ones(30))
        moved = outside_support(propensity[:, order], np.argsort(order)[arm], np.ones(30))
        np.testing.assert_allclose(moved, shares[order])


class TestWhatPartsAnArm:
    @staticmethod
    def sites(n=600, seed=5):
        """Site A is always treated, B and C by a coin; and what is of no importance."""
        rng = np.random.default_rng(seed)
        X = covariates(n).assign(site=rng.choice(["A", "B", "C"], n, p=[0.5, 0.25, 0.25]))
        return X, np.where(X["site"] == "A", "drug", rng.choice(["drug", "none"], n))

    def test_a_site_that_is_always_treated_is_named_by_report_and_fit(self):
        X, received = self.sites()
        report = overlap_report(X, received, control="none")
        assert report.arms["parted_by"].tolist() == ["site=A", ""]
        told = "hardly ever receives it, so its predictions for them are extrapolations. Each of "
        told += "these alone separates such rows: site=A."
        assert told in str(report)
        assert told in report._repr_html_()
        est = HyperCATE(max_epochs=1, outcome_hidden=(4,), sharing="moderate", inputs="raw")
        with pytest.warns(OverlapWarning, match=r"arm 'none'.*rows: site=A\. Look at") as caught:
            est.fit(X, X["age"], received)
        assert len(caught) == 1

    def test_a_threshold_is_named_by_its_column(self):
        X = covariates()
        report = overlap_report(X, np.where(X["age"] > 50, "drug", "none"))
        assert report.arms["parted_by"].tolist() == ["age", "age"]

    def test_missing_values_that_part_are_named(self):
        X, rng = covariates(), np.random.default_rng(5)
        missing = rng.random(len(X)) < 0.5
        X.loc[missing, "weight"] = np.nan
        received = np.where(missing, "drug", rng.choice(["drug", "none"], len(X)))
        parted_by = overlap_report(X, received, control="none").arms["parted_by"]
        assert parted_by["none"] == "weight (missing)"

    def test_each_column_that_does_so_alone_is_named_and_no_other(self):
        X = covariates()
        X["copy"] = -X["age"]
        X["noise"] = np.random.default_rng(5).normal(size=len(X))
        report = overlap_report(X, np.where(X["age"] > 50, "drug", "none"))
        assert set(report.arms.loc["drug", "parted_by"].split(", ")) == {"age", "copy"}

    def test_columns_that_part_only_together_are_not_named(self):
        X = covariates(1200)
        either = (X["age"] > 50) ^ (X["weight"] > 75)
        report = overlap_report(X, np.where(either, "drug", "none"))
        assert report.arms["poor"].all()
        assert report.arms["parted_by"].tolist() == ["", ""]
        assert "alone" not in str(report)

    def test_many_rows_and_a_rare_arm_are_named_by_some_of_them(self):
        X = covariates(20_000)
        rare = X["age"] > X["age"].quantile(0.97)
        found = overlap_report(X, np.where(rare, "surgery", "drug"), control="drug").arms
        assert found.loc["surgery", "parted_by"] == "age"

    def test_weights_count(self):
        X, received = self.sites()
        weight = np.where((X["site"] == "A") & (received == "drug"), 0.0, 1.0)
        report = overlap_report(X, received, control="none", sample_weight=weight)
        assert report.arms["parted_by"].tolist() == ["", ""]

    def test_where_support_is_good_nothing_is_grown(self, monkeypatch):
        monkeypatch.setattr(overlap, "parting_columns", None)  # any call would fail
        X = covariates(100)
        assert overlap_report(X, np.arange(100) % 2).arms["parted_by"].tolist() == ["", ""]


class TestHtml:
    def test_it_holds_the_table_and_escapes_labels(self, trial, apart):
        page = trial[2]._repr_html_()
        assert "<table" in page
        for label in LABELS:
            assert f"<th>{label}</th>" in page
        assert "Largest standardised mean difference" in page
        assert "poor support" in apart[2]._repr_html_()
        X = covariates(40)
        assert (
            "<b>x" not in overlap_report(X, np.where(np.arange(40) % 2, "<b>x", "a"))._repr_html_()
        )


class TestWhatGoesIn:
    def test_the_index_and_the_order_of_arms_are_kept(self, trial):
        X, received, report = trial
        for part in (report.propensity, report.received, report.common_support):
            assert part.index.equals(X.index)
        assert report.propensity.columns.tolist() == ["placebo", "drug", "surgery"]
        assert report.arms.index.tolist() == ["placebo", "drug", "surgery"]
        assert report.balance.index.tolist() == [
            (arm, name) for arm in ("drug", "surgery") for name in ("age", "weight")
        ]
        assert (report.received == received).all()
        assert report.arms["rows"].tolist() == [
            (received == label).sum() for label in report.arms.index
        ]

    def test_an_array_has_its_row_numbers_for_index(self):
        X = covariates(40)
        report = overlap_report(X.to_numpy(), np.arange(40) % 2)
        assert report.propensity.index.equals(pd.RangeIndex(40))
        assert report.balance.loc[1].index.tolist() == ["x0", "x1"]

    @pytest.mark.parametrize(
        "labels",
        [[0, 1], [False, True], ["a", "b"], [7.0, 9.0], pd.Categorical(["no", "yes"])],
        ids=["integers", "booleans", "strings", "floats", "categories"],
    )
    def test_labels_of_any_type_give_the_same_numbers(self, labels):
        X = covariates(80)
        codes = (by_age(X, 1.0) == "drug").astype(int)
        expected = overlap_report(X, codes)
        report = overlap_report(X, pd.Series(labels).take(codes).to_numpy())
        np.testing.assert_array_equal(report.propensity, expected.propensity)
        np.testing.assert_array_equal(report.balance, expected.balance)
        assert f"\n  {report.arms.index[1]}: " in str(report)

    def test_strings_and_missing_values_are_covariates_too(self):
        X = covariates(80).assign(site=np.where(np.arange(80) % 3, "north", "south"))
        X.iloc[:9, 0] = np.nan
        names = overlap_report(X, np.arange(80) % 2).balance.loc[1].index.tolist()
        assert names == ["age", "age (missing)", "weight", "site=north", "site=south"]

    def test_rows_of_weight_0_count_nowhere_but_have_a_propensity(self):
        X, more = covariates(200), covariates(30, seed=9) * 100
        received = by_age(X, 1.0)
        weight = np.random.default_rng(0).uniform(0.5, 2, 200)
        alone = overlap_report(X, received, sample_weight=weight)
        report = overlap_report(
            pd.concat([X, more]),
            [*received, *["drug"] * 30],
            sample_weight=np.append(weight, np.zeros(30)),
        )
        pd.testing.assert_frame_equal(report.arms, alone.arms)
        pd.testing.assert_frame_equal(report.balance, alone.balance)
        pd.testing.assert_frame_equal(report.propensity.iloc[:200], alone.propensity)
        assert report.propensity.iloc[200:].gt(0).all(axis=None)

    def test_sample_weights_count_in_every_measure(self):
        X = covariates(300)
        received = by_age(X, 0.0)
        weight = np.where((received == "drug") & (X["age"] > 50), 4.0, 1.0)
        plain, weighted = (overlap_report(X, received, sample_weight=w) for w in (None, weight))
        age = ("drug", "age")
        assert weighted.balance.loc[age, "before"] > plain.balance.loc[age, "before"] + 0.4
        assert abs(weighted.balance.loc[age, "after"]) < 0.3 * weighted.balance.loc[age, "before"]
        assert weighted.arms.loc["drug", "limit"] > plain.arms.loc["drug", "limit"] + 0.02

    def test_the_report_is_the_same_every_time_and_leaves_the_global_seed_alone(self, confounded):
        X, received, report = confounded
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        pd.testing.assert_frame_equal(overlap_report(X, received).propensity, report.propensity)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
        other = overlap_report(X, received, random_state=5)
        assert not np.array_equal(other.propensity, report.propensity)

    def test_a_report_can_be_pickled(self, trial):
        report = trial[2]
        assert str(pickle.loads(pickle.dumps(report))) == str(report) == repr(report)

    def test_the_summary_fits_a_line_and_shows_every_arm(self, trial):
        lines = str(trial[2]).splitlines()
        assert max(map(len, lines)) <= 100
        for label in LABELS:
            assert any(line.strip().startswith(label) for line in lines)


class TestBadInput:
    def test_lengths_that_differ(self):
        with pytest.raises(ValueError, match="treatment has 39 rows, but X has 40"):
            overlap_report(covariates(40), np.arange(39) % 2)

    def test_an_arm_of_one_row(self):
        received = ["a", "b"] * 20 + ["c"]
        with pytest.raises(ValueError, match=r"arm 'c' has 1 row\(s\) of positive weight"):
            overlap_report(covariates(41), received)

    def test_an_arm_whose_rows_have_no_weight(self):
        received = np.arange(40) % 2
        with pytest.raises(ValueError, match=r"arm 1 has 0 row\(s\)"):
            overlap_report(covariates(40), received, sample_weight=1 - received)

    def test_a_control_that_is_no_arm(self):
        with pytest.raises(ValueError, match="'plecebo' is not an arm"):
            overlap_report(covariates(40), ["placebo", "drug"] * 20, control="plecebo")

    def test_a_seed_that_is_no_integer(self):
        with pytest.raises(TypeError, match=r"random_state=0\.5 must be an integer"):
            overlap_report(covariates(40), np.arange(40) % 2, random_state=0.5)


def need_data(*files):
    folder = os.environ.get("HYPERCATE_DATA")
    if not folder:
        pytest.skip("HYPERCATE_DATA does not name a folder with the benchmark data")
    absent = [name for name in files if not (Path(folder) / name).exists()]
    if absent:
        pytest.skip(f"{', '.join(absent)} not in the folder HYPERCATE_DATA")


class TestBenchmarks:
    def test_ihdp_overlaps(self):
        need_data("ihdp/ihdp_npci_1-25.train.npz", "ihdp/ihdp_npci_1-25.test.npz")
        sample = load_ihdp(1).train
        arms = overlap_report(sample.X, sample.treatment).arms
        assert not arms["poor"].any()
        assert (arms["outside"] < 0.05).all()

    def test_jobs_survey_controls_have_no_counterpart_among_the_trained(self):
        need_data(*(f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")))
        sample = load_jobs(1).train
        arms = overlap_report(sample.X, sample.treatment).arms
        assert arms["poor"].tolist() == [False, True]
        assert arms.loc[1, "effective_rows"] < arms.loc[1, "rows"] / 2

    def test_lalondes_survey_is_hopeless_and_his_experiment_is_not(self):
        pytest.importorskip("causaldata", reason="LaLonde's tables come with causaldata")
        split = load_lalonde()
        survey, experiment = (
            overlap_report(sample.X, sample.treatment).arms for sample in (split.train, split.test)
        )
        assert survey["poor"].tolist() == [False, True]
        assert survey.loc[1, "outside"] > 0.6
        assert not experiment["poor"].any()
        assert (experiment["effective_rows"] > 0.95 * experiment["rows"]).all()
