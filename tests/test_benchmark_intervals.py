"""The benchmark of intervals: what is measured, kept, reported, and what the command refuses."""

import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from samples import small_sample
from threadpoolctl import threadpool_limits

pytest.importorskip("econml", reason="the benchmark needs its extra")

from hypercate import cli
from hypercate.benchmark import harness, interval_panel, interval_report, intervals
from hypercate.benchmark.harness import Task
from hypercate.benchmark.interval_panel import Intervals
from hypercate.benchmark.intervals import INTERVALS, LEVELS, REJECTED
from hypercate.benchmark.studies import STUDIES
from hypercate.commands import benchmark
from hypercate.datasets import draw_arms_study, draw_interval_study
from hypercate.metrics import coverage, interval_score, rejection_curve, sqrt_pehe

PEERS = [name for name in interval_panel.LEARNERS if name != "HyperCATE"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On busy cores, threads that wait for one another take minutes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(interval_panel, "N_RESAMPLES", 8)


def task(learner, replication=1, design="smooth", rows=60):
    return Task("simulated", None, None, replication, learner, rows, design=design)


def scaled(train, seed, effect=0.0, half_width=0.5):
    """The same interval for all, of a width in proportion to 1 - alpha."""
    n_arms = int(train.treatment.max()) + 1

    def constant(X):
        return np.full(len(X) if n_arms == 2 else (len(X), n_arms - 1), effect)

    def interval(X, alpha):
        return tuple(constant(X) + sign * half_width * (1 - alpha) for sign in (-1, 1))

    return Intervals(constant, interval)


@pytest.fixture
def calls(monkeypatch):
    """Learners "narrow" and "wide", and the list of the replications on which they were run."""
    seen = []

    def learner(half_width, train, seed):
        seen.append(seed)
        return scaled(train, seed, half_width=half_width)

    for name, half_width in (("narrow", 0.2), ("wide", 5.0)):
        monkeypatch.setitem(interval_panel.LEARNERS, name, partial(learner, half_width))
    return seen


class TestPanel:
    @pytest.mark.parametrize(("name", "n_arms"), [*((name, 3) for name in PEERS), ("LinearDML", 2)])
    def test_intervals_are_around_the_effect_and_nested_in_alpha(self, name, n_arms, few_resamples):
        train, test = small_sample(n_arms), small_sample(n_arms, n=40, seed=1)
        fitted = interval_panel.LEARNERS[name](train, 0)
        effect = fitted.effect(test.X)
        assert effect.shape == test.effect.shape
        assert sqrt_pehe(test.effect, effect) < 0.7 * np.sqrt(np.mean(test.effect**2))
        inner, outer = fitted.interval(test.X, 0.5), fitted.interval(test.X, 0.05)
        for ends in (*inner, *outer):
            assert ends.shape == effect.shape
        assert (outer[0] <= inner[0]).all()
        assert (inner[0] < inner[1]).all()
        assert (inner[1] <= outer[1]).all()
        # EconML's pivotal bootstrap need not hold the effect
        share = np.mean((outer[0] <= effect) & (effect <= outer[1]))
        assert share == 1 or ("bootstrap" in name and share > 0.8)

    def test_ours_are_those_of_the_estimator(self):
        split = draw_interval_study("smooth", 60)
        quick = {"n_members": 2, "max_epochs": 3, "sharing": "moderate", "inputs": "raw"}
        fitted = interval_panel._hypercate(split.train, 3, **quick)
        estimator = interval_panel.HyperCATE(random_state=3, device="cpu", **quick)
        estimator.fit(split.train.X, split.train.y, split.train.treatment)
        X = split.test.X
        np.testing.assert_array_equal(fitted.effect(X), estimator.predict(X))
        np.testing.assert_array_equal(
            fitted.interval(X, 0.2), estimator.effect_interval(X, alpha=0.2)
        )

    def test_bootstrap_is_repeated_by_its_seed_and_leaves_the_global_one_as_it_was(
        self, monkeypatch
    ):
        monkeypatch.setattr(interval_panel, "N_RESAMPLES", 3)
        train, test = small_sample(n=60), small_sample(n=10, seed=1)
        np.random.seed(5)  # noqa: NPY002
        expected = np.random.get_state()[1].copy()  # noqa: NPY002
        first, again, other = (
            interval_panel.LEARNERS["T boosting bootstrap"](train, seed).interval(test.X, 0.1)
            for seed in (7, 7, 8)
        )
        np.testing.assert_array_equal(np.random.get_state()[1], expected)  # noqa: NPY002
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize("name", PEERS)
    def test_none_works_on_threads_of_its_own(self, name, few_resamples, monkeypatch):
        """Seconds are compared, so each has one thread."""
        started = []
        start = threading.Thread.start

        def watched(thread):
            started.append(type(thread).__name__)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", watched)
        with harness.one_thread():
            interval_panel.LEARNERS[name](small_sample(n=60), 0).interval(small_sample().X, 0.1)
        assert set(started) <= {"TMonitor"}  # tqdm's, which sleeps

    def test_the_panel_is_ours_and_all_the_rest(self):
        assert interval_panel.GROUPS["panel"][0] == "HyperCATE"
        panel, *others = interval_panel.GROUPS.values()
        assert set(panel).union(*others) == set(interval_panel.LEARNERS)
        assert all({*panel} & {*other} == {"HyperCATE"} for other in others)
        assert not any("," in name for name in interval_panel.LEARNERS)


class TestFigures:
    def test_they_are_those_of_the_metrics(self, monkeypatch):
        fitted = {}

        def kept(train, seed):
            fitted["LinearDML"] = interval_panel._peer(interval_panel.peers.linear_dml, train, seed)
            return fitted["LinearDML"]

        monkeypatch.setitem(interval_panel.LEARNERS, "kept", kept)
        row = harness.run_task(task("kept", rows=120), INTERVALS)
        test = draw_interval_study("smooth", 120).test
        learned = fitted["LinearDML"]
        assert row["error"] == ""
        for level in LEVELS:
            lower, upper = learned.interval(test.X, 1 - level / 100)
            assert row[f"coverage_{level}"] == coverage(test.effect, lower, upper)
            assert row[f"width_{level}"] == pytest.approx(np.mean(upper - lower))
        lower, upper = learned.interval(test.X, 0.1)
        assert row["interval_score"] == interval_score(test.effect, lower, upper, 0.1)
        curve = rejection_curve(
            test.effect, learned.effect(test.X), upper - lower, [0, 0.1, 0.2, 0.5]
        )
        found = [row[f"pehe_without_{share}"] for share in REJECTED]
        np.testing.assert_allclose(found, curve)
        assert found[0] == pytest.approx(sqrt_pehe(test.effect, learned.effect(test.X)))
        assert row["fit_seconds"] > 0
        assert row["interval_seconds"] > 0

    def test_spreads_are_of_the_effects_tested_and_of_the_outcomes_trained_on(self, calls):
        row = harness.run_task(task("wide"), INTERVALS)
        split = draw_interval_study("smooth", 60)
        assert row["effect_sd"] == split.test.effect.std()
        assert row["outcome_sd"] == split.train.y.std()

    def test_a_row_of_several_contrasts_is_rejected_by_their_mean_width(self, monkeypatch):
        split = draw_arms_study(3, 10)
        n = len(split.test)
        width = np.random.default_rng(0).uniform(size=(n, 2))

        def learner(train, seed):
            return Intervals(lambda X: np.zeros((n, 2)), lambda X, alpha: (-width / 2, width / 2))

        monkeypatch.setitem(interval_panel.LEARNERS, "two", learner)
        row = harness.run_task(Task("arms", None, 10, 1, "two", arms=3, share="much"), INTERVALS)
        expected = rejection_curve(split.test.effect, np.zeros((n, 2)), width.mean(axis=1), [0.5])
        assert row["pehe_without_50"] == pytest.approx(expected[0])
        assert row["coverage_90"] == coverage(split.test.effect, -width / 2, width / 2)

    def test_every_figure_is_a_column_and_every_column_a_figure(self, calls):
        figures = intervals.measure(
            task("wide"), task("wide").load(), interval_panel.LEARNERS["wide"]
        )
        assert list(figures) == INTERVALS.figures

    @pytest.mark.parametrize(
        ("ends", "message"),
        [
            (lambda X, alpha: (np.zeros(3), np.ones(3)), "ValueError: effect_true has shape"),
            (lambda X, alpha: (np.ones(1000), np.zeros(1000)), "ValueError: the interval of row 0"),
        ],
    )
    def test_intervals_that_are_none_are_failures(self, ends, message, monkeypatch):
        monkeypatch.setitem(
            interval_panel.LEARNERS,
            "wrong",
            lambda train, seed: Intervals(lambda X: np.zeros(1000), ends),
        )
        row = harness.run_task(task("wrong"), INTERVALS)
        assert row["error"].startswith(message)
        assert np.isnan(row["coverage_90"])


def made_up(scores, effect_sd=2.0, covered=0.9, kept=(4.0, 3.0, 2.0, 1.0)):
    """Results of learners whose interval scores are given a list each, NaN for a failure."""
    rows = []
    for learner, values in scores.items():
        for replication, score in enumerate(values, start=1):
            row = dict.fromkeys(INTERVALS.columns, np.nan)
            row |= dict(zip(harness.KEY, task(learner, replication).key, strict=True))
            row |= {"error": "ValueError: no"} if np.isnan(score) else {"interval_score": score}
            if not np.isnan(score):
                row |= {f"coverage_{level}": covered - 0.1 * replication for level in LEVELS}
                row |= {f"width_{level}": float(level) for level in LEVELS}
                row |= {f"pehe_without_{s}": e for s, e in zip(REJECTED, kept, strict=True)}
                row |= {"fit_seconds": 2.0, "interval_seconds": 0.5}
            rows.append(row | {"effect_sd": effect_sd, "outcome_sd": 10.0})
    return pd.DataFrame(rows)


class TestSummary:
    def test_statistics_by_hand(self):
        summary = interval_report.summarise(made_up({"HyperCATE": [1.0, 2.0, 6.0]}))
        row = summary.loc["HyperCATE"]
        assert row["score mean"] == 3
        assert row["score s.e."] == pytest.approx(np.sqrt((14 / 2) / 3))
        assert row["score median"] == 2
        assert row["score over sd"] == 1.5
        assert row["coverage 90 mean"] == pytest.approx(0.7)
        assert row["coverage 90 lowest"] == pytest.approx(0.6)
        assert row["width 90 over sd"] == 45
        assert [row[f"pehe {share} mean"] for share in REJECTED] == [4, 3, 2, 1]
        assert [row[f"pehe {share} ratio"] for share in REJECTED] == [1, 0.75, 0.5, 0.25]
        assert (row["fit s"], row["interval ms"]) == (2, 500)
        assert (row["n"], row["failed"]) == (3, 0)

    def test_the_lowest_score_comes_first_and_wins_are_paired(self):
        scores = {"HyperCATE": [3.0, 3.0], "better": [2.0, 3.5], "never": [np.nan, np.nan]}
        summary = interval_report.summarise(made_up(scores))
        assert summary.index.tolist() == ["better", "HyperCATE", "never"]
        assert summary.loc["better", "won against us"] == 0.5
        assert summary["failed"].tolist() == [0, 0, 2]
        assert np.isnan(summary.loc[["HyperCATE", "never"], "won against us"]).all()

    def test_constant_effects_are_compared_with_the_outcomes_spread_and_it_is_said(self):
        results = made_up({"HyperCATE": [1.0, 3.0]}, effect_sd=1e-17)
        assert interval_report.summarise(results).loc["HyperCATE", "width 90 over sd"] == 9
        text = interval_report.to_markdown(results)
        assert "| width / outcome sd |" in text
        assert "True effects do not vary" in text
        assert "outcome" not in interval_report.to_markdown(made_up({"HyperCATE": [1.0]}))

    def test_effects_found_exactly_have_no_ratio(self):
        results = made_up({"HyperCATE": [1.0]}, kept=(0.0, 0.0, 0.0, 0.0))
        assert "| **HyperCATE** | 0.000 | 0.000 | 0.000 | 0.000 |" in interval_report.to_markdown(
            results
        )

    def test_several_data_sets_are_refused(self):
        both = pd.concat([made_up({"a": [1.0]}), made_up({"a": [1.0]}).assign(dataset="ihdp")])
        with pytest.raises(ValueError, match="simulated, ihdp"):
            interval_report.to_markdown(both)


class TestReport:
    text = interval_report.to_markdown(
        made_up({"HyperCATE": [1.0, 2.0, 6.0], "other": [2.0, 3.0, np.nan], "never": [np.nan] * 3})
    )

    def test_the_tables_have_equal_rows_with_us_in_bold(self):
        tables = [part.splitlines() for part in self.text.split("\n\n") if part.startswith("|")]
        assert len(tables) == 2
        for lines in tables:
            assert len(lines) == 2 + 3
            assert len({line.count("|") for line in lines}) == 1
        names = [line.split("|")[1].strip() for line in tables[0][2:]]
        assert names == ["other", "**HyperCATE**", "never"]

    def test_cells_are_the_summary_rounded(self):
        first, second = (part for part in self.text.split("\n\n") if part.startswith("|"))
        header, _, other, ours, _ = (line.split("|") for line in first.splitlines())
        cells = dict(zip(header, other, strict=True))
        assert cells[" covered at 90 % "].strip() == "75% (70%)"
        assert cells[" width / sd "].strip() == "45.00"
        assert cells[" score: mean ± s.e. "].strip() == "2.500 ± 0.500"
        assert cells[" won against us "].strip() == "0%"
        assert dict(zip(header, ours, strict=True))[" n "].strip() == "3"
        assert "| 4.000 | 3.000 (-25%) | 2.000 (-50%) | 1.000 (-75%) |" in second

    def test_failures_stand_below_and_nothing_is_nan(self):
        assert self.text.endswith(
            "\n\nother failed 1 of 3: ValueError: no\n\nnever failed 3 of 3: ValueError: no"
        )
        assert "nan" not in self.text

    def test_a_picture_shows_who_did_not_fail(self, tmp_path):
        from matplotlib.image import imread

        def drawn(**scores):
            path = tmp_path / "picture.png"
            interval_report.draw(made_up(scores), "title", path)
            return imread(path)

        ours, both = drawn(HyperCATE=[1.0]), drawn(HyperCATE=[1.0], other=[2.0])
        failed = drawn(HyperCATE=[1.0], other=[np.nan])
        orange = np.array([0xC2, 0x41, 0x0C]) / 255
        assert (np.abs(ours[..., :3] - orange).max(axis=-1) < 0.01).sum() > 200
        np.testing.assert_array_equal(ours, failed)
        assert not np.array_equal(ours, both)
        drawn(other=[np.nan])

    def test_the_legend_hides_nothing_that_is_drawn(self, tmp_path, monkeypatch):
        from matplotlib.figure import Figure

        saved = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
        learners = {f"a learner of a long name {i}": [1.0 + i] for i in range(8)}
        interval_report.draw(made_up(learners), "title", tmp_path / "picture.png")
        (figure,) = saved
        figure.canvas.draw()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert len(legend.get_texts()) == 8
        assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


class TestCommand:
    line = ("benchmark", "simulated", "--rows", "60", "--intervals", "--learners", "narrow,wide")

    def run(self, out, *arguments):
        return cli.main([*self.line, "--replications", "1-2", "--out", str(out), *arguments])

    def test_it_prints_the_report_that_it_writes_beside_table_and_picture(
        self, calls, tmp_path, capsys
    ):
        assert self.run(tmp_path, "--design", "null") == 0
        printed = capsys.readouterr().out
        assert {path.name for path in tmp_path.iterdir()} == {
            *("intervals.csv", "intervals.md", "simulated-intervals.png")
        }
        assert printed == (tmp_path / "intervals.md").read_text()
        results = pd.read_csv(tmp_path / "intervals.csv", keep_default_na=False, na_values=[""])
        assert results.columns.tolist() == INTERVALS.columns
        assert interval_report.to_markdown(results) + "\n" == printed
        assert set(results["design"]) == {"null"}
        # No effect, and intervals around zero: all covered, without width to spare
        assert (results["coverage_50"] == 1).all()
        assert results.groupby("learner")["width_90"].first().tolist() == [0.36, 9.0]
        assert "| narrow | 100% (100%) |" in printed
        assert "True effects do not vary" in printed

    def test_what_is_done_is_kept_byte_for_byte_and_not_run_again(self, calls, tmp_path, capsys):
        assert self.run(tmp_path) == 0
        assert calls == [1, 1, 2, 2]
        kept = (tmp_path / "intervals.csv").read_bytes()
        first = capsys.readouterr().out
        assert self.run(tmp_path) == 0
        assert (tmp_path / "intervals.csv").read_bytes() == kept
        assert capsys.readouterr().out == first
        assert self.run(tmp_path, "--design", "stepped") == 0
        assert calls == [1, 1, 2, 2] * 2
        assert (tmp_path / "intervals.csv").read_bytes().startswith(kept)

    def test_both_benchmarks_fit_in_a_folder(self, calls, tmp_path):
        assert self.run(tmp_path) == 0
        plain = ["benchmark", "simulated", "--rows", "60", "--replications", "1"]
        assert cli.main([*plain, "--learners", "true ATE", "--out", str(tmp_path)]) == 0
        assert {path.name for path in tmp_path.iterdir()} == {
            *("intervals.csv", "intervals.md", "simulated-intervals.png"),
            *("results.csv", "report.md", "simulated.png"),
        }

    def test_an_interrupted_command_reports_what_there_is(
        self, calls, tmp_path, monkeypatch, capsys
    ):
        def interrupted(train, seed):
            raise KeyboardInterrupt

        monkeypatch.setitem(interval_panel.LEARNERS, "wide", interrupted)
        assert self.run(tmp_path) == 130
        captured = capsys.readouterr()
        assert "intervals.csv keeps the results" in captured.err
        assert "| narrow |" in captured.out
        assert "| wide |" not in captured.out

    def test_all_are_the_studies_with_known_effects(self, calls, tmp_path, capsys, monkeypatch):
        arguments = ["benchmark", "all", "--intervals", "--learners", "wide", "--rows", "60"]
        known = {"ihdp", "acic", "twins", "arms", "low-rank", "simulated"}
        assert {name for name, study in STUDIES.items() if study.effect_known} == known
        drawn = [name for name in benchmark.DATASETS if name not in ("acic", "twins")]
        monkeypatch.setattr(benchmark, "DATASETS", drawn)  # those need files
        line = [*arguments, "--replications", "1", "--out", str(tmp_path)]
        assert cli.main(line) == 0
        headings = [row for row in capsys.readouterr().out.splitlines() if row.startswith("## ")]
        assert headings == [
            "## IHDP (npci)",
            "## Many arms (treated 30, arms 5, share much)",
            "## Low-rank arms (treated 40, arms 20)",
            "## Simulated (smooth, rows 60)",
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["jobs"], "--intervals does not apply to jobs: the true effects are not known"),
            (["lalonde"], "--intervals does not apply to lalonde"),
            (["ihdp", "--learners", "T Lasso"], "unknown learner 'T Lasso'; learners: HyperCATE;"),
            (["ihdp", "--learners", "options"], "groups: panel"),
            (["simulated", "--design", "rough"], "invalid choice: 'rough'"),
        ],
    )
    def test_what_does_not_apply_is_said_before_anything_runs(
        self, arguments, message, tmp_path, capsys
    ):
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as stopped:
            cli.main(["benchmark", *arguments, "--intervals", "--out", str(out)])
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
        assert not out.exists()

    def test_rows_too_few_to_draw_end_it_without_a_traceback(self, calls, tmp_path, capsys):
        assert self.run(tmp_path, "--rows", "20") == 1
        assert "rows must be at least 40, got 20" in capsys.readouterr().err
