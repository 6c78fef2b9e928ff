"""Several outcomes at once: what they share, and answers that are those of each."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from small import able, rmse, tiny, trial

from hypercate import HyperCATE
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import profiles
from hypercate.several.answers import OutcomesInference, joined
from hypercate.several.fitted import SeveralOutcomesError
from hypercate.several.reading import kinds_of, outcome_columns

NAMES = ["weight", "event", "visits"]


def study(n=200, n_arms=2, seed=501):
    """Covariates, a frame of three outcomes of different kinds, arms, and effects on the first."""
    X, y, arm, effect = trial(n, n_arms, seed)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(X, columns=list("abcd"), index=rng.permutation(n) + 1000)
    outcomes = {
        "weight": y,
        "event": np.where(X[:, 1] + arm * X[:, 0] + rng.normal(size=n) > 0, "yes", "no"),
        "visits": rng.poisson(np.exp(0.5 * X[:, 0] + 0.3 * arm)),
    }
    return frame, pd.DataFrame(outcomes, index=frame.index), arm, effect


@pytest.fixture(scope="module", params=[2, 3], ids=["two arms", "three arms"])
def fitted(request):
    X, Y, arm, _ = study(n_arms=request.param)
    return tiny(sharing="auto", outcome={"visits": "count"}).fit(X, Y, arm), X, Y, arm


class TestNetworks:
    NET = OutcomeNet(3, (5, 4), "silu", n_outputs=2)

    def test_an_output_has_the_network_of_its_own_last_weights(self):
        theta = torch.randn(6, self.NET.n_weights)
        x = torch.randn(6, 7, 3)
        together = self.NET(theta, x)
        assert together.shape == (6, 7, 2)
        for output in range(2):
            alone = self.NET.of(output)(self.NET.of_output(theta, output), x)
            torch.testing.assert_close(alone, together[..., output])

    @pytest.mark.parametrize("generation", ["chunk", "component", "once", "none"])
    def test_a_generator_gives_the_networks_of_one_output(self, generation):
        shape = {"n_chunks": 3, "n_heads": 1, "embedding_dim": 4, "hidden": (8,)}
        shape |= {"dropout": 0.0, "spectral_norm": False, "generation": generation}
        both = HyperNet(self.NET, 3, **shape)
        sharing = profiles(["weak", "independent"], self.NET)
        drawn = both.init(sharing, torch.ones(2, 3), torch.Generator().manual_seed(0))
        for output in range(2):
            one = HyperNet(self.NET, 3, **shape, output=output)
            assert self.NET.of(output) == OutcomeNet(3, (5, 4), "silu")
            expected = self.NET.of_output(both.generate(*drawn), output)
            torch.testing.assert_close(one.generate(*drawn), expected, rtol=0, atol=0)

    def test_every_outcome_has_an_intercept_that_arms_may_part_in(self):
        departs = profiles(["intercept"], self.NET)[0].departure(self.NET)
        assert torch.count_nonzero(departs) == 2
        for output in range(2):
            assert self.NET.of_output(departs, output)[-1] == 3.0

    def test_hidden_layers_of_outcomes_are_the_same_and_last_ones_their_own(self):
        X, Y, arm, _ = study()
        est = tiny(pretrained="none", second_stage="none").fit(X, Y[["weight", "event"]], arm)
        weight, event = (est.of(name).fitted_.networks for name in ("weight", "event"))
        last = weight.net.layers[-1].start
        np.testing.assert_array_equal(weight.theta[..., :last], event.theta[..., :last])
        assert (weight.theta[..., last:] != event.theta[..., last:]).all()

    def test_outcomes_of_different_kinds_are_learned_together(self):
        X, Y, arm, effect = study(400)
        way = {"pretrained": "none", "second_stage": "none"}
        est = able(**way).fit(X, Y[["weight", "event"]], arm)
        predicted = est.predict(X)
        assert rmse(predicted[:, 0], effect) < 0.3 * effect.std()
        assert np.corrcoef(predicted[:, 1], X["a"])[0, 1] > 0.6


class TestShapes:
    def test_answers_gain_a_last_axis(self, fitted):
        est, X, _, _ = fitted
        n, k = len(X), len(est.arms_)
        effects = (n, 3) if k == 2 else (n, 2, 3)
        assert est.outcomes_ == NAMES
        assert est.predict(X).shape == est.effect(X).shape == effects
        assert est.effect(X, T0=1, T1=0).shape == (n, 3)
        assert est.predict_outcomes(X).shape == (n, k, 3)
        for bounds in (est.effect_interval(X), est.individual_effect_interval(X)):
            assert [bound.shape for bound in bounds] == [effects] * 2
        assert [b.shape for b in est.predict_outcome_interval(X, arm=1)] == [(n, 3)] * 2
        assert est.sample_effects(X, 4).shape == (4, *effects)
        assert est.reject(X, 0.2).sum(axis=0).tolist() == [n // 5] * 3
        averages = (3,) if k == 2 else (2, 3)
        assert est.ate().shape == est.att().shape == averages
        assert [bound.shape for bound in est.ate_interval()] == [averages] * 2

    @pytest.mark.parametrize("question", ["effect", "predict_outcomes", "ate", "att"])
    def test_each_is_the_answer_of_the_model_of_its_outcome(self, fitted, question):
        est, X, _, _ = fitted
        given = () if question in ("ate", "att") else (X,)
        together = getattr(est, question)(*given)
        for place, name in enumerate(NAMES):
            np.testing.assert_array_equal(
                together[..., place], getattr(est.of(name), question)(*given)
            )

    def test_tables_have_a_level_of_outcomes_above_the_caller_s_index(self, fitted):
        est, X, _, _ = fitted
        some = X[:5]
        table = est.effect_inference(some).summary_frame(alpha=0.1)
        assert table.index.names[0] == "outcome"
        pd.testing.assert_frame_equal(
            table.loc["event"], est.of("event").effect_inference(some).summary_frame(alpha=0.1)
        )
        assert table.loc["visits"].index.get_level_values(0).unique().tolist() == list(some.index)
        groups = np.where(X["a"] > 0, "high", "low")
        gates = est.gate(groups)
        assert gates.index.names[:2] == ["outcome", "group"]
        lower, upper = est.gate_interval(groups)
        assert (lower < gates).all()
        assert (gates < upper).all()
        assert est.heterogeneity_test().index.names[0] == "outcome"

    def test_inference_has_tables_of_all_and_of_each(self, fitted):
        est = fitted[0]
        found = est.ate_inference()
        assert isinstance(found, OutcomesInference)
        np.testing.assert_array_equal(np.squeeze(est.ate()), np.squeeze(found.point_estimate))
        assert found.stderr.shape == found.point_estimate.shape
        assert all(f"Outcome {name!r}" in str(found) for name in NAMES)
        assert "<h4>event</h4>" in found._repr_html_()
        assert str(found.of("event")) == str(est.of("event").ate_inference())
        with pytest.raises(ValueError, match="'cost' is none of the outcomes, 'weight'"):
            found.of("cost")

    def test_attributes_of_outcomes_are_by_name_and_those_of_rows_are_as_ever(self, fitted):
        est, X, _, _ = fitted
        assert est.outcome_ == {"weight": "continuous", "event": "binary", "visits": "count"}
        assert est.classes_["event"].tolist() == ["no", "yes"]
        assert est.classes_["weight"] is None
        assert est.weights_.index.names == ["outcome", "member"]
        assert est.feature_names_in_.tolist() == list(X.columns)
        assert est.n_features_in_ == 4

    def test_anything_else_is_joined_by_name(self):
        assert joined({"a": None, "b": 1}) == {"a": None, "b": 1}


class TestOneOfThem:
    def test_everything_can_be_asked_of_one(self, fitted):
        est, X, Y, arm = fitted
        one = est.of("event")
        assert isinstance(one, HyperCATE)
        assert one.outcome_ == one.outcome == "binary"
        assert one.ate_inference(scale="ratio").summary_frame()["point_estimate"].gt(0).all()
        assert isinstance(one.score(X, Y["event"], arm), float)
        with pytest.raises(AttributeError, match="outcomes_"):
            one.outcomes_  # noqa: B018

    def test_a_question_that_is_of_one_says_how_to_ask_it(self, fitted):
        with pytest.raises(SeveralOutcomesError, match=r"such as est\.of\('weight'\)"):
            fitted[0].fitted_.evidence  # noqa: B018
        assert not hasattr(fitted[0].fitted_, "nonsense")

    def test_a_ratio_is_refused_where_an_outcome_has_none(self, fitted):
        with pytest.raises(ValueError, match="ratio"):
            fitted[0].effect(fitted[1], scale="ratio")

    def test_an_unknown_outcome_is_refused_and_so_is_a_model_of_one(self, fitted):
        est, X, Y, arm = fitted
        with pytest.raises(ValueError, match="'cost' is not an outcome of this model"):
            est.of("cost")
        one = tiny().fit(X, Y["weight"], arm)
        with pytest.raises(ValueError, match="this model has a single outcome"):
            one.of("weight")
        assert not hasattr(one, "outcomes_")
        assert not hasattr(tiny(), "outcomes_")


class TestReading:
    @pytest.mark.parametrize("as_frame", [pd.DataFrame, pl.DataFrame, pa.table])
    def test_frames_of_any_library_name_their_columns(self, as_frame):
        X, Y, arm, _ = study(80)
        given = as_frame({name: Y[name].to_numpy() for name in NAMES[:2]})
        est = tiny().fit(X.to_numpy(), given, arm)
        assert est.outcomes_ == NAMES[:2]
        expected = tiny().fit(X.to_numpy(), Y[NAMES[:2]].reset_index(drop=True), arm)
        np.testing.assert_array_equal(est.predict(X.to_numpy()), expected.predict(X.to_numpy()))

    def test_columns_of_an_array_are_numbered(self):
        columns = outcome_columns(np.arange(6).reshape(3, 2))
        assert {name: values.tolist() for name, values in columns.items()} == {
            "y0": [0, 2, 4],
            "y1": [1, 3, 5],
        }

    @pytest.mark.parametrize("y", [[1.0, 2.0], np.zeros((3, 1)), pd.DataFrame({"y": [1.0]})])
    def test_one_column_is_no_several(self, y):
        assert outcome_columns(y) is None

    def test_a_column_vector_warns_as_ever(self):
        X, Y, arm, _ = study(80)
        with pytest.warns(UserWarning, match="A column-vector y was passed"):
            est = tiny().fit(X, Y[["weight"]].to_numpy(), arm)
        assert est.predict(X).shape == (80,)

    def test_kinds_are_of_all_or_of_each_by_place_or_by_name(self):
        names = ("a", "b")
        assert kinds_of("count", names) == {"a": "count", "b": "count"}
        assert kinds_of(["count", "auto"], names) == {"a": "count", "b": "auto"}
        assert kinds_of({"b": "positive"}, names) == {"a": "auto", "b": "positive"}

    @pytest.mark.parametrize(
        ("outcome", "message"),
        [
            ({"cost": "count"}, "outcome has kinds of 'cost', but the outcomes are 'weight'"),
            (["count"], "outcome has 1 kinds, but y has 3 columns"),
            ({"visits": "number"}, "holds 'number', which is none of 'auto', 'continuous'"),
            ("binary", r"but y\['weight'\] has 80"),
        ],
    )
    def test_other_kinds_are_refused(self, outcome, message):
        X, Y, arm, _ = study(80)
        with pytest.raises(ValueError, match=message):
            tiny(outcome=outcome).fit(X, Y, arm)

    def test_kinds_of_several_are_refused_with_one_outcome(self):
        X, Y, arm, _ = study(80)
        with pytest.raises(ValueError, match="kind for each of several outcomes, but y has one"):
            tiny(outcome={"weight": "continuous"}).fit(X, Y["weight"], arm)

    def test_what_is_wrong_in_a_column_is_said_of_it(self):
        X, Y, arm, _ = study(80)
        for place, name in enumerate(NAMES):
            wrong = Y.astype(object)
            wrong.iloc[[3, 7], place] = None
            with pytest.raises(ValueError, match=rf"y\['{name}'\] is missing .* rows 3, 7 "):
                tiny().fit(X, wrong, arm)
        with pytest.raises(ValueError, match="y has more than one column named 'event'"):
            tiny().fit(X, Y[["event", "weight", "event"]], arm)
        less = Y.assign(visits=np.where(np.arange(80) == 5, -1, Y["visits"]))
        with pytest.raises(ValueError, match=r"y\['visits'\] is not a whole number .* row 5 "):
            tiny(outcome={"visits": "count"}).fit(X, less, arm)
        with pytest.raises(ValueError, match=r"y\['weight'\] has 79 rows, but X has 80"):
            tiny().fit(X, Y[:-1], arm)
        with pytest.raises(ValueError, match="labels of X in another order"):
            tiny().fit(X, Y[::-1], arm)

    def test_an_outlier_is_said_of_its_column(self):
        X, Y, arm, _ = study(80)
        far = Y.assign(extra=np.where(np.arange(80) == 5, 1e6, Y["weight"]))
        with pytest.warns(
            UserWarning, match=r"y\['extra'\] in row 5 .* is more than 10 times"
        ) as found:
            est = tiny().fit(X, far[["weight", "extra"]], arm)
        assert [warning.filename for warning in found] == [__file__]
        np.testing.assert_allclose(*est.ate(), rtol=0.2)

    def test_a_failed_fit_leaves_the_estimator_as_it_was(self):
        X, Y, arm, _ = study(80)
        est = tiny().fit(X, Y, arm)
        before = est.fitted_
        with pytest.raises(ValueError, match="missing"):
            est.fit(X, Y.assign(weight=np.nan), arm)
        assert est.fitted_ is before


class TestEveryWay:
    @pytest.mark.parametrize(
        "way",
        [
            *({"learner": name} for name in ("s", "tarnet", "x", "ra", "dr", "r")),
            *({"generation": name} for name in ("component", "once", "none")),
            {"effort": "fast"},
            {"sharing": "independent"},
            {"generation": "low_rank"},
            {"widths": (0.5, 1.0), "depths": (0.5, 1.0)},
            {"context": "data", "learner": "dr"},
            {"hypernet_noise": 0.1, "noise_kind": "weights"},
            {"hypernet_dropout": 0.1, "uncertainty": "both"},
            {"spectral_norm": True, "hypernet": "rnn"},
        ],
        ids=repr,
    )
    def test_fits_all_outcomes_again_and_again_alike(self, way):
        X, Y, arm, _ = study(100, n_arms=3)
        if "learner" in way:
            way = {"sharing": "auto"} | way
        first, again = (tiny(**way).fit(X, Y[NAMES[:2]], arm).effect_interval(X) for _ in range(2))
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, again)

    def test_emitted_networks_are_those_of_each_outcome_alone(self):
        X, Y, arm, _ = study(120)
        est = HyperCATE(effort="instant", random_state=0, outcome={"visits": "count"})
        together = est.fit(X, Y, arm).effect_interval(X)
        for place, kind in enumerate(("auto", "auto", "count")):
            alone = HyperCATE(effort="instant", random_state=0, outcome=kind)
            expected = alone.fit(X, Y[NAMES[place]], arm).effect_interval(X)
            np.testing.assert_array_equal(np.asarray(together)[..., place], expected)

    def test_doses(self):
        X, Y, _, _ = study(120)
        dose = np.random.default_rng(502).uniform(0, 5, 120)
        est = tiny(treatment_kind="dose").fit(X, Y[NAMES[:2]], dose)
        assert est.dose_response(X, [1.0, 2.0, 3.0]).shape == (120, 3, 2)
        assert est.average_dose_response().index.names == ["outcome", "dose"]

    def test_arms_that_are_described_and_had_no_row(self):
        X, Y, arm, _ = study(120, n_arms=3)
        parts = pd.DataFrame({"amount": [0.0, 1.0, 2.0, 3.0]}, index=[0, 1, 2, 3])
        est = tiny().fit(X, Y[NAMES[:2]], arm, arm_features=parts)
        assert est.predict(X).shape == (120, 3, 2)

    def test_columns_of_many_levels(self):
        X, Y, arm, _ = study(240)
        X = X.assign(city=[f"c{i}" for i in np.random.default_rng(503).permutation(240) % 35])
        est = tiny(sharing="auto").fit(X, Y[NAMES[:2]], arm)
        assert np.isfinite(est.predict(X)).all()

    def test_rows_of_no_weight_count_for_nothing(self):
        X, Y, arm, _ = study(120)
        weight = np.where(np.arange(120) < 100, 1.0, 0.0)
        whole = tiny().fit(X, Y, arm, sample_weight=weight)
        part = tiny().fit(X[:100], Y[:100], arm[:100])
        np.testing.assert_array_equal(whole.predict(X), part.predict(X))

    def test_groups_are_whole_for_every_outcome(self):
        X, Y, arm, _ = study(120)
        groups = np.arange(120) // 3
        est = tiny().fit(X, Y, arm, groups=groups)
        for name in NAMES:
            np.testing.assert_array_equal(est.of(name).fitted_.evidence.cluster, groups)


class TestState:
    def test_a_saved_model_predicts_the_same_to_the_bit(self, fitted, tmp_path):
        est, X, _, _ = fitted
        est.save(tmp_path / "all.hypercate")
        read = HyperCATE.load(tmp_path / "all.hypercate", device="cpu")
        assert read.outcomes_ == NAMES
        assert read.outcome == {"visits": "count"}
        np.testing.assert_array_equal(read.predict(X), est.predict(X))
        assert str(read.ate_inference()) == str(est.ate_inference())
        est.save(tmp_path / "less.hypercate", evidence=False)
        less = HyperCATE.load(tmp_path / "less.hypercate", device="cpu")
        np.testing.assert_array_equal(less.predict(X), est.predict(X))
        with pytest.raises(ValueError, match="saved without evidence"):
            less.ate()

    def test_what_outcomes_share_is_saved_once(self, fitted, tmp_path):
        est = fitted[0]
        est.save(tmp_path / "all.hypercate")
        each = 0
        for name in NAMES:
            est.of(name).save(tmp_path / f"{name}.hypercate")
            each += (tmp_path / f"{name}.hypercate").stat().st_size
        assert (tmp_path / "all.hypercate").stat().st_size < 0.6 * each

    def test_the_model_of_one_outcome_is_saved_alone(self, fitted, tmp_path):
        est, X, _, _ = fitted
        est.of("event").save(tmp_path / "event.hypercate")
        read = HyperCATE.load(tmp_path / "event.hypercate", device="cpu")
        np.testing.assert_array_equal(read.predict(X), est.predict(X)[..., 1])

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda est: pickle.loads(pickle.dumps(est))])
    def test_copies_predict_the_same(self, fitted, copied):
        est, X, _, _ = fitted
        np.testing.assert_array_equal(copied(est).predict(X), est.predict(X))

    def test_a_clone_fits_the_same(self, fitted):
        est, X, Y, arm = fitted
        np.testing.assert_array_equal(clone(est).fit(X, Y, arm).predict(X), est.predict(X))


class TestScores:
    def test_the_score_is_the_mean_over_outcomes_whatever_the_order_of_columns(self, fitted):
        est, X, Y, arm = fitted
        each = [est.of(name).score(X, Y[name], arm) for name in NAMES]
        assert est.score(X, Y, arm) == pytest.approx(np.mean(each))
        assert est.score(X, Y[NAMES[::-1]], arm) == pytest.approx(np.mean(each))

    def test_other_columns_are_refused(self, fitted):
        est, X, Y, arm = fitted
        with pytest.raises(ValueError, match=r"y has 'weight', 'event', but .* 'visits'"):
            est.score(X, Y[["weight", "event"]], arm)
        with pytest.raises(ValueError, match="y has a single column"):
            est.score(X, Y["weight"], arm)

    def test_a_search_goes_over_several_outcomes(self):
        X, Y, arm, _ = study(120)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with config_context(enable_metadata_routing=True):
                search = GridSearchCV(tiny(), {"sharing": ["intercept", "weak"]}, cv=2)
                search.fit(X, Y[NAMES[:2]], treatment=arm)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.predict(X).shape == (120, 2)
