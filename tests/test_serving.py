"""Models compiled for single rows answer what the estimator does, and dicts are rows."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from served import KINDS, compiled, fitted, rows_of
from sklearn.exceptions import NotFittedError

from hypercate import HyperCATE
from hypercate.encoding import FeatureEncoder
from hypercate.generator.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.nuisance import lightgbm
from hypercate.second_stage import Effects, SecondStage
from hypercate.serving.forest import Forest
from hypercate.serving.inputs import Shifts
from hypercate.serving.nets import Nets

quick = settings(max_examples=60, deadline=None, derandomize=True)
ROUNDING = 1e-6  # outcomes of these models vary by about 1


class TestCompiled:
    @pytest.mark.parametrize("kind", KINDS)
    def test_answers_what_the_estimator_does(self, kind):
        est, X = fitted(kind)
        model = compiled(kind)
        assert est.predict(X).std() > 0.01
        np.testing.assert_allclose(model.predict(X), est.predict(X), rtol=0, atol=ROUNDING)
        if kind == "doses":
            with pytest.raises(ValueError, match=r"predict_outcomes needs arms.*dose_response"):
                model.predict_outcomes(X)
        else:
            outcomes = est.predict_outcomes(X)
            found = model.predict_outcomes(X)
            np.testing.assert_allclose(found, outcomes, rtol=0, atol=ROUNDING)
            assert model.arms_.tolist() == est.arms_.tolist()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_row_is_answered_alone_as_among_others(self, kind):
        est, X = fitted(kind)
        model, expected = compiled(kind), est.predict(X[:8])
        alone = [model.predict(row) for row in rows_of(X[:8])]
        np.testing.assert_allclose(np.concatenate(alone), expected, rtol=0, atol=ROUNDING)

    def test_many_rows_are_answered_in_blocks(self):
        X, model, n_times = fitted("trees")[1], compiled("trees"), 10
        many = model.predict(pd.concat([X] * n_times))
        expected = np.tile(model.predict(X), (n_times, 1))
        np.testing.assert_allclose(many, expected, rtol=0, atol=ROUNDING)

    def test_arrays_go_by_position_as_in_predict(self):
        rng = np.random.default_rng(501)
        X, arm = rng.normal(size=(80, 3)), rng.integers(2, size=80)
        est = HyperCATE(effort="instant", random_state=0).fit(X, X[:, 0] * arm, arm)
        found = est.compiled().predict(X[:1])
        np.testing.assert_allclose(found, est.predict(X[:1]), rtol=0, atol=ROUNDING)

    @pytest.mark.parametrize("kind", ["levels", "doses", "added", "updated"])
    def test_survives_pickling_and_is_that_of_a_saved_model_to_the_bit(self, kind, tmp_path):
        est, X = fitted(kind)
        expected = compiled(kind).predict(X)
        pickled = pickle.loads(pickle.dumps(compiled(kind)))
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu").compiled()
        np.testing.assert_array_equal(pickled.predict(X), expected)
        np.testing.assert_array_equal(loaded.predict(X), expected)

    def test_stays_as_it_is_when_the_estimator_learns(self):
        est, X = fitted("instant")
        est = pickle.loads(pickle.dumps(est))
        model = est.compiled()
        before = model.predict(X)
        est.partial_fit(X[:50], np.linspace(0, 9, 50), ["drug"] * 50)
        np.testing.assert_array_equal(model.predict(X), before)
        assert np.abs(est.predict(X) - before).max() > 0.1

    def test_needs_a_fit(self):
        with pytest.raises(NotFittedError):
            HyperCATE().compiled()


ROW = {"age": 51.0, "dose": 0.5, "smoker": True, "site": "north", "grade": "2"}
VALUES = st.one_of(
    st.none(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.just(10**400),
    st.booleans(),
    st.sampled_from(["north", "west", "2", "3", "elsewhere", ""]),
    st.sampled_from([pd.NA, pd.Timestamp(0), 1j, [1.0], np.float32(0.1), np.str_("north")]),
)


def result_of(call):
    """What a call gives: bytes, or the kind of its error and its words."""
    try:
        return call().tobytes()
    except (TypeError, ValueError) as error:
        return type(error), str(error)


class TestRecords:
    @quick
    @given(st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, VALUES)), min_size=1, max_size=3))
    def test_rows_are_encoded_or_refused_as_their_frame_is(self, rows):
        transform = fitted("trees")[0].fitted_.features.transform
        expected = result_of(lambda: transform(pd.DataFrame(rows)))
        assert result_of(lambda: transform(rows)) == expected
        assert len(rows) > 1 or result_of(lambda: transform(rows[0])) == expected

    @quick
    @given(
        st.fixed_dictionaries(
            {
                "age": st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-99, 99)),
                "dose": st.one_of(st.none(), st.floats(0, 1)),
                "smoker": st.one_of(st.none(), st.booleans()),
                "site": st.one_of(st.none(), st.sampled_from(["north", "south", "mars"])),
                "grade": st.one_of(st.none(), st.sampled_from(["1", "3", "4"])),
            }
        )
    )
    def test_plain_values_are_encoded_without_a_frame(self, row):
        features = fitted("trees")[0].fitted_.features
        encoded = features._records.encode([row])
        np.testing.assert_array_equal(encoded, features.transform(pd.DataFrame([row])))

    @pytest.mark.parametrize("kind", ["trees", "levels", "instant"])
    def test_the_rows_of_a_frame_are_answered_as_the_frame_to_the_bit(self, kind):
        est, X = fitted(kind)
        rows = rows_of(X)
        np.testing.assert_array_equal(est.predict(rows), est.predict(X))
        shuffled = [dict(reversed(row.items())) for row in rows]
        np.testing.assert_array_equal(est.predict(shuffled), est.predict(X))
        features = est.fitted_.features
        np.testing.assert_array_equal(features._records.encode(rows), features.transform(X))

    def test_a_model_is_fitted_to_rows_as_to_their_frame(self):
        X, rng = fitted("trees")[1], np.random.default_rng(0)
        rows = rows_of(X)
        found, expected = (FeatureEncoder.fit(data) for data in (rows, pd.DataFrame(rows)))
        assert found.columns == expected.columns
        assert found.feature_names_in_.tolist() == list(X.columns)
        arm = rng.integers(2, size=len(rows))
        est = HyperCATE(effort="instant", random_state=0)
        effects = est.fit(rows, arm + 1.0 * rng.normal(size=len(rows)), arm).predict(rows)
        assert effects.shape == (len(rows),)

    @pytest.mark.parametrize("answer", ["estimator", "compiled"])
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda row: [row | {"height": 1.8}], ValueError, r"unseen at fit time:\n- height"),
            (lambda row: {"age": 51.0}, ValueError, r"(?s)now missing:\n- dose.*- grade"),
            (lambda row: [row, {"age": 1.0}], ValueError, r"X\[1\].*'dose'.*None for missing"),
            (lambda row: [row, [51.0]], TypeError, r"X\[1\] is a list, but X\[0\] is a dict"),
            (lambda row: row | {"age": "old"}, TypeError, r"column 'age' was numeric in fit"),
            (lambda row: row | {"site": 3}, TypeError, r"column 'site' held strings"),
            (lambda row: row | {"age": np.inf}, ValueError, r"column 'age' is infinite"),
            (lambda row: row | {"age": [51.0]}, TypeError, r"column 'age' holds list"),
            (lambda row: {}, ValueError, r"X is empty"),
        ],
    )
    def test_what_is_wrong_with_a_row_is_named(self, answer, change, error, message):
        model = compiled("trees") if answer == "compiled" else fitted("trees")[0]
        with pytest.raises(error, match=message):
            model.predict(change(ROW))


class TestForest:
    @pytest.mark.parametrize("seed", range(4))
    def test_predicts_what_lightgbm_does(self, seed):
        """Numbers, codes of levels that fit did not meet, and models without a split."""
        rng = np.random.default_rng(seed)
        n_codes = np.array([0, 0, 40])
        x = rng.normal(size=(400, 3)).round(1).astype(np.float32)
        x[:, 2] = rng.integers(41, size=400)
        y = np.sin(3 * x[:, 0]) + x[:, 1] * (x[:, 2] % 7 > 3) + rng.normal(size=400)
        models = [
            lightgbm.grow(x, outcome, np.ones(400), n_trees, n_codes, num_leaves=leaves)[0]
            for outcome, n_trees, leaves in ((y, 30, 8), (y * 0, 5, 8), (y, 12, 31), (-y, 7, 2))
        ]
        assert re.search(r"num_cat=[1-9]", models[0])
        expected = np.stack([lightgbm.predict(model, x) for model in models], axis=1)
        forest = Forest.of(models, 41)
        np.testing.assert_allclose(forest.predict(x), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(forest.predict(x[:1]), expected[:1], rtol=0, atol=1e-12)

    def test_trees_that_treat_missing_values_apart_are_refused(self):
        rng = np.random.default_rng(0)
        x = np.where(rng.random((200, 1)) < 0.3, np.nan, rng.normal(size=(200, 1)))
        y = np.isnan(x[:, 0]) + 1.0
        model, _ = lightgbm.grow(x, y, np.ones(200), 3, np.zeros(1))
        with pytest.raises(ValueError, match="missing values separately"):
            Forest.of([model], 1)


def test_shifts_are_those_of_the_second_stages():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)).astype(np.float32)
    grown = [lightgbm.grow(x, sign * x[:, 0], np.ones(200), 10, np.zeros(2))[0] for sign in (1, -1)]
    stages = [
        SecondStage(0.5, np.array([0.2, 0.5, 0.3, 0.0]), parts)
        for parts in (
            (Effects(np.array([0.0, 1.0, 2.0]), ("", *grown), 0.3),
             Effects(np.array([0.0, 0.5, 0.0]), ("", "", ""), 0.2)),
            (),
            (Effects(np.zeros(3), (*grown, ""), 2.0), Effects(np.zeros(3), (grown[1], "", ""), 1)),
        )
    ]  # fmt: skip
    texts = ["unused"]
    shifts = Shifts.of(stages, texts)
    sums = np.column_stack([np.zeros(200), *(lightgbm.predict(text, x) for text in texts[1:])])
    expected = np.stack([stage.shift(x).T for stage in stages])
    np.testing.assert_allclose(shifts.at(sums), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_last", [0, 2])
def test_networks_are_evaluated_as_torch_does(activation, n_last):
    rng = np.random.default_rng(0)
    net = OutcomeNet(3 + n_last, (6, 5), activation)
    theta = rng.normal(size=(2, 3, net.n_weights)).astype(np.float32)
    x = 4 * rng.normal(size=(50, 3)).astype(np.float32)
    view = rng.normal(size=(2, 50, n_last)).astype(np.float32) if n_last else None
    own = None if view is None else torch.from_numpy(view).repeat_interleave(3, dim=0)
    expected = net(torch.from_numpy(theta).flatten(0, 1), torch.from_numpy(x), own)
    found = Nets.of(net, theta, 3)(x, view)
    assert found.dtype == np.float32
    scale = expected.std().item()
    np.testing.assert_allclose(found.reshape(6, 50), expected, rtol=0, atol=2e-6 * scale)
