"""``hypercate fit`` and ``predict``: what a file says is what a frame says, or it is refused."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hypercate import HyperCATE
from hypercate.cli import main
from hypercate.commands import files, reading
from hypercate.commands.options import value_of
from hypercate.commands.writing import table_written

ROOT = Path(__file__).parents[1]
COVARIATES = ["age", "dose", "smoker", "site", "grade"]
ROLES = ["--outcome", "y", "--treatment", "arm", "--drop", "id"]
QUICK = ["--effort", "instant", "--random-state", "0"]
NULLS = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "n/a", "#N/A", "#NA", "-nan", "-NaN"}


def trial(n=240, seed=0):
    """Every kind of column, with missing values, three arms and names of the rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"{i:04}" for i in range(n)],
            "age": rng.normal(50, 10, n),
            "dose": rng.integers(0, 9, n),
            "smoker": rng.random(n) < 0.3,
            "site": rng.choice(["north", "south, by the sea", 'the "west"'], n),
            "grade": pd.Categorical(rng.choice(["1", "2", "3"], n)),
            "arm": rng.choice(["drug", "placebo", "surgery"], n),
        }
    )
    effect = 2.0 * (frame["arm"] == "drug") * (frame["site"] == "north")
    frame["y"] = frame["age"] / 10 + effect + 0.3 * rng.normal(size=n)
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "site"] = None
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the study as CSV and as Parquet, the model and files that are refused."""
    folder = tmp_path_factory.mktemp("study")
    frame = trial()
    frame.to_csv(folder / "trial.csv", index=False)
    frame.to_parquet(folder / "trial.parquet")
    line = ["fit", "trial.csv", *ROLES, "--category", "grade", "--control", "placebo", *QUICK]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*line, "--out", "m.hypercate"]) == 0
    spoil(folder, frame)
    return folder


def spoil(folder, frame):
    """Files that are refused."""
    for name, changed in {
        "text": frame.assign(age="old"),
        "numbers": frame.assign(site=1.5),
        "dated": frame.assign(day=pd.Timestamp("2020-02-02")),
        "fewer": frame.drop(columns="age"),
        "more": frame.assign(extra=1),
        "holes": frame.assign(y=frame["y"].where(frame.index != 3)),
        "infinite": frame.assign(age=frame["age"].where(frame.index != 5, np.inf)),
    }.items():
        changed.to_parquet(folder / f"{name}.parquet")
    (folder / "cut.parquet").write_bytes((folder / "trial.parquet").read_bytes()[:3000])
    (folder / "empty.csv").touch()
    (folder / "ragged.csv").write_text("age,y\n1,2\n3\n")
    (folder / "twice.csv").write_text("age,age\n1,2\n")
    header = ",".join(COVARIATES)
    row = "50,1,True,north,1\n"
    (folder / "late.csv").write_text(f"{header}\n{row * 80_000}old,1,True,north,1\n")
    (folder / "table.xlsx").touch()
    (folder / "damaged.hypercate").write_bytes((folder / "m.hypercate").read_bytes()[:-1])
    (folder / "nothing").mkdir()
    (folder / "unknown.yaml").write_text("outcme: y\n")
    (folder / "list.yaml").write_text("- outcome\n")
    (folder / "broken.yaml").write_text("outcome: [y\n")
    X = np.random.default_rng(0).normal(size=(60, 2))
    arm = np.arange(60) % 2
    HyperCATE(effort="instant", random_state=0).fit(X, X[:, 0] + arm, arm).save(
        folder / "array.hypercate"
    )


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def est(folder):
    return HyperCATE.load(folder / "m.hypercate", device="cpu")


def predicted(*arguments, out="effects.parquet"):
    """The table that predict writes."""
    assert main(["predict", "m.hypercate", *map(str, arguments), "--out", str(out)]) == 0
    return pd.read_parquet(out) if Path(out).suffix == ".parquet" else pd.read_csv(out)


def effects(table):
    return table[["effect_drug", "effect_surgery"]].to_numpy()


class TestFit:
    def test_the_model_is_that_of_the_frame_whatever_the_format(self, here, est):
        frame, X = trial(), trial()[COVARIATES]
        same = HyperCATE(control="placebo", effort="instant", random_state=0)
        same.fit(X, frame["y"], frame["arm"])
        np.testing.assert_array_equal(
            est.predict(frame[COVARIATES]), same.predict(frame[COVARIATES])
        )
        frame[:100].to_csv("part-1.csv.gz", index=False)
        frame[100:].to_parquet("part-2.parquet", index=False)
        line = ["fit", "part-1.csv.gz", "part-2.parquet", *ROLES, "--category", "grade", *QUICK]
        assert main([*line, "--control", "placebo", "--out", "parts.hypercate"]) == 0
        parts = HyperCATE.load("parts.hypercate", device="cpu")
        np.testing.assert_array_equal(parts.predict(X), same.predict(X))

    def test_the_summary_has_arms_averages_and_warnings(self, here, capsys):
        rng = np.random.default_rng(0)
        frame = trial().assign(clinic=rng.integers(20, size=240), share=0.5, w=1.0)
        frame["arm"] = np.where(frame["age"].fillna(50) > 45, 1, 0)
        frame.to_csv("apart.csv", index=False)
        (here / "options.yaml").write_text(
            "outcome: y\ntreatment: arm\ndrop: [id, share]\ngroups: clinic\nweight: w\n"
            "control: 0\neffort: instant\nrandom-state: 3\njson: true\n"
            "set: {validation_fraction: 2e-1, n_members: 4}\n"
        )
        line = ["fit", "apart.csv", "--config", "options.yaml", "--control", "1"]
        assert main([*line, "--set", "n_members=2", "--out", "apart.hypercate"]) == 0
        printed = capsys.readouterr()
        summary = json.loads(printed.out)
        est = HyperCATE.load("apart.hypercate")
        parameters = est.get_params()
        assert parameters["random_state"] == 3
        assert parameters["n_members"] == 2
        assert parameters["validation_fraction"] == 0.2
        assert summary["arms"] == est.arms_.tolist() == [1, 0]
        assert summary["rows"] == sum(summary["rows_by_arm"]) == 240
        assert summary["rows_by_arm"][0] == (frame["arm"] == 1).sum()
        assert summary["columns"] == COVARIATES
        assert est.fitted_.evidence.cluster.max() == 19
        (average,) = summary["ate"]
        table = est.ate_inference().summary_frame()
        assert average["arm"] == 0
        assert [average[name] for name in table] == pytest.approx(table.iloc[0].tolist())
        assert any("poor support" in text for text in summary["warnings"])
        assert "warning: arm" in printed.err
        assert summary["seconds"] > 0
        assert summary["version"]

    def test_several_outcomes_are_named_in_the_columns(self, here, capsys):
        trial().assign(z=1.0 * (trial()["y"] > 5)).to_parquet("two.parquet")
        line = ["fit", "two.parquet", *ROLES, "--outcome", "z", *QUICK, "--out", "two.hypercate"]
        assert main(line) == 0
        printed = capsys.readouterr().out
        assert "240 rows, 5 covariates" in printed
        assert "Average treatment effect" in printed
        assert main(["predict", "two.hypercate", "two.parquet", "--out", "two.csv"]) == 0
        est = HyperCATE.load("two.hypercate", device="cpu")
        found = pd.read_csv("two.csv")
        assert list(found) == [
            f"effect_{arm}_{outcome}" for arm in ("placebo", "surgery") for outcome in ("y", "z")
        ]
        expected = est.predict(trial()[COVARIATES]).reshape(240, 4)
        np.testing.assert_array_equal(found.to_numpy(), expected)

    def test_times_until_an_event_have_their_columns(self, here):
        frame = trial().assign(seen=np.arange(240) % 3 > 0)
        frame.to_csv("times.csv", index=False)
        line = ["fit", "times.csv", *ROLES, "--event", "seen", "--horizon", "5", *QUICK]
        line += ["--outcome-kind", "survival", "--out", "times.hypercate"]
        assert main(line) == 0
        assert HyperCATE.load("times.hypercate").outcome_ == "survival"


class TestSample:
    """``--max-rows``: fits of samples, read a block at a time."""

    @pytest.mark.parametrize("data", ["trial.csv", "trial.parquet"])
    def test_of_so_many_rows_all_are_fitted(self, data, here, est, monkeypatch):
        monkeypatch.setattr(reading, "BLOCK_ROWS", 50)
        line = ["fit", data, *ROLES, "--category", "grade", "--control", "placebo", *QUICK]
        assert main([*line, "--max-rows", "240", "--out", "sampled.hypercate"]) == 0
        X = trial(seed=1)[COVARIATES]
        found = HyperCATE.load("sampled.hypercate").predict(X)
        np.testing.assert_array_equal(found, est.predict(X))

    def test_a_sample_stands_for_all_rows(self, here, monkeypatch, capsys):
        monkeypatch.setattr(reading, "BLOCK_ROWS", 50)
        trial(600, seed=5).to_parquet("b.parquet")
        line = ["fit", "trial.parquet", "b.parquet", *ROLES, "--max-rows", "300", *QUICK, "--json"]
        assert main([*line, "--out", "sampled.hypercate"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["rows_read"], summary["rows"], summary["rows_by_arm"]) == (
            840,
            300,
            [100] * 3,
        )
        arms = pd.concat([trial(), trial(600, seed=5)])["arm"].value_counts(normalize=True)
        evidence = HyperCATE.load("sampled.hypercate").fitted_.evidence
        share = np.bincount(evidence.arm, evidence.weight) / 300
        np.testing.assert_allclose(share, arms.sort_index())
        assert main([*line, "--out", "again.hypercate"]) == 0
        X = trial(seed=1)[COVARIATES]
        found, again = (
            HyperCATE.load(f"{name}.hypercate").predict(X) for name in ("sampled", "again")
        )
        np.testing.assert_array_equal(found, again)

    def test_weights_and_clusters_go_with_it(self, here, capsys):
        frame = trial(600, seed=5).assign(
            w=lambda f: f.index % 3 + 1.0, clinic=lambda f: f.index // 20
        )
        frame.to_parquet("w.parquet")
        line = [
            "fit",
            "w.parquet",
            *ROLES,
            "--weight",
            "w",
            "--groups",
            "clinic",
            "--max-rows",
            "300",
        ]
        assert main([*line, *QUICK, "--json", "--out", "sampled.hypercate"]) == 0
        assert json.loads(capsys.readouterr().out)["rows"] <= 300
        evidence = HyperCATE.load("sampled.hypercate").fitted_.evidence
        assert (np.bincount(evidence.cluster) == 20).all()
        share = np.bincount(evidence.arm, evidence.weight) / evidence.weight.sum()
        np.testing.assert_allclose(share, frame.groupby("arm")["w"].sum() / frame["w"].sum())


class TestPredict:
    texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=6)
    levels = st.sampled_from(["north", "south, by the sea", 'the "west"']) | texts

    @given(data=st.data(), n=st.integers(1, 12), ending=st.sampled_from(["csv", "parquet", "tsv"]))
    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_a_file_is_predicted_as_its_frame_to_the_bit(self, data, n, ending, here, est):
        def column(values):
            return data.draw(st.lists(values, min_size=n, max_size=n))

        numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
        site = [None if text in NULLS else text for text in column(st.none() | self.levels)]
        frame = pd.DataFrame(
            {
                "age": np.array(column(st.none() | numbers), dtype=np.float64),
                "dose": column(st.integers(-(2**62), 2**62)),
                "smoker": column(st.booleans()),
                "site": pd.Series(site, dtype=object),
                "grade": pd.Categorical(column(st.sampled_from(["1", "2", "3"]))),
                "ignored": column(numbers),
                "row": np.arange(n),
            }
        )[data.draw(st.permutations([*COVARIATES, "ignored", "row"]))]
        path = here / f"fuzz.{ending}"
        if ending == "parquet":
            frame.to_parquet(path, row_group_size=data.draw(st.integers(1, n)))
        else:
            frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
        found = predicted(path, "--id", "row", "--interval", "0.9", "--outcomes")
        X = frame[COVARIATES]
        expected = [
            est.predict(X), *est.effect_interval(X, alpha=1 - 0.9), est.predict_outcomes(X),
        ]  # fmt: skip
        assert found["row"].astype(int).tolist() == list(range(n))
        np.testing.assert_array_equal(found.drop(columns="row").to_numpy(), np.hstack(expected))

    def test_columns_say_what_they_are(self, here):
        table = predicted("trial.csv", "--id", "id", "--interval", "0.9", "--outcomes")
        ends = [f"{end}_{arm}" for end in ("ci_lower", "ci_upper") for arm in ("drug", "surgery")]
        outcomes = [f"outcome_{arm}" for arm in ("placebo", "drug", "surgery")]
        assert list(table) == ["id", "effect_drug", "effect_surgery", *ends, *outcomes]
        assert table["id"].tolist() == trial()["id"].tolist()  # 0007 is not 7
        assert (table["ci_lower_drug"] < table["effect_drug"]).all()

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_blocks_keep_the_order_and_say_the_same(self, ending, here, est, monkeypatch):
        monkeypatch.setattr(files, "BLOCK_ROWS", 17)
        table = predicted(f"trial.{ending}", "--id", "id", out="blocks.parquet")
        assert table["id"].tolist() == trial()["id"].tolist()
        assert parquet.ParquetFile("blocks.parquet").num_row_groups == -(-240 // 17)
        np.testing.assert_allclose(
            effects(table), est.predict(trial()[COVARIATES]), rtol=1e-5, atol=1e-6
        )

    def test_several_files_a_folder_and_a_glob_are_read_in_their_order(self, here, est):
        folder = here / "parts"
        folder.mkdir()
        frame = trial()
        for name, rows in {"b": slice(0, 90), "a": slice(90, 180), "c": slice(180, 240)}.items():
            frame[rows].to_csv(folder / f"{name}.csv", index=False)
        (folder / "_SUCCESS").touch()
        (folder / "notes.txt").touch()
        sorted_ids = pd.concat([frame[90:180], frame[:90], frame[180:]])["id"].tolist()
        for source in ("parts", "parts/*.csv", "parts/[abc].csv"):
            assert predicted(source, "--id", "id", out="parts.csv")["id"].tolist() == [
                int(text) for text in sorted_ids
            ]
        given = predicted("parts/b.csv", "parts/a.csv", "parts/c.csv", "--id", "id")
        assert given["id"].tolist() == frame["id"].tolist()

    def test_types_of_what_is_copied_are_kept(self, here):
        frame = trial().assign(
            number=np.arange(240, dtype=np.int32),
            day=pd.Timestamp("2020-02-02"),
            clinic=pd.Categorical(np.arange(240) % 3),
        )
        frame.to_parquet("typed.parquet")
        copied = [word for name in ("number", "day", "clinic") for word in ("--id", name)]
        predicted("typed.parquet", *copied, out="copied.parquet")
        given, found = (parquet.read_schema(f"{n}.parquet") for n in ("typed", "copied"))
        for name in ("number", "day"):
            assert found.field(name).type == given.field(name).type
        assert found.field("clinic").type == pa.int64()

    def test_codes_are_levels_however_they_are_kept(self, here, est):
        frame = trial()
        frame.assign(grade=frame["grade"].astype(int)).to_parquet("codes.parquet")
        found = predicted("codes.parquet")
        np.testing.assert_array_equal(effects(found), est.predict(frame[COVARIATES]))

    def test_the_index_of_a_pandas_frame_is_no_covariate(self, here):
        trial().set_index("id").to_parquet("indexed.parquet")
        line = ["fit", "indexed.parquet", "--outcome", "y", "--treatment", "arm", *QUICK]
        assert main([*line, "--out", "indexed.hypercate"]) == 0
        names = HyperCATE.load("indexed.hypercate").feature_names_in_
        assert names.tolist() == COVARIATES

    def test_no_rows_give_a_table_without_rows(self, here):
        trial()[:0].to_csv("none.csv", index=False)
        table = predicted("none.csv", "--id", "id")
        assert list(table) == ["id", "effect_drug", "effect_surgery"]
        assert len(table) == 0

    def test_only_what_was_asked_for_is_on_stdout(self, here, capsys):
        predicted("trial.csv")
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "predict: 240 rows in" in printed.err
        predicted("trial.csv", "--json", out="effects.csv")
        summary = json.loads(capsys.readouterr().out)
        assert summary["rows"] == 240
        assert summary["arms"] == ["placebo", "drug", "surgery"]
        assert summary["columns"] == ["effect_drug", "effect_surgery"]
        assert summary["out"] == "effects.csv"


class TestReport:
    def test_it_is_of_rows_at_even_distances_of_all_files(self, here, est, monkeypatch, capsys):
        pytest.importorskip("matplotlib", reason="a report has pictures")
        monkeypatch.setattr("hypercate.reporting.MOST_ROWS", 100)
        line = ["report", "m.hypercate", "trial.csv", "trial.parquet", "--interval", "0.9"]
        assert main([*line, "--out", "report.json", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["rows"] == 60  # every eighth of 480
        found = json.loads(Path("report.json").read_text())
        (table,) = [part["tables"] for part in found["sections"] if part["name"] == "effects"]
        some = pd.concat([trial(), trial()])[COVARIATES].iloc[::8]
        means = [row["mean"] for row in table["Effects of rows"]]
        np.testing.assert_allclose(means, est.predict(some).mean(axis=0), rtol=1e-5)
        (table,) = [part["tables"] for part in found["sections"] if part["name"] == "averages"]
        (row, *_) = table["Average effects"]
        lower = est.ate_inference().summary_frame(0.1)["ci_lower"].iloc[0]
        assert row["ci_lower"] == pytest.approx(lower)

    def test_without_files_it_is_of_the_model_alone(self, here, capsys):
        assert main(["report", "m.hypercate", "--title", "A & B", "--out", "report.html"]) == 0
        page = Path("report.html").read_text()
        assert "A &amp; B" in page
        assert 'id="averages"' in page
        assert 'id="effects"' not in page


PAGE_COMMANDS = ("fit", "predict", "report", "fit")
FIT = ["fit", "trial.csv", *ROLES, *QUICK]
SCORE = ["predict", "m.hypercate"]
TO = ["--out", "new.parquet"]


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["fit", *TO], "required: DATA"),
            (["fit", "trial.csv", *TO], "required: --outcome, --treatment"),
            (FIT, "required: --out"),
            ([*FIT, "--effort", "huge", *TO], "'effort' parameter"),
            ([*FIT, "--device", "abacus", *TO], "device='abacus'"),
            ([*FIT, "--set", "n_members", *TO], "'n_members' is not of the form name=value"),
            ([*FIT, "--set", "n_memebers=3", *TO], "--set n_memebers: HyperCATE has no such"),
            ([*FIT, "--set", "n_members=few", *TO], "'n_members' parameter"),
            ([*FIT, "--set", "learner=t", *TO], "--set learner: use --learner"),
            ([*FIT, "--set", "outcome=count", *TO], "--set outcome: use --outcome-kind"),
            ([*FIT, "--config", "unknown.yaml", *TO], "unknown.yaml: unknown option 'outcme'"),
            ([*FIT, "--config", "list.yaml", *TO], "it must hold options by their names"),
            ([*FIT, "--config", "broken.yaml", *TO], "broken.yaml: this is not YAML"),
            ([*FIT, "--config", "absent.yaml", *TO], "No such file"),
            ([*SCORE, "trial.csv"], "required: --out"),
            ([*SCORE, "trial.csv", "--out", "new.xlsx"], "must end in .parquet or .csv"),
            ([*SCORE, "trial.csv", "--interval", "95", *TO], "'95' is not between 0 and 1"),
            ([*SCORE, "trial.csv", "--device", "abacus", *TO], "device='abacus'"),
            (["report", "m.hypercate"], "required: --out"),
            (["report", "m.hypercate", "--out", "a.pdf"], "must end in .html or .json"),
        ],
    )
    def test_wrong_usage_is_told_with_exit_code_2(self, arguments, message, here, capsys):
        before = sorted(here.iterdir())
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        printed = capsys.readouterr()
        assert message in printed.err.splitlines()[-1]
        assert printed.out == ""
        assert sorted(here.iterdir()) == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["fit", "absent.csv", *ROLES], "absent.csv: no such file"),
            (["fit", "absent*.csv", *ROLES], "absent*.csv: no file has such a name"),
            (["fit", "nothing", *ROLES], "nothing is a folder without a file of CSV or Parquet"),
            (["fit", "table.xlsx", *ROLES], "table.xlsx is neither CSV nor Parquet"),
            (["fit", "trial.csv", "*l.csv", *ROLES], "trial.csv is named twice"),
            (["fit", "empty.csv", *ROLES], "empty.csv: Empty CSV file"),
            (
                ["fit", "ragged.csv", "--outcome", "y", "--treatment", "age"],
                "ragged.csv: CSV",
            ),
            (["fit", "twice.csv", *ROLES], "twice.csv has more than one column named 'age'"),
            (["fit", "cut.parquet", *ROLES], "cut.parquet: "),
            (
                ["fit", "trial.csv", *ROLES, "--groups", "clinic"],
                "has no column 'clinic'",
            ),
            (["fit", "trial.csv", "fewer.parquet", *ROLES], "fewer.parquet has no column 'age'"),
            (["fit", "trial.csv", "more.parquet", *ROLES], "more.parquet has a column 'extra'"),
            (
                ["fit", "trial.parquet", "text.parquet", *ROLES],
                "text.parquet: column 'age' holds text, but numbers in trial.parquet",
            ),
            (
                ["fit", "dated.parquet", *ROLES, *QUICK],
                "column 'day' holds datetime64",
            ),
            (["fit", "holes.parquet", *ROLES, *QUICK], "row 3 (counted from 0)"),
            (["fit", "holes.parquet", *ROLES, *QUICK], "(y is column 'y')"),
            ([*FIT, "--control", "water"], "trial.csv: control 'water' is not an arm"),
            ([*FIT, "--out", "absent/m.hypercate"], "there is no folder absent"),
            ([*FIT, "--out", "nothing"], "nothing is a folder"),
            ([*FIT, "--out", "trial.csv"], "trial.csv is read by this command"),
            (["predict", "absent.hypercate", "trial.csv"], "absent.hypercate: No such file"),
            (["predict", "damaged.hypercate", "trial.csv"], "damaged.hypercate is damaged"),
            (["predict", "array.hypercate", "trial.csv"], "was fitted to an array"),
            ([*SCORE, "trial.csv", "fewer.parquet"], "fewer.parquet has no column 'age'"),
            ([*SCORE, "trial.csv", "--id", "name"], "trial.csv has no column 'name', as --id says"),
            ([*SCORE, "trial.csv", "--id", "id", "--id", "id"], "--id 'id' is given twice"),
            ([*SCORE, "text.parquet"], "text.parquet: column 'age' holds text, but the model was"),
            ([*SCORE, "numbers.parquet"], "numbers.parquet: column 'site' holds numbers"),
            ([*SCORE, "late.csv"], "late.csv: column 'age': invalid value 'old'"),
            ([*SCORE, "infinite.parquet"], "column 'age' is infinite (inf) in row 5"),
            ([*SCORE, "cut.parquet"], "cut.parquet: "),
            ([*SCORE, "trial.csv", "--out", "trial.csv"], "trial.csv is read by this command"),
        ],
    )
    def test_bad_data_is_told_in_one_line_with_exit_code_1(self, arguments, message, here, capsys):
        before = sorted(here.iterdir())
        assert main(arguments if "--out" in arguments else [*arguments, *TO]) == 1
        printed = capsys.readouterr()
        *progress, line = printed.err.splitlines()
        assert message in line
        assert line.startswith(f"hypercate {arguments[0]}: ")
        assert all("covariates in" in text for text in progress)
        assert printed.out == ""
        assert sorted(here.iterdir()) == before


class TestOptions:
    def test_a_value_is_what_it_says(self):
        said = ["3", "1e-3", "true", "null", "[8, 8]", "weak", "no", "007"]
        assert [value_of(text) for text in said] == [
            *(3, 0.001, True, None, [8, 8], "weak", "no", "007")
        ]
        assert value_of({"a": ["1", "x"]}) == {"a": [1, "x"]}

    def test_json_files_hold_options_too(self, here, est):
        options = {"out": "effects.csv", "id": "id", "interval": 0.5, "outcomes": False}
        (here / "options.json").write_text(json.dumps(options))
        table = predicted("trial.csv", "--config", "options.json", "--interval", "0.9")
        assert table.columns[0] == "id"
        lower, _ = est.effect_interval(trial()[COVARIATES], alpha=1 - 0.9)
        np.testing.assert_array_equal(table["ci_lower_drug"], lower[:, 0])
        assert not (here / "effects.csv").exists() or "outcome_drug" not in table


class TestCheckpoint:
    SMALL = ("--set", "max_epochs=2", "--set", "outcome_hidden=[4]", "--set", "sharing=weak")

    def test_a_model_that_found_no_room_is_not_trained_again(self, here, capsys):
        """Training is kept until the model is written."""
        line = ["fit", "trial.parquet", *ROLES, *self.SMALL, "--random-state", "0"]
        assert main([*line, "--out", "plain.hypercate"]) == 0
        size = (here / "plain.hypercate").stat().st_size
        line += ["--out", "kept.hypercate", "--checkpoint", "training"]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
            code = main(line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert code == 1
        assert "kept.hypercate: File too large" in capsys.readouterr().err
        assert {path.name for path in (here / "training").iterdir()} == {
            "00-fit.safetensors",
            "00-search.safetensors",
            "fit.json",
        }
        assert main([*line[:-1], "plain.hypercate"]) == 1
        assert "no checkpoint can be written to plain.hypercate" in capsys.readouterr().err
        assert main(line) == 0
        assert not list((here / "training").iterdir())
        X = trial()[COVARIATES]
        models = [HyperCATE.load(f"{name}.hypercate", device="cpu") for name in ("plain", "kept")]
        np.testing.assert_array_equal(*(model.predict(X) for model in models))

    def test_needs_a_seed(self, here, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "trial.csv", *ROLES, "--checkpoint", "new", "--out", "m2.hypercate"])
        assert "--checkpoint needs --random-state" in capsys.readouterr().err
        assert not (here / "new").exists()


class TestNothingHalfWritten:
    @pytest.mark.parametrize(
        ("line", "name"),
        [
            (FIT, "full.hypercate"),
            ([*SCORE, "trial.csv"], "full.parquet"),
            ([*SCORE, "trial.csv"], "full.csv"),
            (["report", "m.hypercate"], "full.html"),
        ],
    )
    def test_a_full_disk_leaves_what_was_there(self, line, name, here, capsys):
        out = here / name
        out.write_text("of yesterday")
        before = sorted(here.iterdir())
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            code = main([*line, "--out", name])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert code == 1
        assert f"hypercate {line[0]}: {name}: " in capsys.readouterr().err
        assert out.read_text() == "of yesterday"
        assert sorted(here.iterdir()) == before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_that_ends_the_process_removes_the_part(self, number, tmp_path):
        handler = signal.getsignal(number)
        table = pa.table({"effect": [1.0, 2.0]})

        def interrupted():
            with table_written(tmp_path / "effects.csv", table.schema) as write:
                write(table)
                assert len(list(tmp_path.iterdir())) == 1
                signal.raise_signal(number)

        with pytest.raises(SystemExit, match=str(128 + number)):
            interrupted()
        assert not list(tmp_path.iterdir())
        assert signal.getsignal(number) is handler

    def test_an_interrupted_fit_writes_nothing(self, here, capsys):
        before = sorted(here.iterdir())
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            code = main(["fit", "trial.csv", *ROLES, "--out", "slow.hypercate"])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        assert code == 130
        assert capsys.readouterr().err.endswith("hypercate fit: interrupted\n")
        assert sorted(here.iterdir()) == before

    def test_ctrl_c_ends_a_prediction_without_a_trace(self, folder, tmp_path):
        """A real signal to a real run, also where tests run in the background, deaf to it."""
        frame = pd.concat([trial()] * 500)
        frame.to_parquet(tmp_path / "many.parquet", index=False)
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from hypercate.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        line = ["predict", str(folder / "m.hypercate"), "many.parquet", "--out", "out.parquet"]
        running = subprocess.Popen(
            [sys.executable, "-c", code, *line, "--interval", "0.95"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        while running.poll() is None and not list(tmp_path.glob("out.parquet*")):
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        _, message = running.communicate(timeout=60)
        assert running.returncode == 130
        assert message.strip().endswith("hypercate predict: interrupted")
        assert "Traceback" not in message
        assert [path.name for path in tmp_path.iterdir()] == ["many.parquet"]


class TestPage:
    """Its commands run, in its order, on the files that it makes."""

    PAGE = (ROOT / "docs/command-line.md").read_text()

    def blocks(self, language):
        return re.findall(rf"^```{language}\n(.*?)^```$", self.PAGE, re.S | re.M)

    def test_commands_run_and_print_what_is_shown(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (python,), (yaml,), (shown,) = map(self.blocks, ("python", "yaml", "text"))
        exec(compile(python, "command-line.md", "exec"), {})
        Path("trial.yaml").write_text(yaml)
        lines = [shlex.split(line) for block in self.blocks("bash") for line in block.splitlines()]
        assert [line[:2] for line in lines] == [["hypercate", x] for x in PAGE_COMMANDS]
        printed = []
        for line in lines:
            assert main(line[1:]) == 0
            printed.append(capsys.readouterr().out)
        for ours, theirs in zip(printed[0].split(), shown.split(), strict=True):
            try:
                assert float(ours) == pytest.approx(float(theirs), rel=0.1, abs=0.05)
            except ValueError:
                assert set(ours) == set(theirs)  # the rules are as wide as the numbers
        assert printed[1] == printed[2] == ""
        table = pd.read_parquet("effects.parquet")
        assert list(table) == [
            *("patient", "effect_drug", "ci_lower_drug", "ci_upper_drug"),
            *("outcome_placebo", "outcome_drug"),
        ]
        assert table["patient"].tolist() == [
            f"P{i:04}" for part in (0, 1) for i in range(part, 600, 2)
        ]
        (average,) = json.loads(printed[3])["ate"]
        assert average["ci_lower"] < 1 < average["ci_upper"]


class TestStart:
    def test_the_version_is_told_without_importing_what_takes_long(self):
        code = (
            "import sys\nfrom hypercate.cli import main\n"
            "try:\n    main(['--version'])\n"
            "finally:\n    print({'torch', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1] == "set()"
