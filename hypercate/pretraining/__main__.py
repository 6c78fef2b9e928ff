"""Train the generator from scratch: ``python -m hypercate.pretraining``."""

from __future__ import annotations

import argparse
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from hypercate.pretraining.training import Recipe, train
from hypercate.train.device import resolve_device

_HELP = {
    "steps": "number of batches of worlds, each seen once",
    "batch": "number of worlds per step",
    "learning_rate": "largest learning rate, soon after the start",
    "width": "width of the layers that read the rows",
    "n_units": "hidden units of an emitted network",
    "n_rounds": "number of rounds of emitting",
    "seed": "seed of the worlds and of the first weights",
}


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m hypercate.pretraining",
        description="Train the generator on simulated worlds and write its weights. A run that was "
        "stopped continues from its last checkpoint, which is next to the weights.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="file for the weights (.safetensors)")
    for field in fields(Recipe):
        if isinstance(field.default, tuple):
            parser.add_argument(
                f"--{field.name}", type=int, nargs=2, default=field.default,
                metavar=("LEAST", "MOST"), help=f"{field.name} of a world",
            )  # fmt: skip
        else:
            name = "--" + field.name.replace("_", "-")
            kind = type(field.default)
            parser.add_argument(name, type=kind, default=field.default, help=_HELP[field.name])
    parser.add_argument("--device", default="auto", help="torch device")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument(
        "--held-out", type=int, default=20, help="number of batches of held-out worlds"
    )
    parser.add_argument("--without", nargs="*", default=[], help="parts of the worlds to leave out")
    arguments = vars(parser.parse_args(argv))
    path, every = arguments.pop("path"), arguments.pop("every")
    held_out, without = arguments.pop("held_out"), frozenset(arguments.pop("without"))
    device = resolve_device(arguments.pop("device"))
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in arguments.items()
    }
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(Recipe(**values), path, device, every, held_out, without=without)


if __name__ == "__main__":
    main()
