"""What commands say before they start: rows, memory and time."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from test_command_line import QUICK, ROLES, trial

from hypercate import HyperCATE
from hypercate.cli import main
from hypercate.commands import estimate
from hypercate.commands.estimate import GIB, Estimate, memory_available, of_fit
from hypercate.commands.files import tables_named
from hypercate.commands.reading import Columns

SMALL = ["fit", "trial.csv", *ROLES, *QUICK, "--out", "m.hypercate"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial().to_csv("trial.csv", index=False)
    return tmp_path


def expected(rows=5000, arms=2, columns=10, max_rows=None, **parameters):
    frame = pd.DataFrame(np.zeros((rows, columns), np.float32)).add_prefix("x")
    frame.assign(y=0.0, arm=np.arange(rows) % arms).to_parquet("rows.parquet")
    files = tables_named(["rows.parquet"])
    found = Columns.of(files, {"y": ["y"], "treatment": "arm"}, [], [])
    return of_fit(
        files, found, HyperCATE(device="cpu", n_jobs=1, **parameters), max_rows, timed=True
    )


class TestRows:
    @pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.bz2", "tsv", "parquet"])
    def test_of_a_large_file_are_told_from_its_size(self, ending, here):
        frame = trial(20_000)
        path = here / f"many.{ending}"
        if ending == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
        (file,) = tables_named([str(path)])
        close = 1e-12 if ending == "parquet" else 0.05
        assert file.rows_about == pytest.approx(len(frame), rel=close)

    @pytest.mark.parametrize("n", [0, 1, 240])
    def test_of_a_small_file_are_counted(self, n, here):
        trial()[:n].to_csv("few.csv", index=False)
        assert tables_named(["few.csv"])[0].rows_about == n
        whole = (here / "few.csv").read_bytes()
        (here / "few.csv").write_bytes(whole.rstrip(b"\n"))
        assert tables_named(["few.csv"])[0].rows_about == n or n == 0


class TestFit:
    def test_time_and_memory_grow_with_what_is_to_be_done(self, here):
        base = expected()
        for more in (
            {"rows": 20_000},
            {"arms": 5},
            {"columns": 40},
            {"effort": "thorough"},
        ):
            other = expected(**more)
            assert other.seconds > base.seconds
            assert other.memory > base.memory or more == {"effort": "thorough"}
        fewer = expected(rows=20_000, max_rows=5000)
        assert (fewer.n_rows, fewer.n_used) == (20_000, 5000)
        assert base.seconds < fewer.seconds < expected(rows=20_000).seconds

    def test_no_time_is_told_that_was_not_measured(self, here):
        assert expected(treatment_kind="dose").seconds is None
        assert expected().seconds is not None

    def test_it_is_said_before_and_in_the_summary(self, here, capsys):
        assert main([*SMALL, "--max-rows", "90", "--json"]) == 0
        printed = capsys.readouterr()
        first = printed.err.splitlines()[0]
        assert re.fullmatch(
            r"hypercate fit: about 240 rows of 5 covariates in 1 file; the fit uses a sample of "
            r"90\. Expect about 0\.\d GiB of memory and \d+ to \d+ seconds on \d+ threads?",
            first,
        )
        told = json.loads(printed.out)["expected"]
        assert (told["rows"], told["rows_used"], told["rows_are_counted"]) == (240, 90, False)
        assert told["seconds"][0] < told["seconds"][1]

    def test_memory_that_there_is_not_is_warned_of(self, here, monkeypatch, capsys):
        monkeypatch.setattr(estimate, "memory_available", lambda: 2**27)
        assert main([*SMALL, "--json"]) == 0
        printed = capsys.readouterr()
        assert "warning: about 0.5 GiB of memory are expected to be needed" in printed.err
        (warning, *_) = json.loads(printed.out)["warnings"]
        assert "0.1 GiB are available" in warning
        assert "--max-rows" not in warning  # no sample is small enough


class TestShortage:
    def of(self, n_used):
        memory = 1 * GIB + 1000 * n_used
        return Estimate(10**7, n_used, 50, 1, 2, True, memory, 1000, None)

    def test_a_sample_is_advised_that_fits(self):
        advised = re.search(r"--max-rows (\d+) ", self.of(10**7).shortage(4 * GIB)).group(1)
        assert self.of(int(advised)).shortage(4 * GIB) is None
        assert self.of(int(1.3 * int(advised))).shortage(4 * GIB) is not None

    def test_nothing_is_said_of_enough_or_unknown_memory(self):
        assert self.of(10**6).shortage(4 * GIB) is None
        assert self.of(10**7).shortage(None) is None

    def test_what_is_available_is_some_of_what_there_is(self):
        found = memory_available()
        assert found is None or 2**20 < found < 2**50


class TestPredict:
    def test_time_is_told_by_some_rows_on_trial(self, here, capsys):
        assert main([*SMALL, "--category", "grade"]) == 0
        capsys.readouterr()
        pd.concat([trial()] * 200, ignore_index=True).to_parquet("many.parquet")
        assert main(["predict", "m.hypercate", "many.parquet", "--out", "a.csv", "--json"]) == 0
        printed = capsys.readouterr()
        told = json.loads(printed.out)["expected"]
        assert told["rows"] == told["rows_used"] == 48_000
        assert 0 < told["seconds"][0] < told["seconds"][1]
        assert "48,000 rows of 5 covariates in 1 file. Expect about 0.6 GiB" in printed.err
        assert main(["predict", "m.hypercate", "trial.csv", "--out", "a.csv", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["expected"]["seconds"] is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((0.2, 0.6), "about 1 second"),
        ((5, 13.2), "5 to 13 seconds"),
        ((100, 260), "2 to 4 minutes"),
        ((5000, 14000), "1 to 4 hours"),
    ],
)
def test_durations_are_in_words(seconds, words):
    assert estimate._duration(*seconds) == words
