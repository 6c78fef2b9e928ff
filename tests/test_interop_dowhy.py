"""HyperCATE among DoWhy's estimators: its estimates, and DoWhy's refuters with ours inside."""

import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from hypercate import HyperCATE

pytest.importorskip("dowhy", reason="the estimator is for DoWhy, which is not installed")

import dowhy.datasets
from dowhy import CausalModel
from dowhy.causal_estimator import estimate_effect

from hypercate.interop.dowhy import HyperCATEEstimator

METHOD = "backdoor.hypercate.interop.dowhy.HyperCATEEstimator"
INSTANT = {"effort": "instant", "random_state": 0}
N = 250
GRAPH = """digraph {
    income -> care; age -> care; site -> care;
    income -> health; age -> health; site -> health; care -> health; genes -> health;
}"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def data():
    """Care is given to those of low income, and has an effect of 2 + genes."""
    rng = np.random.default_rng(504)
    frame = pd.DataFrame(rng.normal(size=(N, 3)), columns=["income", "age", "genes"])
    frame["site"] = rng.choice(["north", "south"], N)
    frame["care"] = rng.random(N) < 1 / (1 + np.exp(frame["income"]))
    frame["health"] = frame["income"] + frame["age"] + (2 + frame["genes"]) * frame["care"]
    frame["health"] += 0.2 * rng.normal(size=N)
    return frame


@pytest.fixture(scope="module")
def model(data):
    return CausalModel(data, "care", "health", graph=GRAPH)


@pytest.fixture(scope="module")
def estimand(model):
    return model.identify_effect(proceed_when_unidentifiable=True)


def estimated(model, estimand, method=METHOD, fit_params=None, **options):
    params = {"init_params": INSTANT, "fit_params": fit_params or {}}
    return model.estimate_effect(estimand, method_name=method, method_params=params, **options)


@pytest.fixture(scope="module")
def estimate(model, estimand):
    return estimated(model, estimand, confidence_intervals=True, test_significance=True)


@pytest.fixture(scope="module")
def plain(data):
    """The same model without DoWhy."""
    X = data[["age", "income", "site", "genes"]]
    return HyperCATE(**INSTANT).fit(X, data["health"], data["care"])


class TestEstimates:
    def test_the_value_is_the_doubly_robust_average(self, estimate, plain):
        ours = estimate.estimator.estimator
        assert set(ours.feature_names_in_) == set(plain.feature_names_in_)
        assert estimate.value == ours.ate() == pytest.approx(plain.ate(), abs=0.05)
        assert estimate.value == pytest.approx(2, abs=0.3)

    def test_confounding_is_adjusted_for(self, data, estimate):
        care = data["care"]
        difference = data["health"][care].mean() - data["health"][~care].mean()
        assert difference < estimate.value - 0.4

    def test_intervals_errors_and_tests_are_those_of_the_average(self, estimate):
        ours = estimate.estimator.estimator
        found = ours.ate_inference()
        assert estimate.get_confidence_intervals() == pytest.approx(ours.ate_interval())
        narrower = estimate.get_confidence_intervals(confidence_level=0.8)
        assert narrower == pytest.approx(ours.ate_interval(alpha=0.2))
        assert estimate.get_standard_error() == found.stderr[0]
        p_value = found.summary_frame()["pvalue"].iloc[0]
        assert estimate.test_stat_significance() == {"p_value": p_value}
        assert p_value < 1e-6

    def test_effects_at_the_rows_come_with_it(self, data, estimate):
        truth = 2 + data["genes"]
        assert np.sqrt(np.mean((estimate.cate_estimates - truth) ** 2)) < 0.35
        lower, upper = estimate.effect_intervals
        assert np.all((lower < estimate.cate_estimates) & (estimate.cate_estimates < upper))

    def test_it_prints_what_was_estimated(self, estimate):
        text = str(estimate)
        assert "b: health~care+" in text
        assert "| genes" in text
        assert str(estimate.value) in text

    @pytest.mark.parametrize("units", ["att", "atc"])
    def test_averages_over_one_arm(self, data, model, estimand, estimate, units):
        found = estimated(model, estimand, target_units=units)
        rows = data["care"] == (units == "att")
        truth = (2 + data["genes"])[rows].mean()
        assert found.value == pytest.approx(truth, abs=0.3)
        assert found.value != estimate.value
        lower, upper = found.get_confidence_intervals()
        assert lower < found.value < upper

    def test_averages_over_rows_by_a_function_and_over_new_rows(
        self, data, model, estimand, estimate
    ):
        ours = estimate.estimator.estimator
        high = data["genes"] > 0.5
        covariates = list(ours.feature_names_in_)
        by_function = estimated(model, estimand, target_units=lambda df: df["genes"] > 0.5)
        assert by_function.value == ours.ate(data.loc[high, covariates])
        assert len(by_function.cate_estimates) == high.sum()
        new = data[high].assign(genes=3.0)
        assert estimated(model, estimand, target_units=new).value == pytest.approx(5, abs=0.6)

    def test_a_fitted_estimator_answers_again(self, data, estimand):
        estimator = HyperCATEEstimator(estimand, init_params=INSTANT)
        first = estimate_effect(
            data, "care", "health", "backdoor", estimator, 0, 1, "ate", ["genes"], True, {}
        )
        back = estimate_effect(
            data, "care", "health", "backdoor", estimator, 1, 0, "ate", ["genes"], False, {}
        )
        assert back.value == -first.value

    def test_weights_and_groups_are_columns(self, data, estimand):
        data = data.assign(w=np.linspace(0.5, 2, N), school=np.arange(N) // 5)
        model = CausalModel(data, "care", "health", graph=GRAPH)
        columns = {"sample_weight": "w", "groups": "school"}
        evidence = estimated(
            model, estimand, fit_params=columns
        ).estimator.estimator.fitted_.evidence
        assert evidence.cluster.max() + 1 == N // 5
        assert evidence.weight.max() == pytest.approx(4 * evidence.weight.min())


class TestRefuters:
    """With few repetitions, as many as say whether the refuter runs with ours inside."""

    @staticmethod
    def refuted(model, estimand, estimate, name, **options):
        return model.refute_estimate(
            estimand,
            estimate,
            method_name=name,
            num_simulations=2,
            random_state=np.random.RandomState(0),
            **options,
        )

    def test_a_random_common_cause_changes_little(self, model, estimand, estimate):
        found = self.refuted(model, estimand, estimate, "random_common_cause")
        assert found.new_effect == pytest.approx(estimate.value, abs=0.1)
        assert found.new_effect != estimate.value
        assert "w_random" not in estimate.estimator.estimator.feature_names_in_

    @pytest.mark.parametrize("kind", ["Random Data", "permute"])
    def test_a_placebo_has_no_effect(self, model, estimand, estimate, kind):
        found = self.refuted(
            model, estimand, estimate, "placebo_treatment_refuter", placebo_type=kind
        )
        assert abs(found.new_effect) < 0.5 < estimate.value

    def test_a_subset_has_about_the_same_effect(self, model, estimand, estimate):
        found = self.refuted(model, estimand, estimate, "data_subset_refuter", subset_fraction=0.8)
        assert found.new_effect == pytest.approx(estimate.value, abs=0.3)

    def test_a_bootstrap_keeps_copies_of_a_row_together(self, data, estimand):
        estimator = HyperCATEEstimator(estimand, init_params=INSTANT)
        drawn = data.sample(frac=1, replace=True, random_state=0)
        estimator.fit(drawn, ["genes"])
        evidence = estimator.estimator.fitted_.evidence
        assert evidence.cluster.max() + 1 == drawn.index.nunique()


class TestRefusals:
    def test_what_is_not_by_adjustment_is_refused(self, data):
        graph = "digraph { z -> care; care -> health; age -> care; age -> health }"
        frame = data.assign(z=data["income"])
        model = CausalModel(frame, "care", "health", graph=graph)
        estimand = model.identify_effect(proceed_when_unidentifiable=True)
        with pytest.raises(ValueError, match=r"starts with 'backdoor\.'"):
            estimated(model, estimand, METHOD.replace("backdoor", "iv"))

    def test_unknown_options_are_named(self, model, estimand):
        with pytest.raises(TypeError, match=r"'effort'.*init_params"):
            model.estimate_effect(estimand, method_name=METHOD, method_params={"effort": "instant"})
        with pytest.raises(TypeError, match="fit_params holds 'weight'"):
            estimated(model, estimand, fit_params={"weight": "age"})
        with pytest.raises(ValueError, match="target_units='cate'"):
            estimated(model, estimand, target_units="cate")
        with pytest.raises(ValueError, match="T1 2 is not an arm"):
            estimated(model, estimand, treatment_value=2)

    def test_a_graph_without_covariates_is_refused(self, data):
        model = CausalModel(data, "care", "health", graph="digraph { care -> health }")
        estimand = model.identify_effect(proceed_when_unidentifiable=True)
        with pytest.raises(ValueError, match="no covariate"):
            estimated(model, estimand)


class TestImport:
    def test_without_dowhy_the_message_says_what_to_install(self, monkeypatch):
        for name in [name for name in sys.modules if name.partition(".")[0] == "dowhy"]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, "hypercate.interop.dowhy")
        with pytest.raises(ModuleNotFoundError, match="needs DoWhy: pip install dowhy"):
            import_module("hypercate.interop.dowhy")


class TestLinearDataset:
    @pytest.mark.filterwarnings("ignore::hypercate.overlap.OverlapWarning")
    def test_the_example_of_dowhy_finds_the_effect(self):
        np.random.seed(505)  # noqa: NPY002 as DoWhy draws
        try:
            made = dowhy.datasets.linear_dataset(
                beta=10, num_common_causes=3, num_samples=N, num_effect_modifiers=1
            )
        except (TypeError, ValueError) as error:
            pytest.skip(f"this DoWhy does not make its data set with this NumPy: {error}")
        model = CausalModel(
            made["df"], made["treatment_name"], made["outcome_name"], graph=made["gml_graph"]
        )
        estimand = model.identify_effect(proceed_when_unidentifiable=True)
        found = estimated(model, estimand)
        assert found.value == pytest.approx(made["ate"], rel=0.1)
        placebo = TestRefuters.refuted(model, estimand, found, "placebo_treatment_refuter")
        assert abs(placebo.new_effect) < 0.3 * abs(found.value)
        again = TestRefuters.refuted(model, estimand, found, "random_common_cause")
        assert again.new_effect == pytest.approx(found.value, rel=0.1)
