"""Benchmark data: IHDP (Hill, 2011) and Jobs (LaLonde, 1986), as splits ready to fit and score.

Nothing is bundled. Files come from the folder named by the environment variable ``HYPERCATE_DATA``
when it is set, else they are downloaded once to the user's cache (``HYPERCATE_CACHE`` moves it).
Either way a file is read only if its checksum is a known one. Provenance, licences, columns and
traps are in the datasheets, ``datasets/ihdp.md`` and ``datasets/jobs.md``.

References
----------
Hill (2011), "Bayesian nonparametric modeling for causal inference", JCGS 20:217-240.
LaLonde (1986), "Evaluating the econometric evaluations of training programs", AER 76:604-620.
Shalit, Johansson & Sontag (2017), "Estimating individual treatment effect", ICML.
"""

import functools
import hashlib
import importlib.resources
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["CausalSample", "CausalSplit", "load_ihdp", "load_jobs"]

DATA_VARIABLE = "HYPERCATE_DATA"
CACHE_VARIABLE = "HYPERCATE_CACHE"
INSTALL_HINT = 'pip install "hypercate[benchmark]"'

IHDP_COLUMNS = [
    *("bw", "b_head", "preterm", "birth_o", "nnhealth", "momage", "sex", "twin", "b_marr"),
    *("mom_lths", "mom_hs", "mom_scoll", "cig", "first", "booze", "drugs", "work_dur", "prenatal"),
    *(f"site{number}" for number in range(1, 8)),
]
IHDP_CONTINUOUS = IHDP_COLUMNS[:6]
IHDP_TRAIN_ROWS = 672
IHDP_ATT = 4.0
IHDP_PUBLISHED_REPLICATIONS = 100
IHDP_EXCERPT_REPLICATIONS = 25

JOBS_COLUMNS = [
    *("age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75"),
    *("age_squared", "age_cubed", "education_squared", "re74_squared", "re75_squared"),
    *("re74_zero", "re75_zero", "education_re74", "re74_zero_hispanic"),
]
JOBS_REPLICATIONS = 10


@dataclass(frozen=True)
class _RemoteFile:
    """Checksums a file may have, the downloadable version's first, and where to download it."""

    checksums: tuple[str, ...]
    url: str | None = None


_REGISTRY = {
    "ihdp/ihdp_npci_1-100.train.npz": _RemoteFile(
        ("sha256:750697c71b4f8d7a3aafff771b56a4ac4cd83ec649bf69afb04f8a5aee41a240",),
        "https://www.fredjo.com/files/ihdp_npci_1-100.train.npz",
    ),
    "ihdp/ihdp_npci_1-100.test.npz": _RemoteFile(
        ("sha256:a70a8acbcc4e8deb677cc9bf9e9dabeb17caaa37cdbb1d7ba06be7ffb929c41c",),
        "https://www.fredjo.com/files/ihdp_npci_1-100.test.npz",
    ),
    "ihdp/ihdp_npci_1-25.train.npz": _RemoteFile(
        ("sha256:30dd159e47b73e3fd0ec56ae582a4e28359b4d43034617eb91ebf73028760031",),
    ),
    "ihdp/ihdp_npci_1-25.test.npz": _RemoteFile(
        ("sha256:17eff113a5aef0f43f2481155edde463bb620645974c7a28d5204b39f6afc544",),
    ),
    "jobs/jobs_DW_bin.new.10.train.npz": _RemoteFile(
        (
            "git-sha1:e7c4b5c1c18186d3b1afcf2cdb5a66e3effc11e4",
            "sha256:716ad51f363d425463f86716231de5b3b8674bd2689b0102addcd4ab5b0375de",
        ),
        "https://www.fredjo.com/files/jobs_DW_bin.new.10.train.npz",
    ),
    "jobs/jobs_DW_bin.new.10.test.npz": _RemoteFile(
        ("sha256:11c198167ef322af50e48eb9d48857d6a76d8dea5eadfb2d60d4a82a6357e39f",),
        "https://www.fredjo.com/files/jobs_DW_bin.new.10.test.npz",
    ),
}


@dataclass(frozen=True, eq=False)
class CausalSample:
    """Rows of one causal data set.

    Attributes
    ----------
    X : pandas.DataFrame of shape (n, d)
        Covariates, measured before treatment.
    treatment : ndarray of shape (n,), int
        Arm of each row, 0 to K - 1; 0 is the control arm.
    y : ndarray of shape (n,), float
        Observed (factual) outcome.
    mu : ndarray of shape (n, K), float, or None
        Noiseless potential outcomes; None where they are not known.
    randomized : ndarray of shape (n,), bool, or None
        Whether a row comes from the randomised experiment; None where the data has no such part.
    """

    X: pd.DataFrame
    treatment: np.ndarray
    y: np.ndarray
    mu: np.ndarray | None
    randomized: np.ndarray | None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def effect(self) -> np.ndarray:
        """True CATE against control: (n,) for two arms, (n, K - 1) for more.

        Raises
        ------
        ValueError
            If the potential outcomes are not known.
        """
        if self.mu is None:
            raise ValueError(
                "the true effect is unknown: this sample has no potential outcomes (mu is None); "
                "score it with policy_risk and att_error on its randomised rows"
            )
        contrast = self.mu[:, 1:] - self.mu[:, [0]]
        return contrast[:, 0] if contrast.shape[1] == 1 else contrast


@dataclass(frozen=True, eq=False)
class CausalSplit:
    """One replication of a benchmark: a sample to fit on and a sample to predict.

    Attributes
    ----------
    name : str
        Data set and source, e.g. ``"ihdp-npci"``.
    replication : int
        Number of the replication, from 1.
    train, test : CausalSample
        Disjoint samples of the same population.
    """

    name: str
    replication: int
    train: CausalSample
    test: CausalSample


def load_ihdp(replication: int = 1, source: str = "npci") -> CausalSplit:
    """Load one replication of IHDP: 747 children, 139 treated, 25 covariates, simulated outcomes.

    The covariates and treatments are those of the Infant Health and Development Program without
    the treated children of non-white mothers. The outcomes follow response surface B of Hill
    (2011), ``mu0 = exp((X + W) beta)`` and ``mu1 = X beta - omega``, with unit normal noise.

    Parameters
    ----------
    replication : int, default 1
        With ``"npci"`` any integer >= 1: it seeds the coefficients, the noise and the split. With
        ``"published"`` 1 to 100.
    source : {"npci", "published"}, default "npci"
        ``"npci"`` draws a replicate, without any download, from the covariates EconML ships.
        ``"published"`` reads IHDP-100 of Shalit, Johansson & Sontag (2017) with its own split.

    Returns
    -------
    CausalSplit
        672 training and 75 test rows, with ``mu`` known. The first six columns are standardised
        over all 747 rows and ``first`` is coded 1/2, as published.

    Raises
    ------
    ImportError
        If the source needs an optional package that is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If ``replication`` is not an integer.
    ValueError
        If ``replication`` is out of range, ``source`` is unknown, or a file fails its checksum.
    """
    if source == "npci":
        return _draw_npci(_check_replication(replication, last=None))
    if source == "published":
        return _published_ihdp(_check_replication(replication, IHDP_PUBLISHED_REPLICATIONS))
    raise ValueError(f'source must be "npci" or "published", got {source!r}')


def load_jobs(replication: int = 1) -> CausalSplit:
    """Load one of the ten published folds of Jobs: 3212 people, 297 treated, 17 covariates.

    Treatment is the National Supported Work job training (LaLonde, 1986), the outcome whether a
    person earned anything in 1978. The 722 rows of the randomised experiment (``randomized``)
    are joined by 2490 controls from the PSID survey. The true effect of a person is unknown.

    Parameters
    ----------
    replication : int, default 1
        Number of the fold, 1 to 10.

    Returns
    -------
    CausalSplit
        2570 training rows (578 randomised) and 642 test rows (144 randomised); ``mu`` is None.

    Raises
    ------
    ImportError
        If a download needs the optional package pooch and it is not installed.
    FileNotFoundError
        If ``HYPERCATE_DATA`` is set and the file is not in that folder.
    OSError
        If the download fails.
    TypeError
        If ``replication`` is not an integer.
    ValueError
        If ``replication`` is out of range or a file fails its checksum.
    """
    replication = _check_replication(replication, JOBS_REPLICATIONS)
    train, test = (
        _jobs_sample(_load_arrays(f"jobs/jobs_DW_bin.new.10.{part}.npz"), replication - 1)
        for part in ("train", "test")
    )
    return CausalSplit("jobs", replication, train, test)


def _check_replication(replication: int, last: int | None) -> int:
    if isinstance(replication, bool) or not isinstance(replication, int | np.integer):
        raise TypeError(f"replication must be an int, got {type(replication).__name__}")
    if replication < 1 or (last is not None and replication > last):
        valid = "at least 1" if last is None else f"from 1 to {last}"
        raise ValueError(f"replication must be {valid}, got {replication}")
    return int(replication)


@functools.cache
def _ihdp_covariates() -> tuple[pd.DataFrame, np.ndarray]:
    """Covariates (747, 25), coded as published, and treatments (747,) from EconML's copy."""
    try:
        table = importlib.resources.files("econml").joinpath("data/ihdp/sim.csv")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"drawing an IHDP replicate needs the covariates shipped by EconML: {INSTALL_HINT}"
        ) from error
    with table.open(encoding="utf-8") as stream:
        children = pd.read_csv(stream).rename(columns=lambda column: column.replace(".", "_"))
    children = children[(children["treat"] == 0) | (children["momwhite"] == 1)]
    X = children[IHDP_COLUMNS].astype(float).reset_index(drop=True)
    continuous = X[IHDP_CONTINUOUS]
    X[IHDP_CONTINUOUS] = (continuous - continuous.mean()) / continuous.std()
    X["first"] += 1
    return X, children["treat"].to_numpy(dtype=int)


def _draw_npci(replication: int) -> CausalSplit:
    """Draw response surface B (Hill, 2011) with the intercept of the NPCI package (Dorie, 2016).

    The intercept, uniform on -1, -0.75, ..., 1, is absent from Hill's description but present in
    the published replicates; the offset W is 0.5 for every covariate and 0 for the intercept.
    """
    X, treatment = _ihdp_covariates()
    covariates = X.to_numpy()
    rng = np.random.default_rng(replication)
    intercept = rng.choice(np.linspace(-1, 1, 9))
    beta = rng.choice([0, 0.1, 0.2, 0.3, 0.4], size=X.shape[1], p=[0.6, 0.1, 0.1, 0.1, 0.1])
    control = np.exp(intercept + (covariates + 0.5) @ beta)
    linear = intercept + covariates @ beta
    omega = (linear - control)[treatment == 1].mean() - IHDP_ATT
    mu = np.column_stack([control, linear - omega])
    y = mu[np.arange(len(X)), treatment] + rng.standard_normal(len(X))
    rows = rng.permutation(len(X))

    def sample(chosen: np.ndarray) -> CausalSample:
        frame = X.iloc[chosen].reset_index(drop=True)
        return CausalSample(frame, treatment[chosen], y[chosen], mu[chosen], randomized=None)

    train, test = sample(rows[:IHDP_TRAIN_ROWS]), sample(rows[IHDP_TRAIN_ROWS:])
    return CausalSplit("ihdp-npci", replication, train, test)


def _published_ihdp(replication: int) -> CausalSplit:
    stem = _published_ihdp_stem(replication)
    train, test = (
        _ihdp_sample(_load_arrays(f"{stem}.{part}.npz"), replication - 1)
        for part in ("train", "test")
    )
    return CausalSplit("ihdp-published", replication, train, test)


def _published_ihdp_stem(replication: int) -> str:
    """Path of the IHDP-100 files, or of their excerpt 1-25 where the data folder has only that."""
    complete, excerpt = "ihdp/ihdp_npci_1-100", "ihdp/ihdp_npci_1-25"
    folder = os.environ.get(DATA_VARIABLE)
    if not folder or replication > IHDP_EXCERPT_REPLICATIONS:
        return complete
    has_complete = Path(folder, f"{complete}.train.npz").exists()
    has_excerpt = Path(folder, f"{excerpt}.train.npz").exists()
    return excerpt if has_excerpt and not has_complete else complete


def _ihdp_sample(arrays: dict[str, np.ndarray], index: int) -> CausalSample:
    return CausalSample(
        X=pd.DataFrame(arrays["x"][:, :, index].copy(), columns=IHDP_COLUMNS),
        treatment=arrays["t"][:, index].astype(int),
        y=arrays["yf"][:, index].copy(),
        mu=np.column_stack([arrays["mu0"][:, index], arrays["mu1"][:, index]]),
        randomized=None,
    )


def _jobs_sample(arrays: dict[str, np.ndarray], index: int) -> CausalSample:
    return CausalSample(
        X=pd.DataFrame(arrays["x"][:, :, index].copy(), columns=JOBS_COLUMNS),
        treatment=arrays["t"][:, index].astype(int),
        y=arrays["yf"][:, index].copy(),
        mu=None,
        randomized=arrays["e"][:, index] == 1,
    )


def _load_arrays(name: str) -> dict[str, np.ndarray]:
    return _read_verified(name, os.environ.get(DATA_VARIABLE))


@functools.cache
def _read_verified(name: str, folder: str | None) -> dict[str, np.ndarray]:
    """Read-only arrays of a registered file, once per process and folder."""
    remote = _REGISTRY[name]
    path = Path(folder, name) if folder else _download(name, remote)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        where = f" ({remote.url})" if remote.url else ""
        raise FileNotFoundError(
            f"{path} does not exist: put the file{where} there, "
            f"or unset {DATA_VARIABLE} to have the data downloaded"
        ) from error
    found = [_checksum(raw, expected.partition(":")[0]) for expected in remote.checksums]
    if set(found).isdisjoint(remote.checksums):
        raise ValueError(
            f"{path} is truncated, damaged or another file: expected checksum "
            f"{' or '.join(remote.checksums)}, found {' and '.join(found)}; "
            f"delete it and get it again{f' from {remote.url}' if remote.url else ''}"
        )
    with np.load(io.BytesIO(raw)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def _checksum(raw: bytes, algorithm: str) -> str:
    """``sha256`` of the bytes, or ``git-sha1``: the id under which git stores them as a blob."""
    if algorithm == "git-sha1":
        blob = b"blob %d\0" % len(raw) + raw
        return f"git-sha1:{hashlib.sha1(blob, usedforsecurity=False).hexdigest()}"
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _download(name: str, remote: _RemoteFile) -> Path:
    """Path of the file in the user's cache, downloaded if absent or, where sha256 tells, stale."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ImportError(f"downloading {remote.url} needs pooch: {INSTALL_HINT}") from error
    checksum = remote.checksums[0]
    cache = pooch.create(
        path=pooch.os_cache("hypercate"),
        base_url="",
        env=CACHE_VARIABLE,
        registry={name: checksum if checksum.startswith("sha256:") else None},
        urls={name: remote.url},
    )
    try:
        return Path(cache.fetch(name))
    except OSError as error:
        raise OSError(
            f"{remote.url} could not be downloaded ({error}); where there is no network, put the "
            f"file at {name} in a folder and name that folder in {DATA_VARIABLE}"
        ) from error
