"""The parts of a compiled model as ONNX operators: encoder, trees, networks, and what follows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto

from hypercate.encoding.columns import CategoryColumn, NumberColumn
from hypercate.encoding.records import RecordEncoder
from hypercate.encoding.scaling import FURTHEST, LINEAR_RANGE
from hypercate.finishing import Finish
from hypercate.generator.outcome_net import ACTIVATIONS, centred_softplus
from hypercate.interop.onnx_graph import ML, Graph
from hypercate.outcomes import CENSORED, LOG_LINKED
from hypercate.outcomes.log_link import LEAST_LOG
from hypercate.serving.forest import Forest
from hypercate.serving.inputs import Inputs, Shifts
from hypercate.serving.nets import Nets

_ROOT_HALF = np.float32(math.sqrt(0.5))
_ACTIVATIONS: dict[Callable, Callable[[Graph, str], str]] = {
    F.silu: lambda g, z: g("Mul", z, g("Sigmoid", z)),
    F.gelu: lambda g, z: g(
        "Mul", g("Mul", z, np.float32(0.5)),
        g("Add", g("Erf", g("Mul", z, _ROOT_HALF)), np.float32(1)),
    ),
    F.elu: lambda g, z: g("Elu", z),
    F.relu: lambda g, z: g("Relu", z),
    torch.tanh: lambda g, z: g("Tanh", z),
    centred_softplus: lambda g, z: g("Sub", g("Softplus", z), np.float32(math.log(2))),
}  # fmt: skip


def encode(g: Graph, columns: tuple[NumberColumn | CategoryColumn, ...]) -> str:
    """Encoded rows (n, n_outputs) of an input a column: strings of categories, else float64."""
    encoder = RecordEncoder.of(columns)
    kinds = [isinstance(column, NumberColumn) for column in columns]
    names = {
        column.name: g.add_input(column.name, TensorProto.DOUBLE if number else TensorProto.STRING)
        for column, number in zip(columns, kinds, strict=True)
    }
    numbers, parts, places = encoder.numbers, [], []
    if numbers.names:
        raw = g("Concat", *(names[name] for name in numbers.names), axis=1)
        is_missing = g("IsNaN", raw)
        z = g("Div", g("Sub", raw, numbers.location), numbers.scale)
        z = g("Where", is_missing, np.float64(0), z)
        size = g("Abs", z)
        beyond = g("Sub", g("Min", size, np.float64(FURTHEST)), np.float64(LINEAR_RANGE - 1))
        far = g("Add", g("Log", g("Max", beyond, np.float64(1))), np.float64(LINEAR_RANGE))
        is_far = g("Greater", size, np.float64(LINEAR_RANGE))
        z = g("Where", is_far, g("Mul", g("Sign", z), far), z)
        parts.append(g.cast(z, np.float32))
        places.append(numbers.place)
        if len(numbers.indicated):
            without, with_missing = numbers.missing.T
            indicated = g.columns(is_missing, numbers.indicated)
            parts.append(g("Where", indicated, with_missing, without))
            places.append(numbers.place[numbers.indicated] + 1)
    for category in encoder.categories:
        codes = {"": category.codes[None]} | {
            level: code for level, code in category.codes.items() if level is not None
        }
        code = g(
            "LabelEncoder", names[category.name], domain=ML, keys_strings=list(codes),
            values_int64s=list(codes.values()), default_int64=category.other,
        )  # fmt: skip
        parts.append(g("Gather", category.table, g.reshape(code, -1)))
        places.append(np.arange(category.place.start, category.place.stop))
    return g.columns(g("Concat", *parts, axis=1), np.argsort(np.concatenate(places)))


def descend(g: Graph, forest: Forest, x: str) -> str:
    """`Forest.predict`: sums of trees (n, n_models), float64."""
    n = g("Slice", g("Shape", x), np.array([0]), np.array([1]))
    node = g("Expand", forest.roots[None], g("Concat", n, np.array([1]), axis=0))
    for _ in range(forest.depth):
        given = g("GatherElements", x, g("Gather", forest.feature, node), axis=1)
        threshold = g("Gather", forest.threshold, node)
        right = g("Greater", g.cast(given, np.float64), threshold)
        if len(forest.on_right):
            levels = g("Gather", forest.levels, node)
            numeric = g("Less", levels, np.int64(0))
            code = g("Where", numeric, np.int64(0), g.cast(given, np.int64))
            row = g("Mul", g("Max", levels, np.int64(0)), np.int64(forest.on_right.shape[1]))
            known = g("Gather", forest.on_right.ravel(), g("Add", row, code))
            right = g("Or", g("And", numeric, right), g("And", g("Not", numeric), known))
        step = g("Add", g("Mul", node, np.int64(2)), g.cast(right, np.int64))
        node = g("Gather", forest.child, step)
    values = g("Gather", forest.value, node)
    return g.sum(g.reshape(values, -1, forest.n_models, forest.width // forest.n_models), 2)


def view(g: Graph, inputs: Inputs, x: str, sums: str | None, n_models: int) -> str | None:
    """`Inputs.at`: what each model reads beside the covariates (m, n, n_last), or None."""
    if not inputs.levels and sums is None:
        return None
    place = np.zeros((n_models, inputs.n_last), dtype=np.int64)
    parts, width = [g("Mul", g.columns(x, np.array([0])), np.float32(0))], 1
    for levels in inputs.levels:
        code = g.cast(g.reshape(g.columns(x, np.array([levels.input])), -1), np.int64)
        m, n_codes, n_means = levels.means.shape
        table = levels.means.transpose(1, 0, 2).reshape(n_codes, m * n_means)
        parts.append(g("Gather", table, code))
        place[:, levels.place] = width + np.arange(m * n_means).reshape(m, n_means)
        width += m * n_means
    if sums is not None and len(inputs.trees):
        standard = g("Div", g("Sub", g.columns(sums, inputs.trees), inputs.location), inputs.scale)
        parts.append(g.cast(standard, np.float32))
        place[inputs.model, inputs.place] = width + np.arange(len(inputs.trees))
    flat = g.columns(g("Concat", *parts, axis=1), place.ravel())
    return g.transpose(g.reshape(flat, -1, n_models, inputs.n_last), 1, 0, 2)


def outputs(g: Graph, nets: Nets, x: str, own: str | None) -> str:
    """`Nets.__call__`: outputs (m, K, n), float32."""
    function = _ACTIVATIONS[ACTIVATIONS[nets.activation].function]
    first, *others = nets.layers
    m, k, _, n_out = first.bias.shape
    h = g.transpose(g.reshape(g("MatMul", x, nets.shared), -1, m, k, n_out), 1, 2, 0, 3)
    if own is not None:
        of_view = g.reshape(g("MatMul", own, nets.own), m, -1, k, n_out)
        h = g("Add", h, g.transpose(of_view, 0, 2, 1, 3))
    h = g("Add", h, first.bias)
    for layer in others:
        h = g("Add", g("MatMul", function(g, h), layer.weight), layer.bias)
    return g("Squeeze", h, np.array([3]))


def shift(g: Graph, shifts: Shifts, sums: str) -> str:
    """`Shifts.at`: what second stages add (m, n_arms, n), float64."""
    of_trees = g.reshape(g("MatMul", sums, shifts.coef), -1, *shifts.share.shape)
    effects = g("Add", g.transpose(of_trees, 1, 2, 0), shifts.level[..., None])
    share = shifts.share[..., None]
    return g("Where", share > 0, g("Sub", effects, _mean(g, effects, share)), np.float64(0))


def finished(
    g: Graph, finish: Finish, output: str, added: str | None, blend: np.ndarray | None
) -> str:
    """`Finish`: potential outcomes (m, n_arms, n), or of doses by a blend (n_doses, n_splines)."""
    output = g.cast(output, np.float64)
    if blend is not None:
        return _in_units(g, finish, g("MatMul", blend, output))
    if finish.share is None or finish.kept is None:
        return _in_units(g, finish, output)
    share = finish.share[..., None]
    arms = np.arange(share.shape[1])
    outcomes = _in_units(g, finish, g.columns(output, arms))
    effects = outcomes
    if finish.effects is not None:
        units, model = finish.effects, finish.model
        location, scale = (part[model][:, None, None] for part in (units.location, units.scale))
        of_nets = g.columns(output, len(arms) + np.arange(len(units.arms)))
        of_nets = g("Add", g("Mul", of_nets, scale), location)
        effects = g("MatMul", np.eye(len(arms))[:, units.arms], of_nets)
    own = g("Mul", g("Sub", effects, _mean(g, effects, share)), finish.kept)
    moved = g("Add", _mean(g, outcomes, share), own)
    return _within(g, moved if added is None else g("Add", moved, added), finish.bounds)


def _mean(g: Graph, values: str, share: np.ndarray) -> str:
    return g.sum(g("Mul", values, share), 1, keepdims=True)


def _in_units(g: Graph, finish: Finish, output: str) -> str:
    kind = finish.learner.family.kind
    location, scale = finish.location.numpy(), finish.scale.numpy()
    if kind == "binary":
        return g("Sigmoid", output)
    if kind in LOG_LINKED:
        mean = g("Exp", g("Max", output, np.float64(LEAST_LOG)))
        return g("Mul", g("Min", mean, scale), location)
    means = g("Add", g("Mul", output, scale), location)
    return _within(g, means, finish.bounds) if kind in CENSORED else means


def _within(g: Graph, values: str, bounds: tuple) -> str:
    least, greatest = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    return g("Min", g("Max", values, least), greatest)
