"""A graph of ONNX operators, written with one call per node."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

ML = "ai.onnx.ml"
OPSETS = {"": 17, ML: 2}
IR_VERSION = 8
KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float64): TensorProto.DOUBLE,
    np.dtype(np.int64): TensorProto.INT64,
}
_OWN = "hypercate/"  # before the names of nodes, so that they are no column's


class Graph:
    """Nodes in the order in which they were written; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def __call__(
        self, kind: str, *inputs: str | np.ndarray | np.generic, domain: str = "", **attributes: Any
    ) -> str:
        """Write a node of some operator, whose inputs that are arrays are constants; its name."""
        name = f"{_OWN}{kind}_{len(self.nodes)}"
        given = [self._constant(value) if not isinstance(value, str) else value for value in inputs]
        self.nodes.append(
            helper.make_node(kind, given, [name], name=name, domain=domain, **attributes)
        )
        return name

    def cast(self, value: str, dtype: type) -> str:
        return self("Cast", value, to=KINDS[np.dtype(dtype)])

    def reshape(self, value: str, *shape: int) -> str:
        """One length can be -1, what is left."""
        return self("Reshape", value, np.array(shape))

    def transpose(self, value: str, *axes: int) -> str:
        return self("Transpose", value, perm=axes)

    def sum(self, value: str, axis: int, keepdims: bool = False) -> str:
        return self("ReduceSum", value, np.array([axis]), keepdims=int(keepdims))

    def columns(self, value: str, places: np.ndarray) -> str:
        """Columns of a matrix."""
        return self("Gather", value, places.astype(np.int64), axis=1)

    def add_input(self, name: str, kind: int) -> str:
        """A column of the rows, of shape (n, 1)."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["n", 1]))
        return name

    def add_output(self, value: str, name: str, width: int) -> None:
        """Give a value of float64, shape (n, width), a name outside."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        info = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", width])
        self.outputs.append(info)

    def _constant(self, array: np.ndarray | np.generic) -> str:
        name = f"{_OWN}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
