"""A Sphinx extension: words under which the search finds a section that does not use them.

They stand below the section's heading, in a comment, which readers of the page do not see::

    <!-- search: save models, deploy -->

The search puts such a section first for the whole phrase, and the site's index lists it.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform


class Keywords(SphinxTransform):
    """Comments become entries of the index, before Sphinx collects these."""

    default_priority = 500

    def apply(self):
        for comment in list(self.document.findall(nodes.raw)):
            found = re.fullmatch(r"<!-- search: (.+) -->", comment.astext().strip(), re.S)
            if found:
                (section, *_) = comment.parent["ids"]
                words = " ".join(found[1].split()).split(", ")
                entries = [("single", word, section, "main", None) for word in words]
                comment.replace_self(addnodes.index(entries=entries))


def setup(app):
    app.add_transform(Keywords)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
