"""A fit that was ended goes on from its folder to the same model, to the bit, or says why not."""

import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sklearn
from safetensors import safe_open
from sklearn.linear_model import SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import PERTURBED, trial
from small import tiny as with_trees

from hypercate.checkpoints import Checkpoint

TESTS = Path(__file__).parent
ARMS = trial(n=90, n_arms=3)[:3]
FITS = {
    "networks that share, and others that own their weights, which leave one by one": (
        {"sharing": "auto", "max_epochs": 12, "patience": 3, "learning_rate": 0.05},
        ARMS,
    ),
    "perturbed, of several widths": (PERTURBED | {"widths": (0.5, 1.0)}, ARMS),
    "noise of weights": ({"hypernet_noise": 0.3, "noise_kind": "weights"}, ARMS),
    "without a generator, in the middle of a pass": (
        {"generation": "none", "batch_size": 1},
        ARMS,
    ),
    "two stages, with trees": ({"learner": "dr", "context": "data", "inputs": "boosted"}, ARMS),
    "two outcomes, not trained again": (
        {"effort": "fast", "max_epochs": 8, "outcome": ["continuous", "binary"]},
        (ARMS[0], np.column_stack([ARMS[1], ARMS[1] > 1]), ARMS[2]),
    ),
    "doses": ({"treatment_kind": "dose"}, (ARMS[0], ARMS[1], ARMS[2] + ARMS[0][:, 3] ** 2)),
}


def tiny(**parameters):
    """A model that fits in a tenth of a second."""
    return with_trees(**{"inputs": "raw", "max_epochs": 2} | parameters)


class Ended(Checkpoint):
    """A checkpoint of every epoch, which ends the fit at one of them."""

    def __init__(self, folder, after=None):
        super().__init__(folder, every=0)
        self.n_kept, self.after = 0, after

    def keep(self, path, data):
        super().keep(path, data)
        self.n_kept += 1
        if self.n_kept == self.after:
            raise KeyboardInterrupt


def ended(folder, after, data=ARMS, **parameters):
    """Have a fit end after so many epochs."""
    with pytest.raises(KeyboardInterrupt):
        tiny(**parameters).fit(*data, checkpoint=Ended(folder, after))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a fit that ended in its search."""
    folder = tmp_path_factory.mktemp("begun")
    ended(folder, 1, n_jobs=1)
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    return Path(shutil.copytree(begun, tmp_path / "fit"))


def content_of(path):
    """What a model's file holds: plain values, and arrays by numbers of their bits."""
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["hypercate"])


def bits(est, folder):
    est.save(folder / "model")
    return content_of(folder / "model")


def files_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@contextmanager
def files_of_at_most(n_bytes):
    """What the system does on a full disk, for files beyond a size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class TestGoingOn:
    @pytest.mark.parametrize(("parameters", "data"), FITS.values(), ids=FITS)
    def test_a_fit_that_ended_in_any_stage_comes_to_the_same_bits(self, parameters, data, tmp_path):
        whole, rest = Ended(tmp_path / "whole"), Ended(tmp_path / "parts")
        at_once = tiny(**parameters).fit(*data, checkpoint=whole)
        parts = 1, whole.n_kept // 8, whole.n_kept // 2  # each on top of those before
        for after in parts:
            ended(rest.folder, after, data, **parameters)
        in_parts = tiny(**parameters).fit(*data, checkpoint=rest)
        assert bits(in_parts, tmp_path) == bits(at_once, tmp_path)
        assert sum(parts) + rest.n_kept == whole.n_kept  # no epoch is repeated

    def test_what_keeps_nothing_comes_to_the_same_bits(self, tmp_path):
        kept, plain = tiny().fit(*ARMS, checkpoint=Ended(tmp_path / "kept")), tiny().fit(*ARMS)
        assert bits(kept, tmp_path) == bits(plain, tmp_path)

    def test_a_stage_is_kept_at_its_end_however_short_it_was(self, tmp_path):
        watched = Ended(tmp_path)
        watched.every = 1000.0
        tiny().fit(*ARMS, checkpoint=watched)
        assert watched.n_kept == 2
        assert list(files_in(tmp_path)) == [
            "00-fit.safetensors",
            "00-search.safetensors",
            "fit.json",
        ]

    def test_the_end_leaves_nothing_but_what_others_put_there(self, folder, capsys):
        (folder / "notes.json").write_text("{}")
        (folder / "00-search.safetensors.0123abcd").write_text("half")
        est = tiny(n_jobs=1, verbose=True).fit(*ARMS, checkpoint=str(folder))
        assert list(files_in(folder)) == ["notes.json"]
        assert vars(est).keys() == {"fitted_", *est.get_params()}
        assert "search" in capsys.readouterr().err  # bars may come and go

    def test_a_pipeline_hands_the_folder_on(self, tmp_path):
        with sklearn.config_context(enable_metadata_routing=True):
            pipeline = make_pipeline(StandardScaler(), tiny())
            watched = Ended(tmp_path / "new" / "folder")
            pipeline.fit(ARMS[0], ARMS[1], treatment=ARMS[2], checkpoint=watched)
        assert watched.n_kept > 2


KILLED = """
import os, random, shutil, signal, sys, time
sys.path.insert(0, sys.argv[1])
from small import tiny, trial
from hypercate.checkpoints import Checkpoint

folder, n_kills = sys.argv[2], int(sys.argv[3])
X, y, arm, _ = trial(n=120, n_arms=3)

def started(path, checkpoint=None):
    child = os.fork()
    if child == 0:
        tiny(max_epochs=10, inputs="raw").fit(X, y, arm, checkpoint=checkpoint).save(path)
        os._exit(0)
    return child

def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

began = time.monotonic()
assert code_of(started(folder + "/plain")) == 0
seconds = time.monotonic() - began
drawn = random.Random(0)
n = 0
while n < n_kills:
    kept = f"{folder}/training-{n}"
    child = started(f"{folder}/model-{n}", Checkpoint(kept, every=0.0))
    time.sleep(drawn.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    if code_of(child) == -signal.SIGKILL:
        print(sorted(os.listdir(kept)) if os.path.isdir(kept) else "nothing", flush=True)
        assert code_of(started(f"{folder}/model-{n}", kept)) == 0
        n += 1
    else:
        shutil.rmtree(kept)
"""


class TestKilled:
    @pytest.mark.parametrize("n_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
    def test_at_a_random_moment_it_comes_to_the_same_bits(self, n_kills, tmp_path):
        """Processes that fit are forked off one that has imported all there is to import."""
        line = [sys.executable, "-c", KILLED, str(TESTS), str(tmp_path), str(n_kills)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        finished = subprocess.run(line, capture_output=True, text=True, env=environment)
        assert finished.returncode == 0, finished.stderr
        print(finished.stdout)
        for n in range(n_kills):
            assert content_of(tmp_path / f"model-{n}") == content_of(tmp_path / "plain")
            assert not files_in(tmp_path / f"training-{n}")


class TestAnotherFit:
    @pytest.mark.parametrize(
        ("parameters", "changed", "said"),
        [
            ({}, {"y": ARMS[1] + (np.arange(90) == 7)}, r"differ in y\. Pass what was passed"),
            ({}, {"X": ARMS[0][:, :3]}, "differ in X"),
            ({}, {"treatment": np.roll(ARMS[2], 1)}, "differ in treatment"),
            ({}, {"sample_weight": np.arange(90) + 1.0}, "differ in sample_weight"),
            ({}, {"groups": np.arange(90) // 2}, "differ in groups"),
            ({"max_epochs": 4}, {}, r"differ in max_epochs \(2 there, 4 here\)"),
            ({"random_state": 1}, {}, r"differ in random_state \(0 there, 1 here\)"),
            ({"n_jobs": 3}, {}, r"differ in n_jobs \(1 there, 3 here\)"),
        ],
    )
    def test_a_folder_of_another_fit_is_refused_and_stays(self, parameters, changed, said, folder):
        data = dict(zip(("X", "y", "treatment"), ARMS, strict=True))
        before = files_in(folder)
        est = tiny(**{"n_jobs": 1} | parameters)
        with pytest.raises(ValueError, match=rf"checkpoint in .*fit is of .*{said}"):
            est.fit(**data | changed, checkpoint=folder)
        assert not hasattr(est, "fitted_")
        assert files_in(folder) == before

    def test_networks_are_refused_where_it_is_no_longer_said_whose_they_are(self, folder):
        (folder / "fit.json").unlink()
        with pytest.raises(ValueError, match=r"00-search.* trained on something else"):
            tiny(n_jobs=1, max_epochs=4).fit(*ARMS, checkpoint=folder)

    def test_a_model_that_fits_otherwise_each_time_is_found_out(self, tmp_path):
        model = SGDRegressor(max_iter=5, tol=None)  # without a random_state
        learner = {"learner": "dr", "model_outcome": model, "max_epochs": 1}
        tiny(**learner).fit(*ARMS, checkpoint=Ended(tmp_path))
        with pytest.raises(ValueError, match=r"01-search.*model_outcome without a random_state"):
            tiny(**learner).fit(*ARMS, checkpoint=tmp_path)

    @pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
    def test_a_fit_that_would_draw_anew_is_refused(self, seed, tmp_path):
        with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
            tiny(random_state=seed).fit(*ARMS, checkpoint=tmp_path / "new")
        assert not files_in(tmp_path)

    def test_what_is_no_path_is_refused(self):
        with pytest.raises(TypeError, match="checkpoint=3 must be the path of a folder"):
            tiny().fit(*ARMS, checkpoint=3)


class TestDamage:
    @pytest.mark.parametrize("kind", ["cut", "changed", "empty", "other"])
    def test_a_damaged_state_is_refused_by_name(self, kind, folder):
        path = folder / "00-search.safetensors"
        data = path.read_bytes()
        middle = len(data) // 2
        path.write_bytes(
            {
                "cut": data[:middle],
                "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
                "empty": b"",
                "other": b"a,b\n1,2\n" * 100,
            }[kind]
        )
        with pytest.raises(ValueError, match=r"00-search\.safetensors is .* Delete the folder"):
            tiny(n_jobs=1).fit(*ARMS, checkpoint=folder)

    @pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3"])
    def test_so_is_what_says_whose_it_is(self, text, tmp_path):
        (tmp_path / "fit.json").write_text(text)
        with pytest.raises(ValueError, match=r"fit\.json is damaged\. Delete the folder"):
            tiny().fit(*ARMS, checkpoint=tmp_path)


class TestFullDisk:
    def test_before_anything_is_trained_nothing_is_left(self, tmp_path):
        est = tiny()
        with files_of_at_most(100), pytest.raises(OSError, match="no checkpoint can be written to"):
            est.fit(*ARMS, checkpoint=tmp_path)
        assert not hasattr(est, "fitted_")
        assert not files_in(tmp_path)

    def test_later_the_last_whole_state_stays_and_the_estimator_is_as_it_was(self, folder):
        est = tiny(n_jobs=1).fit(ARMS[0], -ARMS[1], ARMS[2])
        before, kept = dict(vars(est)), files_in(folder)
        room = files_of_at_most(10_000)
        with room, pytest.raises(OSError, match=r"00-search.*Make room") as told:
            est.fit(*ARMS, checkpoint=Ended(folder))
        assert told.value.errno
        assert files_in(folder) == kept
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())

    def test_a_file_in_the_place_of_the_folder_is_named(self, tmp_path):
        (tmp_path / "file").write_text("of yesterday")
        with pytest.raises(OSError, match=r"no checkpoint can be written to .*file: "):
            tiny().fit(*ARMS, checkpoint=tmp_path / "file")
        assert files_in(tmp_path) == {"file": b"of yesterday"}
