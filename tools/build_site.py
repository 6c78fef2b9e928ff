"""The documentation site of this version, beside those of other versions.

    python tools/build_site.py
    python tools/build_site.py SITE

In the folder ``SITE`` (default: ``build/site``) each version has a folder of its own, of which that
of this version is built anew. ``versions.html``, to which every page links, lists those that are
there, and ``index.html`` leads to the newest: the last release, if there is one. All of it is plain
files with relative links and without a script of its own, so that it works from a folder too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
FRONT = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta http-equiv="refresh" content="0; url={newest}/index.html">
  <title>hypercate</title>
  <a href="{newest}/index.html">hypercate {newest}</a>
</html>
"""
LIST = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>hypercate: versions</title>
  <link rel="icon" href="{newest}/_static/favicon.svg">
  <body style="font: 1rem/1.6 system-ui, sans-serif; margin: auto; max-width: 36rem; padding: 2rem">
  <h1>hypercate: versions of this documentation</h1>
  <ul>
    {items}
  </ul>
</html>
"""


def versions(site: Path) -> list[str]:
    """Versions whose pages are in the folder, newest first."""
    names = [front.parent.name for front in site.glob("[0-9]*/index.html")]
    return sorted(names, key=Version, reverse=True)


def newest(listed: list[str]) -> str:
    """The last release; of versions of which none was released, the last."""
    released = (version for version in listed if not Version(version).is_prerelease)
    return next(released, listed[0])


def write_lists(site: Path) -> None:
    """The pages that lead to the versions that are there."""
    listed = versions(site)
    first = newest(listed)
    items = [
        f'<li><a href="{version}/index.html">{version}</a>'
        + (" (newest)" if version == first else "")
        for version in listed
    ]
    (site / "index.html").write_text(FRONT.format(newest=first), encoding="utf-8")
    page = LIST.format(newest=first, items="\n    ".join(items))
    (site / "versions.html").write_text(page, encoding="utf-8")


def build(folder: Path) -> None:
    """This version's pages, without what an earlier build left; any warning ends it."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", cache, "-c", "docs"]
        subprocess.run([*command, ".", folder], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "build/site", metavar="SITE")
    site = parser.parse_args().site.resolve()
    build(site / version_of("hypercate"))
    write_lists(site)


if __name__ == "__main__":
    main()
