"""HyperCATE inside scikit-learn: its estimator checks, pipelines, searches, parameters."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from hypercate import HyperCATE

TINY = {
    "n_members": 1,
    "max_epochs": 2,
    "outcome_hidden": (4,),
    "sharing": "moderate",
    "random_state": 0,
}
N_CHECKS = {"1.9": 59}
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "wants the same bits from weights and from repeated rows, but members' folds are drawn by "
        "row, and a row left out changes the arms that this subclass gives to the others"
    ),
    "check_fit2d_1sample": "one row has one arm, and the message speaks of arms, not of samples",
}


class ArmsByRow(HyperCATE):
    """Takes the arm from the row number where none is given, as the checks give none."""

    def fit(self, X, y, treatment=None, *, sample_weight=None, groups=None):
        arm = arms_by_row(X, y, treatment)
        return super().fit(X, y, arm, sample_weight=sample_weight, groups=groups)

    def partial_fit(self, X, y, treatment=None, *, sample_weight=None, groups=None):
        arm = arms_by_row(X, y, treatment)
        return super().partial_fit(X, y, arm, sample_weight=sample_weight, groups=groups)

    def score(self, X, y, treatment=None, *, sample_weight=None):
        return super().score(X, y, arms_by_row(X, y, treatment), sample_weight=sample_weight)


def arms_by_row(X, y, treatment):
    if treatment is not None:
        return treatment
    return np.arange(len(np.asarray(X if y is None else y))) % 2


def name_of(check):
    return getattr(check, "func", check).__name__


WAYS = {
    "default": {},
    "dr": {"learner": "dr"},
    "fast": {"effort": "fast", "sharing": "auto", "n_members": 3, "validation_fraction": 0.3},
}
CHECKS = [check for _, check in estimator_checks_generator(ArmsByRow(**TINY), mark=None)]


class TestEstimatorChecks:
    @pytest.mark.parametrize(
        ("way", "check"),
        [
            pytest.param(
                way,
                check,
                id=f"{way}-{name_of(check)}",
                marks=[
                    pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)
                    for name, reason in EXPECTED_FAILURES.items()
                    if name == name_of(check)
                ],
            )
            for way in WAYS
            for check in CHECKS
            if way == "default" or not name_of(check).startswith("check_regressor")
        ],
    )
    def test_passes(self, way, check):
        check(ArmsByRow(**TINY | WAYS[way]))

    def test_all_of_them_ran(self):
        version = ".".join(sklearn.__version__.split(".")[:2])
        assert len(CHECKS) == N_CHECKS.get(version, len(CHECKS))
        assert len(CHECKS) >= 40
        assert set(EXPECTED_FAILURES) <= {name_of(check) for check in CHECKS}


def trial(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    arm = rng.choice(["control", "drug"], n)
    y = X["a"].to_numpy() + (arm == "drug") * (2 + X["b"].to_numpy()) + 0.1 * rng.normal(size=n)
    return X, y, arm


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


class TestParameters:
    def test_get_params_are_the_constructors_keywords_and_defaults(self):
        signature = inspect.signature(HyperCATE.__init__).parameters
        assert HyperCATE().get_params() == {
            name: parameter.default for name, parameter in signature.items() if name != "self"
        }
        kinds = {parameter.kind for name, parameter in signature.items() if name != "self"}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}

    def test_every_parameter_is_documented_with_its_default(self):
        documented = HyperCATE.__doc__.split("Attributes\n")[0]
        for name, value in HyperCATE().get_params().items():
            line = next(
                line for line in documented.splitlines() if line.strip().startswith(f"{name} :")
            )
            shown = f'"{value}"' if isinstance(value, str) else f"{value}"
            assert line.split("default=")[1].strip() in (shown, f"{value:g}" if value == 0 else "")

    def test_parameters_are_kept_as_given_and_checked_only_in_fit(self):
        widths = [7]
        est = HyperCATE(hypernet_hidden=widths, n_members=-1, device="nowhere", control=object)
        assert est.hypernet_hidden is widths
        assert est.get_params()["n_members"] == -1
        assert clone(est).get_params() == est.get_params()

    def test_set_params_takes_effect_at_the_next_fit(self):
        X, y, arm = trial()
        est = HyperCATE(**TINY).fit(X, y, arm)
        before = est.predict(X)
        est.set_params(max_epochs=5, control="drug", generation="none")
        np.testing.assert_array_equal(est.predict(X), before)
        est.fit(X, y, arm)
        assert est.arms_.tolist() == ["drug", "control"]
        with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
            est.set_params(epochs=5)

    def test_fit_sets_one_attribute_from_which_the_others_are_read(self):
        X, y, arm = trial()
        learned = (
            "arms_", "classes_", "outcome_", "n_features_in_", "feature_names_in_",
            "encoded_names_", "sharing_", "inputs_", "calibration_", "history_", "n_parameters_",
        )  # fmt: skip
        est = HyperCATE(**TINY)
        before = vars(est).keys()
        assert not any(hasattr(est, name) for name in learned)
        fitted = clone(est).fit(X, y, arm)
        assert vars(fitted).keys() - before == {"fitted_"}
        assert all(hasattr(fitted, name) for name in learned)
        assert vars(clone(fitted)).keys() == before
        for name in learned:
            with pytest.raises(AttributeError):
                setattr(fitted, name, None)

    def test_repr_shows_what_differs_from_the_defaults(self):
        assert repr(HyperCATE(n_members=3)) == "HyperCATE(n_members=3)"
        assert "HyperCATE" in HyperCATE(n_members=3)._repr_html_()


class TestPipeline:
    def test_routing_needs_no_request(self, routing):
        X, y, arm = trial()
        weight = np.linspace(1, 2, len(y))
        pipeline = make_pipeline(MinMaxScaler(), HyperCATE(**TINY))
        pipeline.fit(X, y, treatment=arm, sample_weight=weight)
        scaled = MinMaxScaler().fit_transform(X)
        alone = HyperCATE(**TINY).fit(scaled, y, arm, sample_weight=weight)
        np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled))
        assert pipeline.score(X, y, treatment=arm, sample_weight=weight) == alone.score(
            scaled, y, arm, sample_weight=weight
        )
        assert pipeline.n_features_in_ == 3
        assert pipeline[-1].arms_.tolist() == ["control", "drug"]

    def test_without_routing_arms_go_by_the_steps_name(self):
        X, y, arm = trial()
        pipeline = Pipeline([("scale", StandardScaler()), ("cate", HyperCATE(**TINY))])
        pipeline.fit(X, y, cate__treatment=arm)
        scaled = StandardScaler().fit_transform(X)
        alone = HyperCATE(**TINY).fit(scaled, y, arm)
        np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled))

    def test_frames_that_come_out_of_transformers_keep_their_names(self, routing):
        X, y, arm = trial()
        X["site"] = np.where(X["c"] > 0, "north", "south")
        X.iloc[::9, 0] = np.nan
        steps = make_column_transformer(
            (SimpleImputer(), ["a", "b", "c"]),
            remainder="passthrough",
            verbose_feature_names_out=False,
        ).set_output(transform="pandas")
        pipeline = make_pipeline(steps, HyperCATE(**TINY)).fit(X, y, treatment=arm)
        assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c", "site"]
        assert np.isfinite(pipeline.predict(X[["site", "c", "b", "a"]])).all()

    def test_a_pipeline_without_treatment_says_what_to_do(self, routing):
        X, y, _ = trial()
        with pytest.raises(TypeError, match=r"treatment is missing.*metadata routing"):
            make_pipeline(StandardScaler(), HyperCATE(**TINY)).fit(X, y)

    def test_a_request_may_be_renamed(self, routing):
        X, y, arm = trial()
        est = HyperCATE(**TINY).set_fit_request(treatment="arm").set_score_request(treatment="arm")
        pipeline = make_pipeline(StandardScaler(), est).fit(X, y, arm=arm)
        assert np.isfinite(pipeline.score(X, y, arm=arm))


class TestModelSelection:
    def test_cross_validation_hands_each_fold_its_own_arms_and_weights(self, routing):
        X, y, arm = trial()
        weight = np.linspace(1, 2, len(y))
        folds = KFold(3, shuffle=True, random_state=0)
        result = cross_validate(
            HyperCATE(**TINY),
            X,
            y,
            cv=folds,
            params={"treatment": arm, "sample_weight": weight},
            return_estimator=True,
            error_score="raise",
        )
        for k, (train, test) in enumerate(folds.split(X)):
            est = HyperCATE(**TINY)
            est.fit(X.iloc[train], y[train], arm[train], sample_weight=weight[train])
            np.testing.assert_array_equal(result["estimator"][k].predict(X), est.predict(X))
            expected = est.score(X.iloc[test], y[test], arm[test], sample_weight=weight[test])
            assert result["test_score"][k] == expected

    def test_groups_reach_the_splitter_and_every_fit(self, routing):
        X, y, arm = trial()
        groups = np.arange(len(y)) // 4
        result = cross_validate(
            make_pipeline(HyperCATE(**TINY)),
            X,
            y,
            cv=GroupKFold(3),
            params={"treatment": arm, "groups": groups},
            return_estimator=True,
            error_score="raise",
        )
        for k, (train, _) in enumerate(GroupKFold(3).split(X, groups=groups)):
            est = HyperCATE(**TINY).fit(X.iloc[train], y[train], arm[train], groups=groups[train])
            np.testing.assert_array_equal(result["estimator"][k].predict(X), est.predict(X))
            cluster = result["estimator"][k][-1].fitted_.evidence.cluster
            np.testing.assert_array_equal(cluster, np.unique(groups[train], return_inverse=True)[1])

    def test_cross_val_score_of_a_pipeline(self, routing):
        X, y, arm = trial()
        pipeline = make_pipeline(StandardScaler(), HyperCATE(**TINY))
        scores = cross_val_score(
            pipeline, X, y, cv=2, params={"treatment": arm}, error_score="raise"
        )
        assert scores.shape == (2,)
        assert np.isfinite(scores).all()

    def test_grid_search_picks_the_setting_that_explains_the_effects(self, routing):
        X, y, arm = trial(n=300)
        est = HyperCATE(**{**TINY, "max_epochs": 60, "outcome_hidden": (8, 8)})
        grid = {"sharing": ["intercept", "weak"]}
        search = GridSearchCV(est, grid, cv=2, error_score="raise").fit(X, y, treatment=arm)
        assert search.best_params_ == {"sharing": "weak"}
        intercept, weak = search.cv_results_["mean_test_score"]
        assert intercept == pytest.approx(0, abs=0.1)
        assert weak > 0.2
        best = clone(est).set_params(sharing="weak").fit(X, y, arm)
        np.testing.assert_array_equal(search.predict(X), best.predict(X))
        assert search.score(X, y, treatment=arm) == best.score(X, y, arm)

    def test_a_random_search_reaches_into_a_pipeline(self, routing):
        X, y, arm = trial()
        search = RandomizedSearchCV(
            make_pipeline(StandardScaler(), HyperCATE(**TINY, inputs="raw")),
            {
                "hypercate__generation": ["chunk", "component", "once", "none"],
                "hypercate__learning_rate": [0.001, 0.01],
            },
            n_iter=3,
            cv=2,
            random_state=0,
            error_score="raise",
        ).fit(X, y, treatment=arm, sample_weight=None)
        assert len(search.cv_results_["params"]) == 3
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_[-1].arms_.tolist() == ["control", "drug"]

    what_to_do = r"score\(X, y, treatment\)[^$]*sklearn\.set_config\(enable_metadata_routing=True\)"

    def test_a_search_without_routing_says_what_to_do(self):
        X, y, arm = trial()
        search = GridSearchCV(HyperCATE(**TINY), {"patience": [1, 2]}, cv=2, error_score="raise")
        with pytest.raises(TypeError, match=self.what_to_do):
            search.fit(X, y, treatment=arm)

    def test_also_in_the_warning_of_a_search_that_goes_on(self):
        X, y, arm = trial()
        search = GridSearchCV(HyperCATE(**TINY), {"patience": [1]}, cv=2)
        with pytest.warns(UserWarning, match="Scoring failed|test scores are non-finite") as caught:
            search.fit(X, y, treatment=arm)
        failed = [str(one.message) for one in caught if "Scoring failed" in str(one.message)]
        assert len(failed) == 2
        assert all(re.search(self.what_to_do, message) for message in failed)

    def test_what_it_says_is_all_there_is_to_do(self):
        X, y, arm = trial()
        with sklearn.config_context(enable_metadata_routing=True):
            search = GridSearchCV(HyperCATE(**TINY), {"patience": [1]}, cv=2, error_score="raise")
            assert np.isfinite(search.fit(X, y, treatment=arm).best_score_)

    def test_a_score_without_treatment_is_refused_before_anything_is_read(self):
        X, y, arm = trial()
        for est in (HyperCATE(**TINY), HyperCATE(**TINY).fit(X, y, arm)):
            with pytest.raises(TypeError, match=self.what_to_do):
                est.score("no table", None)
