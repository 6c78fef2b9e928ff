"""What keeps the package readable: sizes of files and the direction of imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(ROOT.glob("hypercate/**/*.py"))
LONGEST = 300
LONGER = {
    "estimator.py": "every parameter is documented here",
    "overlap.py": "the report, its text and its warning are one subject",
    "inference/averages.py": "an estimand a function, each with its parameters",
    "inference/conformal.py": "one algorithm, whose argument stands above it",
}
"""Files that are longer, with the reason."""


def name_of(path):
    return path.relative_to(ROOT / "hypercate").as_posix()


def imported(path):
    """Modules of the package that a file imports, as paths in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hypercate."):
            yield node.module.removeprefix("hypercate.").replace(".", "/")


class TestFiles:
    @pytest.mark.parametrize("path", MODULES, ids=name_of)
    def test_a_file_is_read_in_one_sitting(self, path):
        n_lines = len(path.read_text().splitlines())
        assert (n_lines > LONGEST) == (name_of(path) in LONGER), n_lines


class TestImports:
    @pytest.mark.parametrize("folder", ["generator", "train", "inference", "encoding", "outcomes"])
    def test_what_stands_below_does_not_know_the_estimator(self, folder):
        above = ("estimator", "answers", "assemble", "fitted", "persistence", "benchmark")
        above += ("cli", "commands")
        found = {
            (name_of(path), module)
            for path in MODULES
            if name_of(path).startswith(f"{folder}/")
            for module in imported(path)
            if module.split("/")[0] in above
        }
        assert not found

    def test_the_generator_knows_neither_rows_nor_folds_nor_losses(self):
        found = {
            module
            for path in MODULES
            if name_of(path).startswith("generator/")
            for module in imported(path)
        }
        assert all(module.startswith("generator") for module in found)

    def test_answers_read_the_fitted_model_and_not_how_it_was_fitted(self):
        fitting = ("ensemble", "folds", "select", "study", "nuisance", "generator")
        fitting += ("train/final", "train/search")
        found = {
            (name_of(path), module)
            for path in MODULES
            if name_of(path).startswith("answers/")
            for module in imported(path)
            if module.startswith(fitting)
        }
        assert not found
