"""A fitted model as an ONNX file, which runs without Python.

The graph is that of `HyperCATE.compiled`: encoder, trees, networks of all members and arms, and
their mean, using only standard operators. Writing it needs the package ``onnx``, and running it
needs an ONNX runtime, such as ``onnxruntime``; ``pip install "hypercate[serve]"`` installs both.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from sklearn.utils.validation import check_is_fitted

from hypercate.interop import onnx_parts as parts
from hypercate.interop.onnx_graph import IR_VERSION, OPSETS, Graph
from hypercate.serving import Compiled
from hypercate.serving.outcome import CompiledOutcome

OUTPUTS = ("effects", "outcomes")


def export(est: Any, path: str | os.PathLike | None = None) -> onnx.ModelProto:
    """Write a fitted model as ONNX.

    Its inputs are the columns of X by their names (``x0``, ``x1``, ... if they had none), each of
    shape (n, 1): float64 for numbers and booleans, with NaN for missing values; strings for
    categories, with the empty string for missing values, unless that is one of the levels. Its
    outputs, float64, are ``effects`` (n, n_arms - 1) and ``outcomes`` (n, n_arms), the latter not
    for a model of doses; with several outcomes, ``effects/NAME`` and ``outcomes/NAME`` for each.
    The labels of the arms are in the metadata, as JSON under ``arms``.

    Answers are those of `predict` except for rounding: within 1e-5 of the outcome's standard
    deviation. Infinite numbers are not refused but treated as very large numbers.

    Parameters
    ----------
    est : HyperCATE
        Fitted, with any learner, family of outcomes and kind of treatment.
    path : path-like, optional
        File to write; by default the model is only returned.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError
        If the model has learned arms or rows after its fit (`add_arm`, `partial_fit`), which cannot
        be exported, or if a column has the name of an output.

    Examples
    --------
    >>> import onnxruntime
    >>> from hypercate.interop.onnx import export
    >>> model = export(est, "effects.onnx")
    >>> session = onnxruntime.InferenceSession("effects.onnx")
    >>> row = {"age": np.array([[61.0]]), "site": np.array([["north"]])}
    >>> (effects,) = session.run(["effects"], row)
    >>> effects.shape
    (1, 1)
    """
    check_is_fitted(est, "fitted_")
    compiled = est.compiled()
    _check(compiled)
    g = Graph()
    x = parts.encode(g, compiled.features.columns)
    for name, one in compiled.each.items():
        outcomes = _outcomes(g, one, x)
        width = len(compiled.arms_) if one.blend is None else one.blend.shape[2]
        control, others = np.array([0]), np.arange(1, width)
        effects = g("Sub", g.columns(outcomes, others), g.columns(outcomes, control))
        suffix = f"/{name}" if name else ""
        g.add_output(effects, f"effects{suffix}", width - 1)
        if not compiled.of_doses:
            g.add_output(outcomes, f"outcomes{suffix}", width)
    model = helper.make_model(
        helper.make_graph(g.nodes, "HyperCATE", g.inputs, g.outputs, g.constants),
        opset_imports=[helper.make_opsetid(domain, n) for domain, n in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="hypercate",
        producer_version=version("hypercate"),
    )
    helper.set_model_props(model, {"arms": json.dumps(compiled.arms_.tolist())})
    onnx.checker.check_model(model)
    if path is not None:
        Path(path).write_bytes(model.SerializeToString())
    return model


def _check(compiled: Compiled) -> None:
    for one in compiled.each.values():
        if one.added is not None or one.correction is not None:
            way = "add_arm" if one.added is not None else "partial_fit"
            raise ValueError(
                f"this model has learned by {way} since its fit, which cannot be exported to ONNX: "
                "fit again with all rows, or serve est.compiled()"
            )
    taken = [
        column.name for column in compiled.features.columns if column.name.split("/")[0] in OUTPUTS
    ]
    if taken:
        raise ValueError(
            f"column {taken[0]!r} has the name of an output of the ONNX model: rename it and fit "
            "again"
        )


def _outcomes(g: Graph, one: CompiledOutcome, x: str) -> str:
    """Mean over the models' potential outcomes, float64 (n, n_arms or n_doses)."""
    n_models = len(one.finish.model)
    sums = parts.descend(g, one.forest, x) if one.forest.n_models else None
    own = parts.view(g, one.inputs, x, sums, n_models)
    output = parts.outputs(g, one.nets[0], x, own)
    for nets in one.nets[1:]:
        output = g("Add", output, parts.outputs(g, nets, x, own))
    added = None
    if one.shifts is not None and sums is not None:
        added = parts.shift(g, one.shifts, sums)
    blend = None if one.blend is None else one.blend[0, 0].numpy()
    of_models = parts.finished(g, one.finish, output, added, blend)
    return g.transpose(g("Div", g.sum(of_models, 0), np.float64(n_models)), 1, 0)
