"""Arms that are described are generated from their description, and so are arms without rows."""

import pickle
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone

from hypercate import HyperCATE
from hypercate.encoding.arm_features import constant_norm

DOSES = {"none": 0.0, "low": 1.0, "medium": 2.0, "high": 3.0, "more": 4.0, "most": 5.0}
FEATURES = pd.DataFrame({"dose": list(DOSES.values())}, index=list(DOSES))
FEW = {"n_members": 2, "max_epochs": 3, "device": "cpu", "random_state": 0}


def study(arms, n=400, seed=0):
    """Effects ``dose (1 + x0)`` of the arms."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x0", "x1", "x2"])
    arm = rng.choice(arms, n)
    effect = pd.Series(arm).map(DOSES).to_numpy() * (1 + X["x0"].to_numpy())
    return X, X["x1"].to_numpy() + effect + 0.5 * rng.normal(size=n), arm


@cache
def fitted(left_out=("medium",), **parameters):
    X, y, arm = study([name for name in DOSES if name not in left_out])
    est = HyperCATE(**FEW | parameters, control="none")
    return est.fit(X, y, arm, arm_features=FEATURES), X


class TestCode:
    @given(arrays(np.float64, (7, 3), elements=st.floats(-1e6, 1e6)))
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_has_the_same_norm_for_every_arm(self, values):
        code = constant_norm(values)
        assert code.shape == (7, 6)
        np.testing.assert_allclose(np.square(code).mean(axis=1), 1, rtol=1e-5)

    def test_is_nearer_for_nearer_values(self):
        code = constant_norm(np.array([[0.0], [1.0], [2.0], [10.0]]))
        distance = np.linalg.norm(code - code[0], axis=1)
        assert (np.diff(distance) > 0.1).all()


class TestArmsWithoutRows:
    def test_are_the_last_arms_and_have_effects_with_intervals(self):
        est, X = fitted()
        assert est.arms_.tolist() == ["none", "high", "low", "more", "most", "medium"]
        assert est.predict(X).shape == (len(X), 5)
        np.testing.assert_array_equal(est.predict(X)[:, -1], est.effect(X, T1="medium"))
        lower, upper = est.effect_interval(X, T0="medium", T1="high")
        effect = est.effect(X, T0="medium", T1="high")
        assert (lower < effect).all()
        assert (effect < upper).all()

    def test_are_estimated_better_than_by_the_nearest_arm(self):
        """Between doses 1 and 3 the truth is 2, which either of them misses by half."""
        X, y, arm = study([name for name in DOSES if name != "medium"], n=900, seed=1)
        est = HyperCATE(control="none", random_state=0, device="cpu", n_members=2)
        est.fit(X, y, arm, arm_features=FEATURES)
        new = study(list(DOSES), n=500, seed=2)[0]
        truth = 2 * (1 + new["x0"].to_numpy())

        def error(arm):
            return np.sqrt(np.mean((est.effect(new, T1=arm) - truth) ** 2))

        assert error("medium") < 0.5 * min(error("low"), error("high"))

    def test_have_wider_intervals_than_arms_between_which_they_lie(self):
        est, X = fitted(max_epochs=30)

        def width(arm):
            lower, upper = est.effect_interval(X, T1=arm)
            return np.mean(upper - lower)

        assert width("medium") > max(width("low"), width("high"))

    def test_learn_nothing_of_their_own(self):
        est, _ = fitted()
        embeddings = est.fitted_.generators[0].params["arms"]
        assert not embeddings[:, -1].any()
        assert embeddings[:, :-1].any(axis=2).all()

    def test_have_neither_averages_nor_scores_nor_intervals_of_persons(self):
        est, X = fitted()
        assert est.ate_inference().summary_frame().index.tolist() == ["high", "low", "more", "most"]
        assert est.ate(X[:50]).shape == est.att().shape == (4,)
        assert est.individual_effect_interval(X)[0].shape == (len(X), 4)
        assert est.heterogeneity_test().index.get_level_values("arm").nunique() == 4
        calls = [
            lambda: est.ate(T0="medium"),
            lambda: est.att(X, np.repeat("medium", len(X))),
            lambda: est.gate(np.arange(len(X)) % 2, T0="medium"),
            lambda: est.heterogeneity_test(T0="medium"),
            lambda: est.predict_outcome_interval(X, arm="medium"),
            lambda: est.individual_effect_interval(X, T1="medium"),
            lambda: est.score(X, np.zeros(len(X)), np.repeat("medium", len(X))),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="no row of the fit received arm 'medium'"):
                call()

    def test_leave_emitted_networks_and_the_second_stage_to_arms_with_rows(self):
        est, X = fitted()
        assert (est.weights_["emitted"] > 0).all()
        assert len(est.fitted_.networks.stages) == est.fitted_.networks.n_models
        assert set(est.inputs_["chosen"]) == {"raw"}
        assert "independent" not in est.sharing_.columns
        generator = est.fitted_.generators[0]
        params, buffers = (
            {name: torch.tensor(array) for name, array in part.items()}
            for part in (generator.params, generator.buffers)
        )
        generated = generator.hypernet.generate(params, buffers)[:, est.fitted_.conditions.place]
        networks = est.fitted_.networks
        alone = replace(
            networks,
            net=generator.hypernet.net,
            theta=generated.detach().numpy(),
            model=np.arange(networks.n_models),
            stages=(),
        )
        outcomes = alone.predict(est.fitted_.features.transform(X), torch.device("cpu"))
        moved = np.abs(est.predict_outcomes(X) - outcomes).max(axis=0)
        assert moved[-1] < 1e-5
        assert (moved[:-1] > 1e-3).all()

    def test_keep_their_effects_in_files_and_pickles(self, tmp_path):
        est, X = fitted()
        est.save(tmp_path / "model.hypercate")
        for copy in (
            HyperCATE.load(tmp_path / "model.hypercate", device="cpu"),
            pickle.loads(pickle.dumps(est)),
        ):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))


class TestArmsWithRows:
    def test_keep_emitted_networks_and_the_second_stage(self):
        est, _ = fitted(left_out=())
        assert "medium" not in est.arms_[-1:]
        assert (est.weights_[["emitted", "constant", "boosted"]].sum(axis=1) > 0).any()

    @pytest.mark.parametrize("learner", ["s", "tarnet", "x", "ra", "dr", "r"])
    def test_are_described_to_every_learner(self, learner):
        est, X = fitted(left_out=(), learner=learner)
        assert np.isfinite(est.predict(X)).all()

    def test_learn_what_the_description_does_not_say(self):
        """Two arms of the same description have effects of different sign."""
        X, y, arm = study(["none", "low", "high"], n=600)
        y = X["x1"] + np.where(arm == "low", 2.0, 0) - np.where(arm == "high", 2.0, 0)
        features = pd.DataFrame({"drug": [0, 1, 1]}, index=["none", "low", "high"])
        est = HyperCATE(**FEW | {"max_epochs": 200}, control="none", pretrained="none")
        effects = est.fit(X, y, arm, arm_features=features).predict(X).mean(axis=0)
        np.testing.assert_allclose(effects, [-2, 2], atol=0.5)


class TestFrame:
    def test_rows_columns_and_libraries_change_nothing(self):
        X, y, arm = study([name for name in DOSES if name != "medium"])
        both = FEATURES.assign(kind=["placebo", "a", "a", "b", "b", "b"])
        as_column = both.rename_axis("arm").reset_index()
        est = HyperCATE(**FEW, control="none")
        expected = clone(est).fit(X, y, arm, arm_features=both).predict(X)
        for frame in (both.iloc[::-1], as_column, pl.DataFrame(as_column)):
            found = clone(est).fit(X, y, arm, arm_features=frame).predict(X)
            np.testing.assert_array_equal(found, expected)

    def test_names_of_arms_change_nothing(self):
        X, y, arm = study([name for name in DOSES if name != "medium"])
        other = {name: f"{9 - place}" for place, name in enumerate(DOSES)}
        est = HyperCATE(**FEW, control="none").fit(X, y, arm, arm_features=FEATURES)
        renamed = HyperCATE(**FEW, control=other["none"]).fit(
            X, y, pd.Series(arm).map(other), arm_features=FEATURES.rename(other)
        )
        for name in DOSES:
            np.testing.assert_allclose(
                renamed.effect(X, T1=other[name]), est.effect(X, T1=name), atol=1e-6
            )

    @pytest.mark.parametrize(
        ("features", "error", "message"),
        [
            (FEATURES.drop("low"), ValueError, "no row for 'low'"),
            (pd.concat([FEATURES, FEATURES[:1]]), ValueError, "2 rows for the arm 'none'"),
            (FEATURES.reset_index(drop=True), ValueError, "describes arms such as 0, but"),
            (FEATURES.to_numpy(), TypeError, "is of type ndarray, but must be a frame"),
            ({"low": 1}, TypeError, "is of type dict"),
            (FEATURES.assign(dose=np.inf), ValueError, "arm_features cannot be used: .*dose"),
            (FEATURES[[]], ValueError, "arm_features cannot be used"),
        ],
    )
    def test_is_refused_where_it_cannot_be_used(self, features, error, message):
        X, y, arm = study(list(DOSES), n=60)
        with pytest.raises(error, match=message):
            HyperCATE(**FEW).fit(X, y, arm, arm_features=features)

    @pytest.mark.parametrize(
        "parameters",
        [{"generation": "none"}, {"sharing": "independent"}, {"effort": "instant"}],
    )
    def test_is_refused_where_it_would_have_no_effect(self, parameters):
        X, y, arm = study(list(DOSES), n=60)
        few = {} if "effort" in parameters else FEW
        [(name, value)] = parameters.items()
        with pytest.raises(ValueError, match=re.escape(f"no effect with {name}={value!r}")):
            HyperCATE(**few | parameters).fit(X, y, arm, arm_features=FEATURES)

    def test_of_other_arms_needs_three_with_rows_and_a_learner_of_outcomes(self):
        X, y, arm = study(["none", "low"], n=60)
        with pytest.raises(ValueError, match="only 2 arms were received"):
            HyperCATE(**FEW).fit(X, y, arm, arm_features=FEATURES)
        X, y, arm = study(["none", "low", "high"], n=90)
        with pytest.raises(ValueError, match=r"learner='dr' .* received 'medium'"):
            HyperCATE(**FEW, learner="dr").fit(X, y, arm, arm_features=FEATURES)
