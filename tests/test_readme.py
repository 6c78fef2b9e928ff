"""What the repository's pages say is true: their code runs, their commands work, links lead on."""

import ast
import contextlib
import importlib
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import DataConversionWarning

from hypercate import HyperCATE, cli, plots
from hypercate.commands import benchmark

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
BENCHMARKS = (ROOT / "benchmarks/README.md").read_text()
TUTORIALS = (ROOT / "tutorials/README.md").read_text()
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for folder in (".", "benchmarks", "datasets", "docs", "docs/tutorials", "tutorials")
    for page in sorted((ROOT / folder).glob("*.md"))
}
LONGEST = 200
FILES = {
    "published": [f"ihdp/ihdp_npci_1-25.{part}.npz" for part in ("train", "test")],
    "acic": ["acic2016/x.csv", "acic2016/zymu_1.csv"],
    "jobs": [f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")],
    "twins": ["twins/ganite_Twin_data.csv.gz"],
    "realcause": ["realcause/lalonde_psid_sample0.csv"],
    "cps": ["realcause/lalonde_cps_sample0.csv"],
}


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def marked_block(marker):
    found = re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", README, re.S)
    assert len(found) == 1
    return found[0]


def commands(block):
    return [shlex.split(line) for line in block.strip().splitlines()]


def benchmark_commands(text=README + BENCHMARKS):
    """Arguments of every ``hypercate benchmark DATASET`` that a page shows, the README's first."""
    lines = [line for block in blocks("bash", text) for line in commands(block)]
    return [
        line[1:]
        for line in lines
        if Path(line[0]).name == "hypercate" and line[1] == "benchmark" and "--help" not in line
    ]


def with_option(arguments, **options):
    """The same command line with values of options replaced, or added."""
    replaced = list(arguments)
    for name, value in options.items():
        if f"--{name}" in replaced:
            replaced[replaced.index(f"--{name}") + 1] = value
        else:
            replaced += [f"--{name}", value]
    return replaced


def option(arguments, name, default=None):
    return arguments[arguments.index(name) + 1] if name in arguments else default


def skip_without_data(arguments):
    """Skip where the data folder lacks the files of the first replication."""
    folder = os.environ.get("HYPERCATE_DATA", "")
    for word in set(arguments) & set(FILES):
        if not all(Path(folder, name).exists() for name in FILES[word]):
            pytest.skip(f"HYPERCATE_DATA does not name a folder with the files of {word}")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Here and in subprocesses: on busy cores, threads that wait for one another take minutes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the README's Python runs, and saves its files."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def after(folder):
    """Names defined after each block of Python, and what it printed; blocks run in order."""
    names, states = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "Agg")
        for block in blocks("python"):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block, "README.md", "exec"), names)
            states.append((dict(names), printed.getvalue()))
    assert len(states) == 1
    return states


class TestFirstScreen:
    def test_the_example_comes_before_anything_long(self):
        lines = README.splitlines()
        assert lines.index("```python") < 30
        assert re.search(r"!\[[^]]+\]\(benchmarks/results/ihdp.png\)", README)
        assert len(lines) <= LONGEST

    def test_the_extras_that_it_names_are_those_of_the_project(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        install = README[README.index("## Install") : README.index("## A first example")]
        named = re.findall(r"`(\w+)`(?= adds)", install)
        assert named == list(extras)
        assert named.pop(0) == "files"
        assert named.pop() == "dowhy"  # which asks for an older SciPy than is pinned
        assert "hypercate[serve]" in extras["docs"]
        for alone in ("serve", "scale"):  # which run beside the estimator alone
            named.remove(alone)
        for smaller, larger in itertools.pairwise(named):
            assert f"hypercate[{smaller}]" in extras[larger]
        (line,) = commands(blocks("bash", install)[0])
        assert line == ["pip", "install", ".[plots]"]

    def test_results_shown_are_those_measured(self):
        from hypercate.benchmark import report

        def measured(name):
            table = pd.read_csv(ROOT / f"benchmarks/results/{name}.csv", keep_default_na=False)
            figures = [column for column in table if column.startswith(("pehe", "ate", "effect"))]
            seconds = ["fit_seconds", "predict_seconds"]
            table[figures + seconds] = table[figures + seconds].apply(pd.to_numeric)
            return report.summarise(table)

        ihdp, acic = measured("ihdp-published"), measured("acic-1000")
        results = README[README.index("## Results") :]
        rows = [re.split(r" *\| *", line)[1:-1] for line in re.findall(r"^\|.*", results, re.M)][2:]
        assert len(rows) == 5
        for learner, *cells in rows:
            for cell, summary in zip(cells, (ihdp, acic), strict=True):
                name = learner.strip("*")
                if cell == "not measured":
                    assert name not in summary.index
                else:
                    row = summary.loc[name]
                    assert cell == f"{row['out mean']:.3f} ± {row['out s.e.']:.3f}"
        anchors = ["HyperCATE", "HyperCATE none", "HyperCATE trained", "true ATE", "zero effect"]
        shown = {row[0] for row in rows}
        for summary in (ihdp, acic):
            assert summary.drop(anchors, errors="ignore")["out mean"].idxmin() in shown

    def test_seconds_shown_are_those_measured(self):
        speed = pd.read_csv(ROOT / "benchmarks/results/speed.csv")
        median = speed.groupby(["learner", "rows"])["fit_seconds"].median()
        said = re.search(
            r"10,000 rows takes (\d+) s \(CausalForestDML: (\d+) s\), 1,000,000 rows (\d+) s",
            README,
        )
        keys = [("HyperCATE", 10_000), ("CausalForestDML", 10_000), ("HyperCATE", 1_000_000)]
        assert [int(number) for number in said.groups()] == [round(median[key]) for key in keys]


class TestPythonBlocks:
    def test_the_first_example_is_about_ten_lines(self):
        assert len([line for line in blocks("python")[0].splitlines() if line]) <= 14

    def test_the_picture_shown_is_the_picture_that_the_example_draws(self, after, folder):
        from matplotlib.image import imread

        shown = re.search(r"!\[[^]]+\]\((docs/[^)]+\.png)\)", README).group(1)
        assert (ROOT / shown).stat().st_size < 60_000
        drawn = imread(folder / Path(shown).name)
        assert drawn.std() > 0.05
        # another processor's last digits give 0.0002 and less; another label 0.002, level 0.007
        assert drawn.shape == imread(ROOT / shown).shape
        assert np.abs(drawn - imread(ROOT / shown)).mean() < 0.0015

    def test_the_first_example_finds_the_effect_that_its_data_have(self, after):
        names, _ = after[0]
        assert names["X"].isna().to_numpy().sum() > 10
        assert isinstance(names["X"]["site"].dtype, pd.CategoricalDtype)
        effect = names["est"].predict(names["X"])
        known = names["X"]["site"].notna()
        error = (effect - 2 * names["north"])[known]
        assert np.sqrt(np.mean(error**2)) < 0.35
        assert abs(names["est"].ate(names["X"]) - 2 * names["north"].mean()) < 0.3

    def test_the_output_shown_is_the_output_printed(self, after):
        shown, printed = blocks("text")[0].splitlines(), after[0][1].splitlines()
        assert len(shown) == len(printed) == 9
        for expected, line in zip(shown, printed, strict=True):
            for left, right in zip(expected.split(), line.split(), strict=True):
                try:
                    assert float(left) == pytest.approx(float(right), rel=0.1, abs=0.15)
                except ValueError:
                    assert left == right

    def test_the_average_of_the_example_holds_what_its_data_have(self, after):
        names, _ = after[0]
        lower, upper = names["est"].ate_interval()
        (sentence,) = re.findall(r"average effect over all patients:[^`]*", README)
        said = re.findall(r"\d\.\d+", sentence)
        found = [names["est"].ate(), lower, upper]
        assert [float(number) for number in said] == pytest.approx(found, abs=0.05)
        assert lower < 2 * names["north"].mean() < upper


class TestHowItWorks:
    def test_short_examples_run_on_data_that_they_speak_of(self):
        """All but the example of a look inside, which stands for itself and is run elsewhere."""
        matplotlib = pytest.importorskip("matplotlib", reason="an example draws")
        matplotlib.use("Agg")
        rng = np.random.default_rng(0)
        X = pd.DataFrame(rng.normal(size=(240, 2)), columns=["age", "income"])
        arm = rng.choice(["placebo", "low", "high"], 240)
        treatment = rng.integers(0, 2, 240)
        amount = np.append([0.0, 10.0], rng.uniform(0, 10, 238))
        dose = pd.Series(arm).map({"placebo": 0, "low": 1, "high": 4})
        visits = rng.poisson(np.exp(X["age"] / 4 + 0.2 * treatment))
        drug = np.array(["none", "A", "B"])[np.arange(240) % 3]
        names = {
            "HyperCATE": partial(HyperCATE, n_members=2, max_epochs=20, random_state=0),
            "X": X,
            "arm": arm,
            "amount": amount,
            "treatment": treatment,
            "drug": drug,
            "mg": rng.uniform(0.1, 10, 240) * pd.Series(drug).map({"none": 0, "A": 1, "B": 20}),
            "visits": visits,
            "frame": pd.DataFrame({"pressure": X["age"] + treatment, "visits": visits}),
            "y": (dose + X["age"]).to_numpy(),
            "months": rng.exponential(60 * np.exp(X["age"] / 4)),
            "died": rng.random(240) < 0.7,
            "pd": pd,
            "plots": plots,
        }
        examples = [
            code for code in blocks("python", PAGES["docs/how-it-works.md"]) if "import" not in code
        ]
        assert len(examples) == 8
        for code in examples:
            *statements, last = ast.parse(code).body
            exec(compile(ast.Module(statements, []), "how-it-works.md", "exec"), names)
            names["last"] = eval(
                compile(ast.Expression(last.value), "how-it-works.md", "eval"), names
            )
            if "arm_features" in code:
                assert names["est"].arms_[-1] == "middle"
                assert len(names["last"].point_estimate) == 240
            elif "horizon" in code:
                assert (names["last"] > 0).all()
            elif "dose_response" in code:
                assert names["last"].get_xlabel() == "dose"
            elif "est.of" in code:
                assert names["est"].outcomes_ == ["pressure", "visits"]
                assert (names["last"][0] > 0).all()
            elif "partial_fit" in code:
                assert len(names["est"].scores_frame()) == 240
                assert np.isfinite(names["last"].point_estimate).all()
            elif "add_arm" in code:
                assert names["est"].arms_.tolist() == ["high", "low", "placebo", "new"]
                assert len(names["last"].point_estimate) == 240
            else:
                assert names["last"].point_estimate.shape == (1,)


class TestSensitivity:
    def test_the_page_runs_and_says_what_is_strong(self):
        names = {}
        for block in blocks("python", PAGES["docs/sensitivity.md"]):
            exec(compile(block, "sensitivity.md", "exec"), names)
        assert names["strengths"]["cf_y"].idxmax() == "age"
        assert names["strengths"].loc["height", "cf_y"] < 0.03
        assert 0.2 < names["bounds"].robustness_value()[0] < 1


class TestReport:
    def test_the_page_writes_what_it_says(self, tmp_path, monkeypatch, capsys):
        pytest.importorskip("matplotlib", reason="a report has pictures")
        monkeypatch.chdir(tmp_path)
        (code,), (shown,) = (blocks(kind, PAGES["docs/report.md"]) for kind in ("python", "text"))
        exec(compile(code, "report.md", "exec"), {})
        assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}
        printed = capsys.readouterr().out
        numbers = re.compile(r"-?\d+\.?\d*")
        assert numbers.sub("#", printed) == numbers.sub("#", shown)
        found = [[float(number) for number in numbers.findall(text)] for text in (printed, shown)]
        np.testing.assert_allclose(*found, atol=0.02)


class TestDecisions:
    """The example of the page on decisions, whose best policy is known."""

    @pytest.fixture(scope="class")
    @classmethod
    def after(cls):
        matplotlib = pytest.importorskip("matplotlib", reason="the example draws")
        matplotlib.use("Agg")
        (block,) = blocks("python", PAGES["docs/decisions.md"])
        names, printed = {}, io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, "decisions.md", "exec"), names)
        return names, printed.getvalue()

    def test_the_policy_is_near_the_best_and_its_value_is_honest(self, after):
        names, printed = after
        gain = pd.DataFrame(names["gain"]).sub(pd.Series(names["costs"]))[list(names["est"].arms_)]
        test = gain.iloc[names["test"]]

        def value(advice):
            place = test.columns.get_indexer(advice)
            return test.to_numpy()[np.arange(len(test)), place].mean()

        best = test.max(axis=1).mean()
        assert value(names["advice"]) > best - 0.1
        assert value(names["tree"].predict(names["X"].iloc[names["test"]])) > best - 0.15
        assert "surgery" in str(names["tree"])
        assert "AUTOC" in printed
        assert "predicted gain" in printed


class TestExplaining:
    def test_the_page_runs_and_finds_what_modifies_the_effect(self, monkeypatch):
        pytest.importorskip("matplotlib", reason="examples draw").use("Agg")
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # to compile takes longer than all the rest
        pytest.importorskip("shap", reason="an example needs it")
        names, printed = {}, io.StringIO()
        with contextlib.redirect_stdout(printed):
            for block in blocks("python", PAGES["docs/explaining.md"]):
                exec(compile(block, "explaining.md", "exec"), names)
        est, X = names["est"], names["X"]
        importance = names["effect_importance"](est, X)["importance"]
        assert importance.index.tolist() == ["site", "age", "height"]
        assert np.polyfit(names["curve"].index, names["curve"].point_estimate, 1)[0] > 0.02
        assert names["tree"].leaves_["rule"].str.contains("site is north").any()
        true = pd.Series(names["effect"]).groupby(names["tree"].apply(names["new"])).mean()
        lower, upper = names["averages"].interval(0.01)
        assert ((lower < true) & (true < upper)).all()
        shares = np.abs(names["explanation"].values).mean(axis=0)
        assert names["explanation"].feature_names[shares.argmax()] == "site"
        assert "|--- site is north" in printed.getvalue()


class TestServing:
    def test_the_page_runs_and_its_service_answers(self, tmp_path, monkeypatch):
        client_of = pytest.importorskip("fastapi.testclient", reason="an example needs it")
        pytest.importorskip("onnxruntime", reason="an example needs it")
        monkeypatch.chdir(tmp_path)
        names = {}
        for block in blocks("python", PAGES["docs/serving.md"]):
            exec(compile(block, "serving.md", "exec"), names)
        client, row = client_of.TestClient(names["app"]), {"age": 61, "site": "north"}
        expected = pytest.approx(names["est"].predict(row).tolist(), abs=1e-5)
        assert client.post("/effect", json=row).json()["effect"] == expected
        assert names["effects"][:, 0].tolist() == expected
        refused = client.post("/effect", json={"age": 61})
        assert refused.status_code == 422
        assert "now missing:\n- site" in refused.json()["detail"]


class TestComingFrom:
    """Calls of the page on coming from other packages."""

    PAGE = PAGES["docs/coming-from.md"]

    def rows(self, package):
        """Code of both packages in the table below a heading, a pair a row."""
        part = self.PAGE[self.PAGE.index(f"| what | {package} | HyperCATE |") :].split("\n\n")[0]
        for line in part.splitlines()[2:]:
            yield [cell.strip("` ") for cell in line.split("|")[2:4]]

    @staticmethod
    def study():
        rng = np.random.default_rng(506)
        X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["age", "income"])
        W = pd.DataFrame({"pulse": rng.normal(size=200)})
        T = rng.integers(2, size=200)
        Y = X["age"] + W["pulse"] + (1 + X["income"]) * T + 0.2 * rng.normal(size=200)
        clinic = np.arange(200) // 2
        return {
            "X": X.to_numpy(),
            "W": W.to_numpy(),
            "XW": X.join(W),
            "T": T,
            "Y": Y.to_numpy(),
            "clinic": clinic,
        }

    @pytest.mark.filterwarnings("ignore:The scorer:UserWarning", "ignore::FutureWarning")
    def test_calls_beside_those_of_econml_answer_the_same_question(self):
        pytest.importorskip("econml")
        from econml.cate_interpreter import SingleTreeCateInterpreter
        from econml.dr import LinearDRLearner
        from sklearn.linear_model import LinearRegression, LogisticRegression

        from hypercate.interop.econml import as_econml

        models = {"model_regression": LinearRegression(), "model_propensity": LogisticRegression()}
        names = {
            **self.study(),
            "theirs": LinearDRLearner(**models, random_state=0),
            "est": HyperCATE(effort="instant", random_state=0),
            "as_econml": as_econml,
            "SingleTreeCateInterpreter": partial(SingleTreeCateInterpreter, max_depth=1),
        }
        found = {}
        for theirs, ours in self.rows("EconML"):
            answers = [eval(code, names) if code else None for code in (theirs, ours)]
            found[ours.split("(")[0].removeprefix("est.")] = answers
        assert len(found) == 13
        for name in ("effect", "predict", "effect_interval"):
            theirs, ours = map(np.squeeze, found[name])
            assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.9
        theirs, ours = found["effect_inference"]
        assert set(theirs.columns) == set(ours.columns)
        for name in ("ate", "att"):
            theirs, ours = found[name]
            assert ours == pytest.approx(theirs, abs=0.2)
        assert found["gate"][1][True] == pytest.approx(found["gate"][0], abs=0.2)
        np.testing.assert_allclose(*found["ate_interval"], atol=0.3)
        theirs, ours = found["ate_inference"]
        assert theirs.mean_point == pytest.approx(ours.point_estimate[0], abs=0.2)
        assert found["score"][1] > 0.2
        for tree in found["SingleTreeCateInterpreter"]:
            assert tree.tree_model_.tree_.feature[0] == 1

    def test_calls_beside_those_of_causalml_run(self):
        study = self.study()
        treatment = np.where(study["T"] == 1, "drug", "control")
        names = {
            "X": study["XW"],
            "y": study["Y"],
            "treatment": treatment,
            "p": np.full(200, 0.5),
            "est": HyperCATE(effort="instant", random_state=0, control="control"),
        }
        answers = {ours: eval(ours, names) for _, ours in self.rows("CausalML")}
        assert len(answers) == 6
        assert answers["est.predict(X)"].shape == (200,)
        assert answers["est.predict_outcomes(X)"].shape == (200, 2)
        ate, (lower, upper) = answers["est.ate(), est.ate_interval()"]
        assert lower < ate < upper
        assert names["est"].arms_.tolist() == ["control", "drug"]

    def test_the_example_inside_econml_treats_those_who_gain(self):
        pytest.importorskip("econml")
        names = {}
        exec(compile(blocks("python", self.PAGE)[0], "coming-from.md", "exec"), names)
        assert names["best"] is names["ours"]
        assert names["score"] == max(names["scores"])
        right = (names["treated"] == 1) == (names["effect"] > 0)
        assert right.mean() > 0.9

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    def test_the_example_inside_dowhy_is_refuted_by_a_placebo(self):
        pytest.importorskip("econml")
        pytest.importorskip("dowhy", reason="the page's example is for DoWhy")
        names = {}
        for block in blocks("python", self.PAGE):
            exec(compile(block, "coming-from.md", "exec"), names)
        estimate = names["estimate"]
        assert names["lower"] < estimate.value < names["upper"]
        assert estimate.value == pytest.approx(names["effect"].mean(), abs=0.15)
        assert abs(names["refuted"].new_effect) < 0.3


class TestOtherHarnesses:
    """Calls of the page on other harnesses."""

    @pytest.fixture(scope="class")
    @classmethod
    def states(cls):
        names, states = {"__name__": "harness"}, []
        for block in blocks("python", PAGES["docs/in-other-harnesses.md"]):
            exec(compile(block, "in-other-harnesses.md", "exec"), names)
            states.append(dict(names))
        assert len(states) == 4
        return states

    def test_all_conventions_give_the_same_effects(self, states):
        as_function, as_net, as_econml, _ = states
        assert as_function["tau"].shape == (100,)
        np.testing.assert_array_equal(as_function["tau"], as_net["effect_of_net"])
        np.testing.assert_array_equal(as_function["tau"], as_econml["tau"])
        np.testing.assert_allclose(
            as_net["treated_of_net"] - as_net["control_of_net"], as_net["effect_of_net"], rtol=1e-5
        )

    def test_what_is_reported_is_good(self, states):
        figures = states[-1]["report"]
        assert figures["sqrt-PEHE"] < 0.7 * states[-1]["effect"].std()
        assert figures["ATE error"] < 0.2
        assert figures["coverage of 90 % intervals"] > 0.8
        assert figures["interval score"] > 0

    def test_the_average_of_the_function_is_that_of_all_rows(self, states):
        names = states[0]
        found = names["estimate_ate"](names["X"], names["t"], names["y"])
        assert found == pytest.approx(names["effect"].mean(), abs=0.2)

    def test_arrays_of_floats_frames_of_strings_and_several_arms_go_in(self, states, monkeypatch):
        names, rng = states[0], np.random.default_rng(1)
        monkeypatch.setitem(names["SETTINGS"], "effort", "instant")
        X, t, y = (names[name] for name in ("X", "t", "y"))
        single = names["estimate_cate"](X.astype("float32"), t.astype(float), y, X)
        assert single.shape == (300,)
        frame = pd.DataFrame(X).add_prefix("x").assign(site=rng.choice(["north", "south"], 300))
        frame.loc[::9, "x0"] = np.nan
        assert np.isfinite(names["estimate_cate"](frame, t, y, frame)).all()
        assert names["estimate_cate"](X, rng.integers(3, size=300), y, X).shape == (300, 2)

    def test_what_the_page_says_is_refused_or_warned_of_is(self, states, monkeypatch):
        names = states[-1]
        monkeypatch.setitem(names["SETTINGS"], "effort", "instant")
        X, t, y = (names[name] for name in ("X", "t", "y"))
        with pytest.raises(ValueError, match=r"\(300, 1\)"):
            names["estimate_cate"](X, t[:, None], y, X)
        with pytest.warns(DataConversionWarning, match="column-vector y"):
            names["estimate_cate"](X, t, y[:, None], X)
        with pytest.raises(ValueError, match="columns of W"):
            names["InEconMLsOrder"]().fit(y, t, X=X, W=X)


class TestTheTwoCommands:
    def test_ci_runs_the_test_command_as_it_is_shown(self):
        script = (ROOT / ".ci/run").read_text()
        reader = re.search(r"<<'PYTHON'\n(.*?)^PYTHON$", script, re.S | re.M).group(1)
        read = subprocess.run(
            [sys.executable, "-"],
            input=reader,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert read.strip() == marked_block("test command").strip()
        assert script.rstrip().endswith('bash -euo pipefail -c "$command"')

    def test_contributing_shows_the_same_test_command(self):
        assert blocks("bash", CONTRIBUTING)[0] == marked_block("test command")

    @pytest.mark.parametrize("marker", ["benchmark command", "test command"])
    def test_each_starts_from_nothing_with_pinned_versions(self, marker):
        make, install, *_ = commands(marked_block(marker))
        assert make == ["python3", "-m", "venv", ".venv"]
        assert install[:4] == [".venv/bin/python", "-m", "pip", "install"]
        assert (ROOT / option(install, "-c")).is_file()
        extra = re.fullmatch(r"\.\[(\w+)\]", install[-1]).group(1)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extra in project["optional-dependencies"]

    def test_the_test_command_names_tools_that_the_dev_extra_installs(self):
        tools = commands(marked_block("test command"))[2:]
        assert [Path(tool[0]).name for tool in tools] == ["ruff", "ruff", "mypy", "pytest"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        installed = {
            re.match(r"\w+", line).group() for line in project["optional-dependencies"]["dev"]
        }
        for executable, *arguments in tools:
            name = Path(executable).name
            assert executable == f".venv/bin/{name}"
            assert name in installed
            program = Path(sys.executable).with_name(name)
            subprocess.run([program, *arguments, "--help"], check=True, capture_output=True)

    def test_pins_admit_what_the_package_asks_for(self):
        from packaging.requirements import Requirement

        pins = {
            pin.name.lower(): next(iter(pin.specifier)).version
            for pin in map(Requirement, (ROOT / "constraints.txt").read_text().split())
        }
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        asked = [
            *project["dependencies"],
            *itertools.chain(*project["optional-dependencies"].values()),
        ]
        for requirement in map(Requirement, asked):
            if requirement.name != project["name"]:
                assert requirement.specifier.contains(pins[requirement.name]), requirement

    def test_the_benchmark_command_compares_learners_and_can_be_repeated(self, tmp_path):
        pytest.importorskip("econml")
        executable, *arguments = commands(marked_block("benchmark command"))[-1]
        assert executable == ".venv/bin/hypercate"
        assert option(arguments, "--source") == "npci"
        assert option(arguments, "--replications") == "1-3"
        assert option(arguments, "--jobs") == "2"
        assert option(arguments, "--learners", "panel") == "panel"
        quick = with_option(arguments, replications="1", learners="HyperCATE,T Lasso,zero effect")
        first, second = (
            subprocess.run(
                [sys.executable, "-m", "hypercate", *quick],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            for _ in range(2)
        )
        assert first.returncode == second.returncode == 0, first.stderr + second.stderr
        assert first.stdout == second.stdout
        assert "**HyperCATE**" in first.stdout.splitlines()[2]
        folder = tmp_path / option(arguments, "--out")
        assert {path.name for path in folder.iterdir()} == {"results.csv", "report.md", "ihdp.png"}
        assert len(pd.read_csv(folder / "results.csv")) == 3


class TestOtherCommands:
    def test_every_line_of_bash_is_known(self):
        shown = {
            Path(line[0]).name
            for text in (README, BENCHMARKS, TUTORIALS)
            for block in blocks("bash", text)
            for line in commands(block)
        }
        assert shown == {"pip", "python3", "python", "ruff", "mypy", "pytest", "hypercate"}

    def test_version_is_the_projects(self, capsys):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["--version"])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert capsys.readouterr().out.strip() == project["version"]

    def test_help_names_every_option_that_is_used(self, capsys):
        with pytest.raises(SystemExit, match="0"):
            cli.main(["benchmark", "--help"])
        text = capsys.readouterr().out
        used = {word for line in benchmark_commands() for word in line if word.startswith("--")}
        assert used == {
            *("--source", "--replications", "--learners", "--treated", "--rows", "--jobs", "--out"),
            *("--design", "--intervals", "--arms", "--share"),
        }
        assert all(name in text for name in used)

    def test_results_come_from_published_replications_of_known_learners(self):
        from hypercate.benchmark import panel

        results = [
            line
            for line in benchmark_commands()
            if option(line, "--source") == "published" and "--intervals" not in line
        ]
        assert len(results) == 4
        for line in results:
            assert max(benchmark.replications(option(line, "--replications"))) <= 25
            assert panel.select(option(line, "--learners", "panel"))[0] == panel.OURS
        folders = {}
        for line in benchmark_commands():
            part_of_one = with_option(line, replications="1", learners="panel", jobs="1")
            folders.setdefault(option(line, "--out"), set()).add(tuple(sorted(part_of_one)))
        assert all(len(settings) == 1 for settings in folders.values())

    @pytest.mark.parametrize(
        "line",
        [line for line in benchmark_commands()[1:] if "--intervals" not in line],
        ids=lambda line: line[-1],
    )
    def test_commands_of_the_results_run(self, line, tmp_path, capsys):
        pytest.importorskip("econml")
        skip_without_data(line)
        from hypercate.benchmark.studies import STUDIES

        quick = with_option(
            line, replications="1", learners="T Lasso,zero effect", jobs="1", out=str(tmp_path)
        )
        assert cli.main(quick) == 0
        results = pd.read_csv(tmp_path / "results.csv", dtype={"treated": str})
        assert results[f"{STUDIES[line[1]].headline}_out"].notna().all()
        assert set(results["treated"]) == {option(line, "--treated", "all")}
        assert capsys.readouterr().out == (tmp_path / "report.md").read_text()

    @pytest.mark.parametrize(
        "line",
        [line for line in benchmark_commands() if "--intervals" in line],
        ids=lambda line: line[-1],
    )
    def test_commands_of_intervals_run(self, line, tmp_path, capsys):
        pytest.importorskip("econml")
        skip_without_data(line)
        quick = with_option(line, replications="1", learners="LinearDML", out=str(tmp_path))
        assert cli.main(quick) == 0
        results = pd.read_csv(tmp_path / "intervals.csv", keep_default_na=False, na_values=[""])
        assert results["coverage_90"].between(0, 1).all()
        assert results["dataset"].tolist() == [line[1]]
        if "--design" in line:
            assert results["design"].tolist() == [option(line, "--design")]
        assert capsys.readouterr().out == (tmp_path / "intervals.md").read_text()

    def test_scripts_shown_exist_and_write_where_git_does_not_look(self):
        lines = [
            line
            for text in (README, BENCHMARKS, TUTORIALS)
            for block in blocks("bash", text)
            for line in commands(block)
        ]
        scripts = [line[1:] for line in lines if line[0] == "python"]
        assert {script for script, *_ in scripts} == {
            path.relative_to(ROOT).as_posix()
            for folder in ("tutorials", "benchmarks")
            for path in (ROOT / folder).glob("*.py")
        }
        ignored = (ROOT / ".gitignore").read_text().split()
        assert "/results/" in ignored
        folders = [option(line, "--out") for line in [*scripts, *benchmark_commands()]]
        assert folders.count(None) == 1  # many_levels.py only prints
        assert all(folder.startswith("results/") for folder in folders if folder)

    def test_scripts_of_benchmarks_have_the_options_that_are_shown(self, monkeypatch, capsys):
        monkeypatch.syspath_prepend(ROOT / "benchmarks")
        used = {}
        for block in blocks("bash", BENCHMARKS):
            for program, script, *arguments in commands(block):
                if program == "python":
                    options = {word for word in arguments if word.startswith("--")}
                    used.setdefault(script, set()).update(options)
        assert len(used) == 18
        for script, options in used.items():
            monkeypatch.setattr(sys, "argv", [script, "--help"])
            with pytest.raises(SystemExit, match="0"):
                importlib.import_module(Path(script).stem).main()
            help_text = capsys.readouterr().out
            assert all(option in help_text for option in options)


def anchors(text):
    """What links to the headings of a page are made of."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class TestLinks:
    def test_the_pages_are_all_there(self):
        assert {"README.md", "CONTRIBUTING.md", "benchmarks/README.md", "docs/limits.md"} < set(
            PAGES
        )

    @pytest.mark.parametrize("name", PAGES)
    def test_every_file_and_heading_linked_is_there(self, name):
        links = re.findall(r"\]\(([^)]+)\)", PAGES[name])
        for link in links:
            path, _, heading = link.partition("#")
            if not link.startswith("http"):
                page = ((ROOT / name).parent / path) if path else ROOT / name
                assert page.exists(), link
                assert not heading or heading in anchors(page.read_text()), link

    def test_the_contents_of_the_results_name_every_section(self):
        contents = BENCHMARKS[: BENCHMARKS.index("\n## ")]
        linked = set(re.findall(r"\]\(#([^)]+)\)", contents))
        assert linked == anchors(BENCHMARKS) - anchors(BENCHMARKS.splitlines()[0])

    @pytest.mark.parametrize(
        "name",
        [
            "README.md",
            "docs/limits.md",
            "docs/how-it-works.md",
            "docs/in-other-harnesses.md",
            "docs/decisions.md",
            "docs/command-line.md",
            "docs/serving.md",
        ],
    )
    def test_pages_are_found_from_the_readme(self, name):
        assert name == "README.md" or f"]({name})" in README

    def test_contributing_lists_every_module(self):
        layout = re.search(r"^```\nhypercate/\n(.*?)^```", CONTRIBUTING, re.S | re.M).group(1)
        listed, folders = set(), []
        for line in layout.splitlines():
            depth = (len(line) - len(line.lstrip())) // 2
            name = line.split()[0]
            folders[depth - 1 :] = [name] if depth else []
            if depth and name.endswith(".py"):
                listed.add("hypercate/" + "".join(folders))
        modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("hypercate/**/*.py")}
        of_folders = {path for path in modules if path.endswith("__init__.py")}
        assert listed == (modules - of_folders) | {"hypercate/__init__.py"}
