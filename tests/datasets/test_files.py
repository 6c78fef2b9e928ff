import functools
import hashlib
import http.server
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hypercate.datasets import files, load_ihdp, load_jobs

IHDP_FILES = [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")]
JOBS_FILES = [f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")]


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
    def test_damaged_file_is_named_with_both_checksums(self, copy_data, load, names, part, damage):
        folder = copy_data(names)
        path = folder / names[part]
        raw = bytearray(path.read_bytes())
        if damage == "truncated":
            raw = raw[:-1]
        elif damage == "one byte":
            raw[len(raw) // 2] ^= 1
        elif damage == "empty":
            raw = bytearray()
        else:
            raw = bytearray((folder / names[1 - part]).read_bytes())
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="checksum") as error:
            load()
        message = str(error.value)
        assert str(path) in message
        assert files.REGISTRY[names[part]].checksums[0] in message
        assert hashlib.sha256(raw).hexdigest() in message

    def test_git_checksum_is_gits_blob_id(self):
        # `printf 'hello\n' | git hash-object --stdin`
        found = files.checksum(b"hello\n", "git-sha1")
        assert found == "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a"

    def test_registry_is_in_the_datasheets(self):
        root = Path(__file__).parents[2]
        sheets = root / "datasets/README.md", root / "hypercate/datasets/realcause.txt"
        text = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
        for name, remote in files.REGISTRY.items():
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
            checksum = files.checksum(served.read_bytes(), request.param)
            remote = files.RemoteFile((checksum,), f"{address}/{served.name}")
            monkeypatch.setitem(files.REGISTRY, name, remote)
        return folder, requested

    def test_downloads_once_and_then_reads_the_cache(self, served_jobs):
        folder, requested = served_jobs
        split = load_jobs(2)
        with np.load(folder / Path(JOBS_FILES[0]).name) as raw:
            np.testing.assert_array_equal(split.train.X, raw["x"][:, :, 1])
        assert all((self.cache / name).exists() for name in JOBS_FILES)
        files._load.cache_clear()
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
        checksums = files.REGISTRY[name].checksums
        remote = files.RemoteFile(checksums, f"{address}/ihdp_npci_1-100.train.npz")
        monkeypatch.setitem(files.REGISTRY, name, remote)
        with pytest.raises(OSError, match="could not be downloaded"):
            load_ihdp(1, "published")
        assert requested == ["/ihdp_npci_1-100.train.npz"]

    def test_without_pooch_the_error_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(ImportError, match=r"hypercate\[benchmark\]"):
            load_jobs(1)
