"""Tensors and a text as bytes that tell when any of them has changed, and run nothing.

They are a safetensors file. The text stands in its metadata, beside the SHA-256 of the whole, taken
with zeros in its own place. That tells damage, not who wrote them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save as write_tensors

_UNSIGNED = b"0" * 64
_SIGNATURE = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def sealed(tensors: Mapping[str, np.ndarray], text: str) -> bytes:
    """The bytes of a file; the text is the entry ``"hypercate"`` of its metadata."""
    data = write_tensors(dict(tensors), {"hypercate": text, "sha256": _UNSIGNED.decode()})
    return data.replace(
        b'"sha256":"' + _UNSIGNED + b'"', b'"sha256":"' + _digest(data).encode() + b'"', 1
    )


def checked_header(data: bytes, name: object, what: str, remedy: str) -> bytes:
    """The JSON at the head of a file whose checksum is right.

    Parameters
    ----------
    data : bytes
    name : path-like
        Of the file, for messages.
    what : str
        It should be, for messages.
    remedy : str
        If it is damaged, for messages.

    Raises
    ------
    ValueError
        If the file was cut short or changed.
    """
    n_header = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + n_header]
    found = _SIGNATURE.findall(header)
    if len(data) < 8 or len(header) < n_header or len(found) != 1:
        raise ValueError(f"{name} is not {what}, or was cut short. {remedy}")
    unsigned = data.replace(b'"sha256":"' + found[0] + b'"', b'"sha256":"' + _UNSIGNED + b'"', 1)
    if _digest(unsigned) != found[0].decode():
        raise ValueError(f"{name} is damaged: its checksum does not match its content. {remedy}")
    return header


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
