import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score

from hypercate import cli
from hypercate.benchmark import harness, panel, peers, report
from hypercate.benchmark.harness import Task, run_task
from hypercate.benchmark.studies import FIGURES, STUDIES, Predictions
from hypercate.commands import benchmark
from hypercate.datasets import (
    draw_arms_study,
    draw_interval_study,
    draw_low_rank_study,
    load_acic2016,
    load_ihdp,
    load_jobs,
    load_lalonde,
    load_twins,
)

pytest.importorskip("econml", reason="the benchmark needs econml")

FILES = {
    "acic": ["acic2016/x.csv", "acic2016/zymu_1.csv", "acic2016/zymu_2.csv"],
    "jobs": ["jobs/jobs_DW_bin.new.10.train.npz", "jobs/jobs_DW_bin.new.10.test.npz"],
    "twins": ["twins/ganite_Twin_data.csv.gz"],
    "realcause": ["realcause/lalonde_psid_sample0.csv"],
}
ANCHORS = "zero effect,true ATE"


@pytest.fixture
def data():
    """Skips unless the data of the studies named can be read."""

    def require(*names):
        folder = os.environ.get("HYPERCATE_DATA")
        for name in names:
            if name == "lalonde":
                pytest.importorskip("causaldata", reason="LaLonde's tables come with causaldata")
            wanted = FILES.get(name, [])
            if wanted and not folder:
                pytest.skip("HYPERCATE_DATA does not name a folder with the benchmark data")
            absent = [file for file in wanted if not Path(folder, file).exists()]
            if absent:
                pytest.skip(f"{absent} not in the folder HYPERCATE_DATA")

    return require


def task(dataset, learner="zero effect", replication=1, **options):
    defaults = {"source": None, "treated": None} | dict(STUDIES[dataset].options)
    return Task(dataset=dataset, replication=replication, learner=learner, **defaults | options)


def made_up(dataset, headline, errors, effect_sd=np.nan):
    """Results with the errors given, by learner and in the order of replications."""
    rows = [
        dict.fromkeys(harness.EFFECTS.columns, np.nan)
        | {"dataset": dataset, "learner": learner, "replication": number, "error": ""}
        | {"effect_sd": effect_sd, "fit_seconds": 1.0, "predict_seconds": 1.0}
        | {f"{headline}_out": error}
        for learner, values in errors.items()
        for number, error in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


class TestFigures:
    @pytest.mark.parametrize(
        ("dataset", "load"),
        [
            ("ihdp", load_ihdp),
            ("acic", load_acic2016),
            ("twins", load_twins),
            ("arms", draw_arms_study),
            ("low-rank", draw_low_rank_study),
            ("simulated", draw_interval_study),
        ],
    )
    def test_no_effect_for_all_errs_by_the_size_of_the_effect(self, data, dataset, load):
        data(dataset)
        row, split = run_task(task(dataset)), load()
        assert row["error"] == ""
        assert row["pehe_in"] == pytest.approx(np.sqrt(np.mean(split.train.effect**2)))
        assert row["pehe_out"] == pytest.approx(np.sqrt(np.mean(split.test.effect**2)))
        assert row["effect_sd"] == pytest.approx(split.test.effect.std())
        bias = np.mean(np.abs(split.test.effect.mean(axis=0)))
        assert row["ate_error_out"] == pytest.approx(bias)

    def test_jobs_is_measured_on_the_experiment(self, data):
        data("jobs")
        split = load_jobs(3)
        none, everyone = (run_task(task("jobs", name, 3)) for name in ANCHORS.split(","))
        for part, sample in (("in", split.train), ("out", split.test)):
            rows = sample.randomized
            y, t = sample.y[rows], sample.treatment[rows]
            assert none[f"policy_risk_{part}"] == pytest.approx(1 - y[t == 0].mean())
            assert everyone[f"policy_risk_{part}"] == pytest.approx(1 - y[t == 1].mean())
            att = y[t == 1].mean() - y[t == 0].mean()
            assert none[f"att_error_{part}"] == pytest.approx(abs(att))
        assert everyone["att_error_in"] == pytest.approx(0, abs=1e-12)
        assert np.isnan(none["pehe_out"])

    def test_lalonde_is_the_distance_from_the_randomised_att(self, data):
        data("lalonde")
        row = run_task(task("lalonde"))
        assert row["att_error_out"] == pytest.approx(1794.34, abs=0.01)
        assert np.isnan(row["att_error_in"])

    def test_twins_has_an_auc_for_each_arm_where_outcomes_are_predicted(self, data):
        data("twins")
        split = load_twins(1)
        learned = panel.LEARNERS["T Lasso"](split.train, 1)
        row = run_task(task("twins", "T Lasso"))
        for arm in (0, 1):
            expected = roc_auc_score(split.test.mu[:, arm], learned.outcomes(split.test.X)[:, arm])
            assert row[f"auc_{arm}"] == pytest.approx(expected)
            assert row[f"auc_{arm}"] > 0.8
        assert np.isnan(run_task(task("twins"))["auc_0"])

    def test_auc_of_the_truth_is_one(self, data):
        data("twins")
        split = load_twins(1)
        predictions = Predictions(split.train.effect, split.test.effect, split.test.mu)
        figures = STUDIES["twins"].measure(split, predictions)
        assert (figures["auc_0"], figures["auc_1"]) == (1, 1)
        assert figures["pehe_out"] == 0

    def test_every_figure_of_a_table_is_a_column_of_the_results(self):
        for study in STUDIES.values():
            figures = [f"{study.headline}_out", f"{study.headline}_in", *study.further.values()]
            assert set(figures) <= set(FIGURES)
            assert set(study.left_out) <= set(panel.LEARNERS)


class TestOptions:
    def test_rows_of_acic(self, data):
        data("acic")
        split = task("acic", rows=300).load()
        pd.testing.assert_frame_equal(split.train.X, load_acic2016(1, 300).train.X)

    @pytest.mark.parametrize(
        ("replication", "simulation", "split"), [(1, 1, 1), (2, 2, 1), (11, 1, 2), (22, 2, 3)]
    )
    def test_acic_counts_through_simulations_then_splits(
        self, data, replication, simulation, split
    ):
        data("acic")
        found = task("acic", replication=replication).load()
        expected = load_acic2016(simulation, split=split)
        np.testing.assert_array_equal(found.test.mu, expected.test.mu)

    def test_arms_their_rows_and_share(self):
        split = task("arms", arms=3, treated=11, share="nothing", replication=7).load()
        expected = draw_arms_study(3, 11, "nothing", 7)
        pd.testing.assert_frame_equal(split.train.X, expected.train.X)
        np.testing.assert_array_equal(split.test.mu, expected.test.mu)

    def test_arms_of_low_rank_and_their_rows(self):
        split = task("low-rank", arms=3, treated=11, replication=7).load()
        expected = draw_low_rank_study(3, 11, 7)
        pd.testing.assert_frame_equal(split.train.X, expected.train.X)
        np.testing.assert_array_equal(split.test.mu, expected.test.mu)

    def test_design_and_rows_of_the_simulated(self):
        split = task("simulated", design="stepped", rows=60, replication=7).load()
        expected = draw_interval_study("stepped", 60, 7)
        pd.testing.assert_frame_equal(split.train.X, expected.train.X)
        np.testing.assert_array_equal(split.test.mu, expected.test.mu)

    def test_treated_are_thinned_and_controls_kept(self):
        whole, thinned = task("ihdp").load(), task("ihdp", treated=30).load()
        counts = np.bincount(whole.train.treatment)
        assert np.bincount(thinned.train.treatment).tolist() == [counts[0], 30]
        assert len(thinned.test) == len(whole.test)

    def test_tasks_that_differ_in_an_option_have_different_keys(self):
        tasks = [
            *(task("acic", rows=rows) for rows in (None, 300, 1000)),
            *(task("acic", treated=treated) for treated in (30, 60)),
            *(task("ihdp", source=source) for source in ("npci", "published")),
            *(
                task("arms", arms=arms, share=share)
                for arms in (3, 5)
                for share in ("much", "little")
            ),
            *(task("simulated", design=design) for design in ("smooth", "null")),
        ]
        assert len({each.key for each in tasks}) == len(tasks)


class TestPanel:
    def test_potential_outcomes_of_a_t_learner_differ_by_its_effects(self):
        split = draw_arms_study(3, 20)
        learned = panel.LEARNERS["T Lasso"](split.train, 0)
        outcomes = learned.outcomes(split.test.X)
        np.testing.assert_allclose(outcomes[:, 1:] - outcomes[:, :1], learned(split.test.X))

    def test_our_potential_outcomes_differ_by_our_effects(self):
        split = draw_arms_study(3, 20)
        learned = panel._hypercate(split.train, 0, n_members=1, max_epochs=2)
        outcomes = learned.outcomes(split.test.X)
        np.testing.assert_allclose(
            outcomes[:, 1:] - outcomes[:, :1], learned(split.test.X), rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize("name", ["X Lasso", "LinearDML", "zero effect", "true ATE"])
    def test_others_have_effects_only(self, name):
        split = draw_arms_study(3, 20)
        learned = panel.LEARNERS[name](split.train, 0)
        assert not isinstance(learned, panel.Outcomes)
        assert learned(split.test.X).shape == (1000, 2)

    def test_a_category_met_first_in_the_test_rows_is_no_category_for_peers(self):
        X = pd.DataFrame({"site": pd.Categorical(["a", "b"] * 20, ["a", "b", "c"])})
        sample = draw_arms_study(2, 8).train
        train = type(sample)(X, sample.treatment, sample.y, sample.mu, None)
        learned = panel.LEARNERS["T Lasso"](train, 0)
        new = pd.DataFrame({"site": pd.Categorical(["c", "a"], ["a", "b", "c"])})
        unknown = pd.DataFrame({"site": ["d", "a"]})
        np.testing.assert_array_equal(learned(new), learned(unknown))

    def test_gaussian_processes_see_a_sample_of_many_rows(self, monkeypatch):
        monkeypatch.setattr(peers, "_GAUSSIAN_PROCESS_ROWS", 25)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
        for n_rows, kept in ((60, 25), (20, 20)):
            process = peers.gaussian_process(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                process.fit(x[:n_rows], y[:n_rows])
            assert len(process[-1].X_train_) == kept

    def test_no_sharing_is_in_the_panel(self):
        assert panel.NO_SHARING in panel.select("panel")

    def test_true_ate_without_randomised_controls_is_refused(self, data):
        data("lalonde")
        with pytest.raises(ValueError, match="no randomised controls"):
            panel.LEARNERS["true ATE"](load_lalonde().train, 0)


class TestResults:
    def test_all_studies_share_a_file_and_resume(self, tmp_path):
        path = tmp_path / "results.csv"
        first = [task("ihdp"), task("arms")]
        harness.run(first, path)
        written = path.read_text()
        again = harness.run([*first, task("arms", share="nothing")], path)
        assert path.read_text().startswith(written)
        assert len(pd.read_csv(path)) == len(again) == 3
        assert again["pehe_out"].notna().all()

    def test_file_of_another_version_is_refused(self, tmp_path):
        path = tmp_path / "results.csv"
        pd.DataFrame([{"dataset": "ihdp", "pehe_out": 1.0}]).to_csv(path, index=False)
        with pytest.raises(ValueError, match=r"results\.csv was written by another version"):
            harness.run([task("ihdp")], path)

    def test_nothing_done_yet_is_an_empty_table(self, tmp_path):
        found = harness.collect([task("ihdp")], tmp_path / "results.csv")
        assert list(found.columns) == harness.EFFECTS.columns
        assert len(found) == 0


class TestReport:
    def test_learners_are_ranked_and_paired_on_the_headline(self):
        errors = {panel.OURS: [0.3, 0.3], "X boosting": [0.2, 0.5], "zero effect": [0.1, 0.2]}
        summary = report.summarise(made_up("jobs", "policy_risk", errors))
        assert list(summary.index) == ["zero effect", panel.OURS, "X boosting"]
        assert summary.loc["X boosting", "won against us"] == 0.5
        assert summary.loc["zero effect", "won against us"] == 1
        assert summary.loc["X boosting", "out median"] == pytest.approx(0.35)
        assert summary.loc["X boosting", "out s.e."] == pytest.approx(0.15)

    def test_what_is_not_measured_has_no_column(self):
        table = report.to_markdown(made_up("lalonde", "att_error", {panel.OURS: [320.4, 120.2]}))
        header = table.splitlines()[0]
        assert "in: mean" not in header
        assert "out / sd" not in header
        assert "ATE error" not in header
        assert f"| **{panel.OURS}** | 220 ± 100 | 220 |" in table

    def test_error_over_spread_is_of_the_means(self):
        results = made_up("acic", "pehe", {panel.OURS: [1.0, 3.0]})
        results["effect_sd"] = [0.0, 8.0]
        assert report.summarise(results).loc[panel.OURS, "over sd"] == pytest.approx(0.5)

    def test_constant_effects_have_no_spread_to_compare_with(self):
        results = made_up("acic", "pehe", {panel.OURS: [1.0, 3.0]}, effect_sd=1e-16)
        assert "out / sd" not in report.to_markdown(results)

    def test_several_data_sets_are_refused(self):
        results = pd.concat(
            [
                made_up("acic", "pehe", {panel.OURS: [1.0]}),
                made_up("ihdp", "pehe", {panel.OURS: [1.0]}),
            ]
        )
        with pytest.raises(ValueError, match="acic, ihdp"):
            report.summarise(results)

    @pytest.mark.parametrize("dataset", STUDIES)
    def test_picture_of_every_study_also_of_exact_effects(self, dataset, tmp_path):
        errors = {panel.OURS: [1.0, 2.0], "true ATE": [0.0, 0.0]}
        path = tmp_path / "picture.png"
        report.draw(made_up(dataset, STUDIES[dataset].headline, errors), "title", path)
        assert path.stat().st_size > 10_000


class TestCommandLine:
    def test_all_reports_every_study(self, data, tmp_path, capsys):
        data(*STUDIES)
        arguments = ["benchmark", "all", "--replications", "1", "--learners", ANCHORS]
        assert cli.main([*arguments, "--rows", "300", "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert printed == (tmp_path / "report.md").read_text()
        headings = [line for line in printed.splitlines() if line.startswith("## ")]
        assert headings == [
            "## IHDP (npci)",
            "## ACIC 2016 (rows 300)",
            "## Jobs",
            "## Twins",
            "## LaLonde with CPS controls",
            "## RealCause (psid)",
            "## Many arms (treated 30, arms 5, share much)",
            "## Low-rank arms (treated 40, arms 20)",
            "## Simulated (smooth, rows 300)",
        ]
        assert all((tmp_path / f"{name}.png").exists() for name in STUDIES)
        results = pd.read_csv(tmp_path / "results.csv")
        assert len(results) == 17
        assert results["error"].isna().all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["ihdp", "--rows", "300"], "--rows does not apply to ihdp"),
            (["acic", "--share", "much"], "--share does not apply to acic"),
            (["jobs", "--source", "npci"], "--source does not apply to jobs"),
            (["ihdp", "--design", "few"], "--design does not apply to ihdp"),
            (["simulated", "--treated", "30"], "--treated does not apply to simulated"),
            (["arms", "--rows", "30"], "--rows does not apply to arms"),
            (["low-rank", "--share", "much"], "--share does not apply to low-rank"),
            (["jobs", "--replications", "9-11"], "jobs has replications 1 to 10 only"),
            (["lalonde", "--learners", "true ATE"], "true ATE has no meaning for lalonde"),
        ],
    )
    def test_what_does_not_apply_is_said_before_anything_runs(
        self, arguments, message, tmp_path, capsys
    ):
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as stopped:
            cli.main(["benchmark", *arguments, "--out", str(out)])
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
        assert not out.exists()

    def test_absent_data_is_said(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("HYPERCATE_DATA", str(tmp_path))
        out = str(tmp_path / "out")
        assert cli.main(["benchmark", "twins", "--learners", ANCHORS, "--out", out]) == 1
        assert "ganite_Twin_data.csv.gz" in capsys.readouterr().err

    def test_names_on_the_command_line_are_the_studies(self):
        assert list(STUDIES) == benchmark.DATASETS
        assert {key for study in STUDIES.values() for key in study.options} == set(
            benchmark.OPTIONS
        )
