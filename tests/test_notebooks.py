"""The notebooks of the site are those of the scripts, small and whole, and how they are made."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from executed import notebooks

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "tutorials").glob("*.py"))
LARGEST_PICTURE = 100_000
LARGEST_FOLDER = 3_000_000


def notebook_of(script):
    return notebooks.read(notebooks.NOTEBOOKS / f"{script.stem}.ipynb")


def cells_of(script):
    return notebooks.cells(script.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
class TestScripts:
    def test_cells_are_of_prose_or_code(self, path):
        markers = re.findall(r"^# %%.*$", path.read_text(), re.M)
        assert set(markers) == {"# %%", "# %% [markdown]"}
        assert markers[0] == markers[-1] == "# %% [markdown]"

    def test_markdown_cells_hold_only_comments(self, path):
        for cell in re.split(r"^# %%", path.read_text(), flags=re.M)[1:]:
            first, *lines = cell.splitlines()
            if first.strip() == "[markdown]":
                assert all(line.startswith("#") or not line for line in lines)

    def test_it_has_one_title_and_ends_with_what_the_reader_can_do(self, path):
        prose = [cell.source for cell in cells_of(path) if cell.kind == "markdown"]
        titles = re.findall(r"^# (.+)$", "\n".join(prose), re.M)
        assert prose[0].startswith(f"# {titles[0]}\n\n")
        assert len(titles) == 1
        heading, *said = prose[-1].splitlines()
        assert heading == "## What you can do now"
        assert re.search(r"\]\(../../docs/\S+\.md\)", " ".join(said))

    def test_links_lead_on_from_the_script(self, path):
        text = re.sub(r"\n# *", " ", path.read_text())
        for link in re.findall(r"\]\(([\w./]+\.(?:md|py))(?:#[\w-]+)?\)", text):
            assert (path.parent / link).is_file(), link

    def test_the_notebook_of_the_site_is_of_this_script(self, path):
        """If only prose was changed, `python tools/notebooks.py SCRIPT --prose` is enough."""
        own = [(cell.kind, cell.source) for cell in cells_of(path)]
        assert notebooks.sources(notebook_of(path)) == own

    def test_the_notebook_has_results_and_small_pictures(self, path):
        outputs = notebooks.outputs_of(notebook_of(path))
        assert sum(bool(notebooks.printed(cell)) for cell in outputs) >= 3
        drawn = [picture for cell in outputs for picture in notebooks.pictures(cell)]
        assert 1 <= len(drawn) <= 10
        for picture, words in drawn:
            png = base64.b64decode(picture, validate=True)
            assert png.startswith(b"\x89PNG")
            assert len(png) <= LARGEST_PICTURE
            assert words not in ("", "Figure")
        assert str(ROOT) not in json.dumps(outputs)


def test_the_folder_is_small_and_holds_a_notebook_of_every_script():
    files = sorted(notebooks.NOTEBOOKS.glob("*.ipynb"))
    assert [file.stem for file in files] == [script.stem for script in SCRIPTS]
    assert sum(file.stat().st_size for file in files) <= LARGEST_FOLDER


def test_the_gallery_shows_every_notebook():
    text = (notebooks.NOTEBOOKS / "index.md").read_text()
    for block in ("gallery", "toctree"):
        (names,) = re.findall(rf"^```\{{{block}\}}\n(.*?)^```", text, re.M | re.S)
        assert sorted(set(names.split()) - {":hidden:", "../../tutorials/README"}) == [
            script.stem for script in SCRIPTS
        ]


SCRIPT = """\
# %% [markdown]
# # A title
#
# See [doses](doses.py) and [uncertainty](../docs/uncertainty.md).

# %%
import sys

import matplotlib.pyplot as plt


# %% [markdown]
# Prose.

# %%
def double(value):
    return 2 * value


print("first", double(1.5))
for title in ("one", "two"):
    plt.subplots()[1].set_title(title, loc="left")
# %%
print(sys.argv[1:], __name__)
print(plt.get_fignums())
"""


class TestMaking:
    @pytest.fixture
    def script(self, tmp_path):
        path = tmp_path / "small.py"
        path.write_text(SCRIPT)
        return path

    def make(self, script, *options):
        return subprocess.run(
            [sys.executable, "-W", "error", notebooks.__file__, script, *options],
            capture_output=True,
            text=True,
        )

    def test_cells_have_what_they_printed_and_the_figures_that_they_left_open(self, script):
        pytest.importorskip("matplotlib")
        from matplotlib.image import imread

        to = script.with_suffix(".ipynb")
        assert self.make(script, "--to", to, "--folds", "2").stderr == ""
        made = notebooks.read(to)
        assert [cell["cell_type"] for cell in made["cells"]] == [
            *("markdown", "code", "markdown", "code", "code")
        ]
        nothing, drawing, rest = notebooks.outputs_of(made)
        assert nothing == []
        assert notebooks.printed(drawing) == "first 3.0\n"
        (one, first), (two, second) = notebooks.pictures(drawing)
        assert (first, second) == ("one", "two")
        shown = imread(io.BytesIO(base64.b64decode(one)))
        assert shown.shape[1] == 640
        assert one != two
        assert notebooks.printed(rest) == "['--folds', '2'] __main__\n[]\n"
        assert [cell.get("execution_count") for cell in made["cells"]] == [None, 1, None, 2, 3]

    def test_links_lead_on_from_where_the_notebook_stands(self, script):
        _, _, last = notebooks.cells(script.read_text())[0].source.split("\n")
        assert last == "See [doses](doses.ipynb) and [uncertainty](../../docs/uncertainty.md)."

    def test_an_error_names_the_line_of_the_script_and_nothing_is_written(self, script):
        text = SCRIPT.replace("import matplotlib.pyplot as plt", "")
        script.write_text(text.replace("return 2 * value", "return missing"))
        finished = self.make(script, "--to", script.with_suffix(".ipynb"))
        assert finished.returncode == 1
        assert "NameError: name 'missing' is not defined" in finished.stderr
        line = SCRIPT.splitlines().index("    return 2 * value") + 1
        assert f'small.py", line {line}, in double' in finished.stderr
        assert not script.with_suffix(".ipynb").exists()

    def test_a_warning_is_an_error(self, script):
        script.write_text("# %%\nimport warnings\n\nwarnings.warn('heed this')\n")
        finished = self.make(script, "--to", script.with_suffix(".ipynb"))
        assert finished.returncode == 1
        assert 'small.py", line 4' in finished.stderr
        assert "UserWarning: heed this" in finished.stderr

    def test_prose_alone_keeps_the_outputs(self, script):
        to = script.with_suffix(".ipynb")
        old = [{"name": "stdout", "output_type": "stream", "text": ["kept\n"]}]
        made = notebooks.notebook(notebooks.cells(SCRIPT), [[], old, []])
        to.write_text(json.dumps(made))
        script.write_text(SCRIPT.replace("Prose.", "Other prose."))
        assert self.make(script, "--to", to, "--prose").returncode == 0
        assert notebooks.outputs_of(notebooks.read(to)) == [[], old, []]
        assert ("markdown", "Other prose.") in notebooks.sources(notebooks.read(to))
        script.write_text(SCRIPT.replace("2 * value", "3 * value"))
        refused = self.make(script, "--to", to, "--prose")
        assert refused.returncode == 1
        assert "run it without --prose" in refused.stderr
