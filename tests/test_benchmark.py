"""The benchmark: what the command line accepts, what is run and kept, and what is reported."""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from samples import small_sample
from threadpoolctl import threadpool_info, threadpool_limits

pytest.importorskip("econml", reason="the benchmark needs its extra")

from hypercate import HyperCATE, cli
from hypercate.benchmark import harness, panel, report
from hypercate.benchmark.harness import Task
from hypercate.commands import benchmark
from hypercate.datasets import CausalSample, load_ihdp
from hypercate.metrics import ate_error, sqrt_pehe

PUBLISHED = [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")]
FIGURES = [
    *("pehe_in", "pehe_out", "ate_error_in", "ate_error_out", "effect_sd"),
    *("fit_seconds", "predict_seconds"),
]


def tasks(learners, replications=(1, 2), treated=None):
    return [
        Task("ihdp", "npci", treated, replication, learner)
        for replication in replications
        for learner in learners
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Here and in subprocesses: on busy cores, threads that wait for one another take minutes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def calls(monkeypatch):
    """A learner named "counted", and the list of the replications on which it was run."""
    seen = []

    def counted(train, seed):
        seen.append(seed)
        return lambda X: np.full(len(X), float(seed))

    monkeypatch.setitem(panel.LEARNERS, "counted", counted)
    return seen


def refused(capsys, *arguments):
    """The message with which the parser refuses the arguments."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["benchmark", *arguments])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


class TestReplications:
    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("1", [1]),
            ("1-4", [1, 2, 3, 4]),
            ("3-3", [3]),
            ("9-11,1,3", [1, 3, 9, 10, 11]),
            ("2,1-3, 2", [1, 2, 3]),
        ],
    )
    def test_lists_and_ranges_are_read_sorted_and_each_once(self, text, numbers):
        assert benchmark.replications(text) == numbers

    @pytest.mark.parametrize("text", ["", "1,", "a", "1-", "-1", "1-2-3", "1.5", "0", "0-3", "5-1"])
    def test_others_are_refused_by_their_part(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match=r"neither a number|must go up"):
            benchmark.replications(text)


class TestBadArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "required: dataset"),
            (["nhanes"], "invalid choice: 'nhanes'"),
            (["ihdp", "--source", "web"], "invalid choice: 'web'"),
            (["ihdp", "--replications", "5-1"], "'5-1' must go up, from 1 or more"),
            (["ihdp", "--replications", "1,x"], "'x' is neither a number nor a range"),
            (["ihdp", "--jobs", "0"], "'0' is not a positive integer"),
            (["ihdp", "--jobs", "two"], "'two' is not a positive integer"),
            (["ihdp", "--treated", "-3"], "'-3' is not a positive integer"),
            (["ihdp", "--learners", "T Laso"], "unknown learner 'T Laso'"),
            (["ihdp", "--learners", " , "], "no learner is named"),
        ],
    )
    def test_the_last_line_says_what_is_wrong(self, arguments, message, capsys, tmp_path):
        out = [] if not arguments else ["--out", str(tmp_path / "out")]
        assert message in refused(capsys, *arguments, *out)
        assert not (tmp_path / "out").exists()

    def test_no_command_is_refused(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            cli.main([])
        assert "command" in capsys.readouterr().err

    def test_an_unknown_learner_is_answered_with_those_that_there_are(self, capsys):
        line = refused(capsys, "ihdp", "--learners", "nobody")
        assert all(name in line for name in [*panel.LEARNERS, *panel.GROUPS])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--treated", "500"], "cannot thin to 500 treated rows: there are 123"),
            (["--source", "published", "--replications", "101"], "must be from 1 to 100, got 101"),
        ],
    )
    def test_data_that_cannot_be_had_end_it_without_a_traceback(
        self, arguments, message, capsys, tmp_path
    ):
        line = ["benchmark", "ihdp", "--replications", "1", "--learners", "zero effect"]
        assert cli.main([*line, "--out", str(tmp_path), *arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert "Traceback" not in captured.err

    def test_an_absent_file_is_named(self, capsys, tmp_path, monkeypatch):
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path / "nowhere"))
        line = ["benchmark", "ihdp", "--source", "published", "--learners", "zero effect"]
        assert cli.main([*line, "--out", str(tmp_path)]) == 1
        assert "nowhere/ihdp/ihdp_npci_1-100.train.npz does not exist" in capsys.readouterr().err

    def test_a_file_in_the_place_of_the_folder_is_refused(self, capsys, tmp_path):
        (tmp_path / "taken").write_text("")
        line = ["benchmark", "ihdp", "--learners", "zero effect", "--replications", "1"]
        assert cli.main([*line, "--out", str(tmp_path / "taken")]) == 1
        assert "taken" in capsys.readouterr().err

    def test_results_of_another_program_are_refused_and_left_alone(self, capsys, tmp_path):
        (tmp_path / "results.csv").write_text("a,b\n1,2\n")
        line = ["benchmark", "ihdp", "--learners", "zero effect", "--replications", "1"]
        assert cli.main([*line, "--out", str(tmp_path)]) == 1
        assert "results.csv" in capsys.readouterr().err
        assert (tmp_path / "results.csv").read_text() == "a,b\n1,2\n"


class TestSelect:
    def test_names_and_groups_come_in_the_order_given_each_once(self):
        selected = panel.select("true ATE, generation ,true ATE,HyperCATE,T Lasso")
        assert selected[:2] == ["true ATE", "HyperCATE"]
        assert selected[-1] == "T Lasso"
        assert len(selected) == len(set(selected)) == 2 + len(panel.GROUPS["generation"])

    def test_every_learner_is_in_a_group_and_every_group_starts_with_ours(self):
        assert set(itertools.chain(*panel.GROUPS.values())) == set(panel.LEARNERS)
        assert all(names[0] == panel.OURS for names in panel.GROUPS.values())

    def test_the_panel_is_econmls_learners_between_us_and_two_anchors(self):
        names = panel.select("panel")
        assert names[:2] == [panel.OURS, panel.NO_SHARING]
        assert names[-2:] == ["zero effect", "true ATE"]
        kinds = {"T", "X", "DR", "CausalForestDML", "LinearDML", "ForestDRLearner"}
        assert {name.partition(" ")[0] for name in names[2:-2]} == kinds


VARIANTS = {
    name for group in ("generation", "architectures", "options") for name in panel.GROUPS[group]
} - {"HyperCATE instant", *panel.GROUPS["panel"]}


class TestPanel:
    @pytest.mark.parametrize("name", sorted(VARIANTS))
    def test_each_variant_of_ours_fits(self, name, monkeypatch):
        monkeypatch.setattr(panel, "HyperCATE", lambda **p: HyperCATE(**{"max_epochs": 3, **p}))
        effect = panel.LEARNERS[name](small_sample(), 0)(small_sample(n=40, seed=1).X)
        assert effect.shape == (40,)
        assert np.isfinite(effect).all()

    @pytest.mark.parametrize(
        ("name", "n_arms"),
        [
            *((name, 2) for name in panel.LEARNERS if name not in VARIANTS),
            *((name, 3) for name in panel.GROUPS["panel"]),
        ],
    )
    def test_each_finds_an_easy_effect_on_new_rows_from_120(self, name, n_arms):
        train, test = small_sample(n_arms), small_sample(n_arms, n=40, seed=1)
        effect = panel.LEARNERS[name](train, 0)(test.X)
        assert effect.shape == test.effect.shape
        assert np.isfinite(effect).all()
        error, size = sqrt_pehe(test.effect, effect), np.sqrt(np.mean(test.effect**2))
        if name == "zero effect":
            assert error == pytest.approx(size)
        elif name in ("true ATE", "HyperCATE intercept"):
            assert error == pytest.approx(
                sqrt_pehe(test.effect, test.effect.mean(0) + 0 * effect), rel=0.2
            )
        else:
            assert error < 0.7 * size

    @pytest.mark.parametrize("name", ["HyperCATE", "T boosting", "T Lasso"])
    def test_a_level_first_met_at_predict_is_no_obstacle(self, name):
        train = small_sample()
        new = train.X.assign(site="west")
        assert np.isfinite(panel.LEARNERS[name](train, 0)(new)).all()

    @pytest.mark.parametrize("name", ["HyperCATE none", "T boosting", "CausalForestDML"])
    def test_a_seed_repeats_its_effects(self, name):
        train, test = small_sample(), small_sample(seed=1)
        first, second = (panel.LEARNERS[name](train, 7)(test.X) for _ in range(2))
        np.testing.assert_allclose(first, second, rtol=1e-9)

    @pytest.mark.parametrize("name", ["HyperCATE", "CausalForestDML", "ForestDRLearner"])
    def test_none_works_on_threads_of_its_own(self, name, monkeypatch):
        """Seconds are compared, so each has one thread."""
        started = []
        start = threading.Thread.start

        def watched(thread):
            started.append(type(thread).__name__)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", watched)
        with harness.one_thread():
            panel.LEARNERS[name](small_sample(), 0)(small_sample(seed=1).X)
        assert set(started) <= {"TMonitor"}  # tqdm's, which sleeps


class TestAnchors:
    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls):
        pair = tasks(["zero effect", "true ATE"], [3])
        return {task.learner: harness.run_task(task) for task in pair}, load_ihdp(3)

    def test_the_errors_of_zero_effect_are_the_size_of_the_effect(self, rows):
        row, split = rows[0]["zero effect"], rows[1]
        for part, sample in (("in", split.train), ("out", split.test)):
            assert row[f"pehe_{part}"] == pytest.approx(np.sqrt(np.mean(sample.effect**2)))
            assert row[f"ate_error_{part}"] == pytest.approx(abs(sample.effect.mean()))

    def test_the_error_of_the_true_ate_is_the_spread_of_the_effect(self, rows):
        row, split = rows[0]["true ATE"], rows[1]
        assert row["pehe_in"] == pytest.approx(split.train.effect.std())
        assert row["ate_error_in"] == pytest.approx(0, abs=1e-12)
        shift = split.train.effect.mean() - split.test.effect.mean()
        assert row["ate_error_out"] == pytest.approx(abs(shift))
        assert row["pehe_out"] == pytest.approx(np.hypot(split.test.effect.std(), shift))

    def test_the_spread_reported_is_that_of_the_test_rows(self, rows):
        for row in rows[0].values():
            assert row["effect_sd"] == rows[1].test.effect.std()


class TestThinning:
    sample = load_ihdp(1).train

    @pytest.mark.parametrize("n_treated", [1, 30, 123])
    def test_all_controls_and_so_many_treated_are_kept_in_order(self, n_treated):
        thin = harness.thin_treated(self.sample, n_treated, seed=0)
        assert (thin.treatment == 1).sum() == n_treated
        assert (thin.treatment == 0).sum() == (self.sample.treatment == 0).sum()
        rows = thin.X.index.to_numpy()
        assert (np.diff(rows) > 0).all()
        pd.testing.assert_frame_equal(thin.X, self.sample.X.iloc[rows])
        for name in ("treatment", "y", "mu"):
            np.testing.assert_array_equal(getattr(thin, name), getattr(self.sample, name)[rows])

    def test_a_seed_chooses_the_treated(self):
        first, again, other = (
            set(harness.thin_treated(self.sample, 30, seed).X.index) for seed in (0, 0, 1)
        )
        assert first == again != other

    def test_more_than_there_are_is_refused(self):
        with pytest.raises(ValueError, match="cannot thin to 124 treated rows: there are 123"):
            harness.thin_treated(self.sample, 124, seed=0)

    def test_randomized_rows_stay_beside_their_people(self):
        flags = self.sample.X["momage"].to_numpy() > 0
        flagged = CausalSample(
            self.sample.X, self.sample.treatment, self.sample.y, None, randomized=flags
        )
        thin = harness.thin_treated(flagged, 30, seed=0)
        assert thin.mu is None
        np.testing.assert_array_equal(thin.randomized, thin.X["momage"] > 0)

    def test_all_learners_of_a_replication_meet_the_same_rows(self, monkeypatch):
        trained, asked = {}, {}

        def watch(name):
            def learner(train, seed):
                trained[name, seed] = train.X.index[train.treatment == 1].tolist()

                def effect(X):
                    asked.setdefault((name, seed), []).append(len(X))
                    return np.zeros(len(X))

                return effect

            return learner

        for name in ("first", "second"):
            monkeypatch.setitem(panel.LEARNERS, name, watch(name))
        for task in tasks(["first", "second"], treated=20):
            assert harness.run_task(task)["error"] == ""
        assert trained["first", 1] == trained["second", 1] != trained["first", 2]
        assert len(trained["first", 1]) == 20
        n_controls = (self.sample.treatment == 0).sum()
        assert asked["first", 1] == asked["second", 1] == [n_controls + 20, 75]


class TestRun:
    def test_rows_come_in_the_order_of_the_tasks(self, tmp_path):
        wanted = tasks(["true ATE", "zero effect"], [2, 1])
        table = harness.run(wanted, tmp_path / "results.csv")
        found = table[["replication", "learner"]].to_records(index=False).tolist()
        assert found == [(task.replication, task.learner) for task in wanted]

    def test_errors_are_those_of_the_metrics(self, tmp_path):
        table = harness.run(tasks(["T Lasso"], [2]), tmp_path / "results.csv")
        split = load_ihdp(2)
        effect = panel.LEARNERS["T Lasso"](split.train, 2)
        row = table.iloc[0]
        for part, sample in (("in", split.train), ("out", split.test)):
            assert row[f"pehe_{part}"] == pytest.approx(sqrt_pehe(sample.effect, effect(sample.X)))
            assert row[f"ate_error_{part}"] == pytest.approx(
                ate_error(sample.effect, effect(sample.X))
            )
        assert row["fit_seconds"] > 0
        assert row["predict_seconds"] > 0

    def test_workers_find_what_one_process_finds(self, tmp_path):
        wanted = tasks(["HyperCATE strong", "T Lasso"], [1], treated=30)
        alone, together = (
            harness.run(wanted, tmp_path / f"{n}.csv", n)
            .sort_values(["replication", "learner"], ignore_index=True)
            .drop(columns=["fit_seconds", "predict_seconds"])
            for n in (1, 2)
        )
        assert len(alone) == 2
        assert (alone["pehe_out"] > 0).all()
        pd.testing.assert_frame_equal(alone, together)

    def test_each_task_runs_on_one_thread_and_leaves_their_number_as_it_was(self, monkeypatch):
        seen = []

        def spy(train, seed):
            seen.extend([torch.get_num_threads(), *(p["num_threads"] for p in threadpool_info())])
            raise ValueError("enough")

        monkeypatch.setitem(panel.LEARNERS, "spy", spy)
        with threadpool_limits(2):
            torch.set_num_threads(2)
            before = threadpool_info()
            harness.run_task(*tasks(["spy"], [1]))
            assert torch.get_num_threads() == 2
            assert threadpool_info() == before
        torch.set_num_threads(1)
        assert set(seen) == {1}


class TestResuming:
    def test_what_is_done_is_kept_byte_for_byte_and_not_run_again(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        harness.run(tasks(["counted", "zero effect"]), path)
        kept = path.read_bytes()
        table = harness.run(tasks(["counted", "zero effect", "true ATE"], [1, 2, 3]), path)
        assert path.read_bytes().startswith(kept)
        assert calls == [1, 2, 3]
        assert len(table) == 9
        assert not table.duplicated(harness.KEY).any()

    def test_a_complete_run_adds_nothing(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        first = harness.run(tasks(["counted"]), path)
        written = path.read_bytes()
        pd.testing.assert_frame_equal(harness.run(tasks(["counted"]), path), first)
        assert path.read_bytes() == written
        assert calls == [1, 2]

    def test_thinned_and_whole_samples_are_different_tasks(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        harness.run(tasks(["counted"], [1]), path)
        thinned = harness.run(tasks(["counted"], [1], treated=30), path)
        assert calls == [1, 1]
        assert thinned["treated"].tolist() == ["30"]
        assert len(pd.read_csv(path)) == 2

    def test_only_the_rows_asked_for_are_given(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        harness.run(tasks(["counted", "zero effect"]), path)
        table = harness.run(tasks(["zero effect"], [2]), path)
        assert table["learner"].tolist() == ["zero effect"]
        assert table["replication"].tolist() == [2]

    def test_a_task_that_two_runs_at_once_have_done_counts_once(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        wanted = tasks(["counted", "zero effect"])
        harness.run(wanted, path)
        header, first, *rest = path.read_text().splitlines(keepends=True)
        path.write_text("".join([header, first, *rest, first]))
        assert not harness.collect(wanted, path).duplicated(harness.KEY).any()

    def test_a_file_that_an_interrupt_left_empty_is_begun_anew(self, calls, tmp_path):
        path = tmp_path / "results.csv"
        path.touch()
        assert len(harness.collect(tasks(["counted"]), path)) == 0
        table = harness.run(tasks(["counted"]), path)
        assert calls == table["replication"].tolist() == [1, 2]
        assert len(pd.read_csv(path)) == 2

    def test_an_interrupted_command_reports_what_there_is_and_resumes(
        self, calls, tmp_path, monkeypatch, capsys
    ):
        def interrupted(train, seed):
            raise KeyboardInterrupt

        monkeypatch.setitem(panel.LEARNERS, "slow", interrupted)
        line = ["benchmark", "ihdp", "--replications", "1", "--out", str(tmp_path)]
        line += ["--learners", "counted,slow,true ATE"]
        assert cli.main(line) == 130
        captured = capsys.readouterr()
        assert "keeps the results, the same command resumes" in captured.err
        assert "counted" in captured.out
        assert "slow" not in captured.out
        monkeypatch.setitem(panel.LEARNERS, "slow", panel.LEARNERS["zero effect"])
        assert cli.main(line) == 0
        assert "slow" in capsys.readouterr().out
        assert calls == [1]
        assert len(pd.read_csv(tmp_path / "results.csv")) == 3

    def test_an_interrupt_before_the_first_result_reports_nothing(
        self, tmp_path, monkeypatch, capsys
    ):
        def interrupted(train, seed):
            raise KeyboardInterrupt

        monkeypatch.setitem(panel.LEARNERS, "slow", interrupted)
        line = ["benchmark", "ihdp", "--learners", "slow", "--out", str(tmp_path)]
        assert cli.main(line) == 130
        assert capsys.readouterr().out == ""
        assert not list(tmp_path.iterdir())

    def test_ctrl_c_reaches_worker_processes(self, tmp_path):
        """A real signal to a real run, also where tests run in the background, deaf to it."""
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        code = heard + "import sys; from hypercate.cli import main; sys.exit(main(sys.argv[1:]))"
        line = ["benchmark", "ihdp", "--learners", "true ATE,X Gaussian process", "--jobs", "2"]
        path = tmp_path / "results.csv"
        running = subprocess.Popen(
            [sys.executable, "-c", code, *line, "--replications", "1-30", "--out", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while running.poll() is None and not (path.exists() and path.stat().st_size):
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, message = running.communicate(timeout=60)
        assert running.returncode == 130
        assert "the same command resumes" in message
        assert "Traceback" not in message
        table = pd.read_csv(path)
        assert 1 <= len(table) < 60
        assert table["pehe_out"].notna().all()


class TestFailures:
    def test_a_learner_that_fails_is_a_row_that_says_so(self, tmp_path):
        """One treated row is too few for both."""
        learners = ["HyperCATE", "T Lasso", "zero effect"]
        table = harness.run(tasks(learners, [1], treated=1), tmp_path / "results.csv")
        table = table.set_index("learner")
        assert table.loc["HyperCATE", "error"].startswith("ValueError: arm 1 has 1 row(s)")
        assert table.loc["T Lasso", "error"].startswith("ValueError: ")
        assert table.loc[["HyperCATE", "T Lasso"], FIGURES].isna().all(axis=None)
        assert table.loc["zero effect", "pehe_out"] > 0
        assert pd.isna(table.loc["zero effect", "error"])

    def test_a_failure_at_predict_counts_and_its_message_is_one_line(self, monkeypatch):
        def failing(train, seed):
            def effect(X):
                raise RuntimeError("no\n  effect")

            return effect

        monkeypatch.setitem(panel.LEARNERS, "failing", failing)
        row = harness.run_task(*tasks(["failing"], [1]))
        assert row["error"] == "RuntimeError: no effect"
        assert np.isnan(row["fit_seconds"])

    def test_effects_of_a_wrong_shape_or_not_finite_are_failures(self, monkeypatch):
        for wrong in (lambda X: np.zeros((len(X), 2)), lambda X: np.full(len(X), np.nan)):
            monkeypatch.setitem(panel.LEARNERS, "wrong", lambda train, seed, wrong=wrong: wrong)
            row = harness.run_task(*tasks(["wrong"], [1]))
            assert row["error"].startswith("ValueError: effect")
            assert np.isnan(row["pehe_out"])

    def test_the_command_succeeds_and_says_who_failed(self, tmp_path, monkeypatch, capsys):
        def half(train, seed):
            if seed == 2:
                raise RuntimeError("not with two")
            return lambda X: np.ones(len(X))

        monkeypatch.setitem(panel.LEARNERS, "half", half)
        line = ["benchmark", "ihdp", "--replications", "1-3", "--out", str(tmp_path)]
        assert cli.main([*line, "--learners", "half,zero effect"]) == 0
        printed = capsys.readouterr().out
        assert "half failed 1 of 3: RuntimeError: not with two" in printed
        (row,) = [line for line in printed.splitlines() if line.startswith("| half")]
        assert row.endswith("| 2 |")
        assert (tmp_path / "ihdp.png").exists()

    def test_a_run_in_which_all_fail_is_reported(self, tmp_path, capsys):
        line = ["benchmark", "ihdp", "--treated", "1", "--replications", "1"]
        assert cli.main([*line, "--learners", "T Lasso", "--out", str(tmp_path)]) == 0
        assert "T Lasso failed 1 of 1" in capsys.readouterr().out
        assert (tmp_path / "ihdp.png").exists()


def results(**out):
    """Results of learners whose errors are given a list each, NaN for a failure."""
    rows = [
        dict.fromkeys(harness.EFFECTS.columns, np.nan)
        | dict(zip(harness.KEY, Task("ihdp", "npci", None, replication, learner).key, strict=True))
        | dict.fromkeys(FIGURES, 2 * value)
        | {"pehe_out": value, "effect_sd": float(replication)}
        | ({"error": "ValueError: no"} if np.isnan(value) else {})
        for learner, values in out.items()
        for replication, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


class TestSummary:
    ours = (1.0, 2.0, 6.0)

    def test_statistics_by_hand(self):
        summary = report.summarise(results(HyperCATE=self.ours, other=(0.5, 3.0, 7.0)))
        row = summary.loc["HyperCATE"]
        assert row["out mean"] == pytest.approx(3)
        assert row["out s.e."] == pytest.approx(np.sqrt(((4 + 1 + 9) / 2) / 3))
        assert row["out median"] == 2
        assert row["in mean"] == pytest.approx(6)
        assert row["in s.e."] == pytest.approx(2 * row["out s.e."])
        assert row["in median"] == 4
        assert row["ATE error"] == pytest.approx(6)
        assert row["over sd"] == pytest.approx(3 / 2)
        assert row["fit s"] == 4
        assert row["predict ms"] == 4000
        assert (row["n"], row["failed"]) == (3, 0)

    def test_wins_are_paired_and_ties_are_none(self):
        summary = report.summarise(
            results(
                HyperCATE=self.ours,
                one_of_three=(0.5, 3.0, 7.0),
                permuted=(6.0, 1.0, 2.0),
                equal=self.ours,
            )
        )
        assert summary.loc["one_of_three", "won against us"] == pytest.approx(1 / 3)
        assert summary.loc["permuted", "won against us"] == pytest.approx(2 / 3)
        assert summary.loc["equal", "won against us"] == 0
        assert np.isnan(summary.loc["HyperCATE", "won against us"])

    def test_who_is_further_off_than_the_true_mean_effect(self):
        """The effects' standard deviations are 1, 2 and 3."""
        summary = report.summarise(results(HyperCATE=(0.5, 2.0, 3.1), other=(1.5, np.nan, 2.0)))
        assert summary.loc["HyperCATE", "worse than true mean"] == pytest.approx(1 / 3)
        assert summary.loc["other", "worse than true mean"] == 0.5

    def test_failures_leave_the_statistics_and_the_pairs(self):
        summary = report.summarise(
            results(HyperCATE=(np.nan, 2.0, 6.0), half=(0.5, 3.0, 5.0), part=(0.1, np.nan, 7.0))
        )
        assert summary.loc["HyperCATE", ["out mean", "n", "failed"]].tolist() == [4, 2, 1]
        assert summary.loc["half", "won against us"] == 0.5
        assert summary.loc["part", "won against us"] == 0
        assert summary.loc["part", "over sd"] == pytest.approx((7.1 / 2) / ((1 + 3) / 2))

    def test_the_best_mean_comes_first_and_who_always_failed_last(self):
        summary = report.summarise(results(never=[np.nan], worst=[5.0], best=[1.0], middle=[2.0]))
        assert summary.index.tolist() == ["best", "middle", "worst", "never"]
        assert summary["won against us"].isna().all()


class TestMarkdown:
    table = report.to_markdown(
        results(HyperCATE=(1.0, 2.0, 6.0), other=(0.5, 3.0, 7.0), broken=(np.nan, 4.0, np.nan))
    )

    def test_it_is_one_table_of_equal_rows_with_us_in_bold(self):
        lines = [line for line in self.table.splitlines() if line.startswith("|")]
        assert len(lines) == 2 + 3
        assert {line.count("|") for line in lines} == {lines[0].count("|")} == {13}
        assert set(lines[1]) <= set("| -")
        names = [line.split("|")[1].strip() for line in lines[2:]]
        assert names == ["**HyperCATE**", "other", "broken"]

    def test_cells_are_the_summary_rounded(self):
        header, _, ours, other, *_ = self.table.splitlines()
        cells = dict(zip(header.split("|"), other.split("|"), strict=True))
        assert cells[" out: mean ± s.e. "].strip() == "3.500 ± 1.893"
        assert cells[" won against us "].strip() == "33%"
        assert cells[" worse than true mean "].strip() == "67%"
        assert cells[" out / sd "].strip() == "1.750"
        assert cells[" n "].strip() == "3"
        assert (
            dict(zip(header.split("|"), ours.split("|"), strict=True))[" won against us "].strip()
            == ""
        )

    def test_failures_stand_below(self):
        assert self.table.endswith("\n\nbroken failed 2 of 3: ValueError: no")

    def test_one_replication_has_no_standard_error(self):
        table = report.to_markdown(results(HyperCATE=[1.0], other=[2.0]))
        assert "1.000" in table
        assert "nan" not in table

    def test_a_learner_that_always_failed_has_no_figures(self):
        assert "nan" not in report.to_markdown(
            results(HyperCATE=(1.0, 2.0), never=(np.nan, np.nan))
        )


class TestPicture:
    def draw(self, table, path):
        from matplotlib.image import imread

        report.draw(table, "IHDP", path)
        return imread(path)

    def test_it_grows_with_the_learners_and_shows_us_in_our_colour(self, tmp_path):
        two = self.draw(results(HyperCATE=(1.0, 2.0), a=(2.0, 3.0)), tmp_path / "two.png")
        four = self.draw(
            results(HyperCATE=(1.0, 2.0), a=(2.0, 3.0), b=(3.0, 4.0), c=(1.0, 9.0)),
            tmp_path / "four.png",
        )
        none = self.draw(results(a=(2.0, 3.0), b=(3.0, 4.0)), tmp_path / "none.png")
        assert two.shape[0] < four.shape[0]
        orange = np.array([0xC2, 0x41, 0x0C]) / 255
        assert (np.abs(two[..., :3] - orange).max(axis=-1) < 0.01).sum() > 50
        assert not (np.abs(none[..., :3] - orange).max(axis=-1) < 0.01).any()

    def test_a_learner_that_always_failed_is_left_out(self, tmp_path):
        two = self.draw(results(HyperCATE=(1.0, 2.0), a=(2.0, 3.0)), tmp_path / "two.png")
        failed = self.draw(
            results(HyperCATE=(1.0, 2.0), a=(2.0, 3.0), never=(np.nan, np.nan)),
            tmp_path / "failed.png",
        )
        np.testing.assert_array_equal(two, failed)


class TestCommand:
    def test_it_prints_the_table_that_it_writes_and_shows_progress(self, tmp_path, capsys):
        line = ["benchmark", "ihdp", "--replications", "1,2", "--learners", "T Lasso,zero effect"]
        out = tmp_path / "new" / "folder"
        assert cli.main([*line, "--out", str(out)]) == 0
        captured = capsys.readouterr()
        assert captured.out == (out / "report.md").read_text()
        assert "4/4" in captured.err
        assert {path.name for path in out.iterdir()} == {"results.csv", "report.md", "ihdp.png"}
        table = pd.read_csv(out / "results.csv")
        assert table.columns.tolist() == harness.EFFECTS.columns
        assert report.to_markdown(table) + "\n" == captured.out

    def test_published_replications_are_read_from_the_data_folder(self, tmp_path):
        folder = os.environ.get("HYPERCATE_DATA", "")
        if not all(Path(folder, name).exists() for name in PUBLISHED):
            pytest.skip("HYPERCATE_DATA does not name a folder with the published IHDP files")
        line = ["benchmark", "ihdp", "--source", "published", "--replications", "25"]
        assert cli.main([*line, "--learners", "true ATE", "--out", str(tmp_path)]) == 0
        row = pd.read_csv(tmp_path / "results.csv").iloc[0]
        assert row["source"] == "published"
        assert row["effect_sd"] == load_ihdp(25, "published").test.effect.std()

    def test_warnings_of_peers_do_not_change_the_filters_of_the_process(self):
        before = list(warnings.filters)
        panel.LEARNERS["T Gaussian process"](small_sample(n=40), 0)
        assert warnings.filters == before
