"""What a fit reads of the data: rows of positive weight, clusters, and a warning of copies."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE
from hypercate.study import read_study

N = 60
REPEATED = "of the rows are repeated"


def trial(n=N, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"age": rng.normal(50, 9, n), "site": rng.choice(["north", "south"], n)})
    return X, rng.normal(size=n), np.resize(["control", "drug", "surgery"], n)


def coarse(n=1000, seed=0, treated=0.5, ill=0.3):
    """Three binary columns and a binary outcome: most rows have twins by nature."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.random((n, 3)) < 0.5, columns=list("abc"))
    return X, (rng.random(n) < ill).astype(int), np.where(rng.random(n) < treated, "drug", "none")


def read(X, y, treatment, weight=None, groups=None, control=None, outcome="auto"):
    return read_study(X, y, treatment, weight, groups, None, None, control, outcome)


def assert_same(study, other):
    for name in ("x", "y", "weight", "condition", "cluster"):
        np.testing.assert_array_equal(getattr(study, name), getattr(other, name))


class TestRows:
    def test_a_study_holds_what_was_given(self):
        X, y, treatment = trial()
        encoded = read(X, y, treatment)
        study = encoded.study
        np.testing.assert_array_equal(study.x, encoded.features.transform(X))
        np.testing.assert_array_equal(study.y, y)
        assert (study.weight == 1).all()
        assert (study.n_conditions, encoded.family.kind) == (3, "continuous")
        arm = encoded.conditions.position_of(study.condition)
        np.testing.assert_array_equal(encoded.conditions.labels[arm], treatment)
        assert study.cluster.tolist() == list(range(N))
        assert encoded.used.all()

    def test_names_and_control_change_no_row(self):
        X, y, treatment = trial()
        study = read(X, y, treatment).study
        for names in ("cba", [7, 9, 1]):
            renamed = [names[k % 3] for k in range(N)]
            for control in (None, *names):
                encoded = read(X, y, renamed, control=control)
                assert_same(encoded.study, study)
                assert control is None or encoded.conditions.labels[0] == control

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=N, max_size=N), st.booleans())
    def test_rows_of_weight_0_are_as_if_they_were_not_given(self, weight, grouped):
        X, y, treatment = trial()
        weight = np.array(weight)
        weight[:6] = 1
        used = weight > 0
        groups = np.arange(N) // 2 if grouped else None
        own_groups = groups[used] if grouped else None
        X.loc[~used, "site"] = "elsewhere"
        X.loc[~used, "age"] = 1e9
        y[~used] = -1e9
        encoded = read(X, y, treatment, weight, groups)
        alone = read(X[used], y[used], treatment[used], weight[used], own_groups)
        assert_same(encoded.study, alone.study)
        np.testing.assert_array_equal(encoded.used, used)
        assert alone.used.all()
        assert encoded.features.output_names == alone.features.output_names
        assert encoded.study.weight.mean() == pytest.approx(1)
        assert encoded.study.weight / encoded.study.weight[0] == pytest.approx(weight[used])

    def test_rows_of_weight_0_do_not_decide_the_kind_of_the_outcome(self):
        X, _, treatment = trial()
        y, weight = np.arange(N) % 2, np.ones(N)
        y[5], weight[5] = 2, 0
        assert read(X, y, treatment, weight).family.kind == "binary"
        assert read(X, y, treatment).family.kind == "continuous"

    def test_an_arm_of_weight_0_is_refused(self):
        X, y, treatment = trial()
        with pytest.raises(ValueError, match=r"arm 'drug' has 0 row\(s\) of positive weight"):
            read(X, y, treatment, treatment != "drug")


class TestClusters:
    @pytest.mark.parametrize(
        "groups",
        [
            np.arange(N) // 4,
            (np.arange(N) // 4 - 9) * 10**12,
            (np.arange(N) // 4).tolist(),
            np.arange(N) // 4 / 8,
            [f"school {i // 4}" for i in range(N)],
            np.array([f"school {i // 4}" for i in range(N)], dtype=object),
            pd.Series(np.arange(N) // 4, index=np.arange(N) + N),
            pd.Series(np.arange(N) // 4, dtype="Int64"),
            pd.Series([f"{i // 4}" for i in range(N)], dtype="string"),
            pd.Categorical(np.arange(N) // 4, categories=range(99)),
            pd.Index(np.arange(N) // 4),
            pd.DataFrame({"g": np.arange(N) // 4}),
        ],
        ids=lambda groups: f"{type(groups).__name__} {getattr(groups, 'dtype', '')}",
    )
    def test_labels_may_be_of_any_kind(self, groups):
        cluster = read(*trial(), groups=groups).study.cluster
        labels = list(groups["g"] if isinstance(groups, pd.DataFrame) else groups)
        assert cluster.dtype == np.int64
        assert set(cluster) == set(range(len(set(labels))))
        assert len(set(zip(labels, cluster.tolist(), strict=True))) == len(set(labels))

    def test_without_groups_each_row_is_one(self):
        assert read(*trial()).study.cluster.tolist() == list(range(N))

    @pytest.mark.parametrize(
        ("groups", "error", "message"),
        [
            ([*range(N - 1), None], ValueError, f"groups is missing .* in row {N - 1} "),
            ([np.nan, *range(N - 1)], ValueError, "groups is missing .* in row 0 "),
            (["a", None] * (N // 2), ValueError, "groups is missing .* in rows 1, 3, 5, 7, 9 and "),
            (range(5), ValueError, f"groups has 5 rows, but X has {N}"),
            (["a"] * (N + 1), ValueError, f"groups has {N + 1} rows, but X has {N}"),
            (np.zeros((N, 2)), ValueError, r"groups should be a 1d array.*\(60, 2\)"),
            (pd.DataFrame(np.zeros((N, 2))), ValueError, "groups should be a 1d array"),
            (
                pd.Series(range(N), index=np.arange(N)[::-1]),
                ValueError,
                r"groups has an index .* another order: pass groups\.loc\[X\.index\]",
            ),
            (7, TypeError, "groups must have one value for each row"),
            (["a", 1] * (N // 2), TypeError, r"groups holds str \(first in row 0\) and int"),
            (pd.date_range("2020", periods=N), TypeError, "groups holds Timestamp"),
        ],
    )
    def test_refused(self, groups, error, message):
        with pytest.raises(error, match=message):
            read(*trial(), groups=groups)

    @pytest.mark.parametrize(
        ("names", "named"),
        [(["control", "drug", "surgery"], "'drug'"), ([0, 1, 2], "1"), ([True, False], "False")],
    )
    def test_an_arm_of_one_group_is_refused_by_its_name(self, names, named):
        X, y, _ = trial()
        treatment = np.array(names)[np.arange(N) % len(names)]
        groups = np.where(treatment == names[1], 99, np.arange(N) // 6)
        with pytest.raises(ValueError, match=f"arm {named} occurs in one group only.*two groups"):
            read(X, y, treatment, groups=groups)
        groups[np.flatnonzero(treatment == names[1])[0]] = 0
        assert read(X, y, treatment, groups=groups).study.cluster.max() > 1

    def test_groups_of_weight_0_do_not_count(self):
        X, y, treatment = trial()
        groups = np.arange(N) // 6
        weight = np.where((treatment == "drug") & (groups > 0), 0, 1)
        with pytest.raises(ValueError, match="arm 'drug' occurs in one group only"):
            read(X, y, treatment, weight, groups)

    def test_one_group_for_all_is_refused(self):
        with pytest.raises(ValueError, match=r"groups has 1 group\(s\).* at least 3"):
            read(*trial(), groups=["all"] * N)


class TestRepeatedRows:
    def repeated(self, *columns, times=2):
        return [pd.concat([c] * times) if hasattr(c, "columns") else np.tile(c, times)
                for c in columns]  # fmt: skip

    @pytest.mark.parametrize("times", [2, 5])
    def test_every_row_written_down_several_times_warns(self, times):
        with pytest.warns(UserWarning, match=f"^100% {REPEATED}.*pass groups="):
            read(*self.repeated(*trial(), times=times))

    @pytest.mark.parametrize(("copies", "share"), [(20, "50%"), (5, "15%"), (30, "67%")])
    def test_the_share_of_rows_that_have_a_twin_is_named(self, copies, share):
        X, y, treatment = trial()
        rows = [*range(N), *range(copies)]
        with pytest.warns(UserWarning, match=f"^{share} {REPEATED}"):
            read(X.iloc[rows], y[rows], treatment[rows])

    def test_a_single_copy_is_let_pass(self):
        X, y, treatment = trial()
        rows = [*range(N), 0]
        read(X.iloc[rows], y[rows], treatment[rows])

    def test_copies_among_binary_outcomes_warn(self):
        X, y, treatment = trial()
        with pytest.warns(UserWarning, match=f"^100% {REPEATED}"):
            read(*self.repeated(X, (y > 0).astype(int), treatment))

    def test_rows_of_weight_0_are_no_copies(self):
        columns = self.repeated(*trial())
        read(*columns, weight=np.repeat([1, 0], N))

    @pytest.mark.parametrize("groups", [np.tile(np.arange(N), 2), np.arange(2 * N)])
    def test_with_groups_nothing_warns(self, groups):
        study = read(*self.repeated(*trial()), groups=groups).study
        np.testing.assert_array_equal(study.cluster, groups)

    @pytest.mark.parametrize("what", ["covariate", "outcome", "treatment"])
    def test_rows_that_differ_in_one_thing_are_no_copies(self, what):
        X, y, treatment = self.repeated(*trial())
        second = np.arange(2 * N) >= N
        if what == "covariate":
            X = X.assign(age=X["age"] + second)
        elif what == "outcome":
            y = y + second
        else:
            arms = np.array(["control", "drug", "surgery"])
            treatment = arms[(np.unique(treatment, return_inverse=True)[1] + second) % 3]
        read(X, y, treatment)

    @pytest.mark.parametrize("n", [60, 1000, 20_000])
    @pytest.mark.parametrize("seed", range(3))
    def test_natural_twins_of_coarse_data_do_not_warn(self, n, seed):
        read(*coarse(n, seed))

    @pytest.mark.parametrize("treated", [0.5, 0.01])
    @pytest.mark.parametrize("ill", [0.3, 0.01])
    def test_nor_where_the_outcome_and_an_arm_are_rare(self, treated, ill):
        read(*coarse(5000, treated=treated, ill=ill))

    def test_the_warning_points_to_the_line_that_calls_fit(self):
        X, y, treatment = self.repeated(*trial())
        tiny = HyperCATE(n_members=1, max_epochs=1, outcome_hidden=(4,), sharing="moderate",
                         inputs="raw", random_state=0)  # fmt: skip
        with pytest.warns(UserWarning, match=REPEATED) as caught:
            tiny.fit(X, y, treatment)
        assert [warning.filename for warning in caught] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tiny.fit(X, y, treatment, groups=np.tile(np.arange(N), 2))
