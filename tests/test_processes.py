"""Networks trained by several processes are those that one process trains."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import tiny, trial

from hypercate import HyperCATE
from hypercate.train.processes import Processes, Share

TESTS = Path(__file__).parent
CPU = torch.device("cpu")
DATA = trial(n=120, n_arms=3)[:3]
FITS = {
    "candidates": {"sharing": "auto", "inputs": "auto", "max_epochs": 12, "patience": 3},
    "noise": {"hypernet_noise": 0.3, "hypernet_dropout": 0.1, "uncertainty": "both"},
    "two stages": {"learner": "dr", "context": "data"},
    "without a second training": {"effort": "fast", "widths": (0.5, 1.0)},
    "one network for two processes": {"n_members": 1, "effort": "fast"},
}
"""Each is fitted by one process and by two."""

TOGETHER = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import torch.distributed as dist
from small import tiny
from test_processes import DATA, FITS
from hypercate.checkpoints import Checkpoint

folder = sys.argv[2]

def fitted(**parameters):
    return tiny(device="cpu", devices=2, n_jobs=1, **parameters).fit(*DATA)

class Ended(Checkpoint):
    def keep(self, path, data):
        super().keep(path, data)
        if self.every == 0 and "_1_of_2" in path.name and "fit" in path.name:
            raise OSError(28, "no room")

def said(call, *errors):
    try:
        call()
    except errors as error:
        return f"{type(error).__name__}: {error}"

effects = {name: fitted(**parameters).predict(DATA[0]) for name, parameters in FITS.items()}
rank = dist.get_rank()
messages = [
    said(lambda: fitted(learning_rate=1e9), FloatingPointError),
    said(lambda: fitted(random_state=None), ValueError),
    said(lambda: tiny(device="cpu", devices=2).fit(
        *DATA, checkpoint=Ended(folder + "/kept", every=0)), OSError),
]
again = tiny(device="cpu", devices=2).fit(*DATA, checkpoint=Ended(folder + "/kept"))
effects["again"] = again.predict(DATA[0])
effects["at once"] = tiny(device="cpu", devices=2).fit(*DATA).predict(DATA[0])
np.savez(f"{folder}/{rank}.npz", messages=np.array(messages, str), **effects)
"""


INTERACTIVE = """
import sys
sys.ps1 = ">>> "
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_processes import DATA, alone

difference = alone(devices=2).predict(DATA[0]) - alone().predict(DATA[0])
assert np.abs(difference).max() < 1e-4
"""


def alone(**parameters):
    return tiny(device="cpu", n_jobs=1, **parameters).fit(*DATA)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes that a launcher started found: effects, and messages of errors."""
    pytest.importorskip("lightning_fabric")
    folder = tmp_path_factory.mktemp("together")
    script = folder / "script.py"
    script.write_text(TOGETHER)
    line = [sys.executable, "-W", "error", "-m", "torch.distributed.run", "--standalone"]
    line += ["--nproc-per-node=2", str(script), str(TESTS), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr
    return [np.load(folder / f"{rank}.npz") for rank in range(2)]


class TestShare:
    @given(n_nets=st.integers(1, 200), size=st.integers(1, 17))
    def test_shares_are_consecutive_and_as_equal_as_can_be(self, n_nets, size):
        masks = [Share(CPU, rank, size).of(n_nets) for rank in range(size)]
        nets = torch.cat([mask.nonzero()[:, 0] for mask in masks])
        assert nets.tolist() == list(range(n_nets))
        counts = [int(mask.sum()) for mask in masks]
        assert max(counts) - min(counts) <= 1


class TestProcessesThatWereStartedTogether:
    @pytest.mark.parametrize("name", FITS)
    def test_effects_are_those_of_one_process(self, name, together):
        effects = alone(**FITS[name]).predict(DATA[0])
        for process in together:
            assert np.abs(process[name] - effects).max() < 1e-4 * effects.std()

    def test_every_process_has_the_same_model(self, together):
        first, second = together
        for name in FITS:
            assert np.array_equal(first[name], second[name])

    def test_an_error_of_one_process_is_raised_in_all(self, together):
        for process in together:
            diverged, drawn, full = process["messages"]
            assert "FloatingPointError: training diverged" in diverged
            assert "same integer random_state" in drawn
            assert "no room" in full

    def test_a_fit_that_ended_goes_on_in_all(self, together):
        for process in together:
            assert np.array_equal(process["again"], process["at once"])


class TestProcessesThatAreStartedForTraining:
    def test_effects_are_those_of_one_process_which_stays_as_it_was(self, tmp_path, monkeypatch):
        pytest.importorskip("lightning_fabric")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        before = dict(os.environ), torch.get_num_threads()
        y = np.column_stack([DATA[1], DATA[1] > DATA[1].mean()])
        parameters = {"outcome": ["continuous", "binary"]}
        two = tiny(device="cpu", n_jobs=1, devices=2, **parameters).fit(DATA[0], y, DATA[2])
        one = tiny(device="cpu", n_jobs=1, **parameters).fit(DATA[0], y, DATA[2])
        difference = two.predict(DATA[0]) - one.predict(DATA[0])
        assert np.abs(difference).max() < 1e-4 * one.predict(DATA[0]).std()
        assert (dict(os.environ), torch.get_num_threads()) == before
        assert not list(tmp_path.iterdir())

    def test_an_interactive_session_forks_them(self, tmp_path):
        pytest.importorskip("lightning_fabric")
        line = [sys.executable, "-c", INTERACTIVE, str(TESTS)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        finished = subprocess.run(line, capture_output=True, text=True, env=environment)
        assert finished.returncode == 0, finished.stderr

    def test_an_error_is_raised_as_it_was(self):
        pytest.importorskip("lightning_fabric")
        with pytest.raises(FloatingPointError, match="training diverged"):
            alone(devices=2, learning_rate=1e9)


class TestWhatCannotBeUsed:
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"devices": 0}, "devices"),
            ({"devices": 2, "strategy": "fsdp"}, "strategy"),
            ({"devices": [0, 1]}, r"devices=\[0, 1\] .* cannot be used with the device 'cpu'"),
        ],
    )
    def test_is_named(self, parameters, message):
        pytest.importorskip("lightning_fabric")
        with pytest.raises(ValueError, match=message):
            alone(**parameters)

    def test_emitted_networks_need_no_devices(self):
        with pytest.raises(ValueError, match="devices would have no effect"):
            HyperCATE(effort="instant", devices=2).fit(*DATA)

    def test_what_is_not_installed_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lightning_fabric", None)
        with pytest.raises(ImportError, match="pip install lightning-fabric"):
            Processes.of(2, "auto", CPU)
