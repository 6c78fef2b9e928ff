import functools
import hashlib
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hypercate import datasets
from hypercate.datasets import CausalSample, load_ihdp, load_jobs

IHDP_FILES = [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")]
JOBS_FILES = [f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")]


@pytest.fixture(autouse=True)
def fresh_process_caches():
    yield
    datasets._read_verified.cache_clear()
    datasets._ihdp_covariates.cache_clear()


def data_folder(names):
    folder = os.environ.get("HYPERCATE_DATA")
    if not folder:
        pytest.skip("HYPERCATE_DATA does not name a folder with the benchmark data")
    absent = [name for name in names if not Path(folder, name).exists()]
    if absent:
        pytest.skip(f"{absent} not in the folder HYPERCATE_DATA")
    return Path(folder)


@pytest.fixture
def published_ihdp():
    folder = data_folder(IHDP_FILES)
    return [dict(np.load(folder / name)) for name in IHDP_FILES]


@pytest.fixture
def published_jobs():
    folder = data_folder(JOBS_FILES)
    return [dict(np.load(folder / name)) for name in JOBS_FILES]


@pytest.fixture
def npci():
    pytest.importorskip("econml", reason="the IHDP covariates come with econml")


def copy_data(names, tmp_path, monkeypatch):
    folder = data_folder(names)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))


def whole(split):
    """Covariates, treatment and potential outcomes of train and test together."""
    parts = split.train, split.test
    return (
        pd.concat([part.X for part in parts], ignore_index=True),
        np.concatenate([part.treatment for part in parts]),
        np.concatenate([part.mu for part in parts]),
    )


class TestCausalSample:
    X = pd.DataFrame({"age": [30.0, 40.0]})

    def test_effect_of_two_arms_is_a_vector(self):
        mu = np.array([[1.0, 3.0], [2.0, 1.5]])
        sample = CausalSample(self.X, np.array([0, 1]), np.zeros(2), mu, None)
        np.testing.assert_array_equal(sample.effect, [2.0, -0.5])
        assert len(sample) == 2

    def test_effect_of_three_arms_has_a_column_for_each_arm_but_the_control(self):
        mu = np.array([[1.0, 3.0, 0.0], [2.0, 1.5, 2.0]])
        sample = CausalSample(self.X, np.array([0, 2]), np.zeros(2), mu, None)
        np.testing.assert_array_equal(sample.effect, [[2.0, -1.0], [-0.5, 0.0]])

    def test_effect_without_potential_outcomes_raises(self):
        sample = CausalSample(self.X, np.array([0, 1]), np.zeros(2), None, None)
        with pytest.raises(ValueError, match="mu is None"):
            _ = sample.effect


@pytest.mark.usefixtures("npci")
class TestNpci:
    def test_shapes(self):
        split = load_ihdp(3)
        assert (split.name, split.replication) == ("ihdp-npci", 3)
        assert (len(split.train), len(split.test)) == (672, 75)
        for sample in (split.train, split.test):
            n = len(sample)
            assert sample.X.shape == (n, 25)
            assert sample.treatment.shape == sample.y.shape == sample.effect.shape == (n,)
            assert sample.mu.shape == (n, 2)
            assert sample.randomized is None
            assert set(np.unique(sample.treatment)) == {0, 1}
            assert np.isfinite(sample.X.to_numpy()).all()

    def test_covariates_follow_the_published_coding(self):
        X, treatment, _ = whole(load_ihdp(1))
        assert treatment.sum() == 139
        np.testing.assert_allclose(X.iloc[:, :6].mean(), 0, atol=1e-12)
        np.testing.assert_allclose(X.iloc[:, :6].std(ddof=1), 1)
        assert set(X["first"]) == {1, 2}
        assert set(np.unique(X.drop(columns="first").iloc[:, 6:])) == {0, 1}

    @pytest.mark.parametrize("replication", [1, 2, 25, 1000, np.int64(7)])
    def test_average_effect_on_the_treated_is_four(self, replication):
        _, treatment, mu = whole(load_ihdp(replication))
        assert np.mean((mu[:, 1] - mu[:, 0])[treatment == 1]) == pytest.approx(4, abs=1e-9)

    @pytest.mark.parametrize("replication", [1, 2, 3])
    def test_outcomes_follow_response_surface_b(self, replication):
        X, _, mu = whole(load_ihdp(replication))
        design = np.column_stack([np.ones(len(X)), X])
        log_control, *_ = np.linalg.lstsq(design, np.log(mu[:, 0]), rcond=None)
        treated, *_ = np.linalg.lstsq(design, mu[:, 1], rcond=None)
        np.testing.assert_allclose(design @ log_control, np.log(mu[:, 0]), atol=1e-9)
        np.testing.assert_allclose(design @ treated, mu[:, 1], atol=1e-9)
        beta = treated[1:]
        np.testing.assert_allclose(log_control[1:], beta, atol=1e-9)
        np.testing.assert_allclose(beta, np.round(beta, 1), atol=1e-9)
        assert set(np.abs(np.round(beta, 1))) <= {0, 0.1, 0.2, 0.3, 0.4}
        intercept = log_control[0] - 0.5 * beta.sum()
        assert abs(intercept) <= 1 + 1e-9
        assert intercept * 4 == pytest.approx(round(intercept * 4), abs=1e-8)

    def test_noise_is_standard_normal(self):
        splits = [load_ihdp(replication) for replication in range(1, 21)]
        noise = np.concatenate(
            [s.train.y - s.train.mu[np.arange(672), s.train.treatment] for s in splits]
        )
        assert abs(noise.mean()) < 0.04
        assert noise.std() == pytest.approx(1, abs=0.03)

    def test_same_replication_is_the_same_draw(self):
        first, second = load_ihdp(5), load_ihdp(5)
        pd.testing.assert_frame_equal(first.train.X, second.train.X)
        np.testing.assert_array_equal(first.train.y, second.train.y)
        np.testing.assert_array_equal(first.test.mu, second.test.mu)

    def test_replications_differ_in_surface_and_split(self):
        first, second = load_ihdp(1), load_ihdp(2)
        assert not first.train.X.equals(second.train.X)
        assert first.train.effect.std() != pytest.approx(second.train.effect.std())

    def test_global_random_state_is_untouched(self):
        np.random.seed(0)  # noqa: NPY002
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        load_ihdp(1)
        assert np.random.random() == expected  # noqa: NPY002

    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_ihdp(4).train
        sample.X.iloc[:, :] = 0.0
        sample.treatment[:] = 0
        assert load_ihdp(4).train.X["bw"].std() > 0
        assert load_ihdp(4).train.treatment.sum() > 0

    def test_without_econml_the_error_says_what_to_install(self, monkeypatch):
        datasets._ihdp_covariates.cache_clear()
        monkeypatch.setitem(sys.modules, "econml", None)
        with pytest.raises(ImportError, match=r"hypercate\[benchmark\]"):
            load_ihdp(1)


class TestPublishedIhdp:
    @pytest.mark.parametrize("replication", range(1, 26))
    def test_equals_the_raw_arrays(self, published_ihdp, replication):
        split = load_ihdp(replication, source="published")
        assert (split.name, split.replication) == ("ihdp-published", replication)
        for sample, raw in zip((split.train, split.test), published_ihdp, strict=True):
            i = replication - 1
            np.testing.assert_array_equal(sample.X, raw["x"][:, :, i])
            np.testing.assert_array_equal(sample.treatment, raw["t"][:, i])
            np.testing.assert_array_equal(sample.y, raw["yf"][:, i])
            np.testing.assert_array_equal(sample.mu[:, 0], raw["mu0"][:, i])
            np.testing.assert_array_equal(sample.effect, raw["mu1"][:, i] - raw["mu0"][:, i])
            assert sample.treatment.dtype.kind == "i"

    @pytest.mark.usefixtures("npci", "published_ihdp")
    def test_columns_and_rows_are_those_of_the_npci_source(self):
        (X, t, _), (X_published, t_published, _) = (
            whole(load_ihdp(1, source)) for source in ("npci", "published")
        )
        assert list(X.columns) == list(X_published.columns)
        by = list(X.columns)
        ours = X.round(6).assign(treatment=t).sort_values(by).to_numpy()
        theirs = X_published.round(6).assign(treatment=t_published).sort_values(by).to_numpy()
        np.testing.assert_allclose(ours, theirs, atol=2e-6)

    @pytest.mark.usefixtures("published_ihdp")
    def test_changing_a_sample_does_not_change_the_next_load(self):
        sample = load_ihdp(1, "published").train
        y = sample.y.copy()
        sample.y[:] = 0
        sample.mu[:] = 0
        sample.X.iloc[:, :] = 0.0
        again = load_ihdp(1, "published").train
        np.testing.assert_array_equal(again.y, y)
        assert again.mu.std() > 0
        assert again.X["bw"].std() > 0

    def test_a_file_is_read_once_per_process(self, tmp_path, monkeypatch):
        copy_data(IHDP_FILES, tmp_path, monkeypatch)
        first = load_ihdp(1, "published")
        for name in IHDP_FILES:
            (tmp_path / name).write_bytes(b"")
        np.testing.assert_array_equal(load_ihdp(1, "published").train.y, first.train.y)

    def test_beyond_the_excerpt_the_complete_file_is_asked_for(self, tmp_path, monkeypatch):
        copy_data(IHDP_FILES, tmp_path, monkeypatch)
        with pytest.raises(FileNotFoundError, match=r"ihdp_npci_1-100\.train\.npz"):
            load_ihdp(26, "published")


class TestJobs:
    @pytest.mark.parametrize("replication", range(1, 11))
    def test_equals_the_raw_arrays(self, published_jobs, replication):
        split = load_jobs(replication)
        assert (split.name, split.replication) == ("jobs", replication)
        assert (len(split.train), len(split.test)) == (2570, 642)
        for sample, raw in zip((split.train, split.test), published_jobs, strict=True):
            i = replication - 1
            np.testing.assert_array_equal(sample.X, raw["x"][:, :, i])
            np.testing.assert_array_equal(sample.treatment, raw["t"][:, i])
            np.testing.assert_array_equal(sample.y, raw["yf"][:, i])
            np.testing.assert_array_equal(sample.randomized, raw["e"][:, i])
            assert sample.randomized.dtype == bool
            assert sample.mu is None
            assert set(np.unique(sample.y)) == {0, 1}
            assert sample.randomized[sample.treatment == 1].all()

    @pytest.mark.usefixtures("published_jobs")
    def test_randomised_effect_on_employment(self):
        split = load_jobs(1)
        y, t, e = (
            np.concatenate([getattr(split.train, name), getattr(split.test, name)])
            for name in ("y", "treatment", "randomized")
        )
        assert (t.sum(), e.sum()) == (297, 722)
        assert y[e & (t == 1)].mean() - y[e & (t == 0)].mean() == pytest.approx(0.07794, abs=1e-5)

    def test_columns_are_what_their_names_say(self, published_jobs):
        raw = pd.read_csv(data_folder(["jobs/jobs_full.csv"]) / "jobs/jobs_full.csv")
        expected = raw[["age", "education", "black", "hispanic", "married", "nodegree"]].assign(
            re74=raw.re74,
            re75=raw.re75,
            age_squared=raw.age**2,
            age_cubed=raw.age**3,
            education_squared=raw.education**2,
            re74_squared=raw.re74**2,
            re75_squared=raw.re75**2,
            re74_zero=raw.re74 == 0,
            re75_zero=raw.re75 == 0,
            education_re74=raw.education * raw.re74,
            re74_zero_hispanic=(raw.re74 == 0) & (raw.hispanic == 1),
        )
        expected = expected.astype(float)
        standardised = expected.nunique() > 2
        expected.loc[:, standardised] = (expected - expected.mean()) / expected.std()
        for sample, part in zip(
            (load_jobs(1).train, load_jobs(1).test), published_jobs, strict=True
        ):
            rows = expected.iloc[part["I"][:, 0]].reset_index(drop=True)
            pd.testing.assert_frame_equal(sample.X, rows, atol=1e-9)


class TestFiles:
    LOADERS = (
        pytest.param(functools.partial(load_ihdp, 1, "published"), IHDP_FILES, id="ihdp"),
        pytest.param(functools.partial(load_jobs, 1), JOBS_FILES, id="jobs"),
    )

    @pytest.mark.parametrize(("load", "names"), LOADERS)
    def test_absent_file_is_named_with_what_to_do(self, tmp_path, monkeypatch, load, names):
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"fredjo\.com") as error:
            load()
        assert str(tmp_path) in str(error.value)
        assert "unset HYPERCATE_DATA" in str(error.value)

    @pytest.mark.parametrize(("load", "names"), LOADERS)
    @pytest.mark.parametrize("part", [0, 1])
    @pytest.mark.parametrize("damage", ["truncated", "one byte", "empty", "another file"])
    def test_damaged_file_is_named_with_both_checksums(
        self, tmp_path, monkeypatch, load, names, part, damage
    ):
        copy_data(names, tmp_path, monkeypatch)
        path = tmp_path / names[part]
        raw = bytearray(path.read_bytes())
        if damage == "truncated":
            raw = raw[:-1]
        elif damage == "one byte":
            raw[len(raw) // 2] ^= 1
        elif damage == "empty":
            raw = bytearray()
        else:
            raw = bytearray((tmp_path / names[1 - part]).read_bytes())
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="checksum") as error:
            load()
        message = str(error.value)
        assert str(path) in message
        assert datasets._REGISTRY[names[part]].checksums[0] in message
        assert hashlib.sha256(raw).hexdigest() in message

    def test_git_checksum_is_gits_blob_id(self):
        # `printf 'hello\n' | git hash-object --stdin`
        found = datasets._checksum(b"hello\n", "git-sha1")
        assert found == "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a"

    def test_registry_is_in_the_datasheets(self):
        sheet = Path(__file__).parents[1] / "datasets" / "README.md"
        text = sheet.read_text(encoding="utf-8")
        for name, remote in datasets._REGISTRY.items():
            assert Path(name).name in text
            for checksum in remote.checksums:
                assert checksum.partition(":")[2] in text


@pytest.fixture
def server(tmp_path_factory):
    """Folder served over HTTP on this machine, its address, and the paths requested."""
    folder, requested = tmp_path_factory.mktemp("served"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            requested.append(self.path)

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}", requested
        running.shutdown()
        thread.join()


class TestDownload:
    @pytest.fixture(autouse=True)
    def empty_cache(self, tmp_path, monkeypatch):
        pytest.importorskip("pooch", reason="downloads need pooch")
        monkeypatch.delenv("HYPERCATE_DATA", raising=False)
        monkeypatch.setenv("HYPERCATE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        self.cache = tmp_path / "cache"

    @pytest.fixture(params=["sha256", "git-sha1"])
    def served_jobs(self, server, monkeypatch, request):
        """A small file in the format of Jobs, registered under the given kind of checksum."""
        folder, address, requested = server
        rng = np.random.default_rng(0)
        for name in JOBS_FILES:
            served = folder / Path(name).name
            arms = rng.integers(0, 2, size=(3, 20, 10)).astype(float)
            np.savez(
                served,
                **{"x": rng.normal(size=(20, 17, 10)), "t": arms[0], "yf": arms[1], "e": arms[2]},
            )
            checksum = datasets._checksum(served.read_bytes(), request.param)
            remote = datasets._RemoteFile((checksum,), f"{address}/{served.name}")
            monkeypatch.setitem(datasets._REGISTRY, name, remote)
        return folder, requested

    def test_downloads_once_and_then_reads_the_cache(self, served_jobs):
        folder, requested = served_jobs
        split = load_jobs(2)
        with np.load(folder / Path(JOBS_FILES[0]).name) as raw:
            np.testing.assert_array_equal(split.train.X, raw["x"][:, :, 1])
        assert all((self.cache / name).exists() for name in JOBS_FILES)
        datasets._read_verified.cache_clear()
        load_jobs(3)
        assert len(requested) == 2

    def test_another_file_at_the_address_is_refused(self, served_jobs):
        folder, _ = served_jobs
        (folder / Path(JOBS_FILES[0]).name).write_bytes(b"moved")
        with pytest.raises(ValueError, match=r"jobs_DW_bin\.new\.10\.train\.npz"):
            load_jobs(1)

    def test_failed_download_names_the_address_and_the_way_out(self, served_jobs):
        folder, _ = served_jobs
        (folder / Path(JOBS_FILES[0]).name).unlink()
        with pytest.raises(OSError, match=r"http://127.*name that folder in HYPERCATE_DATA"):
            load_jobs(1)

    def test_published_ihdp_asks_for_the_complete_file(self, monkeypatch, server):
        _, address, requested = server
        name = "ihdp/ihdp_npci_1-100.train.npz"
        checksums = datasets._REGISTRY[name].checksums
        remote = datasets._RemoteFile(checksums, f"{address}/ihdp_npci_1-100.train.npz")
        monkeypatch.setitem(datasets._REGISTRY, name, remote)
        with pytest.raises(OSError, match="could not be downloaded"):
            load_ihdp(1, "published")
        assert requested == ["/ihdp_npci_1-100.train.npz"]

    def test_without_pooch_the_error_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(ImportError, match=r"hypercate\[benchmark\]"):
            load_jobs(1)


class TestArguments:
    @pytest.mark.parametrize("replication", [0, -1])
    def test_npci_replication_starts_at_one(self, replication):
        with pytest.raises(ValueError, match="at least 1"):
            load_ihdp(replication)

    @pytest.mark.parametrize("replication", [0, 101])
    def test_published_ihdp_has_a_hundred_replications(self, replication):
        with pytest.raises(ValueError, match="from 1 to 100"):
            load_ihdp(replication, source="published")

    @pytest.mark.parametrize("replication", [0, 11])
    def test_jobs_has_ten_replications(self, replication):
        with pytest.raises(ValueError, match="from 1 to 10"):
            load_jobs(replication)

    @pytest.mark.parametrize("replication", [1.0, "1", None, True])
    @pytest.mark.parametrize(
        "load", [load_ihdp, functools.partial(load_ihdp, source="published"), load_jobs]
    )
    def test_replication_must_be_an_integer(self, load, replication):
        with pytest.raises(TypeError, match="replication must be an int"):
            load(replication)

    def test_unknown_source_is_named(self):
        with pytest.raises(ValueError, match="'hill'"):
            load_ihdp(1, source="hill")
