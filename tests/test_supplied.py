"""Nuisances that the user supplies, and propensities that are known."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from small import tiny, trial

from hypercate import HyperCATE
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.propensities import check_propensity
from hypercate.folds import Folds
from hypercate.nuisance.supplied import supplied_means, supplied_propensity
from hypercate.study import Study

quick = settings(derandomize=True, deadline=None, max_examples=30)


class Recorder(ClassifierMixin, RegressorMixin, BaseEstimator):
    """Says of each row how many of the rows that it was fitted on are that row."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.rows_, self.weight_, self.y_ = set(X[:, 0].tolist()), sample_weight, y
        return self

    def predict(self, X):
        return np.array([float(value in self.rows_) for value in X[:, 0].tolist()])


class Probable(Recorder):
    """Where it has seen the row, all probability goes to its first class."""

    def predict_proba(self, X):
        seen = self.predict(X)[:, None]
        first = np.eye(len(self.classes_))[:1]
        return seen * first + (1 - seen) / len(self.classes_)


def study_of(n, n_arms, seed, n_parts=4, n_models=6):
    rng = np.random.default_rng(seed)
    arm = np.concatenate([np.repeat(np.arange(n_arms), 2), rng.integers(n_arms, size=n)])
    x = np.arange(len(arm), dtype=np.float32)[:, None]
    study = Study(
        x, rng.normal(size=len(arm)), rng.exponential(size=len(arm)), arm, np.arange(len(arm)),
        np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    return study, Folds.of(arm, n_parts, n_models, seed)


class TestHonestRows:
    @quick
    @given(st.integers(10, 40), st.integers(2, 3), st.integers(0, 1000))
    def test_no_row_is_predicted_by_a_classifier_that_saw_it(self, n, n_arms, seed):
        study, folds = study_of(n, n_arms, seed)
        model, apart = supplied_propensity(Probable(), study.x, study.weight, folds, 1)
        np.testing.assert_allclose(apart, 1 / n_arms)
        assert model.predict(study.x)[:, 0].min() > 0.9
        np.testing.assert_allclose(model.predict(study.x).sum(axis=1), 1)

    @quick
    @given(st.integers(40, 60), st.integers(2, 3), st.integers(0, 1000))
    def test_no_row_that_a_model_learns_from_or_is_judged_on_was_seen(self, n, n_arms, seed):
        study, folds = study_of(n, n_arms, seed)
        means = supplied_means(Recorder(), study, folds, 1)
        assert means.shape == (folds.n_models, len(study.y), n_arms)
        assert (means == 0).all()

    def test_weights_are_passed_on_if_they_differ(self):
        study, folds = study_of(30, 2, 0)
        model, _ = supplied_propensity(Probable(), study.x, study.weight, folds, 1)
        assert (model.model.weight_ == study.weight).all()
        model, _ = supplied_propensity(Probable(), study.x, np.ones(34), folds, 1)
        assert model.model.weight_ is None

    def test_an_arm_whose_outcomes_are_alike_needs_no_model(self):
        study, folds = study_of(60, 2, 0)
        y = np.where(study.condition == 1, 1.0, np.arange(64) % 2)
        alike = Study(study.x, y, study.weight, study.condition, study.cluster, study.n_codes)
        means = supplied_means(LogisticRegression(), alike, folds, 1)
        assert (means[..., 1] == 1).all()
        assert ((means[..., 0] > 0) & (means[..., 0] < 1)).all()


class TestThroughFit:
    def test_a_classifier_gives_the_propensities(self):
        X, y, arm, _ = trial(200, n_arms=3)
        est = tiny(model_propensity=DummyClassifier(strategy="prior")).fit(X, y, arm)
        share = np.bincount(arm) / 200
        assert np.abs(est.fitted_.evidence.propensity - share).max() < 0.02
        np.testing.assert_allclose(est.fitted_.propensities(np.zeros((2, 4))), [share, share])
        assert np.isfinite(est.ate_interval()).all()

    @pytest.mark.parametrize("learner", ["t", "r"])
    def test_a_regressor_gives_the_means(self, learner):
        X, y, arm, effects = trial(400)
        settings_ = {"max_epochs": 40, "random_state": 0, "learner": learner, "device": "cpu"}
        own, other = (
            HyperCATE(model_outcome=model, **settings_).fit(X, y, arm)
            for model in (None, LinearRegression())
        )
        assert np.corrcoef(other.predict(X), effects)[0, 1] > 0.9
        assert (own.predict(X) != other.predict(X)).any() or learner == "t"

    def test_a_classifier_gives_the_means_of_a_binary_outcome(self):
        X, y, arm, _ = trial(300)
        est = HyperCATE(
            learner="dr", model_outcome=LogisticRegression(), max_epochs=20, random_state=0
        ).fit(X, (y > 2).astype(int), arm)
        assert np.isfinite(est.predict(X)).all()

    def test_models_are_cloned_and_survive_pickle_and_clone(self):
        X, y, arm, _ = trial(80)
        forest = RandomForestRegressor(n_estimators=3, random_state=0)
        classifier = LogisticRegression()
        est = tiny(learner="x", model_outcome=forest, model_propensity=classifier).fit(X, y, arm)
        assert not hasattr(forest, "estimators_")
        assert not hasattr(classifier, "coef_")
        for copy in (pickle.loads(pickle.dumps(est)), clone(est).fit(X, y, arm)):
            assert (copy.predict(X) == est.predict(X)).all()
            assert copy.ate_interval() == est.ate_interval()

    def test_no_file_holds_them(self, tmp_path):
        X, y, arm, _ = trial(60)
        est = tiny(model_propensity=LogisticRegression()).fit(X, y, arm)
        with pytest.raises(
            TypeError, match=r"model_propensity=LogisticRegression\(\) cannot be saved"
        ):
            est.save(tmp_path / "model.hypercate")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "parameters",
        [{"second_stage": "none"}, {"inputs": "raw"}, {"sharing": "weak"}, {"learner": "s"}],
    )
    def test_a_model_without_effect_is_refused(self, parameters):
        X, y, arm, _ = trial(60)
        est = HyperCATE(model_outcome=LinearRegression(), **parameters)
        with pytest.raises(ValueError, match="model_outcome would have no effect"):
            est.fit(X, y, arm)

    @pytest.mark.parametrize("model", [LinearRegression(), "logistic", LogisticRegression])
    def test_a_model_that_is_none_is_refused(self, model):
        X, y, arm, _ = trial(60)
        with pytest.raises((ValueError, TypeError), match="model_propensity"):
            tiny(model_propensity=model).fit(X, y, arm)


LABELS = ["a", "b", "c"]
CONDITIONS = Conditions.fit(["a", "b", "c"])
TABLE = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])


class TestKnownPropensities:
    @pytest.mark.parametrize(
        "given",
        [
            TABLE,
            TABLE.tolist(),
            pd.DataFrame(TABLE[:, [2, 0, 1]], columns=["c", "a", "b"]),
            pl.DataFrame(dict(zip("bca", TABLE[:, [1, 2, 0]].T, strict=True))),
        ],
    )
    def test_are_read_by_label(self, given):
        np.testing.assert_allclose(check_propensity(given, 2, CONDITIONS), TABLE)

    @pytest.mark.parametrize("given", [[0.3, 0.6], np.array([0.3, 0.6]), pd.Series([0.3, 0.6])])
    def test_one_a_row_is_of_the_treatment(self, given):
        two = Conditions.fit([0, 1])
        np.testing.assert_allclose(check_propensity(given, 2, two), [[0.7, 0.3], [0.4, 0.6]])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (TABLE[:, :2], r"shape \(2, 2\)"),
            (TABLE[:1], r"shape \(1, 3\)"),
            (TABLE * 0.9, "sum to 1 over the arms, but does not in rows 0, 1"),
            ([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], "above 0 and below 1, but is not in row 0"),
            ([[0.2, 0.3, 0.5], [1.2, -0.4, 0.2]], "is not in row 1"),
            (pd.DataFrame(TABLE, columns=["a", "b", "d"]), "named by its label"),
            (pd.DataFrame(TABLE[:, :2], columns=["a", "b"]), "named by its label"),
            (pd.DataFrame(TABLE, columns=LABELS, index=[1, 0]), "labels of X in another order"),
            ([0.5, 0.5], "there are 3 arms"),
            ([0.5], "propensity has 1 rows, but X has 2"),
            ([[0.2, np.nan, 0.8]] * 2, "missing"),
        ],
    )
    def test_what_fits_no_study_is_refused(self, given, message):
        with pytest.raises(ValueError, match=message):
            check_propensity(given, 2, CONDITIONS, pd.RangeIndex(2))

    @pytest.mark.parametrize("given", [0.5, ["high", "low"], {"a": 1}])
    def test_what_holds_no_numbers_is_refused(self, given):
        with pytest.raises(TypeError, match="propensity"):
            check_propensity(given, 2, Conditions.fit([0, 1]))

    def test_take_the_place_of_estimates(self):
        X, y, arm, _ = trial(120, n_arms=3)
        known = np.random.default_rng(0).dirichlet([9, 9, 9], size=120)
        names = np.array(["b", "a", "c"])[arm]
        table = pd.DataFrame(known, columns=["a", "b", "c"])
        est = tiny(control="b").fit(X, y, names, propensity=table)
        assert est.arms_.tolist() == ["b", "a", "c"]
        np.testing.assert_allclose(est.fitted_.evidence.propensity, known[:, [1, 0, 2]])

    def test_also_of_those_of_a_model_that_is_supplied(self):
        X, y, arm, _ = trial(100)
        known = np.where(X[:, 0] > 0, 0.3, 0.6)
        est = tiny(model_propensity=DummyClassifier()).fit(X, y, arm, propensity=known)
        np.testing.assert_allclose(est.fitted_.evidence.propensity, np.c_[1 - known, known])
        np.testing.assert_allclose(est.fitted_.propensities(X[:1])[0, 1], arm.mean())
        est.fit(X, y, arm, propensity=np.full(100, 0.3))
        np.testing.assert_allclose(est.fitted_.propensities(X[:1]), [[0.7, 0.3]])

    def test_averages_rest_on_them(self):
        X, y, arm, _ = trial(300)
        right, wrong = (
            tiny().fit(X, y, arm, propensity=e)
            for e in (np.full(300, 0.5), np.where(X[:, 0] > 0, 0.2, 0.8))
        )
        assert wrong.ate_interval() != right.ate_interval()
        assert right.fitted_.propensities(X[:1].astype(np.float32)).tolist() == [[0.5, 0.5]]

    def test_of_rows_of_weight_0_are_not_used(self):
        X, y, arm, _ = trial(100)
        weight = np.where(np.arange(100) < 80, 1.0, 0.0)
        known = np.where(weight > 0, 0.4, 0.9)
        est = tiny().fit(X, y, arm, sample_weight=weight, propensity=known)
        np.testing.assert_allclose(est.fitted_.evidence.propensity, [[0.6, 0.4]] * 80)

    def test_are_routed_as_metadata(self):
        assert HyperCATE().get_metadata_routing().fit.requests["propensity"] is True
