import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hypercate.datasets import files, ihdp

IHDP_FILES = [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")]
JOBS_FILES = [f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")]


@pytest.fixture(autouse=True)
def fresh_process_caches():
    yield
    files._load.cache_clear()
    ihdp._covariates.cache_clear()


@pytest.fixture
def data_folder():
    """Gives the data folder if it holds all of some files, else skips the test."""

    def folder_with(names):
        folder = os.environ.get("HYPERCATE_DATA")
        if not folder:
            pytest.skip("HYPERCATE_DATA does not name a folder with the benchmark data")
        absent = [name for name in names if not Path(folder, name).exists()]
        if absent:
            pytest.skip(f"{absent} not in the folder HYPERCATE_DATA")
        return Path(folder)

    return folder_with


@pytest.fixture
def copy_data(data_folder, tmp_path, monkeypatch):
    """Copies some files to a data folder of the test's own, and gives that folder."""

    def copy(names):
        folder = data_folder(names)
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(folder / name, tmp_path / name)
            (tmp_path / name).chmod(0o644)
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))
        return tmp_path

    return copy


@pytest.fixture
def published_ihdp(data_folder):
    folder = data_folder(IHDP_FILES)
    return [dict(np.load(folder / name)) for name in IHDP_FILES]


@pytest.fixture
def published_jobs(data_folder):
    folder = data_folder(JOBS_FILES)
    return [dict(np.load(folder / name)) for name in JOBS_FILES]


@pytest.fixture
def npci():
    pytest.importorskip("econml", reason="the IHDP covariates come with econml")


@pytest.fixture
def causaldata():
    return pytest.importorskip("causaldata", reason="LaLonde's tables come with causaldata")
