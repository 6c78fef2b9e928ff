"""The weights of the pre-trained generator, which come with the package."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load

from hypercate.pretraining.emitter import Emitter

PATH = Path(__file__).with_name("weights.safetensors")
SHA256 = "5314251be5c20262992a595292969c279f3486494196c77a7586b2438e9add49"


@cache
def pretrained(device: torch.device) -> Emitter:
    """The generator, on a device.

    Raises
    ------
    OSError
        If the weights are missing.
    ValueError
        If their checksum is not the one that this version of the package was released with.
    """
    data = PATH.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(
            f"{PATH} is damaged: its checksum differs from that of this version of hypercate. "
            "Install the package again"
        )
    return read(data, device)


def read(data: bytes, device: torch.device) -> Emitter:
    """A generator from what training wrote."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    shape = {name: int(value) for name, value in header["__metadata__"].items()}
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # a random start, to be replaced
        emitter = Emitter(**shape)
    emitter.load_state_dict(load(data), assign=True)
    return emitter.requires_grad_(False).eval().to(device)
