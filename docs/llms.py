"""A Sphinx extension: all pages as plain text, in one file for readers that are machines.

``llms.txt`` lists the pages with their first sentence (https://llmstxt.org), and ``llms-full.txt``
holds them one after another, in the order of the contents. Pages in Markdown are kept as they were
written, and notebooks without their pictures; the API reference, which is made of docstrings, is
rendered as text.
"""

import json
import re
from pathlib import Path

from docutils import nodes
from notebooks import as_markdown, without_pictures
from sphinx.builders.text import TextBuilder


def pages(env, page):
    """Names of a page and all below it, in the order of the contents."""
    yield page
    for below in env.toctree_includes.get(page, ()):
        yield from pages(env, below)


def first_sentence(doctree):
    """Of the first paragraph that is not in a list or a table."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            return re.split(r"(?<=[.?!]) ", " ".join(paragraph.astext().split()))[0].rstrip(":")
    return ""


def text_of(app, builder, page):
    """A page as it was written in Markdown, or rendered if it is made of docstrings."""
    source = Path(app.env.doc2path(page))
    if source.suffix == ".ipynb":
        notebook = json.loads(source.read_text(encoding="utf-8"))
        return without_pictures(as_markdown(notebook, source.stem))
    if source.suffix == ".md":
        hidden = r"^```\{toctree\}\n.*?^```\n?|^<!-- search: .*? -->\n+"
        return re.sub(hidden, "", source.read_text(encoding="utf-8"), flags=re.S | re.M)
    doctree = app.env.get_and_resolve_doctree(page, builder)
    translator = builder.create_translator(doctree, builder)
    doctree.walkabout(translator)
    return translator.body


def write(app, error):
    """Write both files beside the front page."""
    if error or app.builder.format != "html":
        return
    builder = TextBuilder(app, app.env)
    builder.init()
    names = list(pages(app.env, app.config.root_doc))
    listed, texts = [], []
    for name in names:
        doctree = app.env.get_doctree(name)
        sentence = first_sentence(doctree)
        title = app.env.titles[name].astext()
        listed.append(f"- [{title}]({app.builder.get_target_uri(name)}): {sentence}")
        texts.append(f"<!-- {name} -->\n\n{text_of(app, builder, name).strip()}\n")
    about = first_sentence(app.env.get_doctree(app.config.root_doc))
    head = f"# {app.config.project} {app.config.release}\n\n> {about}\n\n## Pages\n\n"
    out = Path(app.outdir)
    (out / "llms.txt").write_text(head + "\n".join(listed) + "\n", encoding="utf-8")
    (out / "llms-full.txt").write_text("\n".join(texts), encoding="utf-8")


def setup(app):
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
