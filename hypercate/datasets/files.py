"""Files of the benchmarks: where they come from, their checksums, and reading them once."""

import functools
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import numpy as np

DATA_VARIABLE = "HYPERCATE_DATA"
CACHE_VARIABLE = "HYPERCATE_CACHE"
INSTALL_HINT = 'pip install "hypercate[benchmark]"'

Content = TypeVar("Content")


@dataclass(frozen=True)
class RemoteFile:
    """Checksums a file may have, the downloadable version's first, and where to download it."""

    checksums: tuple[str, ...]
    url: str | None = None


_ACIC_2016_URL = (
    "https://raw.githubusercontent.com/BiomedSciAI/causallib/"
    "803a4d34eaf09980258b498631d6af15017528dc/causallib/datasets/data/acic_challenge_2016"
)
_ACIC_2016_SHA256 = {
    "x": "0d6387ad45d23e54b11cbf967248fb68ad5e578db80d193208b8b4c98b1ed0c1",
    "zymu_1": "002fad96bb55d54edec08a0af46ef4f8ad69e0cfe6294ab48f351f22976a6e76",
    "zymu_2": "bc3a03bb461bb1629add09c01dfc77053cf36e8faf8e48a7645b35ddb4005d1c",
    "zymu_3": "8090562d3fcf5a3b02ff5493592a2880b95b106e1c12e2c3a6e6c28ae8468ff6",
    "zymu_4": "61b405c545a451b7e2ce31614150834f94aa4b27069e2755876ed6e11cfee5fd",
    "zymu_5": "e350ac76d0b8e83f45f7f04a4b76b9a32a0d53098452075617e61ce62ad0463a",
    "zymu_6": "a059950f0b51056660364eca14524a3d3254f93c608d8a1df9240c2c4179a7b5",
    "zymu_7": "ac102c3f34680ff901c30fb95985297eea0f20efaf02108f287ceec60b6a2a1f",
    "zymu_8": "bbcde6ad666640adcd39fd50cab00865d22b5c463ce9db6d0940d8eccd5afcf3",
    "zymu_9": "02663b776fa87cd3d91ee7871e98c1b4d63579957b12ef9bb1ecf367b7afc366",
    "zymu_10": "c8ee8ca537ef4315a0ee5753bd01d792a1b3cdacb1fd69e1288b2bb89944d1b7",
}

_REALCAUSE_URL = (
    "https://raw.githubusercontent.com/bradyneal/realcause/"
    "7411cc26f10d750aa011b25f2a46cb572d8b8540/realcause_datasets"
)
_REALCAUSE_SHA1 = dict(
    line.split()
    for line in files("hypercate.datasets").joinpath("realcause.txt").read_text().splitlines()
)

REGISTRY = {
    "ihdp/ihdp_npci_1-100.train.npz": RemoteFile(
        ("sha256:750697c71b4f8d7a3aafff771b56a4ac4cd83ec649bf69afb04f8a5aee41a240",),
        "https://www.fredjo.com/files/ihdp_npci_1-100.train.npz",
    ),
    "ihdp/ihdp_npci_1-100.test.npz": RemoteFile(
        ("sha256:a70a8acbcc4e8deb677cc9bf9e9dabeb17caaa37cdbb1d7ba06be7ffb929c41c",),
        "https://www.fredjo.com/files/ihdp_npci_1-100.test.npz",
    ),
    "ihdp/ihdp_npci_1-25.train.npz": RemoteFile(
        ("sha256:30dd159e47b73e3fd0ec56ae582a4e28359b4d43034617eb91ebf73028760031",),
    ),
    "ihdp/ihdp_npci_1-25.test.npz": RemoteFile(
        ("sha256:17eff113a5aef0f43f2481155edde463bb620645974c7a28d5204b39f6afc544",),
    ),
    "jobs/jobs_DW_bin.new.10.train.npz": RemoteFile(
        (
            "git-sha1:e7c4b5c1c18186d3b1afcf2cdb5a66e3effc11e4",
            "sha256:716ad51f363d425463f86716231de5b3b8674bd2689b0102addcd4ab5b0375de",
        ),
        "https://www.fredjo.com/files/jobs_DW_bin.new.10.train.npz",
    ),
    "jobs/jobs_DW_bin.new.10.test.npz": RemoteFile(
        ("sha256:11c198167ef322af50e48eb9d48857d6a76d8dea5eadfb2d60d4a82a6357e39f",),
        "https://www.fredjo.com/files/jobs_DW_bin.new.10.test.npz",
    ),
    "twins/ganite_Twin_data.csv.gz": RemoteFile(
        ("sha256:0128e5dfdeb468e85fd2818330beff49d4d433b7f7d56d3eb678f87ab15b00a9",),
        "https://raw.githubusercontent.com/jsyoon0823/GANITE/"
        "e2997317d5e8699d6fd56e704cae35890f5599c8/data/Twin_data.csv.gz",
    ),
    **{
        f"acic2016/{name}.csv": RemoteFile((f"sha256:{sha256}",), f"{_ACIC_2016_URL}/{name}.csv")
        for name, sha256 in _ACIC_2016_SHA256.items()
    },
    **{
        f"realcause/{name}": RemoteFile((f"git-sha1:{sha1}",), f"{_REALCAUSE_URL}/{name}")
        for name, sha1 in _REALCAUSE_SHA1.items()
    },
    "hillstrom/hillstrom.csv": RemoteFile(
        ("sha256:27bab8c5d3669f26ec08ebb50a0a78317542f29501156f2e2af6781fab4cd7e2",),
        "https://raw.githubusercontent.com/PacktPublishing/"
        "Causal-Inference-and-Discovery-in-Python/"
        "69558086033808502c449f1dc72d7af9cae4746f/data/hillstrom_original.csv",
    ),
}


def load(name: str, parse: Callable[[bytes], Content]) -> Content:
    """Parsed content of a registered file, read once per process and folder: not to be changed.

    Raises
    ------
    ImportError
        If a download needs the optional package pooch and it is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    ValueError
        If the file fails its checksum.
    """
    return _load(name, parse, os.environ.get(DATA_VARIABLE))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """Read-only arrays of a registered npz file; raises what `load` does."""
    return load(name, _parse_npz)


@functools.cache
def _load(name: str, parse: Callable[[bytes], Content], folder: str | None) -> Content:
    return parse(_read_verified(name, folder))


def _parse_npz(raw: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(raw)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def _read_verified(name: str, folder: str | None) -> bytes:
    """Content of a registered file whose checksum is a known one."""
    remote = REGISTRY[name]
    path = Path(folder, name) if folder else _download(name, remote)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        where = f" ({remote.url})" if remote.url else ""
        raise FileNotFoundError(
            f"{path} does not exist: put the file{where} there, "
            f"or unset {DATA_VARIABLE} to have the data downloaded"
        ) from error
    found = [checksum(raw, expected.partition(":")[0]) for expected in remote.checksums]
    if set(found).isdisjoint(remote.checksums):
        raise ValueError(
            f"{path} is truncated, damaged or a different file: expected checksum "
            f"{' or '.join(remote.checksums)}, found {' and '.join(found)}; "
            f"delete it and get it again{f' from {remote.url}' if remote.url else ''}"
        )
    return raw


def checksum(raw: bytes, algorithm: str) -> str:
    """``sha256`` of the bytes, or ``git-sha1``: the id under which git stores them as a blob."""
    if algorithm == "git-sha1":
        blob = b"blob %d\0" % len(raw) + raw
        return f"git-sha1:{hashlib.sha1(blob, usedforsecurity=False).hexdigest()}"
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _download(name: str, remote: RemoteFile) -> Path:
    """Path of the file in the user's cache, downloaded if absent or, where sha256 tells, stale."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ImportError(f"downloading {remote.url} needs pooch: {INSTALL_HINT}") from error
    expected = remote.checksums[0]
    cache = pooch.create(
        path=pooch.os_cache("hypercate"),
        base_url="",
        env=CACHE_VARIABLE,
        registry={name: expected if expected.startswith("sha256:") else None},
        urls={name: remote.url},
    )
    try:
        return Path(cache.fetch(name))
    except OSError as error:
        raise OSError(
            f"{remote.url} could not be downloaded ({error}); without a network, put the "
            f"file at {name} in a folder and name that folder in {DATA_VARIABLE}"
        ) from error
