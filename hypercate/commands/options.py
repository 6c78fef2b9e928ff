"""Options of a command, from the command line and from a file of ``--config``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def flags() -> argparse.ArgumentParser:
    """A parser to declare a command's options on, with ``--config`` and ``--json``."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML, or JSON if it ends in .json, with further options by name; options on "
        "the command line take precedence",
    )
    parser.add_argument("--json", action="store_true", help="print a machine-readable summary")
    return parser


def value_of(text: Any) -> Any:
    """Value of a text: a number, true, false, null, a list or an object as in JSON, or the text.

    Lists and dicts of texts are read item by item.

    Examples
    --------
    >>> [value_of(text) for text in ("1e-3", "[32, 32]", "true", "weak")]
    [0.001, [32, 32], True, 'weak']
    """
    if isinstance(text, list):
        return [value_of(item) for item in text]
    if isinstance(text, dict):
        return {name: value_of(item) for name, item in text.items()}
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def assignment(text: str) -> tuple[str, Any]:
    """Name and value of a text such as ``n_members=3``."""
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name.strip().replace("-", "_"), value_of(value.strip())


def completed(options: argparse.Namespace, *needed: str) -> argparse.Namespace:
    """The options on the command line and, for the others, those in the file of ``--config``.

    Parameters
    ----------
    options : Namespace
        With the command's ``parser``, and the parser of its ``flags``.
    needed : str
        Names of options that one of the two must have.

    Raises
    ------
    SystemExit
        With code 2 and a message, if the file cannot be read, has an option that the command does
        not have, or lacks one that is needed.
    """
    absent = vars(options.flags.parse_args([]))
    given = {name: value for name, value in vars(options).items() if value != absent.get(name)}
    of_file: dict[str, Any] = {}
    if options.config is not None:
        try:
            arguments = _arguments(_read(options.config), absent)
        except (OSError, ValueError, ImportError) as error:
            options.parser.error(f"{options.config}: {' '.join(str(error).split())}")
        options.flags.prog = f"{options.parser.prog}: {options.config}"
        of_file = vars(options.flags.parse_args(arguments))
    merged = argparse.Namespace(**absent | of_file | given)
    if hasattr(merged, "set"):
        merged.set = dict([*of_file.get("set", []), *given.get("set", [])])
    lacking = [f"--{name}" for name in needed if getattr(merged, name) in (None, [])]
    if lacking:
        options.parser.error(f"the following arguments are required: {', '.join(lacking)}")
    return merged


def _read(path: Path) -> dict[str, Any]:
    """What a file of options holds; of YAML, every value as it is written."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        content = json.loads(text)
    else:
        import yaml

        try:
            content = yaml.load(text, yaml.BaseLoader)
        except yaml.YAMLError as error:
            raise ValueError(f"this is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("it must hold options by their names, such as outcome: y")
    return {str(name).replace("-", "_"): value for name, value in content.items()}


def _arguments(settings: dict[str, Any], absent: dict[str, Any]) -> list[str]:
    """The settings as they would be written on the command line."""
    unknown = sorted(settings.keys() - absent.keys() | settings.keys() & {"config"})
    if unknown:
        known = ", ".join(sorted(absent.keys() - {"config"}))
        raise ValueError(f"unknown option {unknown[0]!r}: options are {known}")
    arguments = []
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if absent[name] is False:
            if value_of(value) not in (True, False):
                raise ValueError(f"{name} must be true or false, not {value!r}")
            arguments += [flag] * value_of(value)
        elif name == "set":
            if not isinstance(value, dict):
                raise ValueError("set must hold values by the names of parameters")
            arguments += [f"{flag}={key}={_text(item)}" for key, item in value.items()]
        elif isinstance(absent[name], list):
            items = value if isinstance(value, list) else [value]
            arguments += [f"{flag}={_text(item)}" for item in items]
        elif value not in ("", None):
            arguments.append(f"{flag}={_text(value)}")
    return arguments


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value_of(value))
