"""Exported models answer in onnxruntime what `predict` does."""

from functools import cache

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import KINDS, fitted

from hypercate import HyperCATE
from hypercate.encoding.columns import NumberColumn
from hypercate.generator.outcome_net import ACTIVATIONS
from hypercate.interop.onnx import export
from hypercate.interop.onnx_parts import _ACTIVATIONS

ROUNDING = 1e-5  # outcomes of these models vary by about 1
EXPORTED = [kind for kind in KINDS if kind not in ("added", "updated")]


@cache
def session(kind):
    return onnxruntime.InferenceSession(export(fitted(kind)[0]).SerializeToString())


def tensors(est, X):
    """The columns of a frame as the exported model takes them."""
    given = {}
    for column in est.fitted_.features.columns:
        values = X[column.name]
        if isinstance(column, NumberColumn):
            own = values.astype(object).where(values.notna(), np.nan).to_numpy(np.float64)
        else:
            own = values.astype(object).where(values.notna(), "").astype(str).to_numpy(object)
        given[column.name] = own[:, None]
    return given


def check(kind, X):
    est = fitted(kind)[0]
    answers = dict(
        zip(
            [output.name for output in session(kind).get_outputs()],
            session(kind).run(None, tensors(est, X)),
            strict=True,
        )
    )
    names = getattr(est, "outcomes_", None) if kind == "levels" else None
    for answer, method in (("effects", est.predict), ("outcomes", est.predict_outcomes)):
        if kind == "doses" and answer == "outcomes":
            assert answer not in answers
            continue
        found = answers[answer] if names is None else np.stack(
            [answers[f"{answer}/{name}"] for name in names], axis=-1
        )  # fmt: skip
        expected = method(X)
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=ROUNDING)


class TestExport:
    @pytest.mark.parametrize("kind", EXPORTED)
    def test_answers_what_predict_does(self, kind):
        check(kind, fitted(kind)[1])

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "age": st.one_of(st.none(), st.floats(-1e300, 1e300), st.floats(0, 100)),
                    "dose": st.one_of(st.none(), st.floats(0, 1)),
                    "smoker": st.one_of(st.none(), st.booleans()),
                    "site": st.one_of(st.none(), st.sampled_from(["north", "south", "mars", "?"])),
                    "grade": st.one_of(st.none(), st.sampled_from(["1", "2", "3", "9"])),
                    "clinic": st.one_of(
                        st.none(), st.sampled_from(["clinic 03", "clinic 31", "x"])
                    ),
                }
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_of_any_frame(self, rows):
        frame = pd.DataFrame(rows)
        frame[["age", "dose", "smoker"]] = frame[["age", "dose", "smoker"]].astype(float)
        check("levels", frame)
        check("trees", frame.drop(columns="clinic"))

    def test_is_written_with_the_labels_of_its_arms(self, tmp_path):
        est, X = fitted("instant")
        export(est, tmp_path / "effects.onnx")
        read = onnxruntime.InferenceSession(tmp_path / "effects.onnx")
        (effects,) = read.run(["effects"], tensors(est, X))
        np.testing.assert_allclose(effects, est.predict(X), rtol=0, atol=ROUNDING)
        assert read.get_modelmeta().custom_metadata_map["arms"] == '["control", "drug", "surgery"]'
        kinds = {column.name: column.type for column in read.get_inputs()}
        assert kinds["age"] == "tensor(double)"
        assert kinds["site"] == "tensor(string)"

    @pytest.mark.parametrize(("kind", "way"), [("added", "add_arm"), ("updated", "partial_fit")])
    def test_what_was_learned_after_the_fit_is_refused(self, kind, way):
        with pytest.raises(ValueError, match=rf"learned by {way}.*compiled\(\)"):
            export(fitted(kind)[0])

    def test_a_column_of_the_name_of_an_output_is_refused(self):
        rng = np.random.default_rng(0)
        X, arm = pd.DataFrame({"effects": rng.normal(size=60)}), rng.integers(2, size=60)
        est = HyperCATE(effort="instant", random_state=0).fit(X, rng.normal(size=60), arm)
        with pytest.raises(ValueError, match="'effects' has the name of an output"):
            export(est)

    def test_knows_every_activation(self):
        assert {activation.function for activation in ACTIVATIONS.values()} == set(_ACTIVATIONS)
