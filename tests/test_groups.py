"""Fits of rows in groups: what a group's rows say together counts once, and groups stay whole."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import rmse, tiny, trial

from hypercate import HyperCATE
from hypercate.datasets import draw_interval_study
from hypercate.inference.averages import average_effect

SEEDS = range(1, 9)
ROWS = 500


def quick(seed):
    """A model that learns a smooth study in a second."""
    return HyperCATE(outcome_hidden=(16, 16), sharing="moderate", inputs="raw", random_state=seed)


def fit_on(rows, seed, groups=None):
    """Fit on rows of a smooth study, written down as often as they are named."""
    study = draw_interval_study("smooth", ROWS, seed)
    train = study.train
    est = quick(seed).fit(train.X.iloc[rows], train.y[rows], train.treatment[rows], groups=groups)
    return est, study.test


def measures(est, test):
    """Test error, and the size of what is said of averages, of effects and of persons."""
    effects = est.effect_inference(test.X)
    lower, upper = est.predict_outcome_interval(test.X, alpha=0.2)
    return {
        "error": rmse(effects.point_estimate, test.effect),
        "stderr of the average": est.ate_inference().stderr[0],
        "stderr of effects": effects.stderr.mean(),
        "width for persons": (upper - lower).mean(),
    }


@pytest.fixture(scope="module")
def once():
    return [fit_on(np.arange(ROWS), seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def twice():
    """Every row written down twice, in any order, the copies in one group."""
    fits = []
    for seed in SEEDS:
        rows = np.random.default_rng(seed).permutation(np.repeat(np.arange(ROWS), 2))
        fits.append(fit_on(rows, seed, groups=rows))
    return fits


class TestRowsWrittenDownTwice:
    def test_with_the_unit_as_group_errors_and_standard_errors_are_those_of_single_rows(
        self, once, twice
    ):
        single, double = (pd.DataFrame([measures(*fit) for fit in fits]) for fits in (once, twice))
        ratio = double.mean() / single.mean()
        assert ratio.between(0.8, 1.2).all(), ratio

    def test_their_average_is_known_as_well_as_from_single_rows_and_no_better(self, once, twice):
        for (single, _), (double, _) in zip(once, twice, strict=True):
            assert abs(double.ate() - single.ate()) < single.ate_inference().stderr[0]

    def test_the_same_evidence_without_groups_claims_a_root_of_two_more(self, twice):
        for est, _ in twice:
            evidence = est.fitted_.evidence
            apart = average_effect(replace(evidence, cluster=np.arange(2 * ROWS)))
            ratio = apart.stderr[0] / est.ate_inference().stderr[0]
            assert ratio == pytest.approx(2**-0.5, rel=0.02)

    def test_without_groups_there_is_a_warning_and_errors_are_understated(self, once):
        single, double = [], []
        for seed, (est, _) in zip(SEEDS[:4], once, strict=False):
            with pytest.warns(UserWarning, match="100% of the rows are repeated"):
                naive, _ = fit_on(np.repeat(np.arange(ROWS), 2), seed)
            single.append(est.ate_inference().stderr[0])
            double.append(naive.ate_inference().stderr[0])
        assert np.mean(double) / np.mean(single) == pytest.approx(2**-0.5, rel=0.15)


class TestFewRowsWrittenDownTwice:
    def test_what_so_few_rows_cannot_say_of_a_persons_outcome_their_copies_cannot(self):
        X, y, arm, _ = trial()
        arm = np.where(np.arange(300) < 14, 2, arm)  # an interval of level 0.95 needs 19 or more
        rows = np.repeat(np.arange(300), 2)
        single = tiny(inputs="raw").fit(X, y, arm)
        grouped = tiny(inputs="raw").fit(X[rows], y[rows], arm[rows], groups=rows)
        with pytest.warns(UserWarning, match="are repeated"):
            naive = tiny(inputs="raw").fit(X[rows], y[rows], arm[rows])
        for est, known in ((single, False), (grouped, False), (naive, True)):
            assert np.isfinite(est.predict_outcome_interval(X, arm=2)).any() == known
            assert np.isfinite(est.predict_outcome_interval(X, arm=1)).all()


def in_groups(kind, n=300, seed=0):
    """A trial of three arms, and groups of its rows."""
    rng = np.random.default_rng(seed)
    X, y, arm, _ = trial(n, n_arms=3, seed=seed)
    groups = {
        "pairs": np.arange(n) // 2,
        "of one arm each": 3 * rng.integers(12, size=n) + arm,
        "of any size": np.repeat(np.arange(24), np.arange(1, 25))[:n],
        "names": rng.choice([f"clinic {c}" for c in "abcdefgh"], n),
        "one large": np.where(np.arange(n) < n // 2, -1, np.arange(n)),
        "rows": np.arange(n)[::-1],
    }[kind]
    return X, y, arm, groups


KINDS = ["pairs", "of one arm each", "of any size", "names", "one large", "rows"]


def assert_whole(evidence, groups, n_parts):
    """Every row is judged, and all rows of a group by the same model of each partition."""
    judgements = pd.DataFrame(
        {
            "group": groups[evidence.row],
            "partition": evidence.model // n_parts,
            "model": evidence.model,
        }
    )
    assert judgements.groupby(["group", "partition"])["model"].nunique().eq(1).all()
    assert np.bincount(evidence.row, minlength=len(groups)).min() >= 1


class TestGroupsStayWhole:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("n_members", [2, 7])
    def test_one_model_of_each_partition_judges_a_group(self, kind, n_members):
        X, y, arm, groups = in_groups(kind)
        est = tiny(n_members=n_members, inputs="raw").fit(X, y, arm, groups=groups)
        assert_whole(est.fitted_.evidence, groups, n_parts=5)

    @settings(max_examples=20, derandomize=True, deadline=None)
    @given(
        n_groups=st.integers(5, 30),
        of_one_arm=st.booleans(),
        unequal=st.floats(0, 3),
        n_members=st.integers(1, 7),
        seed=st.integers(0, 2**16),
    )
    def test_whatever_their_sizes_and_arms(self, n_groups, of_one_arm, unequal, n_members, seed):
        rng = np.random.default_rng(seed)
        X, y, arm, _ = trial(n=90, seed=seed)
        share = np.exp(unequal * rng.normal(size=n_groups))
        groups = rng.choice(n_groups, size=90, p=share / share.sum())
        arm = groups % 2 if of_one_arm else arm
        present = pd.Series(groups).groupby(arm).nunique()
        assume(len(present) == 2 and present.min() > 1 and len(np.unique(groups)) >= 5)
        est = tiny(inputs="raw", max_epochs=1, n_members=n_members, random_state=seed)
        est.fit(X, y, arm, groups=groups)
        assert_whole(est.fitted_.evidence, groups, n_parts=5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_outcomes_of_a_group_do_not_reach_what_is_said_of_it(self, kind):
        X, y, arm, groups = in_groups(kind)
        est = tiny().fit(X, y, arm, groups=groups)
        mine = groups == groups[-1]
        changed = np.where(mine, 3 - y, y)
        before, after = (
            evidence.mean_outcomes
            for evidence in (
                est.fitted_.evidence,
                clone(est).fit(X, changed, arm, groups=groups).fitted_.evidence,
            )
        )
        np.testing.assert_array_equal(after[mine], before[mine])
        assert not np.array_equal(after[~mine], before[~mine])

    def test_every_row_its_own_group_is_no_groups_at_all(self):
        X, y, arm, _ = trial()
        plain, grouped = tiny().fit(X, y, arm), tiny().fit(X, y, arm, groups=np.arange(len(X)))
        np.testing.assert_array_equal(grouped.predict(X), plain.predict(X))
        np.testing.assert_array_equal(grouped.effect_interval(X), plain.effect_interval(X))
        assert grouped.ate_interval() == plain.ate_interval()

    @pytest.mark.parametrize("container", [list, tuple, pd.Series, pd.Categorical, pd.Index])
    @pytest.mark.parametrize("label", ["{}", "{:03d}", "unit {:03d}"])
    def test_names_and_containers_of_groups_do_not_matter(self, container, label):
        X, y, arm, _ = trial(n=100)
        unit = np.arange(100) // 2
        expected = tiny(inputs="raw").fit(X, y, arm, groups=unit)
        named = [int(u) if label == "{}" else label.format(u) for u in unit]
        est = tiny(inputs="raw").fit(X, y, arm, groups=container(named))
        np.testing.assert_array_equal(est.effect_interval(X), expected.effect_interval(X))
        assert est.ate_interval() == expected.ate_interval()

    def test_groups_go_with_the_rows_by_position_also_of_weight_0(self):
        X, y, arm, groups = in_groups("names")
        out = np.arange(len(X)) % 5 == 3
        shuffled = pd.Series(np.where(out, "nowhere", groups), index=np.arange(len(X))[::-1])
        weight = (~out).astype(float)
        est = tiny(inputs="raw").fit(X, y, arm, sample_weight=weight, groups=shuffled)
        without = tiny(inputs="raw").fit(X[~out], y[~out], arm[~out], groups=groups[~out])
        np.testing.assert_array_equal(est.predict(X), without.predict(X))
        np.testing.assert_array_equal(est.ate_interval(), without.ate_interval())

    def test_input_is_left_alone(self):
        X, y, arm, groups = in_groups("names")
        before = groups.copy()
        groups.setflags(write=False)
        tiny(inputs="raw").fit(X, y, arm, groups=groups)
        np.testing.assert_array_equal(groups, before)


class TestFewGroups:
    @pytest.mark.parametrize("n_groups", [3, 4, 6])
    def test_three_groups_that_hold_every_arm_are_enough(self, n_groups):
        X, y, arm, _ = trial()
        groups = np.arange(len(X)) % n_groups
        est = tiny().fit(X, y, arm, groups=groups)
        assert np.isfinite(est.predict(X)).all()
        lower, upper = est.effect_interval(X)
        assert (lower < upper).all()
        lower, upper = est.ate_interval()
        assert lower < est.ate() < upper

    def test_an_arm_in_two_groups_is_enough(self):
        X, y, arm, _ = trial()
        groups = np.arange(len(X)) // 5
        arm = np.where(groups < 2, 2, arm)
        est = tiny().fit(X, y, arm, groups=groups)
        assert np.isfinite(est.predict(X)).all()
        assert np.isfinite(est.ate_interval()).all()

    def test_an_effect_that_differs_between_few_groups_is_known_as_well_as_their_number_says(self):
        X, y, arm, _ = trial(slope=0)
        group = np.arange(300) // 10
        shift = 3 * np.random.default_rng(1).normal(size=30)
        y = y + shift[group] * arm
        grouped = tiny(inputs="raw").fit(X, y, arm, groups=group).ate_inference()
        apart = tiny(inputs="raw").fit(X, y, arm).ate_inference()
        assert grouped.stderr[0] == pytest.approx(shift.std() / 30**0.5, rel=0.3)
        assert grouped.stderr[0] > 1.4 * apart.stderr[0]
        assert grouped.dof[0] < 30


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


class TestRouting:
    def test_a_pipeline_hands_groups_on(self, routing):
        X, y, arm, groups = in_groups("pairs", n=120)
        pipeline = make_pipeline(StandardScaler(), tiny(inputs="raw"))
        pipeline.fit(X, y, treatment=arm, groups=groups)
        scaled = StandardScaler().fit_transform(X)
        alone = tiny(inputs="raw").fit(scaled, y, arm, groups=groups)
        np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled))
        np.testing.assert_array_equal(pipeline[-1].ate_interval(), alone.ate_interval())
        ungrouped = tiny(inputs="raw").fit(scaled, y, arm)
        assert not np.array_equal(pipeline.predict(X), ungrouped.predict(scaled))

    def test_a_search_hands_groups_to_the_splitter_and_to_the_fit(self, routing):
        X, y, arm, groups = in_groups("names", n=240)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), tiny(inputs="raw")),
            {"hypercate__sharing": ["intercept", "weak"]},
            cv=GroupKFold(2),
            error_score="raise",
        ).fit(X, y, treatment=arm, groups=groups)
        best = clone(search.best_estimator_).fit(X, y, treatment=arm, groups=groups)
        np.testing.assert_array_equal(search.predict(X), best.predict(X))
        ungrouped = clone(best).fit(X, y, treatment=arm)
        assert not np.array_equal(search.predict(X), ungrouped.predict(X))

    def test_cross_validation_fits_on_the_groups_of_its_rows(self, routing):
        X, y, arm, groups = in_groups("pairs", n=120)
        folds = GroupKFold(2)
        result = cross_validate(
            tiny(inputs="raw"),
            X,
            y,
            cv=folds,
            params={"treatment": arm, "groups": groups},
            return_estimator=True,
            error_score="raise",
        )
        for est, (train, _) in zip(result["estimator"], folds.split(X, groups=groups), strict=True):
            alone = tiny(inputs="raw").fit(X[train], y[train], arm[train], groups=groups[train])
            np.testing.assert_array_equal(est.predict(X), alone.predict(X))

    def test_groups_may_be_declined(self, routing):
        X, y, arm, groups = in_groups("pairs", n=120)
        est = tiny(inputs="raw").set_fit_request(groups=False)
        search = GridSearchCV(est, {"patience": [1]}, cv=GroupKFold(2), error_score="raise")
        search.fit(X, y, treatment=arm, groups=groups)
        expected = tiny(inputs="raw", patience=1).fit(X, y, arm)
        np.testing.assert_array_equal(search.predict(X), expected.predict(X))


BAD = {
    "too short": (lambda g: g[:-1], ValueError, "groups has 119 rows, but X has 120"),
    "a single label": (lambda g: "clinic", TypeError, "groups must have one value for each row"),
    "missing": (
        lambda g: np.where(np.arange(120) == 7, None, g.astype(object)),
        ValueError,
        r"groups is missing \(NaN or None\) in row 7",
    ),
    "missing numbers": (
        lambda g: np.where(np.arange(120) == 7, np.nan, g),
        ValueError,
        r"groups is missing \(NaN or None\) in row 7",
    ),
    "two columns": (lambda g: np.column_stack([g, g]), ValueError, "groups should be a 1d array"),
    "mixed": (
        lambda g: ["a", *g[1:].tolist()],
        TypeError,
        r"groups holds str \(first in row 0\) and int \(first in row 1\)",
    ),
    "dates": (lambda g: pd.date_range("2020", periods=120), TypeError, "groups holds Timestamp"),
    "all in one": (lambda g: np.zeros(120), ValueError, r"groups has 1 group\(s\).*at least 3"),
    "two": (lambda g: np.arange(120) % 2, ValueError, r"groups has 2 group\(s\).*at least 3"),
    "an arm in one": (
        lambda g: np.where(trial(n=120)[2] == 1, -1, g),
        ValueError,
        "arm 1 occurs in one group only.*needs at least two groups",
    ),
}


class TestBadGroups:
    @pytest.mark.parametrize(("spoil", "error", "message"), BAD.values(), ids=BAD.keys())
    def test_are_refused_and_leave_the_estimator_as_it_was(self, spoil, error, message):
        X, y, arm, _ = trial(n=120)
        groups = spoil(np.arange(120) // 2)
        unfitted, fitted = tiny(inputs="raw"), tiny(inputs="raw").fit(X, y, arm)
        names, before = set(vars(unfitted)), fitted.fitted_
        for est in (unfitted, fitted):
            with pytest.raises(error, match=message):
                est.fit(X, y, arm, groups=groups)
        assert set(vars(unfitted)) == names
        assert not hasattr(unfitted, "fitted_")
        assert fitted.fitted_ is before

    def test_are_refused_before_anything_is_trained(self, capfd):
        X, y, arm, _ = trial(n=120)
        with pytest.raises(ValueError, match="groups has 119 rows"):
            tiny(verbose=True).fit(X, y, arm, groups=np.arange(119))
        assert capfd.readouterr() == ("", "")

    def test_an_arm_whose_second_group_has_weight_0_is_refused(self):
        X, y, arm, _ = trial(n=120)
        groups = np.where(arm == 1, np.where(np.arange(120) < 60, "a", "b"), "c")
        groups = np.where(arm == 0, np.arange(120).astype(str), groups)
        weight = np.where(groups == "b", 0.0, 1.0)
        tiny(inputs="raw").fit(X, y, arm, groups=groups)
        with pytest.raises(ValueError, match="arm 1 occurs in one group only"):
            tiny(inputs="raw").fit(X, y, arm, sample_weight=weight, groups=groups)


class TestOneMember:
    @pytest.mark.parametrize("kind", [None, "pairs", "names"])
    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_every_interval_is_finite_and_holds_the_prediction(self, kind, inputs):
        X, y, arm, groups = in_groups(kind or "rows")
        est = tiny(n_members=1, inputs=inputs, max_epochs=20)
        est.fit(X, y, arm, groups=None if kind is None else groups)
        effects = est.predict(X)
        intervals = {
            "effects": (effects, est.effect_interval(X)),
            "average": (est.ate(), est.ate_interval()),
            "average of rows": (est.ate(X), est.ate_interval(X)),
            "treated": (est.att(), est.att_interval()),
            "outcome": (est.predict_outcomes(X)[:, 0], est.predict_outcome_interval(X, alpha=0.4)),
            "own effect": (effects, est.individual_effect_interval(X, alpha=0.8)),
        }
        for name, (point, (lower, upper)) in intervals.items():
            assert np.isfinite(np.subtract(upper, lower)).all(), name
            assert np.all((lower <= point) & (point <= upper)), name
            assert np.all(np.less(lower, upper)), name
        assert (est.effect_inference(X).stderr > 0).all()

    def test_its_standard_errors_are_larger_than_those_of_five(self):
        X, y, arm, groups = in_groups("pairs")
        one, five = (tiny(n_members=m, max_epochs=20).fit(X, y, arm, groups=groups) for m in (1, 5))
        assert (one.effect_inference(X).stderr > five.effect_inference(X).stderr).all()
