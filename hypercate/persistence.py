"""A fitted model as one file, from which nothing is run when it is read.

The file is a sealed safetensors file (`hypercate.sealed`): one of which any byte has changed is
refused. Arrays are its tensors, and long texts (trees) are tensors of bytes; everything else is
JSON in its metadata, with the format's and the package's version.

The checksum detects damage, but not who wrote a file. So the content is checked as well: it
consists of the dataclasses listed here, with their fields, of the types that these declare.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Hashable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors

from hypercate.added.arms import AddedArms
from hypercate.effect_networks import EffectUnits
from hypercate.encoding import ArmDoses, Conditions, Doses, FeatureEncoder
from hypercate.encoding.columns import CategoryColumn, NumberColumn
from hypercate.evidence import Evidence
from hypercate.fitted import Choice, Fitted, Generator, Pretrained, Seen
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet, WeighedNets
from hypercate.inference.jackknife import Calibration
from hypercate.learners import LEARNERS
from hypercate.networks import Networks
from hypercate.nuisance.boosted import BoostedView, Trees
from hypercate.nuisance.levels import LevelMeans
from hypercate.nuisance.propensity import Propensity, Views
from hypercate.nuisance.tree_text import TreeText, is_sound
from hypercate.nuisance.views import JointView, View
from hypercate.outcomes import Bernoulli, Count, Family, Normal, Positive, RestrictedTime, Survival
from hypercate.sealed import checked_header, sealed
from hypercate.second_stage import Effects, SecondStage
from hypercate.several.fitted import FittedOutcomes
from hypercate.updated.correction import Correction
from hypercate.whole import replacing

FORMAT = 1
FAMILIES = (Normal, Bernoulli, Count, Positive, RestrictedTime, Survival)
_LONGEST_TEXT = 1000  # in JSON; longer ones are tensors
_CLASSES = {
    kind.__name__: kind
    for kind in (
        Fitted, FeatureEncoder, NumberColumn, CategoryColumn, Conditions, Doses, ArmDoses,
        *FAMILIES, Networks, OutcomeNet, WeighedNets, *LEARNERS.values(), View, LevelMeans,
        BoostedView, Trees, SecondStage, Effects, EffectUnits, Generator, Pretrained, HyperNet,
        Propensity, Views, Calibration, Choice, Evidence, AddedArms, FittedOutcomes, JointView,
        Seen, Correction,
    )
}  # fmt: skip
_LATER = ("Fitted.seen", "Networks.correction", "HyperNet.depths", "OutcomeNet.skips")
"""Fields that files of this format lack if they were written before there were these."""
_TYPES = {
    Family: FAMILIES,
    Hashable: (str, int, float, bool, tuple, type(None)),
    float: (float, int),
}
_LABELS = ("labels", "classes")  # fields whose arrays may be strings


def save(
    path: str | os.PathLike, parameters: dict[str, Any], fitted: Fitted | FittedOutcomes
) -> None:
    """Write a fitted model; an existing file is replaced only once the new one is whole.

    Parameters
    ----------
    path : path-like
    parameters : dict
        Of the estimator.
    fitted : Fitted

    Raises
    ------
    TypeError
        If a parameter or a label has a type that cannot be stored in the file.
    OSError
        If the file cannot be written.
    """
    tensors: dict[str, np.ndarray] = {}
    content = {
        "format": FORMAT,
        "package": version("hypercate"),
        "parameters": _encode(parameters, tensors),
        "fitted": _encode(fitted, tensors),
    }
    data = sealed(tensors, json.dumps(content))
    with replacing(path) as part:
        part.write_bytes(data)


def load(path: str | os.PathLike) -> tuple[dict[str, Any], Fitted | FittedOutcomes]:
    """Read what `save` wrote.

    Returns
    -------
    parameters : dict
    fitted : Fitted or FittedOutcomes

    Raises
    ------
    ValueError
        If the file is damaged, not a model of hypercate, or of a newer format.
    OSError
        If it cannot be read.
    """
    data = Path(path).read_bytes()
    header = checked_header(
        data, path, "a model of hypercate", "Copy it again, or save the model again"
    )
    try:
        content = json.loads(json.loads(header)["__metadata__"]["hypercate"])
        found, package = content["format"], content["package"]
        if found <= FORMAT:
            tensors = read_tensors(data)
            parameters = _decode(content["parameters"], tensors)
            fitted = _decode(content["fitted"], tensors)
            _require(parameters, dict[str, Any], "the parameters")
            _require(fitted, Fitted | FittedOutcomes, "the model")
            return parameters, fitted
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError, SafetensorError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path} is not a model that this version of hypercate can read, although its checksum "
            f"is right: {type(error).__name__}: {error}"
        ) from error
    raise ValueError(
        f"{path} was written by hypercate {package} in format {found}, but this version reads "
        f"formats up to {FORMAT}: upgrade hypercate"
    )


def _encode(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """A tree as JSON, its arrays and long texts moved to the tensors, each content once."""

    def tensor(array: np.ndarray) -> str:
        array = np.ascontiguousarray(array)
        name = hashlib.sha256(array.dtype.str.encode() + array.tobytes()).hexdigest()[:32]
        tensors[name] = array
        return name

    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, str):
        if len(value) <= _LONGEST_TEXT:
            return value
        return {"text": tensor(np.frombuffer(value.encode(errors="surrogatepass"), np.uint8))}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "U":
            return {"strings": value.tolist(), "dtype": value.dtype.str}
        if value.dtype.kind in "biuf":
            return {"array": tensor(value), "shape": list(value.shape)}
    if isinstance(value, tuple | list):
        items = [_encode(item, tensors) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: _encode(item, tensors) for name, item in value.items()}}
    if type(value).__name__ in _CLASSES and dataclasses.is_dataclass(value):
        fields = {
            field.name: _encode(getattr(value, field.name), tensors)
            for field in dataclasses.fields(value)
        }
        return {"class": type(value).__name__, "fields": fields}
    raise TypeError(
        f"a model file holds numbers, strings and arrays, but not {value!r} of type "
        f"{type(value).__name__}"
    )


def _decode(node: Any, tensors: dict[str, np.ndarray]) -> Any:
    """What `_encode` was given."""
    if not isinstance(node, dict):
        _require(node, Hashable, "a plain value")
        return node
    kind = next(iter(node), None)
    content = node[kind]
    match kind:
        case "class":
            fields = {name: _decode(item, tensors) for name, item in node["fields"].items()}
            return _dataclass(content, fields)
        case "float":
            return float(content)
        case "text":
            return tensors[content].tobytes().decode(errors="surrogatepass")
        case "strings":
            _require(content, list[str], "an array of strings")
            return np.array(content, dtype=node["dtype"])
        case "array":
            array = tensors[content].reshape(node["shape"])
            if array.dtype.kind not in "biuf":
                raise TypeError(f"an array holds {array.dtype}")
            return array
        case "tuple":
            return tuple(_decode(item, tensors) for item in content)
        case "list":
            return [_decode(item, tensors) for item in content]
        case "dict":
            return {name: _decode(item, tensors) for name, item in content.items()}
    raise ValueError(f"it holds something of the unknown kind {kind!r}")


def _dataclass(name: str, fields: dict[str, Any]) -> Any:
    """One of the classes that a file may hold, if it has the right fields."""
    if name not in _CLASSES:
        raise ValueError(f"it holds something of the unknown class {name!r}")
    declared = _declared(name)
    wrong = sorted(it for it in fields.keys() ^ declared if f"{name}.{it}" not in _LATER)
    if wrong:
        raise ValueError(f"its {name} lacks fields, or has unknown ones: {', '.join(wrong)}")
    for field, value in fields.items():
        _require(value, declared[field], f"{name}.{field}")
        if isinstance(value, np.ndarray) and value.dtype.kind == "U" and field not in _LABELS:
            raise TypeError(f"{name}.{field} holds strings, not numbers")
    return _CLASSES[name](**fields)


@cache
def _declared(name: str) -> dict[str, Any]:
    """Types of the fields of a class."""
    hints = get_type_hints(_CLASSES[name])
    return {field.name: hints[field.name] for field in dataclasses.fields(_CLASSES[name])}


def _require(value: Any, declared: Any, where: str) -> None:
    """Refuse a value that is not of a declared type."""
    if not _is(value, declared):
        raise TypeError(f"{where} is of type {type(value).__name__}, not {declared}")


def _is(value: Any, declared: Any) -> bool:
    origin, arguments = get_origin(declared) or declared, get_args(declared)
    if origin is Any:
        return True
    if origin is TreeText:
        if isinstance(value, str) and not is_sound(value):
            raise ValueError("its trees are not as LightGBM writes them, or lead nowhere")
        return isinstance(value, str)
    if isinstance(value, bool) and origin in (int, float):
        return False
    if origin in (Union, type(int | None)):
        return any(_is(value, one) for one in arguments)
    if not isinstance(value, _TYPES.get(origin, origin)):
        return False
    match value:
        case tuple() if len(arguments) == 2 and arguments[1] is ...:
            return all(_is(item, arguments[0]) for item in value)
        case list() if arguments:
            return all(_is(item, arguments[0]) for item in value)
        case dict() if arguments:
            return all(_is(item, arguments[1]) for item in value.values())
    return True
