"""Whether the package works with the Pythons and the versions that pyproject.toml claims.

    python tools/matrix.py
    python tools/matrix.py --only 3.11-oldest 3.13-newest
    python tools/matrix.py --dry-run

A combination is a Python, of those that the classifiers name, and versions of the dependencies:

- ``newest``: the newest that pip finds;
- ``pandas-2``: the same, but pandas before 3;
- ``oldest``: of every dependency the oldest that is claimed (``>=x`` is read as ``==x``);
- ``oldest-NAME``: of this one the oldest, and the newest of the others that go with it.

Each gets a virtual environment of its own, with the built wheel, in a temporary folder that is
deleted when it is done. There `TESTS` run, few and fast ones, as strictly as in the suite: a
warning fails them. Only built packages are installed, none is compiled: old versions that have none
for a Python are "not installable", with pip's reason, which is no failure, since pip takes newer
ones where it may. A Python is looked for by its name (``python3.12``) in the folders of ``PATH``,
and left out where it is not found. The table that is printed, in Markdown, has a row for each
combination; the exit code is 1 if one of them failed. PyTorch's packages for GPUs take gigabytes;
pip's settings say where to find smaller ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTS = [
    "tests/test_encoding.py",
    "tests/test_frames.py",
    "tests/test_outcomes.py",
    "tests/test_sklearn_contract.py::TestParameters",
    "tests/test_tables.py",
]
TEST_TOOLS = [
    "hypothesis",
    "matplotlib",
    "packaging",
    "polars",
    "pyarrow",
    "pytest",
    "pytest-xdist",
]
OLD_ARROW = "pyarrow<17"  # the newest needs NumPy 2
SHOWN = ["numpy", "pandas", "scikit-learn", "torch"]
"""Packages whose versions the table shows, and whose oldest versions are tried one at a time."""
MOST_REASONS = 3

Command = list[str | Path]


def pythons() -> list[str]:
    """Versions of Python that the classifiers name, such as 3.11."""
    return re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def oldest(requirement: str) -> str:
    """``name>=x`` as ``name==x``."""
    wanted = Requirement(requirement)
    (lowest,) = (item.version for item in wanted.specifier if item.operator == ">=")
    return f"{wanted.name}=={lowest}"


def versions() -> dict[str, list[str]]:
    """What pip is asked for beside the wheel, by the name of the versions."""
    lowest = {Requirement(line).name: oldest(line) for line in PROJECT["dependencies"]}
    alone = {f"oldest-{name}": [lowest[name]] for name in SHOWN}
    return {"newest": [], "pandas-2": ["pandas<3"], "oldest": [*lowest.values()], **alone}


def combinations() -> dict[str, tuple[str, list[str]]]:
    """Python and versions of every combination, by name: 3.11-oldest."""
    return {
        f"{python}-{name}": (python, wanted)
        for python in pythons()
        for name, wanted in versions().items()
    }


def find_python(version: str) -> str | None:
    """The first on PATH that runs: a name may stand for an interpreter that is not installed."""
    for folder in os.get_exec_path():
        path = Path(folder) / f"python{version}"
        if path.is_file() and run([path, "-c", ""]).returncode == 0:
            return str(path)
    return None


def build(folder: Path) -> Command:
    """What builds the sdist and, from what it holds, the wheel in a folder."""
    return [sys.executable, "-m", "build", "--outdir", folder, "."]


def steps(python: str, wanted: list[str], wheel: str | Path, folder: Path) -> dict[str, Command]:
    """What makes an environment in a folder, and runs the tests there."""
    inside: Command = [folder / "bin" / "python", "-P", "-m"]
    install = [*inside, "pip", "install", "--quiet", "--only-binary", ":all:"]
    old = any(requirement.startswith("numpy==1.") for requirement in wanted)
    tools = [OLD_ARROW if old and tool == "pyarrow" else tool for tool in TEST_TOOLS]
    pytest = [*inside, "pytest", "-q", "-n", "0", "--tb", "no", "-p", "no:cacheprovider"]
    return {
        "create": [python, "-m", "venv", folder],
        "install": [*install, wheel, *wanted, *tools],
        "list": [*inside, "pip", "list", "--format", "json"],
        "test": [*pytest, *TESTS],
    }


def run(command: Command) -> subprocess.CompletedProcess:
    """Run in the root folder, without what stands on the caller's path of modules."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def examine(commands: dict[str, Command], optional: bool) -> dict[str, str]:
    """Run the steps: the versions, the result and the reason."""
    created = run(commands["create"])
    if created.returncode:
        return {"result": "failed", "why": last_line(created.stdout + created.stderr)}
    installed = run(commands["install"])
    if installed.returncode:
        result = "not installable" if optional else "failed"
        return {"result": result, "why": last_line(installed.stderr, "ERROR: ")}
    listed = json.loads(run(commands["list"]).stdout)
    found = {item["name"]: item["version"] for item in listed}
    tested = run(commands["test"])
    row = {name: found[name] for name in SHOWN}
    if tested.returncode:
        return row | {"result": "failed", "why": reasons(tested.stdout) or last_line(tested.stderr)}
    return row | {"result": "passed", "why": last_line(tested.stdout)}


def last_line(text: str, start: str = "") -> str:
    """The last line that starts so, without its start."""
    lines = [line for line in text.splitlines() if line.strip() and line.startswith(start)]
    return lines[-1].removeprefix(start) if lines else ""


def reasons(output: str) -> str:
    """The first tests that failed, and how many did."""
    failed = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return "; ".join([*failed[:MOST_REASONS], last_line(output)])


def table(rows: dict[str, dict[str, str]]) -> str:
    """The rows in Markdown."""
    columns = [*SHOWN, "result", "why"]
    lines = [["combination", *columns], ["---"] * (len(columns) + 1)]
    for name, row in rows.items():
        lines.append([name, *(row.get(column, "").replace("|", "\\|") for column in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def try_all(chosen: dict[str, tuple[str, list[str]]]) -> dict[str, dict[str, str]]:
    """A row of the table for each combination."""
    rows = {}
    with tempfile.TemporaryDirectory() as work:
        built = run(build(Path(work)))
        if built.returncode:
            raise SystemExit(f"the wheel could not be built:\n{built.stderr}")
        (wheel,) = Path(work).glob("*.whl")
        for name, (version, wanted) in chosen.items():
            if python := find_python(version):
                with tempfile.TemporaryDirectory(dir=work) as folder:
                    commands = steps(python, wanted, wheel, Path(folder))
                    rows[name] = examine(commands, optional=any("==" in it for it in wanted))
            else:
                rows[name] = {"result": "left out", "why": f"python{version} is not on PATH"}
            print(f"{name}: {rows[name]['result']}", file=sys.stderr)
    return rows


def print_commands(chosen: dict[str, tuple[str, list[str]]]) -> None:
    """What would be run, with a folder for each combination."""
    print(shlex.join(map(str, build(Path("wheel")))))
    wheel = f"wheel/hypercate-{PROJECT['version']}-py3-none-any.whl"
    for name, (version, wanted) in chosen.items():
        print(f"# {name}")
        for command in steps(f"python{version}", wanted, wheel, Path(name)).values():
            print(shlex.join(map(str, command)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = combinations()
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=named, default=named, help=", ".join(named)
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    options = parser.parse_args()
    chosen = {name: named[name] for name in options.only}
    if options.dry_run:
        print_commands(chosen)
        return 0
    rows = try_all(chosen)
    print(table(rows))
    return int(any(row["result"] == "failed" for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
