"""What is released: a whole package, next to nothing but its own dependencies, and what it says of
itself."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "build", "dist", "results", "*.egg-info", "__pycache__", "shared"
)
FIT = """
import json, sys
import numpy as np
import pandas as pd
import hypercate, hypercate.cli, hypercate.datasets, hypercate.metrics

rng = np.random.default_rng(0)
X = pd.DataFrame({"age": rng.normal(50, 10, 300), "site": rng.choice(["north", "south"], 300)})
X.loc[::10, "age"] = np.nan
arm = rng.choice(["drug", "placebo"], 300)
y = 3.0 * (arm == "drug") + rng.normal(size=300)
est = hypercate.HyperCATE(control="placebo", n_members=2, random_state=0).fit(X, y, arm)
est.save("model.hypercate")
again = hypercate.HyperCATE.load("model.hypercate")
found = {
    "file": hypercate.__file__,
    "version": hypercate.__version__,
    "ate": est.ate(X),
    "columns": list(est.effect_inference(X).summary_frame().columns),
    "score": est.score(X, y, arm),
    "reloaded": bool((again.predict(X) == est.predict(X)).all()),
    "modules": sorted(sys.modules),
}
print(json.dumps(found))
"""


def run(*command, **options):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


def core_distributions():
    """The distributions that the core's dependencies need, and theirs, here on this machine."""
    wanted, found = [Requirement(line).name for line in PROJECT["dependencies"]], {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            needed = map(Requirement, found[name].requires or [])
            wanted += [
                n.name for n in needed if n.marker is None or n.marker.evaluate({"extra": ""})
            ]
    return found.values()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout's files, so that no earlier build leaves its traces in the wheel."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "hypercate", ignore=NOT_SOURCE)


@pytest.fixture(scope="module")
def released(source, tmp_path_factory):
    """The folder with the sdist, and the wheel that is built from what the sdist holds."""
    out = tmp_path_factory.mktemp("released")
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=source)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def wheel(released):
    (path,) = released.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(released):
    (path,) = released.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A new virtual environment that holds the wheel and the core's dependencies, no others."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": folder}))
    site = Path(sysconfig.get_path("purelib", "venv", {"base": folder, "platbase": folder}))
    for distribution in core_distributions():
        tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    python = scripts / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    installed = run(*pip, "install", "--no-deps", "--no-index", wheel)
    assert installed.returncode == 0, installed.stderr
    return scripts, site


@pytest.fixture(scope="module")
def fitted(environment, tmp_path_factory):
    scripts, _ = environment
    finished = run(
        *(scripts / "python", "-W", "error", "-c", FIT), cwd=tmp_path_factory.mktemp("elsewhere")
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def matrix():
    """The commands for each combination of the matrix, by its name."""
    printed = run(sys.executable, ROOT / "tools/matrix.py", "--dry-run")
    assert printed.returncode == 0, printed.stderr
    blocks = re.split(r"^# (.*)\n", printed.stdout, flags=re.M)[1:]
    return {
        name: [shlex.split(line) for line in lines.splitlines()]
        for name, lines in zip(blocks[::2], blocks[1::2], strict=True)
    }


def pins(commands):
    """The versions that are asked for exactly."""
    (install,) = (line for line in commands if "install" in line)
    return {word for word in install if "==" in word}


class TestWheel:
    def test_it_holds_the_package_and_nothing_else(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        package = (ROOT / "hypercate").rglob("*.py")
        expected = {path.relative_to(ROOT).as_posix() for path in package}
        data = {"pretraining/weights.safetensors", "datasets/realcause.txt", "py.typed"}
        assert packed == expected | {f"hypercate/{name}" for name in data}

    def test_its_metadata_say_what_it_needs_and_under_which_licence(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
            text = archive.read(name).decode()
            licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
        head, _, readme = text.partition("\n\n")
        lines = head.splitlines()
        assert "License-Expression: MIT" in lines
        assert f"Requires-Python: {PROJECT['requires-python']}" in lines
        assert licences
        assert readme.strip() == (ROOT / "README.md").read_text().strip()
        needed = {
            Requirement(x[15:]).name
            for x in lines
            if x.startswith("Requires-Dist: ") and "extra" not in x
        }
        scientific = {"numpy", "pandas", "scikit-learn", "scipy", "torch"}
        assert needed == scientific | {
            "joblib",
            "lightgbm",
            "narwhals",
            "safetensors",
            "threadpoolctl",
            "tqdm",
        }


class TestSourceDistribution:
    def test_it_holds_every_file_of_the_folders(self, source, sdist):
        with tarfile.open(sdist) as archive:
            inside = (Path(item.name) for item in archive if item.isfile())
            packed = {Path(*path.parts[1:]).as_posix() for path in inside}
        folders = ["benchmarks", "datasets", "docs", "hypercate", "tests", "tools", "tutorials"]
        for folder in folders:
            files = [path for path in (source / folder).rglob("*") if path.is_file()]
            expected = {path.relative_to(source).as_posix() for path in files}
            assert len(expected) >= 1
            assert {name for name in packed if name.startswith(f"{folder}/")} == expected
        assert {
            *("CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE"),
            *("README.md", "SECURITY.md", "constraints.txt", "pyproject.toml"),
        } <= packed


class TestWhatItSaysOfItself:
    def test_the_citation_is_of_this_version(self):
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        for name in ("version", "license", "keywords"):
            assert citation[name] == PROJECT[name]
        assert citation["title"] == PROJECT["name"]
        assert citation["abstract"] == f"{PROJECT['description']}."
        assert citation["authors"] == PROJECT["authors"]

    def test_the_citation_names_the_paper_that_the_estimator_names(self):
        (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
        named = " ".join((ROOT / "hypercate/estimator.py").read_text().split()).lower()
        *others, last = (author["family-names"] for author in paper["authors"])
        assert f"{', '.join(others)} & {last} ({paper['year']})".lower() in named
        assert paper["title"].lower() in named

    def test_classifiers_name_the_pythons_that_are_allowed_and_the_first_of_them(self):
        named = re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))
        minors = sorted(map(int, named))
        allowed = SpecifierSet(PROJECT["requires-python"])
        assert minors == list(range(minors[0], minors[-1] + 1))
        assert all(f"3.{minor}" in allowed for minor in minors)
        assert f"3.{minors[0] - 1}" not in allowed

    def test_the_change_log_has_a_heading_of_this_version(self):
        headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
        assert PROJECT["version"] in headings

    def test_forms_of_issues_are_ones_that_can_be_filled_in(self):
        forms = list((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
        assert len(forms) == 2
        for path in forms:
            form = yaml.safe_load(path.read_text())
            assert form["name"]
            assert form["description"]
            asked = [item for item in form["body"] if item["type"] != "markdown"]
            names = [item["id"] for item in asked]
            assert len(set(names)) == len(names) > 0
            assert all(item["attributes"]["label"] for item in asked)
            assert any(item.get("validations", {}).get("required") for item in asked)


class TestMatrix:
    def test_every_python_is_tried_with_the_newest_and_the_oldest(self, matrix):
        lowest = {line.replace(">=", "==") for line in PROJECT["dependencies"]}
        for python in re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"])):
            assert pins(matrix[f"{python}-newest"]) == set()
            assert pins(matrix[f"{python}-oldest"]) == lowest
            assert any("pandas<3" in line for line in matrix[f"{python}-pandas-2"])
            assert matrix[f"{python}-oldest"][0][0] == f"python{python}"

    @pytest.mark.parametrize("name", ["numpy", "pandas", "scikit-learn", "torch"])
    def test_one_alone_is_the_oldest(self, name, matrix):
        (pin,) = pins(matrix[f"3.11-oldest-{name}"])
        assert pin.replace("==", ">=") in PROJECT["dependencies"]
        assert Requirement(pin).name == name

    def test_files_of_tests_that_it_runs_are_there(self, matrix):
        tests = [word.partition("::")[0] for word in matrix["3.12-newest"][-1] if "tests/" in word]
        assert tests
        assert all((ROOT / name).is_file() for name in tests)

    def test_a_combination_that_is_not_there_is_refused(self):
        finished = run(sys.executable, ROOT / "tools/matrix.py", "--only", "2.7-newest")
        assert finished.returncode == 2
        assert "3.11-oldest" in finished.stderr


class TestInstalledElsewhere:
    def test_a_model_is_fitted_by_the_installed_package(self, fitted, environment):
        _, site = environment
        assert Path(fitted["file"]) == site / "hypercate" / "__init__.py"
        assert fitted["version"] == PROJECT["version"]
        assert fitted["ate"] == pytest.approx(3.0, abs=0.5)
        assert {"point_estimate", "ci_lower", "ci_upper"} <= set(fitted["columns"])
        assert fitted["score"] <= 1
        assert fitted["reloaded"]

    def test_both_ways_to_the_command_line_work(self, environment, tmp_path):
        scripts, _ = environment
        version = run(scripts / "hypercate", "--version", cwd=tmp_path)
        assert version.stdout.strip() == PROJECT["version"]
        text = run(scripts / "python", "-m", "hypercate", "--help", cwd=tmp_path)
        assert text.returncode == 0
        assert "benchmark" in text.stdout

    def test_the_benchmark_without_its_extra_says_what_to_install(self, environment, tmp_path):
        scripts, _ = environment
        finished = run(scripts / "hypercate", "benchmark", "ihdp", cwd=tmp_path)
        assert finished.returncode == 1
        assert finished.stdout == ""
        assert "causaldata, econml, matplotlib, pooch, stochtree" in finished.stderr
        assert 'pip install "hypercate[benchmark]"' in finished.stderr
        assert "Traceback" not in finished.stderr
        assert not list(tmp_path.iterdir())

    def test_a_fit_to_files_without_its_extra_says_what_to_install(self, environment, tmp_path):
        scripts, _ = environment
        line = ["fit", "trial.csv", "--outcome", "y", "--treatment", "arm", "--out", "m.hypercate"]
        finished = run(scripts / "hypercate", *line, cwd=tmp_path)
        assert finished.returncode == 1
        assert 'pyarrow, yaml not installed: pip install "hypercate[files]"' in finished.stderr
        assert len(finished.stderr.splitlines()) == 1

    def test_data_without_the_extra_say_what_to_install(self, environment, tmp_path):
        scripts, _ = environment
        code = "from hypercate.datasets import load_ihdp; load_ihdp(1)"
        finished = run(scripts / "python", "-c", code, cwd=tmp_path)
        assert finished.returncode == 1
        last = finished.stderr.strip().splitlines()[-1]
        assert last.startswith("ImportError")
        assert 'pip install "hypercate[benchmark]"' in last


class TestImportHere:
    def test_a_fit_imports_none_of_the_extras_although_they_are_installed(self, tmp_path):
        pytest.importorskip("econml")
        finished = run(sys.executable, "-W", "error", "-c", FIT, cwd=tmp_path, check=True)
        loaded = {name.partition(".")[0] for name in json.loads(finished.stdout)["modules"]}
        assert "torch" in loaded
        extras = {
            "causaldata",
            "dowhy",
            "econml",
            "fastapi",
            "matplotlib",
            "onnx",
            "onnxruntime",
            "pooch",
            "statsmodels",
            "shap",
            "stochtree",
        }
        assert not loaded & extras
