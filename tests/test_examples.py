"""Every public name has an example in its docstring that runs, and prints what it says."""

import copy
import doctest
import inspect
import io
import os
import pydoc
import re
import types
from pathlib import Path

import pytest

API = Path(__file__).parents[1] / "docs/api"
NEEDED = {
    "interop.econml": "econml",
    "interop.dowhy": "dowhy",
    "interop.onnx": "onnxruntime",
    "interop.dask": "dask",
    "interop.spark": "pyspark",
    "shap_values": "shap",
    "load_ihdp": "econml",
    "load_lalonde": "causaldata",
    "load_nhefs": "causaldata",
    "plot_": "matplotlib",
    "hypercate.report": "matplotlib",
}
"""Packages without which the examples of names that hold these words do not run."""
PUBLISHED = ("acic2016", "hillstrom", "jobs", "realcause", "twins")
"""Data whose loaders read the folder HYPERCATE_DATA."""
CALLED_BY_OTHERS = {"hypercate.interop.dowhy.HyperCATEEstimator"}
"""Classes whose methods another package calls, not users."""
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_names():
    """Names in the tables of the reference, and those that it documents apart."""
    for page in API.glob("*.rst"):
        text = page.read_text()
        module = (re.findall(r"currentmodule:: (\S+)", text) or [""])[0]
        listed = " ".join(re.findall(r"autosummary::\n\n((?: {3}\S+\n)+)", text)).split()
        for name in listed + re.findall(r"auto(?:class|function):: (\S+)", text):
            yield name if name.startswith("hypercate.") else f"{module}.{name}"


NAMES = sorted(set(public_names()))


@pytest.fixture(scope="module")
def shared():
    """The names that the examples share, by the lines of the reference's first page."""
    (lines,) = re.findall(
        r"code-block:: python\n\n((?: {3}.*\n|\n)+)", (API / "index.rst").read_text()
    )
    names = {}
    exec(inspect.cleandoc(lines), names)
    del names["__builtins__"]
    return names


@pytest.fixture
def apart(shared, tmp_path, monkeypatch):
    """Runs examples on a copy of the shared names, in a folder of their own; what was wrong."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)

    def run(test):
        test.globs = {
            name: value if isinstance(value, types.ModuleType) else copy.deepcopy(value)
            for name, value in shared.items()
        }
        wrong = io.StringIO()
        doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=wrong.write)
        return wrong.getvalue()

    return run


def require_what_runs(name):
    """Skip the test where a package or the data that the example needs are absent."""
    for word, package in NEEDED.items():
        if word in name:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NUMBA_DISABLE_JIT", "1")  # of shap, which else takes longer
                pytest.importorskip(package, reason=f"the example of {name} needs {package}")
    folder = os.environ.get("HYPERCATE_DATA")
    for data in PUBLISHED:
        if name.endswith(f"load_{data}") and not (folder and Path(folder, data).is_dir()):
            pytest.skip(f"{data} is not in the folder HYPERCATE_DATA")


def methods_of(cls):
    """Our own public methods of a class, by name."""
    for name, method in inspect.getmembers(cls, inspect.isroutine):
        module = getattr(method, "__module__", None) or ""
        if not name.startswith("_") and module.startswith("hypercate."):
            yield name, method


def examples_of(value, name):
    """The examples of a docstring, and the source of those that are not skipped."""
    text = inspect.getdoc(value) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    return test, [one.source for one in test.examples if not one.options.get(doctest.SKIP)]


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_example_of(name, apart):
    require_what_runs(name)
    value = pydoc.locate(name)
    test, sources = examples_of(value, name)
    assert sources, f"{name} has no example that is run"
    assert not apart(test)
    if inspect.isclass(value) and name not in ("hypercate.HyperCATE", *CALLED_BY_OTHERS):
        methods = {method: examples_of(own, method) for method, own in methods_of(value)}
        for of_method, more in methods.values():
            assert not apart(of_method)
            sources += more
        without = {method for method, (_, own) in methods.items() if not own}
        assert not [m for m in without if f".{m}(" not in "".join(sources)], name


def test_names_are_found():
    assert len(NAMES) > 130
    assert {"hypercate.HyperCATE.fit", "hypercate.overlap.OverlapReport"} < set(NAMES)
