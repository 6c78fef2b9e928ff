"""HyperCATE among EconML's estimators: its shapes and names, and inside EconML's own tools."""

import pickle
import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression

from hypercate import HyperCATE

pytest.importorskip("econml", reason="the wrapper is for EconML, which is not installed")

from econml.cate_interpreter import SingleTreeCateInterpreter, SingleTreePolicyInterpreter
from econml.inference import BootstrapInference
from econml.metalearners import TLearner
from econml.score import EnsembleCateEstimator, RScorer
from econml.validate import DRTester

from hypercate.interop.econml import as_econml

N = 200


def instant(**parameters):
    return HyperCATE(**{"effort": "instant", "random_state": 0, **parameters})


def study(n_arms=2, seed=501):
    """A frame of three covariates, arms 0 to n_arms - 1, outcomes, and true effects of the arms."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N, 3)), columns=["age", "dose", "weight"])
    T = rng.integers(n_arms, size=N)
    effects = np.arange(n_arms) * (1 + X[["dose"]].to_numpy())
    Y = X["age"].to_numpy() + effects[np.arange(N), T] + 0.1 * rng.normal(size=N)
    return X, T, Y, effects[:, 1:]


@pytest.fixture(scope="module")
def two():
    X, T, Y, effects = study()
    return as_econml(instant()).fit(Y, T, X=X), X, T, Y, effects


@pytest.fixture(scope="module")
def three():
    X, T, Y, effects = study(n_arms=3)
    return as_econml(instant()).fit(Y, T, X=X), X, T, Y, effects


@pytest.fixture(scope="module")
def scorer(two):
    _, X, T, Y, _ = two
    models = {"model_y": LinearRegression(), "model_t": LogisticRegression()}
    fresh = RScorer(**models, discrete_treatment=True, random_state=0)
    return fresh.fit(Y, T, X=X.to_numpy())


class TestEffects:
    @pytest.mark.parametrize("name", ["two", "three"])
    def test_shapes_are_those_of_an_estimator_of_econml(self, name, request):
        est, X, T, Y, _ = request.getfixturevalue(name)
        theirs = TLearner(models=LinearRegression()).fit(Y, T, X=X)
        for call in (
            lambda one: one.const_marginal_effect(X),
            lambda one: one.marginal_effect(T, X),
            lambda one: one.effect(X),
            lambda one: one.effect(X, T0=1, T1=0),
            lambda one: one.effect(X, T0=np.zeros(N, int), T1=T),
            lambda one: one.ate(X),
            lambda one: one.const_marginal_ate(X),
            lambda one: one.marginal_ate(T, X),
        ):
            assert np.shape(call(est)) == np.shape(call(theirs))
        assert est.cate_treatment_names() == theirs.cate_treatment_names()
        assert est.cate_feature_names() == theirs.cate_feature_names()
        assert est.cate_output_names() == theirs.cate_output_names()

    def test_effects_are_those_of_the_model(self, three):
        est, X, T, Y, effects = three
        model = instant().fit(X, Y, T)
        np.testing.assert_array_equal(est.const_marginal_effect(X), model.predict(X))
        np.testing.assert_array_equal(est.effect(X, T0=2, T1=1), model.effect(X, T0=2, T1=1))
        assert np.sqrt(np.mean((est.const_marginal_effect(X) - effects) ** 2)) < 0.3

    def test_an_average_is_the_doubly_robust_one_of_the_pair(self, three):
        est, X, *_ = three
        model = est.model_
        np.testing.assert_array_equal(est.const_marginal_ate(X), model.ate(X))
        for control, treated, place in [(0, 1, 0), (0, 2, 1), (1, 0, 0), (1, 2, 1), (2, 1, 1)]:
            assert est.ate(X, T0=control, T1=treated) == model.ate(X, T0=control)[place]
        assert est.ate(X) != np.mean(est.effect(X))

    def test_a_bare_array_is_the_frame_without_its_names(self, two):
        est, X, *_ = two
        np.testing.assert_array_equal(est.effect(X.to_numpy()), est.effect(X))
        np.testing.assert_array_equal(est.effect(X[["weight", "age", "dose"]]), est.effect(X))

    def test_columns_of_strings_come_back_from_bare_arrays(self):
        X, T, Y, _ = study()
        X = X.assign(site=np.where(X["age"] > 0, "north", "south"))
        est = as_econml(instant()).fit(Y, T, X=X)
        np.testing.assert_array_equal(est.effect(X.to_numpy()), est.effect(X))

    def test_columns_of_one_are_taken_as_vectors(self, two):
        est, X, T, Y, _ = two
        frame = pd.DataFrame({"y": Y, "t": T})
        again = as_econml(instant()).fit(frame[["y"]], frame[["t"]], X=X)
        np.testing.assert_array_equal(again.effect(X), est.effect(X))
        np.testing.assert_array_equal(
            again.effect(X, T0=np.zeros((N, 1)), T1=np.ones((N, 1))), est.effect(X)
        )
        assert again.cate_output_names() == ["y"]
        assert again.cate_treatment_names() == ["t_1"]

    def test_labels_are_arms_and_the_control_may_be_any(self):
        X, T, Y, effects = study()
        labels = np.array(["placebo", "drug"])[T]
        est = as_econml(instant(control="placebo")).fit(Y, labels, X=X)
        assert est.cate_treatment_names() == ["T0_drug"]
        found = est.effect(X, T0="placebo", T1="drug")
        np.testing.assert_array_equal(found, est.const_marginal_effect(X)[:, 0])
        assert np.corrcoef(found, effects[:, 0])[0, 1] > 0.9
        with pytest.raises(ValueError, match=r"0 is not an arm.*placebo"):
            est.effect(X)

    def test_score_is_the_models(self, two):
        est, X, T, Y, _ = two
        assert est.score(Y, T, X) == est.model_.score(X, Y, T) > 0.3


class TestFit:
    def test_weights_and_groups_reach_the_model(self):
        X, T, Y, _ = study()
        weight, groups = np.linspace(0.5, 2, N), np.arange(N) // 2
        est = as_econml(instant()).fit(Y, T, X=X, sample_weight=weight, groups=groups)
        model = instant().fit(X, Y, T, sample_weight=weight, groups=groups)
        np.testing.assert_array_equal(est.effect(X), model.predict(X))
        assert est.ate_interval(X) == model.ate_interval(X)

    def test_a_fitted_model_answers_at_once_and_a_fit_leaves_it_alone(self, two):
        est, X, T, Y, _ = two
        model = instant().fit(X, Y, T)
        before = model.fitted_
        wrapped = as_econml(model)
        np.testing.assert_array_equal(wrapped.effect(X), est.effect(X))
        assert wrapped.ate_interval(X) == est.ate_interval(X)
        assert wrapped.cate_treatment_names() == ["T0_1"]
        wrapped.fit(-Y, T, X=X)
        assert model.fitted_ is before
        assert np.corrcoef(wrapped.effect(X), est.effect(X))[0, 1] < -0.9

    def test_a_fit_that_fails_leaves_the_estimator_as_it_was(self, two):
        _, X, T, Y, _ = two
        est = as_econml(instant()).fit(Y, T, X=X)
        before = est.effect_interval(X)
        with pytest.raises(TypeError):
            est.fit(-Y, T, X=X, inference=BootstrapInference(n_bootstrap_samples="three"))
        np.testing.assert_array_equal(est.effect_interval(X), before)

    def test_a_pickle_answers_alike(self, two):
        est, X, *_ = two
        again = pickle.loads(pickle.dumps(est))
        np.testing.assert_array_equal(again.effect_interval(X), est.effect_interval(X))

    def test_what_has_no_meaning_is_refused(self, two):
        est, X, T, Y, _ = two
        fresh = as_econml(instant())
        with pytest.raises(ValueError, match="put the columns of W into X"):
            fresh.fit(Y, T, X=X[["dose"]], W=X[["age", "weight"]])
        with pytest.raises(ValueError, match="X is missing"):
            fresh.fit(Y, T)
        with pytest.raises(ValueError, match=r"Y has shape \(200, 2\)"):
            fresh.fit(np.column_stack([Y, Y]), T, X=X)
        with pytest.raises(NotFittedError, match=r"call fit\(Y, T, X=X\)"):
            fresh.effect(X)
        with pytest.raises(ValueError, match="not recognized"):
            fresh.fit(Y, T, X=X, inference="statsmodels")
        with pytest.raises(TypeError, match="wraps a HyperCATE, but got LinearRegression"):
            as_econml(LinearRegression())
        with pytest.raises(ValueError, match="models of arms"):
            as_econml(HyperCATE(treatment_kind="dose"))
        several = instant().fit(X, np.column_stack([Y, -Y]), T)
        with pytest.raises(ValueError, match="one outcome"):
            as_econml(several)
        with pytest.raises(ValueError, match="a label each"):
            est.ate(X, T0=0, T1=T)
        with pytest.raises(ValueError, match="the same arm"):
            est.ate(X, T0=1, T1=1)
        with pytest.raises(AttributeError, match=r"hypercate\.interop\.dowhy"):
            _ = est.dowhy


class TestInference:
    @pytest.mark.parametrize("name", ["two", "three"])
    def test_intervals_and_tables_are_the_models(self, name, request):
        est, X, *_ = request.getfixturevalue(name)
        model, shape = est.model_, (N, len(est.model_.arms_) - 1)
        own = [bound.reshape(shape) for bound in model.effect_interval(X, alpha=0.1)]
        np.testing.assert_array_equal(est.const_marginal_effect_interval(X, alpha=0.1), own)
        np.testing.assert_array_equal(est.marginal_effect_interval(0, X, alpha=0.1), own)
        pair = model.effect_interval(X, T0=0, T1=1, alpha=0.1)
        np.testing.assert_array_equal(est.effect_interval(X, alpha=0.1), pair)
        table = est.const_marginal_effect_inference(X).summary_frame(alpha=0.1, decimals=12)
        theirs = model.effect_inference(X).summary_frame(alpha=0.1)
        np.testing.assert_allclose(table[theirs.columns], theirs, rtol=1e-6, atol=1e-9)

    def test_intervals_of_averages_are_doubly_robust(self, three):
        est, X, *_ = three
        own = est.model_.ate_inference(X)
        np.testing.assert_array_equal(est.const_marginal_ate_interval(X), own.interval())
        np.testing.assert_array_equal(est.marginal_ate_interval(0, X), own.interval())
        assert est.ate_interval(X, T1=2) == tuple(bound[1] for bound in own.interval())
        every, one = est.const_marginal_ate_inference(X), est.ate_inference(X, T1=2)
        np.testing.assert_array_equal(every.mean_point, own.point_estimate)
        np.testing.assert_allclose(every.conf_int_mean(alpha=0.05), own.interval())
        np.testing.assert_allclose(every.pvalue(), own.summary_frame()["pvalue"], rtol=1e-10)
        np.testing.assert_allclose(one.conf_int_mean(), est.ate_interval(X, T1=2))
        assert f"{one.mean_point:.3f}" in str(one)
        assert f"{every.mean_point[1]:.3f}" in str(every)

    def test_few_degrees_of_freedom_widen_intervals(self, two):
        from dataclasses import replace

        from scipy import stats

        from hypercate.interop.econml_inference import EffectResults

        est, X, *_ = two
        own = replace(est.model_.effect_inference(X), dof=3.0)
        results = EffectResults(own, None, est._input_names)
        lower, upper = results.conf_int()
        np.testing.assert_allclose(upper - lower, 2 * stats.t.isf(0.025, 3) * own.stderr)
        zstat = np.abs(own.point_estimate / own.stderr)
        np.testing.assert_allclose(results.pvalue(), 2 * stats.t.sf(zstat, 3))

    def test_risk_differences_stay_within_one_until_they_are_rescaled(self):
        rng = np.random.default_rng(502)
        X, T, _, _ = study()
        Y = (rng.random(N) < 0.05 + 0.9 * T).astype(int)
        est = as_econml(instant()).fit(Y, T, X=X)
        results = est.effect_inference(X)
        assert results.conf_int(alpha=1e-12)[1].max() == 1
        results.scale(100)
        assert results.conf_int(alpha=1e-12)[1].max() > 100
        results.translate(50)
        np.testing.assert_allclose(results.point_estimate, 50 + 100 * est.effect(X))

    def test_none_leaves_points_alone(self, two):
        est, X, T, Y, _ = two
        points = as_econml(instant()).fit(Y, T, X=X, inference=None)
        np.testing.assert_array_equal(points.effect(X), est.effect(X))
        with pytest.raises(AttributeError, match="'inference' is None"):
            points.effect_interval(X)


class TestBootstrap:
    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls):
        X, T, Y, _ = study(n_arms=3)
        X = X.assign(site=np.where(X["age"] > 0, "north", "south"))
        few = BootstrapInference(n_bootstrap_samples=3, n_jobs=1)
        return as_econml(instant()).fit(Y, T, X=X, inference=few), X, T, Y

    def test_every_sample_has_a_fit_whose_spread_makes_intervals(self, fitted):
        est, X, T, Y = fitted
        plain = as_econml(instant()).fit(Y, T, X=X)
        np.testing.assert_array_equal(est.effect(X), plain.effect(X))
        for name, shape in {
            "effect": (N,),
            "const_marginal_effect": (N, 2),
            "ate": (),
            "const_marginal_ate": (2,),
        }.items():
            lower, upper = getattr(est, f"{name}_interval")(X)
            assert np.shape(lower) == np.shape(upper) == shape
            assert np.all(lower <= upper)
            assert np.mean(upper - lower) > 0
        assert len(est.effect_inference(X).summary_frame()) == N

    def test_copies_of_a_row_are_never_on_both_sides_of_a_split(self, fitted):
        est, *_ = fitted
        for instance in est._inference._est._instances:
            cluster = instance.model_.fitted_.evidence.cluster
            assert cluster.max() + 1 < 0.75 * N

    def test_the_samples_know_the_columns_names(self, fitted):
        est, X, *_ = fitted
        for instance in est._inference._est._instances:
            assert instance.model_.feature_names_in_.tolist() == list(X)


class TestInsideEconML:
    def test_the_r_scorer_ranks_it_above_a_constant_effect(self, two, scorer):
        est, X, T, Y, _ = two
        linear = TLearner(models=LinearRegression()).fit(Y, T, X=X.to_numpy())
        backwards = as_econml(instant()).fit(-Y, T, X=X)
        best, score, scores = scorer.best_model([linear, backwards, est], return_scores=True)
        assert score > 0.5
        assert best is not backwards
        assert scores[1] < 0 < 0.5 < scores[2]

    def test_an_ensemble_takes_it_beside_their_own(self, two, scorer):
        est, X, T, Y, _ = two
        linear = TLearner(models=LinearRegression()).fit(Y, T, X=X.to_numpy())
        ensemble, score = scorer.ensemble([linear, est])
        assert isinstance(ensemble, EnsembleCateEstimator)
        assert score > 0.5
        both = EnsembleCateEstimator(cate_models=[linear, est], weights=np.array([0.25, 0.75]))
        A = X.to_numpy()
        for mean, ours, theirs in [
            (both.effect(A), est.effect(A), linear.effect(A)),
            (
                both.const_marginal_effect(A),
                est.const_marginal_effect(A),
                linear.const_marginal_effect(A),
            ),
            (
                both.marginal_effect(T, A),
                est.marginal_effect(T, A),
                linear.marginal_effect(T, A),
            ),
        ]:
            np.testing.assert_allclose(mean, 0.75 * ours + 0.25 * theirs)

    @pytest.mark.parametrize("name", ["two", "three"])
    def test_the_dr_tester_sees_that_effects_differ(self, name, request):
        est, *_ = request.getfixturevalue(name)
        X, T, Y, _ = study(len(est.model_.arms_), seed=503)
        A, half = X.to_numpy(), slice(N // 2)
        rest = slice(N // 2, N)
        tester = DRTester(
            model_regression=LinearRegression(), model_propensity=LogisticRegression(), cate=est
        )
        tester.fit_nuisance(A[half], T[half], Y[half], A[rest], T[rest], Y[rest])
        table = tester.evaluate_blp(A[half], A[rest]).summary()
        assert (table["blp_pval"] < 0.01).all()
        assert table["blp_est"].to_numpy() == pytest.approx(1, abs=0.3)

    def test_a_tree_says_by_what_effects_differ(self, three):
        est, X, *_ = three
        tree = SingleTreeCateInterpreter(
            include_model_uncertainty=True, max_depth=1, min_samples_leaf=40, random_state=0
        ).interpret(est, X.to_numpy())
        assert X.columns[tree.tree_model_.tree_.feature[0]] == "dose"
        leaf = X[X["dose"] <= tree.tree_model_.tree_.threshold[0]]
        node = tree.node_dict_[1]
        np.testing.assert_allclose(node["mean"], est.model_.ate(leaf))
        np.testing.assert_allclose(node["ci"], est.model_.ate_interval(leaf))

    def test_a_policy_tree_treats_those_who_gain(self, two):
        est, X, _, _, effects = two
        policy = SingleTreePolicyInterpreter(
            include_model_uncertainty=True, risk_level=0.1, max_depth=1, min_samples_leaf=10
        ).interpret(est, X.to_numpy())
        clear = np.abs(effects[:, 0]) > 0.3
        treated = policy.treat(X.to_numpy()) == 1
        np.testing.assert_array_equal(treated[clear], effects[clear, 0] > 0)

    @pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
    def test_shap_values_add_up_to_the_effects(self, three):
        pytest.importorskip("shap", reason="shap_values needs shap")
        est, X, *_ = three
        few = X[:5]
        values = est.shap_values(few, background_samples=5)
        assert list(values) == ["Y0"]
        assert list(values["Y0"]) == ["T0_1", "T0_2"]
        for column, explained in enumerate(values["Y0"].values()):
            assert list(explained.feature_names) == list(X)
            np.testing.assert_allclose(
                explained.base_values + explained.values.sum(axis=1),
                est.const_marginal_effect(few)[:, column],
                rtol=1e-4,
                atol=1e-5,
            )


class TestImport:
    def test_without_econml_the_message_says_what_to_install(self, monkeypatch):
        for name in [name for name in sys.modules if name.partition(".")[0] == "econml"]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, "hypercate.interop.econml")
        with pytest.raises(ModuleNotFoundError, match="needs EconML: pip install econml"):
            import_module("hypercate.interop.econml")
