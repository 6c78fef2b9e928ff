"""A Sphinx extension: executed notebooks as pages, with what they printed and drew, and a gallery.

A notebook is turned into Markdown when it is read, and nothing is run. The directive ``gallery``
shows the notebooks that stand beside its page, each by its last picture, title and first sentence,
in the order in which it names them.
"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms.images import DataURIExtractor
from sphinx.util.docutils import SphinxDirective


def fenced(kind, text):
    """A block of Markdown, with a fence that its text does not hold."""
    fence = "`" * max([3, *(len(found) + 1 for found in re.findall("`{3,}", text))])
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def picture(data):
    words = " ".join("".join(data["text/plain"]).split())
    return f"```{{image}} data:image/png;base64,{data['image/png'].strip()}\n:alt: {words}\n```"


def blocks(cell):
    """A cell and its outputs as blocks of Markdown."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield fenced("python", source)
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield fenced("{code-block} text\n:class: output\n", "".join(output["text"]))
        else:
            yield picture(output["data"])


def as_markdown(notebook, name):
    """A notebook as a page of MyST, with links to it and to the script that it is made of."""
    title, _, rest = "".join(notebook["cells"][0]["source"]).partition("\n")
    files = f"{{download}}`The notebook <{name}.ipynb>`, with all that is shown here, or "
    files += f"{{download}}`the script <../../tutorials/{name}.py>`."
    parts = [title, fenced("{container} files\n", files), rest]
    for cell in notebook["cells"][1:]:
        parts.extend(blocks(cell))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def without_pictures(page):
    """The same for readers of plain text."""
    return re.sub(r"^```\{image\} data:.*?^```\n?", "", page, flags=re.S | re.M)


def read(app, name, source):
    """Make Markdown of a notebook, which is read as such."""
    if app.env.doc2path(name).suffix == ".ipynb":
        source[0] = as_markdown(json.loads(source[0]), Path(name).name)


class Gallery(SphinxDirective):
    """Cards that lead to notebooks, whose names are the content, one a line."""

    has_content = True

    def run(self):
        here = Path(self.env.doc2path(self.env.docname)).parent
        cards = [self.card(here, name.strip()) for name in self.content]
        return [nodes.container("", *cards, classes=["gallery"])]

    def card(self, folder, name):
        path = folder / f"{name}.ipynb"
        self.env.note_dependency(str(path))
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title, _, prose = "".join(cells[0]["source"]).removeprefix("# ").partition("\n")
        paragraph = prose.strip().split("\n\n")[0]
        sentence = re.sub(":$", ".", re.split(r"(?<=[.?!])\s", paragraph)[0])
        drawn = [
            output["data"]
            for cell in cells
            for output in cell.get("outputs", [])
            if output["output_type"] == "display_data"
        ]
        page = f"{picture(drawn[-1])}\n\n[{title}]({name}.ipynb)\n\n{sentence}"
        card = nodes.container("", classes=["card"])
        self.state.nested_parse(page.splitlines(), self.content_offset, card)
        return card


class PicturesAsFiles(DataURIExtractor):
    """Pictures of notebooks become files of the site, so that its pages stay short."""

    def match(self, node):
        return node["uri"].startswith("data:")


def setup(app):
    app.add_source_suffix(".ipynb", "markdown")
    app.add_directive("gallery", Gallery)
    app.add_post_transform(PicturesAsFiles)
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
