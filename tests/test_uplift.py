"""Qini and uplift: against scikit-uplift, brute force, and by what any order must satisfy."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import tiny

from hypercate.metrics import (
    auuc_score,
    make_uplift_scorer,
    qini_curve,
    qini_score,
    rate_score,
    uplift_at_k,
    uplift_curve,
)

settings.register_profile("uplift", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("uplift")
CURVES = [qini_curve, uplift_curve]
SCORES = [qini_score, auuc_score, uplift_at_k]
OF_ANY_SAMPLE = [qini_score, auuc_score, partial(uplift_at_k, strategy="by_group")]


def experiment(seed, n=60, ties=True, binary=True):
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(n) % 2)
    chance = rng.uniform(0.2, 0.8)
    y = (rng.random(n) < chance + 0.2 * arm * rng.random(n)).astype(int)
    if not binary:
        y = y + rng.normal(size=n)
    effect = rng.normal(size=n)
    return y, np.round(effect, 1) if ties else effect, arm


experiments = st.builds(
    experiment,
    seed=st.integers(0, 10_000),
    n=st.integers(12, 90),
    ties=st.booleans(),
    binary=st.booleans(),
)


def brute_force(kind, y, effect, arm, k):
    """Value of a curve at the k-th distinct effect, by counting."""
    first = effect >= np.sort(np.unique(effect))[::-1][k]
    treated, control = first & (arm == 1), first & (arm == 0)
    if kind == "qini":
        scale = treated.sum() / control.sum() if control.any() else 0.0
        return y[treated].sum() - y[control].sum() * scale
    means = [y[rows].mean() if rows.any() else 0.0 for rows in (treated, control)]
    return (means[0] - means[1]) * first.sum()


class TestDefinitions:
    @given(experiments)
    def test_curves_are_those_of_counting(self, data):
        y, effect, arm = data
        for kind, curve in (("qini", qini_curve), ("uplift", uplift_curve)):
            value = curve(y, effect, arm).table["value"].to_numpy()
            n_points = len(np.unique(effect))
            expected = [brute_force(kind, y, effect, arm, k) for k in range(n_points)]
            np.testing.assert_allclose(value, [0, *expected], atol=1e-9)

    @given(st.integers(0, 10_000), st.booleans())
    def test_they_are_those_of_scikit_uplift(self, seed, ties):
        theirs = pytest.importorskip("sklift.metrics")
        y, effect, arm = experiment(seed, ties=ties)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            for name, curve in (("qini_curve", qini_curve), ("uplift_curve", uplift_curve)):
                n, value = getattr(theirs, name)(y, effect, arm)
                ours = curve(y, effect, arm).table
                np.testing.assert_array_equal(ours["rows"], n)
                np.testing.assert_allclose(ours["value"], value, atol=1e-9)
            for name, score in (("qini_auc_score", qini_score), ("uplift_auc_score", auuc_score)):
                expected = getattr(theirs, name)(y, effect, arm)
                assert score(y, effect, arm, normalize="perfect") == pytest.approx(expected)
            if not ties:
                for strategy in ("overall", "by_group"):
                    expected = theirs.uplift_at_k(y, effect, arm, strategy=strategy, k=0.5)
                    found = uplift_at_k(y, effect, arm, strategy=strategy, k=0.5)
                    assert found == pytest.approx(expected)

    @given(st.integers(0, 10_000))
    def test_they_are_those_of_causalml(self, seed):
        """But for its first points, which are 0 where the first of each arm have no outcome."""
        theirs = pytest.importorskip("causalml.metrics")
        y, effect, arm = experiment(seed, ties=False)
        y, effect, arm = np.append([0, 0], y), np.append([20, 10], effect), np.append([1, 0], arm)
        frame, n = pd.DataFrame({"y": y, "w": arm, "model": effect}), len(y)
        for name, curve in (("get_qini", qini_curve), ("get_cumgain", uplift_curve)):
            value = getattr(theirs, name)(frame)["model"]
            np.testing.assert_allclose(curve(y, effect, arm).table["value"], value, atol=1e-9)
        end = theirs.get_cumgain(frame)["model"].iloc[-1]
        assume(abs(end) > 1e-9)  # by which both divide
        for normalize, at_end in (("none", end), ("total", np.sign(end))):
            options = {"normalize": normalize == "total"}
            found = qini_score(y, effect, arm, normalize=normalize)
            expected = theirs.qini_score(frame, **options)["model"]
            assert found * n / (n + 1) == pytest.approx(expected)
            found = auuc_score(y, effect, arm, normalize=normalize)
            expected = theirs.auuc_score(frame, **options)["model"]
            assert (found * n + at_end / 2) / (n + 1) == pytest.approx(expected)

    @given(experiments)
    def test_scores_are_areas_between_the_curves(self, data):
        y, effect, arm = data
        n = len(y)
        curve = qini_curve(y, effect, arm).table
        at = np.arange(n + 1)
        filled = np.interp(at, curve["rows"], curve["value"])
        line = np.linspace(0, filled[-1], n + 1)
        assert qini_score(y, effect, arm) == pytest.approx((filled - line).sum() / n, abs=1e-9)
        curve = uplift_curve(y, effect, arm).table
        filled = np.interp(at, curve["rows"], curve["value"])
        area = (filled.sum() - filled[-1] / 2) / n
        assert auuc_score(y, effect, arm) == pytest.approx(area, abs=1e-9)
        if abs(filled[-1]) > 1e-6:
            shared = auuc_score(y, effect, arm, normalize="total")
            assert shared == pytest.approx(area / abs(filled[-1]))

    def test_the_first_tenth_holds_a_tenth_of_rows_that_tie(self):
        y = np.array([1.0, 0, 0, 0, 1, 1, 0, 0, 1, 0])
        arm = np.arange(10) % 2
        same = np.zeros(10)
        expected = y[arm == 1].mean() - y[arm == 0].mean()
        for share in (0.1, 0.35, 1.0):
            assert uplift_at_k(y, same, arm, k=share) == pytest.approx(expected)


class TestProperties:
    @given(experiments, st.sampled_from(OF_ANY_SAMPLE))
    def test_weights_are_repetitions(self, data, score):
        y, effect, arm = data
        times = np.random.default_rng(len(y)).integers(1, 4, len(y))
        repeated = score(*(np.repeat(values, times) for values in (y, effect, arm)))
        assert score(y, effect, arm, sample_weight=times) == pytest.approx(repeated, abs=1e-9)

    @given(experiments, st.sampled_from(OF_ANY_SAMPLE))
    def test_names_of_arms_and_order_of_rows_change_nothing(self, data, score):
        y, effect, arm = data
        names = np.array(["z placebo", "a drug"])[arm]
        order = np.random.default_rng(0).permutation(len(y))
        expected = score(y, effect, arm)
        assert score(y, effect, names, control="z placebo") == expected
        found = score(y[order], effect[order], arm[order])
        assert found == pytest.approx(expected, abs=1e-9)

    @given(experiments, st.sampled_from(OF_ANY_SAMPLE))
    def test_only_the_order_of_effects_counts(self, data, score):
        y, effect, arm = data
        assert score(y, np.exp(effect), arm) == pytest.approx(score(y, effect, arm), abs=1e-9)

    @given(st.integers(0, 500))
    def test_the_best_order_beats_its_reverse_and_chance(self, seed):
        y, _, arm = experiment(seed, n=80)
        gain = y * np.where(arm == 1, 1, -1)
        assert qini_score(y, gain, arm) > 0 > qini_score(y, -gain, arm)
        assert qini_score(y, gain, arm, normalize="perfect") == pytest.approx(1)
        assert qini_score(y, np.zeros(80), arm) == pytest.approx(0, abs=1e-12)
        assert auuc_score(y, np.zeros(80), arm, normalize="perfect") == pytest.approx(0, abs=1e-12)

    def test_each_of_several_arms_is_compared_with_control(self):
        rng = np.random.default_rng(0)
        arm = rng.choice(["a", "b", "c"], 300)
        effect = pd.DataFrame(rng.normal(size=(300, 2)), columns=["c", "a"])
        y = rng.normal(size=300) + effect["a"] * (arm == "a")
        found = qini_score(y, effect, arm, control="b")
        assert found.index.tolist() == ["a", "c"]
        assert found["a"] > found["c"]
        for label in ("a", "c"):
            rows = np.isin(arm, ("b", label))
            alone = qini_score(y[rows], effect[label][rows], arm[rows], control="b")
            assert found[label] == pytest.approx(alone)
        curve = qini_curve(y, effect, arm, control="b")
        assert curve.arms == ["a", "c"]
        assert "share" in str(curve)
        assert "<table" in curve._repr_html_()

    def test_rows_of_weight_0_count_nowhere(self):
        y, effect, arm = experiment(1)
        weight = np.where(np.arange(len(y)) < 10, 0.0, 2.0)
        effect = np.where(weight == 0, np.nan, effect)
        used = weight > 0
        expected = 2 * qini_score(y[used], effect[used], arm[used])
        assert qini_score(y, effect, arm, sample_weight=weight) == pytest.approx(expected)


class TestRefusals:
    @pytest.mark.parametrize("function", [*CURVES, *SCORES])
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": np.zeros(5)}, "y has 5 rows, but effects has 60"),
            ({"y": np.full(60, np.nan)}, "y is missing"),
            ({"effects": np.full(60, np.inf)}, "effects is missing or infinite in row"),
            ({"effects": np.zeros((60, 2))}, "effects has 2 columns"),
            ({"treatment": np.zeros(60)}, "at least two arms"),
            ({"control": "x"}, "control 'x' is not an arm"),
            ({"sample_weight": -np.ones(60)}, "sample_weight is negative"),
        ],
    )
    def test_bad_input_is_named(self, function, change, message):
        y, effect, arm = experiment(0)
        data = {"y": y, "effects": effect, "treatment": arm, **change}
        with pytest.raises(ValueError, match=message):
            function(**data)

    @pytest.mark.parametrize("function", [*CURVES, *SCORES])
    def test_rows_in_another_order_are_refused(self, function):
        y, effect, arm = experiment(0)
        index = pd.Index([f"p{i}" for i in range(60)])
        other = pd.Series(y, index)[::-1]
        with pytest.raises(ValueError, match=r"y has an index .* labels of effects in another"):
            function(other, pd.Series(effect, index), arm)
        with pytest.raises(ValueError, match="labels of y in another order"):
            function(other, effect, pd.Series(arm, index))

    def test_a_frame_without_an_arm_is_refused(self):
        arm = np.arange(60) % 3
        effects = pd.DataFrame(np.zeros((60, 2)), columns=[1, 3])
        with pytest.raises(ValueError, match=r"columns \[1, 3\].*arms \[1, 2\]"):
            qini_score(np.zeros(60), effects, arm)
        with pytest.raises(ValueError, match="one value per row"):
            qini_score(np.zeros(60), np.zeros(60), arm)

    @pytest.mark.parametrize("score", [qini_score, auuc_score])
    def test_what_cannot_be_normalised_is_refused(self, score):
        y, effect, arm = experiment(0, binary=False)
        with pytest.raises(ValueError, match="0 or 1"):
            score(y, effect, arm, normalize="perfect")
        with pytest.raises(ValueError, match="divides by 0"):
            score(np.zeros(60), effect, arm, normalize="total")
        with pytest.raises(ValueError, match="normalize='best'"):
            score(y, effect, arm, normalize="best")

    def test_shares_are_refused_that_hold_nobody(self):
        y, effect, arm = experiment(0, ties=False)
        with pytest.raises(ValueError, match=r"above 0 and at most 1"):
            uplift_at_k(y, effect, arm, k=0)
        with pytest.raises(ValueError, match="strategy='top'"):
            uplift_at_k(y, effect, arm, strategy="top")
        with pytest.raises(ValueError, match="use a larger k"):
            uplift_at_k(y, effect, arm, k=0.01)


class ByColumn(BaseEstimator):
    """Predicts a column as the effect."""

    __metadata_request__fit = {"treatment": True}  # noqa: RUF012

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y, treatment=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X)[:, self.column]


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def study(n=400):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    arm = rng.choice(["control", "drug"], n)
    y = X["a"] + (arm == "drug") * X["b"] + 0.5 * rng.normal(size=n)
    return X, y, arm


class TestScorers:
    @pytest.mark.parametrize("metric", [qini_score, auuc_score, uplift_at_k, rate_score])
    def test_a_search_takes_the_model_that_orders_best(self, routing, metric):
        X, y, arm = study()
        search = GridSearchCV(
            ByColumn(), {"column": [0, 1, 2]}, scoring=make_uplift_scorer(metric), cv=3,
            error_score="raise",
        )  # fmt: skip
        search.fit(X, y, treatment=arm)
        assert search.best_params_ == {"column": 1}

    def test_each_fold_is_scored_by_its_own_rows(self, routing):
        X, y, arm = study()
        weight = np.linspace(1, 2, len(y))
        folds = KFold(3, shuffle=True, random_state=0)
        found = cross_val_score(
            make_pipeline(StandardScaler().set_fit_request(sample_weight=False), ByColumn(1)),
            X, y, cv=folds, scoring=make_uplift_scorer(qini_score, control="drug"),
            params={"treatment": arm, "sample_weight": weight}, error_score="raise",
        )  # fmt: skip
        for value, (_, rows) in zip(found, folds.split(X), strict=True):
            expected = qini_score(
                y.iloc[rows], X["b"].iloc[rows], arm[rows], control="drug",
                sample_weight=weight[rows],
            )  # fmt: skip
            assert value == pytest.approx(expected)

    def test_arms_of_the_estimator_are_known_by_name(self):
        X, y, _ = study(200)
        arm = np.random.default_rng(1).choice(["a", "b", "c"], 200)
        est = tiny(control="b").fit(X, y, arm)
        expected = qini_score(
            y, pd.DataFrame(est.predict(X), columns=est.arms_[1:]), arm, control="b"
        ).mean()
        assert make_uplift_scorer(qini_score)(est, X, y, arm) == pytest.approx(expected)
        error = make_uplift_scorer(qini_score, greater_is_better=False)(est, X, y, arm)
        assert error == pytest.approx(-expected)

    def test_without_treatment_it_says_what_to_do(self):
        X, y, _ = study()
        with pytest.raises(TypeError, match="enable_metadata_routing"):
            make_uplift_scorer(qini_score)(ByColumn().fit(X, y), X, y)
