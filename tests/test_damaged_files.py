"""Files that are damaged, cut short or change while they are read are refused, in one line."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_command_line import COVARIATES, QUICK, ROLES, trial

from hypercate import HyperCATE
from hypercate.cli import main
from hypercate.commands import files, reading, tables
from hypercate.commands.files import tables_named
from hypercate.commands.messages import BadData, about
from hypercate.commands.reading import Columns, Sampling, rows_of

SETTINGS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
COMMANDS = {
    "fit": lambda name: ["fit", name, *ROLES, *QUICK, "--out", "new.out"],
    "sample": lambda name: ["fit", name, *ROLES, *QUICK, "--max-rows", "90", "--out", "new.out"],
    "predict": lambda name: ["predict", "m.hypercate", name, "--out", "new.csv"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    frame = trial()
    est = HyperCATE(control="placebo", effort="instant", random_state=0)
    est.fit(frame[COVARIATES], frame["y"], frame["arm"]).save(folder / "m.hypercate")
    frame.to_csv(folder / "whole.csv", index=False)
    frame.to_parquet(folder / "whole.parquet", row_group_size=100)
    frame.to_parquet(folder / "sealed.parquet", row_group_size=100, write_page_checksum=True)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def told(line, capsys):
    """What is said last of a command that has to end with code 1, and to leave nothing."""
    before = sorted(path.name for path in Path().iterdir())
    capsys.readouterr()
    assert main(line) == 1
    assert sorted(path.name for path in Path().iterdir()) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def rows_read(found, sampling=None):
    columns = Columns.of(found, {"y": ["y"], "treatment": "arm"}, ["id"], ["grade"])
    return rows_of(found, columns, sampling)


def refusal(read):
    """What is said of data that is refused, or else what a function gives."""
    try:
        return "", read()
    except BadData as error:
        return str(error), None


class TestParquet:
    @given(st.data())
    @SETTINGS
    def test_cut_at_any_byte_it_is_refused(self, here, data):
        whole = (here / "whole.parquet").read_bytes()
        end = data.draw(st.integers(0, len(whole) - 1))
        (here / "cut.parquet").write_bytes(whole[:end])
        with pytest.raises(BadData, match=r"^cut\.parquet: .*write or copy it again$"):
            tables_named(["cut.parquet"])[0].schema  # noqa: B018

    @given(st.data())
    @SETTINGS
    def test_with_any_bytes_changed_it_is_refused_or_read(self, here, data):
        spoilt = bytearray((here / "whole.parquet").read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(spoilt) - 1), min_size=1, max_size=4)):
            spoilt[place] = data.draw(st.integers(0, 255))
        (here / "spoilt.parquet").write_bytes(spoilt)
        sampling = data.draw(st.sampled_from([None, Sampling(90, 0, True, False)]))
        said, n_read = refusal(lambda: rows_read(tables_named(["spoilt.parquet"]), sampling).n_read)
        assert re.match(r"spoilt\.parquet.*$", said) if n_read is None else n_read == 240

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_page_that_its_checksum_does_not_fit_is_refused(self, command, here, capsys):
        spoilt = bytearray((here / "sealed.parquet").read_bytes())
        page = spoilt.index(np.float64(trial()["age"][101]).tobytes())
        spoilt[page : page + 8] = np.float64(51.0).tobytes()
        (here / "spoilt.parquet").write_bytes(spoilt)
        said = told(COMMANDS[command]("spoilt.parquet"), capsys)
        assert re.search(r"spoilt\.parquet: .*CRC checksum .*write or copy it again", said)


class TestCsv:
    @given(st.data())
    @SETTINGS
    def test_cut_at_any_byte_it_is_refused_or_warned_of(self, here, data):
        whole = (here / "whole.csv").read_bytes()
        start = whole.index(b"\n") + 1
        end = data.draw(st.integers(start, len(whole)))
        (here / "cut.csv").write_bytes(whole[:end])
        lines = whole[start:end].count(b"\n")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            said, n = refusal(lambda: len(tables_named(["cut.csv"])[0].table(["age", "y"], {})))
        if n is None:
            assert re.search(r"^cut\.csv: .*write it again if it was cut short$", said)
        else:
            assert n == lines + (whole[end - 1 : end] != b"\n")
            starts = [str(one.message)[:20] for one in caught]
            assert starts == ["cut.csv does not end"] * (n > lines)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_last_line_without_an_end_is_warned_of(self, command, here, capsys):
        (here / "open.csv").write_bytes((here / "whole.csv").read_bytes()[:-3])
        assert main([*COMMANDS[command]("open.csv"), "--json"]) == 0
        printed = capsys.readouterr()
        assert "warning: open.csv does not end with the end of a line" in printed.err
        assert any("open.csv" in text for text in json.loads(printed.out)["warnings"])

    @pytest.mark.parametrize("command", COMMANDS)
    def test_another_encoding_is_told(self, command, here, capsys):
        text = (here / "whole.csv").read_text().replace("north", "nörd")
        (here / "latin.csv").write_text(text, encoding="latin-1")
        said = told(COMMANDS[command]("latin.csv"), capsys)
        assert "latin.csv: column 'site' is not in UTF-8: write the file in this encoding" in said

    @pytest.mark.parametrize(
        ("first", "later", "said"),
        [
            ("1", "1.5", None),
            ("", "1.5", "late.csv: column 'dose' is empty in the first rows"),
            ("1", "old", "late.csv: column 'dose': invalid value 'old', where others are of type"),
        ],
    )
    def test_what_comes_late_in_a_column_is_read_or_told(
        self, first, later, said, here, monkeypatch, capsys
    ):
        monkeypatch.setattr(tables, "CSV_BYTES", 2**20)
        frame = pd.concat([trial()] * 100, ignore_index=True)
        frame["dose"] = np.where(frame.index < 23_000, first, later)
        frame.to_csv("late.csv", index=False)
        if said is None:
            assert main(COMMANDS["sample"]("late.csv")) == 0
        else:
            assert said in told(COMMANDS["sample"]("late.csv"), capsys)


def grown(path):
    with path.open("ab") as file:
        file.write(b"0240,1,1,True,north,1,drug,5\n")


def replaced(path):
    trial()[["id", "age", "arm"]].to_csv("other", index=False)
    (path.parent / "other").replace(path)


def removed(path):
    path.unlink()


class TestChanges:
    @pytest.mark.parametrize("change", [grown, replaced, removed])
    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_file_that_changes_while_it_is_read_is_refused(
        self, command, ending, change, here, monkeypatch, capsys
    ):
        path = here / f"changing.{ending}"
        path.write_bytes((here / f"whole.{ending}").read_bytes())
        (here / "new.out").write_text("of yesterday")
        (here / "new.csv").write_text("of yesterday")
        monkeypatch.setattr(reading, "BLOCK_ROWS", 100)
        monkeypatch.setattr(files, "BLOCK_ROWS", 100)
        kind = type(tables_named([str(path)])[0])
        blocks, table = kind.blocks, kind.table

        def changing_blocks(self, *arguments):
            for place, block in enumerate(blocks(self, *arguments)):
                yield block
                if place == 0:
                    change(path)

        def changing_table(self, *arguments):
            change(path)
            return table(self, *arguments)

        monkeypatch.setattr(kind, "blocks", changing_blocks)
        monkeypatch.setattr(kind, "table", changing_table)
        line = COMMANDS[command](path.name)
        assert main(line) == 1
        printed = capsys.readouterr().err.splitlines()[-1]
        expected = "No such file" if change is removed else "was changed while it was read"
        assert f"{path.name}: " in printed if change is removed else path.name in printed
        assert expected in printed
        assert (here / "new.out").read_text() == (here / "new.csv").read_text() == "of yesterday"
        for name in ("new.out", "new.csv", path.name):
            (here / name).unlink(missing_ok=True)

    def test_a_file_of_a_glob_that_is_gone_is_named(self, here):
        trial().to_csv("part-1.csv", index=False)
        trial().to_csv("part-2.csv", index=False)
        found = tables_named(["part-*.csv"])
        (here / "part-2.csv").unlink()
        with pytest.raises(BadData, match=r"part-2\.csv: No such file"):
            rows_read(found)


class TestRead:
    def test_rows_without_weight_were_read_too(self, here, capsys):
        trial().assign(w=1.0 * (np.arange(240) % 4 > 0)).to_csv("weighted.csv", index=False)
        line = [*COMMANDS["sample"]("weighted.csv"), "--weight", "w", "--json"]
        assert main(line) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["rows_read"], summary["rows"]) == (240, 90)

    def test_memory_that_is_not_to_be_had_is_told(self):
        with (
            pytest.raises(BadData, match=r"rows\.csv: there is not enough memory"),
            about("rows.csv"),
        ):
            np.empty(2**56)
