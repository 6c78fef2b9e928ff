"""The scripts of `benchmarks/`: what they measure is what they say, and they run end to end."""

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("econml", reason="the benchmark needs its extra")

from hypercate import HyperCATE
from hypercate.datasets import CausalSample
from hypercate.generator import initialization, profiles
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.pretraining import emitter as emitter_module

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
FAST = {"n_members": 2, "max_epochs": 3, "inputs": "raw"}
HAS_PROC = Path("/proc/self/clear_refs").exists()


def script(name):
    """A fixture that imports a script of the folder."""

    @pytest.fixture(scope="module")
    def imported():
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(SCRIPTS)
            yield importlib.import_module(name)

    return imported


speed = script("speed")
few_rows = script("few_rows")
outcomes = script("outcomes")
described_arms = script("described_arms")
add_arm = script("add_arm")
study = script("study")
doses = script("doses")
pretraining_study = script("pretraining")
ablation = script("ablation")


def run(script, *arguments):
    """What the script prints, run as a user runs it."""
    finished = subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def table_rows(text):
    """Cells of every table row, without headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class TestWorkers:
    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("outcomes.py", ["--kinds", "biomarker", "--rows", 60, "--learners", "HyperCATE"]),
            ("add_arm.py", ["--sharing", "much", "--rows", 8, "--learners", "T Lasso"]),
        ],
    )
    def test_a_script_runs_in_several_processes(self, name, arguments, tmp_path):
        run(name, *arguments, "--replications", "1-2", "--jobs", 2, "--out", tmp_path)
        assert len(pd.read_csv(tmp_path / "results.csv")) == 2


class TestTheSampleOfTheSpeedScript:
    def test_treatment_is_confounded_as_documented_and_the_truth_is_known(self, speed):
        X, y, t, effect = speed.draw(200_000, 5, 0)
        propensity = 0.1 + 0.8 / (1 + np.exp(-X[:, 0] - X[:, 1]))
        naive = y[t == 1].mean() - y[t == 0].mean()
        weighted = (y * t / propensity - y * (1 - t) / (1 - propensity)).mean()
        assert weighted == pytest.approx(effect.mean(), abs=0.05)
        assert naive > effect.mean() + 0.5
        assert effect.mean() == pytest.approx(2, abs=0.02)
        assert effect.std() == pytest.approx(np.sqrt(1.25), abs=0.02)

    def test_the_effect_has_a_step(self, speed):
        X, _, _, effect = speed.draw(5000, 7, 0)
        step = effect - 1 - X[:, 1] / 2
        np.testing.assert_allclose(step[X[:, 4] > 0], 2)
        np.testing.assert_allclose(step[X[:, 4] <= 0], 0, atol=1e-12)


class TestMemory:
    @pytest.mark.skipif(not HAS_PROC, reason="the peak is read from /proc")
    def test_only_what_was_allocated_inside_counts(self, speed):
        """Neither a larger peak before, nor what is still held from before."""
        np.ones(200 * 2**17)
        held = np.ones(30 * 2**17)
        with speed.watched() as seen:
            np.ones(64 * 2**17)
        assert len(held)
        assert seen["peak_mib"] == pytest.approx(64, abs=8)
        assert seen["seconds"] > 0


class TestOperations:
    def test_they_are_those_of_the_products_counted_by_hand(self, speed):
        net = OutcomeNet(3, (4,), "silu")
        theta, x = torch.randn(2, net.n_weights), torch.randn(2, 5, 3)
        evaluate = OutcomeNet.__call__
        with speed.counted() as seen:
            net(theta, x)
        assert seen["operations"] == 2 * 5 * 2 * (3 * 4 + 4)
        with speed.counted() as seen:
            net(theta.requires_grad_(), x)
        assert seen["operations"] == 2 * 5 * (4 * 3 * 4 + 6 * 4)
        assert OutcomeNet.__call__ is evaluate

    def test_rows_that_all_networks_see_count_for_each(self, speed):
        net = OutcomeNet(3, (4,), "silu")
        with speed.counted() as seen:
            net(torch.randn(7, net.n_weights), torch.randn(5, 3))
        assert seen["operations"] == 7 * 5 * 2 * (3 * 4 + 4)

    def test_inputs_of_a_network_s_own_count_as_those_that_it_shares(self, speed):
        net = OutcomeNet(3, (4,), "silu")
        theta, x = torch.randn(7, net.n_weights), torch.randn(5, 3)
        own = x[:, 2:].expand(7, 5, 1)
        with speed.counted() as seen:
            torch.testing.assert_close(net(theta, x[:, :2], own), net(theta, x))
        assert seen["operations"] == 2 * 7 * 5 * 2 * (3 * 4 + 4)


class TestWhatIsSkipped:
    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            ({}, 0),
            ({100: 2.0}, 20),
            ({10: 1.0, 100: 2.0}, 20),
            ({10: 1.0, 100: 100.0}, 10_000),
        ],
        ids=["nothing known", "one size", "slower than the rows", "their square"],
    )
    def test_a_fit_is_expected_to_grow_as_it_has_and_at_least_with_the_rows(
        self, speed, seconds, expected
    ):
        assert speed.expected_seconds(seconds, 1000) == pytest.approx(expected)

    def test_a_fit_that_fails_says_why(self, speed, monkeypatch):
        for name in speed.THREAD_VARIABLES:
            monkeypatch.setenv(name, "1")
        case = speed.Case("HyperCATE", 100, 5, 1, "abacus", 1)
        answer = speed.in_fresh_process(case, 60)
        assert answer["note"].startswith("failed: ValueError: device='abacus'")


class TestSpeed:
    learners = ("HyperCATE", "T histogram boosting")

    @pytest.fixture(scope="class")
    @classmethod
    def arguments(cls, tmp_path_factory):
        """A limit that the first size passes, for want of a smaller one, and the second fails."""
        out = tmp_path_factory.mktemp("speed")
        line = ["--rows", "150,3e2", "--columns", "5", "--repeats", "1", "--threads", "1"]
        return [*line, "--limit", "0.001", "--learners", ",".join(cls.learners), "--out", str(out)]

    @pytest.fixture(scope="class")
    @classmethod
    def printed(cls, arguments):
        return run("speed.py", *arguments)

    @pytest.fixture
    def results(self, printed, arguments):
        return pd.read_csv(Path(arguments[-1], "speed.csv"))

    def test_what_was_fitted_has_sane_figures(self, results):
        fitted = results[results["rows"] == 150].set_index("learner")
        assert fitted.index.tolist() == list(self.learners)
        assert (fitted["data_mib"] == 150 * 5 * 8 / 2**20).all()
        assert fitted["fit_seconds"].between(1e-3, 60).all()
        assert fitted["predict_seconds"].between(1e-5, 10).all()
        assert (fitted["predicted_rows"] == 150).all()
        assert (fitted["pehe"] / fitted["effect_sd"]).between(0.05, 3).all()
        if HAS_PROC:
            assert fitted.loc["HyperCATE", "fit_peak_mib"] > fitted["data_mib"].iloc[0]
            assert fitted["fit_peak_mib"].between(0, 1000).all()

    def test_the_arithmetic_of_our_fit_is_a_part_of_it(self, results, speed):
        ours = results.set_index(["learner", "rows"]).loc[("HyperCATE", 150)]
        stages = ours[list(speed.STAGES)]
        assert (stages > 0).all()
        assert stages.sum() <= ours["fit_seconds"]
        assert 1e8 < ours["product_rate"] < 1e13
        assert 0 < ours["operations"] / ours["product_rate"] < ours["training_seconds"]
        theirs = results.set_index(["learner", "rows"]).loc[("T histogram boosting", 150)]
        assert np.isnan(theirs["operations"])

    def test_what_takes_longer_than_the_limit_is_skipped_and_says_so(self, results, printed):
        skipped = results[results["rows"] == 300]
        assert skipped["learner"].tolist() == list(self.learners)
        assert skipped["fit_seconds"].isna().all()
        assert skipped["note"].str.match(r"skipped: about \d+ s expected, the limit is 0 s").all()
        said = [row[2] for row in table_rows(printed) if row[0] == "300"]
        assert said == skipped["note"].tolist()

    def test_table_and_picture_are_written(self, printed, arguments):
        from matplotlib.image import imread

        out = Path(arguments[-1])
        assert {path.name for path in out.iterdir()} == {"speed.csv", "speed.md", "speed.png"}
        assert printed.endswith(f"\n{(out / 'speed.md').read_text()}")
        ours = next(row for row in table_rows(printed) if row[1] == "**HyperCATE**")
        assert ours[3] == "1.00"
        pixels = imread(out / "speed.png")
        assert (np.abs(pixels[..., :3] - np.array([0xC2, 0x41, 0x0C]) / 255) < 0.01).all(-1).any()

    def test_the_same_command_measures_nothing_again(
        self, printed, arguments, results, speed, monkeypatch, capsys
    ):
        monkeypatch.delattr(speed, "in_fresh_process")
        speed.main(arguments)
        assert capsys.readouterr().out.endswith(Path(arguments[-1], "speed.md").read_text())
        again = speed.read(Path(arguments[-1], "speed.csv"))
        pd.testing.assert_frame_equal(
            again.sort_values(speed.KEY, ignore_index=True),
            results.sort_values(speed.KEY, ignore_index=True),
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--rows", "many"], "--rows many: expected numbers"),
            (["--rows", "50"], "at least 100 rows and 5 columns"),
            (["--columns", "3"], "at least 100 rows and 5 columns"),
            (["--learners", "nobody"], "unknown learner 'nobody'"),
            (["--repeats", "0"], "--repeats and --threads are at least 1"),
        ],
    )
    def test_bad_arguments_are_refused(self, speed, arguments, message, capsys):
        with pytest.raises(SystemExit, match="2"):
            speed.parse(arguments)
        assert message in capsys.readouterr().err


def figures(ablation, study="ihdp", **errors):
    """Results of variants whose errors are given a list each, NaN for a failure."""
    rows = [
        dict.fromkeys(ablation.PROTOCOL.columns, 0)
        | {"study": study, "variant": variant.replace("_", "="), "replication": replication}
        | {"pehe_out": value, "effect_sd": 2.0, "fit_seconds": 1.0 * replication}
        | ({"error": "ValueError: no"} if np.isnan(value) else {})
        for variant, values in errors.items()
        for replication, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


class TestAblationSummary:
    def test_the_ratio_of_the_default_to_itself_is_one(self, ablation):
        row = ablation.summarise(figures(ablation, default=[1.0, 3.0, 0.2])).loc["default"]
        assert row["ratio"] == 1
        assert row["ratio_se"] == 0
        assert (row["wins"], row["pairs"]) == (0, 3)

    def test_statistics_by_hand(self, ablation):
        table = figures(ablation, default=[1.0, 2.0, 4.0], inputs_raw=[2.0, 1.0, 16.0])
        row = ablation.summarise(table).loc["inputs=raw"]
        logs = np.log([2, 0.5, 4])
        assert row["out"] == pytest.approx(19 / 3)
        assert row["over_sd"] == pytest.approx(19 / 6)
        assert row["ratio"] == pytest.approx(np.exp(logs.mean()))
        assert row["ratio_se"] == pytest.approx(np.exp(logs.mean()) * logs.std(ddof=1) / np.sqrt(3))
        assert (row["wins"], row["pairs"]) == (1, 3)
        assert row["fit_seconds"] == 2

    def test_failures_leave_the_pairs_and_rounding_is_no_win(self, ablation):
        table = figures(ablation, default=[1.0, 2.0, 4.0], inputs_raw=[np.nan, 2.0 - 1e-9, 2.0])
        row = ablation.summarise(table).loc["inputs=raw"]
        assert (row["n"], row["failed"]) == (2, 1)
        assert (row["wins"], row["pairs"]) == (1, 2)
        assert row["ratio"] == pytest.approx(0.5**0.5)
        assert "ihdp, inputs=raw, 1 failed: ValueError: no" in ablation.to_markdown(table)

    def test_the_gain_by_sharing_is_against_the_plain_and_the_best_tuned_one(self, ablation):
        table = figures(ablation, default=[1.0, 3.0], generation_none=[4.0, 4.0])
        tuned = figures(ablation, tuned=[2.0, 3.0]).assign(
            variant="generation=none, weight_decay=1"
        )
        table.loc[table["variant"] == "default", ["chose weak", "chose raw"]] = 5
        (row,) = ablation.sharing_learned(pd.concat([table, tuned])).to_dict("records")
        assert row["over_none"] == pytest.approx(0.5)
        assert row["over_best_none"] == pytest.approx(4 / 5)
        assert (row["members"], row["chose weak"], row["chose intercept"]) == (10, 1, 0)


class TestVariants:
    def test_no_row_repeats_the_default(self, ablation):
        for name, variant in ablation.VARIANTS.items():
            changed = {
                key: value
                for key, value in variant.parameters.items()
                if value != ablation.DEFAULTS[key]
            }
            assert changed == variant.parameters
            assert bool(changed or variant.constants) == (name != "default")

    def test_one_of_each_choice_can_be_fitted(self, ablation):
        rng = np.random.default_rng(0)
        X, arm = pd.DataFrame(rng.normal(size=(16, 2)), columns=["a", "b"]), np.arange(16) % 2
        train = CausalSample(X, arm, X["a"].to_numpy() + arm, None, None)
        one_of_each = {
            (*variant.parameters, *variant.constants): variant
            for variant in ablation.VARIANTS.values()
        }
        for variant in one_of_each.values():
            quick = {"n_members": 1, "inputs": "raw"} | variant.parameters | {"max_epochs": 1}
            fitted = replace(variant, parameters=quick).fit(train, 0)
            assert np.isfinite(fitted.predict(train.X)).all()

    def test_constants_are_changed_during_the_fit_only(self, ablation):
        train = ablation.STUDIES["arms-3-much"].task(1, "-").load().train
        settings = FAST | {"sharing": "weak"}

        def effects(**constants):
            return ablation.Variant(settings, constants).fit(train, 0).predict(train.X)

        before = initialization.START_SCALE, profiles.INTERCEPT_DEPARTURE
        default = effects()
        for constants in ablation.CONSTANTS.values():
            assert np.abs(effects(**constants) - default).max() > 1e-3
        assert before == (initialization.START_SCALE, profiles.INTERCEPT_DEPARTURE)
        np.testing.assert_array_equal(effects(), default)


class TestAcicThatIsNotReported:
    @pytest.mark.parametrize(
        ("simulations", "replications", "note"),
        [
            (range(1, 11), range(6, 11), ""),
            (range(1, 6), range(11, 16), "1 to 5 with the second split"),
            (range(1, 4), range(0), "left out"),
        ],
    )
    def test_it_is_what_the_data_folder_allows(
        self, ablation, simulations, replications, note, tmp_path, monkeypatch
    ):
        (tmp_path / "acic2016").mkdir()
        for number in simulations:
            (tmp_path / f"acic2016/zymu_{number}.csv").touch()
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))
        taken, said = ablation.acic_replications()
        assert taken == replications
        assert note in said


class TestAblation:
    variants = ("default", "inputs=boosted", "generation=none")
    line = ("--studies", "arms-3-much", "--replications", "2", "--variants", ";".join(variants))

    @pytest.fixture(scope="class")
    @classmethod
    def out(cls, tmp_path_factory):
        return tmp_path_factory.mktemp("ablation")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def quick(cls, ablation):
        quick = {
            name: replace(ablation.VARIANTS[name], parameters=FAST | variant.parameters)
            for name, variant in ablation.VARIANTS.items()
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ablation, "PROTOCOL", replace(ablation.PROTOCOL, learners=quick))
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def arguments(cls, ablation, quick, out):
        arguments = [*cls.line, "--out", str(out)]
        ablation.main(arguments)
        return arguments

    def test_there_is_a_row_for_each_fit(self, arguments, out, ablation):
        table = pd.read_csv(out / "ablation.csv")
        assert len(table) == 3 * 2
        assert sorted(table["replication"].unique()) == [1101, 1102]
        assert table["error"].isna().all()
        assert (table["pehe_out"] > 0).all()
        assert (table["fit_seconds"] > 0).all()

    def test_every_member_chose_one_degree_and_one_way_to_see_the_inputs(
        self, arguments, out, ablation
    ):
        table = pd.read_csv(out / "ablation.csv")
        degrees = [f"chose {name}" for name in (*profiles.PROFILES, "none")]
        members = FAST["n_members"]
        assert (table[degrees].sum(axis=1) == members).all()
        assert (table[["chose raw", "chose boosted"]].sum(axis=1) == members).all()
        by_variant = table.groupby("learner")
        assert by_variant["chose boosted"].sum().to_dict() == {
            "default": 0,
            "inputs=boosted": 2 * members,
            "generation=none": 0,
        }
        assert by_variant["chose none"].sum()["generation=none"] == 2 * members

    def test_the_table_has_every_variant(self, arguments, out):
        text = (out / "ablation.md").read_text()
        ratios, study, learned = text.split("## ")[1:]
        assert ratios.startswith("Error over the default's")
        assert [row[0] for row in table_rows(ratios)[2:]] == list(self.variants)
        assert table_rows(ratios)[2][1] == "1.000 ± 0.000"
        assert study.startswith("arms-3-much (1101 to 1102, n = 2)")
        assert [row[0] for row in table_rows(study)[2:]] == list(self.variants)
        assert [row[:2] for row in table_rows(learned)[2:]] == [["arms-3-much", "4"]]

    def test_the_same_command_runs_nothing_again(
        self, arguments, out, ablation, monkeypatch, capsys
    ):
        written = (out / "ablation.csv").read_bytes()
        monkeypatch.setattr(ablation.Variant, "fit", None)
        ablation.main(arguments)
        assert (out / "ablation.csv").read_bytes() == written
        assert capsys.readouterr().out == (out / "ablation.md").read_text()

    def test_workers_of_the_real_script_know_its_variants(self, tmp_path):
        line = ["--studies", "arms-3-much", "--replications", "1", "--jobs", "2"]
        printed = run("ablation.py", *line, "--variants", "n_members=1", "--out", tmp_path)
        (row,) = pd.read_csv(tmp_path / "ablation.csv").to_dict("records")
        assert row["learner"] == "n_members=1"
        assert row["pehe_out"] > 0
        assert row["chose raw"] + row["chose boosted"] == 1
        assert "over the default" not in printed

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--studies", "nhanes"], "unknown study 'nhanes'"),
            (["--variants", "inputs=x"], "unknown variant 'inputs=x'"),
            (["--jobs", "0"], "--replications and --jobs are at least 1"),
        ],
    )
    def test_bad_arguments_are_refused(self, ablation, arguments, message, capsys, tmp_path):
        with pytest.raises(SystemExit, match="2"):
            ablation.main([*arguments, "--out", str(tmp_path / "out")])
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestManyLevels:
    def test_the_column_takes_away_what_confounds(self):
        without, with_sites = table_rows(run("many_levels.py", "--rows", 800, "--levels", 40))[2:]
        assert (without[0], with_sites[0]) == ("without", "with")
        assert abs(float(with_sites[3]) - 1) < 0.4 < abs(float(without[3]) - 1)


class TestFewRows:
    def test_studies_are_as_documented_and_the_truth_is_known(self, few_rows):
        split = few_rows.sine(50_000, 1)
        x, people = split.train.X.to_numpy(), split.train
        np.testing.assert_allclose(
            people.effect.squeeze(), 1 + x[:, 0] + 0.5 * np.sin(2 * x[:, 1]), atol=1e-12
        )
        residual = people.y - people.mu[np.arange(len(x)), people.treatment]
        assert residual.mean() == pytest.approx(0, abs=0.02)
        assert residual.std() == pytest.approx(1, abs=0.02)
        assert np.corrcoef(people.treatment, x[:, 0])[0, 1] > 0.35
        people = few_rows.polynomial(50_000, 2).train
        assert people.mu[:, 0].std() == pytest.approx(1, rel=0.1)
        assert people.effect.std() == pytest.approx(0.5, rel=0.1)
        one, other = (few_rows.polynomial(60, seed).train for seed in (2, 3))
        assert len(one.X) == 60
        assert not np.array_equal(one.mu, other.mu)

    def test_statistics_by_hand(self, few_rows):
        rows = [
            ("null", 100, 1, "HyperCATE", 0.5), ("null", 100, 2, "HyperCATE", 0.3),
            ("null", 100, 1, "T Lasso", 0.7), ("null", 100, 2, "T Lasso", 0.9),
        ]  # fmt: skip
        results = pd.DataFrame(rows, columns=[*few_rows.KEY, "pehe"]).assign(
            seconds=1.0, coverage=np.nan, interval_score=np.nan
        )
        table = few_rows.summarise(results)
        lasso = table.loc["null", 100, "T Lasso"]
        assert lasso[["error", "median", "apart", "n"]].tolist() == pytest.approx(
            [0.8, 0.8, 0.4, 2]
        )
        assert lasso["apart_se"] == pytest.approx(0.2)
        assert (
            "| null | 100 | T Lasso | 0.800 ± 0.100 | 0.800 | +0.400 ± 0.200 | none | none | 1.00 |"
            in (few_rows.to_markdown(table))
        )

    def test_runs_end_to_end_and_resumes(self, tmp_path):
        arguments = ["--studies", "null", "sine", "--rows", "60", "--out", tmp_path]
        arguments += ["--learners", "HyperCATE instant", "T Lasso"]
        run("few_rows.py", *arguments, "--replications", "1")
        before = (tmp_path / "results.csv").read_text()
        printed = run("few_rows.py", *arguments, "--replications", "1-2")
        after = (tmp_path / "results.csv").read_text()
        assert after.startswith(before)
        assert len(after.splitlines()) == 1 + 2 * 2 * 2
        rows = table_rows(printed)[2:]
        assert [row[:3] for row in rows] == [
            [study, "60", learner]
            for study in ("null", "sine")
            for learner in ("HyperCATE instant", "T Lasso")
        ]
        assert all(0 < float(row[4]) < 3 for row in rows)
        assert [row[6] == "none" for row in rows] == [False, True] * 2


class TestOutcomes:
    def test_statistics_by_hand(self, outcomes):
        rows = [
            ("count", 500, 1, "HyperCATE", 0.5, 0.2),
            ("count", 500, 2, "HyperCATE", 0.3, 0.1),
            ("count", 500, 1, "LinearDML", 0.7, np.nan),
            ("count", 500, 2, "LinearDML", 0.9, np.nan),
        ]
        results = pd.DataFrame(rows, columns=[*outcomes.KEY, "pehe", "log_ratio"])
        text = outcomes.to_markdown(outcomes.summarise(results.assign(seconds=1.0)))
        assert "| count | 500 | LinearDML | 0.800 ± 0.100 | +0.400 ± 0.200 | none | 1.00 |" in text
        assert "| count | 500 | HyperCATE | 0.400 ± 0.100 | +0.000 ± 0.000 | 0.150 | 1.00 |" in text

    @pytest.mark.parametrize("kind", ["count", "positive"])
    def test_errors_are_in_units_of_the_effects_spread(self, outcomes, kind):
        ate = outcomes.measure(kind, 300, 1, "true ATE")
        assert ate["pehe"] == pytest.approx(1, abs=0.05)
        assert np.isnan(ate["log_ratio"])
        ours = outcomes.measure(kind, 300, 1, "HyperCATE instant")
        assert ours["pehe"] < 1
        assert 0.05 < ours["log_ratio"] < 0.6

    def test_weights_of_times_make_up_for_those_that_are_lost(self, outcomes):
        """Where an arm's rows are lost alike: the weights of known rows sum to the arm's rows."""
        rng = np.random.default_rng(0)
        died, lost = rng.exponential(8, 4000), rng.exponential(15, 4000)
        X, arm = pd.DataFrame(rng.normal(size=(4000, 1))), np.arange(4000) % 2
        time, event = np.minimum(died, lost), died <= lost
        train = CausalSample(X, arm, time, None, None, event)
        rows = outcomes.known_rows(train)
        weight = 1 / outcomes.followed(train)[rows]
        assert weight.sum() == pytest.approx(4000, rel=0.03)
        for kind, truth in (("time", np.minimum(died, 10)), ("survival", died > 10)):
            seen = outcomes.as_seen(kind, train).y
            assert np.average(seen[rows], weights=weight) == pytest.approx(truth.mean(), rel=0.05)
            assert seen.mean() != pytest.approx(truth.mean(), rel=0.05)

    def test_of_times_errors_are_in_the_same_units(self, outcomes):
        ate = outcomes.measure("survival", 300, 1, "true ATE")
        assert ate["pehe"] == pytest.approx(1, abs=0.05)
        assert outcomes.measure("time", 100, 1, "T boosting, IPCW")["pehe"] > 1

    def test_runs_end_to_end_and_resumes(self, tmp_path):
        arguments = ["--kinds", "count", "--rows", "60", "--out", tmp_path]
        arguments += ["--learners", "HyperCATE instant", "T boosting, log link", "HyperCATE"]
        run("outcomes.py", *arguments, "--replications", "1")
        before = (tmp_path / "results.csv").read_text()
        printed = run("outcomes.py", *arguments, "--replications", "1-2")
        after = (tmp_path / "results.csv").read_text()
        assert after.startswith(before)
        assert len(after.splitlines()) == 1 + 2 * 3
        assert [row[2] for row in table_rows(printed)[2:]] == arguments[-3:]

    def test_a_joint_fit_is_made_once_for_both_outcomes(self, outcomes, monkeypatch):
        made = partial(outcomes.HyperCATE, n_members=1, max_epochs=1, sharing="moderate")
        monkeypatch.setattr(outcomes, "HyperCATE", made)
        monkeypatch.setattr(outcomes, "_FITTED", {})
        rows = [
            outcomes.measure(kind, 60, 501, learner)
            for kind in ("biomarker", "event")
            for learner in ("HyperCATE", "HyperCATE joint")
        ]
        assert len(outcomes._FITTED) == 1
        assert len({row["pehe"] for row in rows}) == 4
        assert all(np.isnan(row["log_ratio"]) for row in rows)
        assert rows[3]["seconds"] >= outcomes.fit_both("much", 60, 501)[1] > 0


class TestDescribedArms:
    def test_what_is_told_of_arms_without_rows_leaves_the_others_alone(self, described_arms):
        study = described_arms.draw(5, 1)
        without = study.left_out - 1
        known = np.delete(study.effect, without, axis=1)
        for tell in (described_arms._nearest, described_arms._between):
            told = tell(study, known)
            np.testing.assert_array_equal(np.delete(told, without, axis=1), known)
        assert not np.isin(study.train.treatment, study.left_out).any()
        plane = study.features.to_numpy()[1:] @ np.array([[2.0], [-1.0]])
        told = described_arms._between(study, np.delete(plane.T, without, axis=1))
        np.testing.assert_allclose(told, plane.T, atol=1e-8)

    def test_runs_end_to_end_and_resumes(self, tmp_path):
        arguments = ["--rows", "20", "--out", tmp_path]
        arguments += ["--learners", "T Lasso, nearest", "T Lasso, between", "HyperCATE described"]
        run("described_arms.py", *arguments, "--replications", "1")
        before = (tmp_path / "results.csv").read_text()
        run("described_arms.py", *arguments, "--replications", "1-2")
        results = pd.read_csv(tmp_path / "results.csv")
        assert (tmp_path / "results.csv").read_text().startswith(before)
        nearest, between = (
            results[results.learner == f"T Lasso, {told}"] for told in ("nearest", "between")
        )
        np.testing.assert_array_equal(nearest.with_rows, between.with_rows)
        assert len(results) == 6


class TestAddArm:
    def test_runs_in_parts_and_only_a_new_fit_moves_the_old_arms(
        self, add_arm, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setattr(add_arm, "OLD_ROWS", 10)
        quick = partial(add_arm.HyperCATE, n_members=2, max_epochs=5)
        monkeypatch.setattr(add_arm, "HyperCATE", quick)
        arguments = ["--sharing", "much", "--rows", "8", "--out", str(tmp_path)]
        add_arm.main([*arguments, "--replications", "1", "--learners", "add_arm"])
        before = (tmp_path / "results.csv").read_text()
        learners = ["add_arm", "new fit", "T Lasso"]
        add_arm.main([*arguments, "--replications", "1", "--learners", *learners])
        assert (tmp_path / "results.csv").read_text().startswith(before)
        results = pd.read_csv(tmp_path / "results.csv").set_index("learner")
        assert results.index.tolist() == learners
        assert results.moved["add_arm"] == 0 < results.moved["new fit"]
        assert results.coverage.isna().tolist() == [False, False, True]
        assert results.seconds["add_arm"] < results.seconds["new fit"]
        assert [row[2] for row in table_rows(capsys.readouterr().out)[-3:]] == learners


class TestDoses:
    def test_the_truth_has_no_error_and_a_flat_curve_that_of_its_spread(self, doses, monkeypatch):
        monkeypatch.setitem(doses.LEARNERS, "truth", lambda sample, seed: sample.curve)
        monkeypatch.setitem(doses.LEARNERS, "flat", lambda sample, seed: 0 * sample.curve)
        assert doses.measure("bending", 100, 1, "truth")["error"] == 0
        flat = doses.measure("bending", 100, 1, "flat")
        assert flat["error"] >= flat["curve_sd"]

    def test_of_drugs_are_curves_of_each(self, doses, monkeypatch):
        sample = doses.draw_drugs(2000, 1)
        assert sample.treatment.groupby("drug")["mg"].max()["none"] == 0
        first = 2.5 * (2 + sample.new["x3"]) * (share := sample.doses["B"][0] / 200) * (1 - share)
        first += sample.new["x4"] * share
        np.testing.assert_allclose(sample.curve[:, doses.N_DOSES], first)
        monkeypatch.setitem(doses.OF_DRUGS, "truth", lambda sample, seed: sample.curve)
        assert doses.measure("drugs", 300, 1, "truth")["error"] == 0
        for learner in ("S boosting", "LinearDML, cubic"):
            found = doses.measure("drugs", 2000, 1, learner)
            assert found["error"] < 0.7 * found["curve_sd"]

    def test_runs_end_to_end_and_resumes(self, tmp_path):
        arguments = ["--rows", "100", "--studies", "saturating", "--out", tmp_path]
        arguments += ["--learners", "S boosting", "LinearDML, cubic", "HyperCATE"]
        run("doses.py", *arguments, "--replications", "1")
        before = (tmp_path / "results.csv").read_text()
        printed = run("doses.py", *arguments, "--replications", "1-2")
        assert (tmp_path / "results.csv").read_text().startswith(before)
        assert [row[2] for row in table_rows(printed)[2:]] == arguments[-3:]


class TestHillstrom:
    def test_runs_end_to_end_and_resumes(self, tmp_path):
        if not Path(os.environ.get("HYPERCATE_DATA", "none"), "hillstrom/hillstrom.csv").exists():
            pytest.skip("HYPERCATE_DATA does not name a folder with hillstrom/hillstrom.csv")
        pytest.importorskip("sklift", reason="one of the learners is scikit-uplift's")
        learners = ["--learners", "T Lasso", "scikit-uplift solo", "--out", tmp_path]
        run("hillstrom.py", *learners, "--replications", "501")
        before = (tmp_path / "results.csv").read_text()
        run("hillstrom.py", *learners, "--replications", "501")
        assert (tmp_path / "results.csv").read_text() == before
        results = pd.read_csv(tmp_path / "results.csv").set_index("learner")
        errors = results[["autoc_mens_se", "autoc_womens_se"]].to_numpy()
        assert ((errors > 0.3) & (errors < 0.8)).all()
        assert results.loc["T Lasso", "qini_womens"] > 0


class TestStudyOfSettings:
    def test_every_regime_is_drawn_as_it_says(self, study):
        assert {study.regime_of(draw) for draw in range(1, 97)} == set(study.REGIMES)
        for draw in (1, 2, 3):
            regime, train = study.regime_of(draw), study.draw_study(draw).train
            assert (len(train.y), len(np.unique(train.treatment))) == (regime.rows, regime.arms)
            assert (train.treatment > 0).mean() == pytest.approx(regime.treated, abs=0.01)
            spread = train.mu[:, 1] - train.mu[:, 0]
            assert spread.std() == pytest.approx(study.EFFECT_SD[regime.common], rel=0.15)

    def test_settings_are_ones_that_can_be_fitted(self, study):
        for draw in range(1, 97):
            settings = study.settings_of(draw)
            assert len(set(settings)) == study.N_SETTINGS
            for setting in settings:
                HyperCATE(**study.parameters_of(setting))._check_parameters()

    def test_effects_of_changes_that_multiply_the_error_are_found(self, study):
        """Exactly where there is no noise; those that are hardly drawn are not told."""
        factor = {"learner=x": 1.5, "hypernet=rnn": 0.8, "trained alone": 1.1, "sharing=weak": 2.0}
        rows = [
            (draw, setting, draw * np.prod([factor.get(each, 1) for each in setting.split(",")]))
            for draw in range(1, 7)
            for setting in ["default", "trained alone", "learner=x", "learner=x,hypernet=rnn",
                            *(["sharing=weak"] if draw < 3 else [])]
        ]  # fmt: skip
        results = pd.DataFrame(rows, columns=["draw", "setting", "pehe"]).assign(seconds=1.0)
        found = study.effects_of_changes(study.ratios(results), "pehe")
        assert np.exp(found["mean"]).to_dict() == pytest.approx(
            {"hypernet=rnn": 0.8, "learner=x": 1.5, "trained alone": 1.1}
        )
        table = study.to_markdown(results)
        assert "| learner=x | **1.50 ± 0.00** |" in table
        assert "sharing" not in table

    def test_a_fit_is_measured_on_fresh_rows(self, study):
        row = study.measure(3, "effort=instant")
        assert 0 < row["pehe"] < 2
        assert row["seconds"] > 0


class TestPretraining:
    def test_runs_end_to_end_and_resumes(self, tmp_path):
        arguments = ["--steps", "2", "--replications", "1", "--out", tmp_path, "--variants"]
        run("pretraining.py", *arguments, "all of it")
        before = (tmp_path / "results.csv").read_text()
        others = ["1 round", "not told of pairs of columns", "no confounding"]
        printed = run("pretraining.py", *arguments, "all of it", *others)
        after = (tmp_path / "results.csv").read_text()
        assert after.startswith(before)
        rows = table_rows(printed)[2:]
        assert [row[0] for row in rows] == ["all of it", *others]
        errors = np.array([[float(cell) for cell in row[1:4]] for row in rows])
        assert ((errors > 0.1) & (errors < 2)).all()
        assert (errors[1:] != errors[0]).any(axis=1).all()

    def test_statistics_by_hand(self, pretraining_study):
        rows = [
            ("all of it", "worlds", 0, 0, 0.3), ("1 round", "worlds", 0, 0, 0.4),
            *(("all of it", "null", n, r, 0.2 * r) for n in (100, 500) for r in (1, 2)),
            *(("1 round", "null", n, r, 0.3 * r) for n in (100, 500) for r in (1, 2)),
        ]  # fmt: skip
        table = pretraining_study.summarise(
            pd.DataFrame(rows, columns=[*pretraining_study.KEY, "error"])
        )
        assert table.loc["1 round"].tolist() == pytest.approx([0.4, 0.45, 0.45, 1.5, 0])
        assert table.loc["all of it", "ratio"] == pytest.approx(1)

    def test_variants_are_trained_as_they_say(self, pretraining_study, monkeypatch):
        """Each with its own recipe, worlds and summaries; nothing stays patched."""
        seen = {}

        def noted(recipe, path, device, every, held_out, without):
            told = emitter_module.summarise(*study)
            seen["last"] = recipe, without, told
            raise KeyboardInterrupt

        rng = torch.Generator().manual_seed(0)
        weight = torch.ones(1, 30, 2) * (torch.arange(30) % 2 == torch.arange(2)[:, None]).T
        study = torch.randn(1, 30, 3, generator=rng), weight, torch.randn(1, 30, generator=rng)
        whole = emitter_module.summarise(*study)
        monkeypatch.setattr(pretraining_study, "train", noted)
        for name, variant in pretraining_study.VARIANTS.items():
            if not variant.steps:
                continue
            with pytest.raises(KeyboardInterrupt):
                pretraining_study.measure(name, 100, [1])
            recipe, without, told = seen["last"]
            assert recipe.steps == 100 * variant.steps
            assert without == set(variant.without)
            assert all(getattr(recipe, key) == value for key, value in variant.recipe.items())
            assert torch.equal(told.arms, whole.arms)
            assert torch.equal(told.pairs, whole.pairs) == ("pairs" not in name)
            assert torch.equal(told.columns, whole.columns) == ("residuals" not in name)
        assert torch.equal(emitter_module.summarise(*study).pairs, whole.pairs)


@pytest.mark.skipif(sys.platform != "linux", reason="sizes are as Linux counts them")
class TestScoreParquet:
    def test_each_size_has_its_figures_and_its_files_are_removed(self, tmp_path):
        printed = run("score_parquet.py", "--rows", "50,300", "--columns", 5, "--out", tmp_path)
        results = pd.read_csv(tmp_path / "score_parquet.csv")
        assert results["rows"].tolist() == [50, 300]
        assert results["file_mib"].is_monotonic_increasing
        assert results["peak_mib"].between(50, 5000).all()
        assert (results["seconds"] > 0).all()
        assert [row[0] for row in table_rows(printed)[-2:]] == ["50", "300"]
        assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".md"}


class TestDevices:
    def test_each_fit_has_its_figures(self, tmp_path):
        line = ["--rows", "120,150", "--columns", 5, "--precisions", "high", "--out", tmp_path]
        run("devices.py", *line)
        results = pd.read_csv(tmp_path / "devices.csv")
        assert results["rows"].tolist() == [120, 120, 150, 150]
        assert results["precision"].tolist() == ["highest", "high"] * 2
        assert results["difference"].iloc[[0, 2]].eq(0).all()
        assert (results["difference"] < 0.05).all()
        assert (results[["fit_seconds", "predict_rate", "error"]] > 0).all(axis=None)
