"""A tutorial as a notebook: its cells, run once, with what they print and draw.

    python tools/notebooks.py tutorials/doses.py
    python tools/notebooks.py tutorials/doses.py --prose
    python tools/notebooks.py tutorials/doses.py --to doses.ipynb --out plots

The notebook is written to ``docs/tutorials``, where the documentation site finds it, or to the file
that ``--to`` names. All other arguments are the tutorial's own. ``--prose`` runs nothing: where
only prose was changed, outputs are those of the notebook that is there.

Cells are run as Jupyter runs them, one after another in one namespace, where after each the figures
that are open become its pictures. No kernel is needed for that: a tutorial is a plain script, so it
is run in this process, and an error ends it as it would end the script, at the script's line. A
notebook is JSON (https://nbformat.readthedocs.io/en/latest/format_description.html, version 4.5).
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

NOTEBOOKS = Path(__file__).parents[1] / "docs/tutorials"
WIDEST = 900
"""Pixels of the widest picture."""

Notebook = dict[str, Any]


class Cell(NamedTuple):
    """A cell of a script: ``"markdown"`` or ``"code"``, and the line that it begins on, from 1."""

    kind: str
    source: str
    line: int


def cells(script: str) -> list[Cell]:
    """Cells of a script; links, which lead on from its folder, lead on from the notebook's."""
    found = []
    for match in re.finditer(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", script, re.M):
        marker, text = match.groups()
        line = script.count("\n", 0, match.start(2)) + 1 + len(text) - len(text.lstrip("\n"))
        if marker.strip() == "[markdown]":
            prose = re.sub(r"^# ?", "", text.strip("\n"), flags=re.M)
            prose = re.sub(r"\]\((\w+)\.py\)", r"](\1.ipynb)", prose.replace("](../", "](../../"))
            found.append(Cell("markdown", prose, line))
        else:
            found.append(Cell("code", text.strip("\n"), line))
    return found


def lines(text: str) -> list[str]:
    """As notebooks keep text, so that differences of two versions are lines."""
    return text.splitlines(keepends=True)


def notebook(script: list[Cell], outputs: list[list[Notebook]]) -> Notebook:
    """Cells with what each of the code cells has put out, in their order."""
    left, made = iter(enumerate(outputs, 1)), []
    for place, cell in enumerate(script):
        entry = {"cell_type": cell.kind, "id": f"cell-{place}", "metadata": {}}
        if cell.kind == "code":
            entry["execution_count"], entry["outputs"] = next(left)
        made.append(entry | {"source": lines(cell.source)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def sources(made: Notebook) -> list[tuple[str, str]]:
    """Kind and text of every cell of a notebook."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in made["cells"]]


def outputs_of(made: Notebook) -> list[list[Notebook]]:
    """Outputs of every code cell."""
    return [cell["outputs"] for cell in made["cells"] if cell["cell_type"] == "code"]


def printed(outputs: list[Notebook]) -> str:
    """What a cell printed."""
    return "".join("".join(entry["text"]) for entry in outputs if entry["output_type"] == "stream")


def pictures(outputs: list[Notebook]) -> list[tuple[str, str]]:
    """What a cell drew: PNG files in base64, each with what it shows in words."""
    drawn = [entry["data"] for entry in outputs if entry["output_type"] == "display_data"]
    return [(data["image/png"], "".join(data["text/plain"])) for data in drawn]


def run(path: Path, script: list[Cell]) -> list[list[Notebook]]:
    """Run a script cell by cell, as ``__main__``, and return the outputs of each cell."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    found = []
    for cell in script:
        if cell.kind == "code":
            text = io.StringIO()
            code = compile("\n" * (cell.line - 1) + cell.source, str(path), "exec")
            with contextlib.redirect_stdout(text):
                exec(code, main.__dict__)
            stream = {"name": "stdout", "output_type": "stream", "text": lines(text.getvalue())}
            found.append([stream] * bool(text.getvalue()) + drawn())
    return found


def drawn() -> list[Notebook]:
    """Figures that are open, which are then closed."""
    plt = sys.modules.get("matplotlib.pyplot")
    figures = [plt.figure(number) for number in plt.get_fignums()] if plt else []
    made = [
        {
            "data": {"image/png": png(figure), "text/plain": [in_words(figure)]},
            "metadata": {},
            "output_type": "display_data",
        }
        for figure in figures
    ]
    if plt:
        plt.close("all")
    return made


def png(figure: Any) -> str:
    """A small PNG file of a figure, in base64: 256 colours, and none of the writer's metadata."""
    from PIL import Image

    width, _ = figure.get_size_inches()
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=min(100, WIDEST / width))
    Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    return base64.b64encode(small.getvalue()).decode()


def in_words(figure: Any) -> str:
    """Titles of a figure's axes, or where there is none, what is drawn over what."""
    parts = []
    for ax in figure.axes:
        titles = [ax.get_title(place) for place in ("left", "center", "right")]
        over = [label for label in (ax.get_ylabel(), ax.get_xlabel()) if label]
        parts.append(" ".join(filter(None, titles)) or ", by ".join(over))
    return " ".join("; ".join(filter(None, parts)).split()) or "Figure"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("script", type=Path)
    parser.add_argument("--to", type=Path, help="the notebook (default: in docs/tutorials)")
    parser.add_argument("--prose", action="store_true", help="keep the outputs, run nothing")
    options, arguments = parser.parse_known_args()
    to = options.to or NOTEBOOKS / f"{options.script.stem}.ipynb"
    script = cells(options.script.read_text(encoding="utf-8"))
    if options.prose:
        old = read(to)
        code = [cell.source for cell in script if cell.kind == "code"]
        if code != [source for kind, source in sources(old) if kind == "code"]:
            raise SystemExit(f"{options.script} has other code than {to}: run it without --prose")
        outputs = outputs_of(old)
    else:
        sys.argv = [str(options.script), *arguments]
        outputs = run(options.script, script)
    text = json.dumps(notebook(script, outputs), indent=1, ensure_ascii=False)
    to.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
