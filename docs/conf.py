"""Settings of the documentation site, which `tools/build_site.py` builds.

Pages are read where they stand in the repository, so that their relative links also lead on where a
code host shows them.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # keywords.py, llms.py and notebooks.py

project = "hypercate"
release = version = version_of("hypercate")
extensions = [
    "keywords",
    "llms",
    "myst_parser",
    "notebooks",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/api/*.rst",
    "docs/tutorials/*",
    "benchmarks/README.md",
    "datasets/*.md",
    "hypercate/*/README.md",
    "tutorials/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = [".*", "build", "results", "shared", "tests"]

autodoc_mock_imports = ["dowhy"]  # it asks for an older SciPy than is pinned
autodoc_default_options = {
    "exclude-members": "get_metadata_routing, set_fit_request, set_partial_fit_request, "
    "set_predict_request, set_score_request",  # scikit-learn's, about its own metadata routing
}
autodoc_typehints = "none"  # docstrings say more
autosummary_generate = False
default_role = "py:obj"
numpydoc_show_class_members = False
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = f"hypercate {version}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(HERE / "scorer.js")
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "front.html"}
templates_path = ["_templates"]
html_sidebars = {
    page: []
    for page in (
        "docs/index",
        "docs/get-started",
        "docs/workflow",
        "docs/how-it-works",
        "docs/settings",
        "docs/coming-from",
        "docs/other-packages",
        "docs/limits",
        "docs/faq",
        "docs/glossary",
        "CHANGELOG",
    )
}
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "logo": {"text": project},
    "navbar_start": ["navbar-logo", "version"],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_copyright = False
