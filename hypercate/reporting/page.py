"""A report as one HTML page: styles and pictures are embedded, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hypercate.plots.style import INSTALL_HINT
from hypercate.reporting.section import NUMBER, Section

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #57606a; --line: #d0d7de; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa4af; --line: #30363d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; }
a { color: inherit; }
p { max-width: 44rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .5rem 0 .25rem; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: nowrap; }
th { font-weight: 600; }
td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 8rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figure img { width: 100%; max-width: 40rem; height: auto; background: #fff; border-radius: 4px; }
figcaption, footer { color: var(--soft); font-size: .9rem; }
@media print { nav { display: none; } section { break-inside: avoid-page; }
  body { max-width: none; } }
"""


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The page.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    links = "".join(f'<li><a href="#{part.name}">{_text(part.title)}</a></li>' for part in sections)
    parts = "\n".join(map(_section, sections))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{_text(title)}</h1><nav><ul>{links}</ul></nav></header>
<main>
{parts}
</main>
<footer><p>Written by hypercate {version("hypercate")}.</p></footer>
</body>
</html>
"""


def _section(part: Section) -> str:
    return "\n".join(
        [
            f'<section id="{part.name}">',
            f"<h2>{_text(part.title)}</h2>",
            *(f"<p>{_text(paragraph)}</p>" for paragraph in part.text),
            *(_table(caption, table) for caption, table in part.tables.items()),
            *(_figure(caption, draw) for caption, draw in part.pictures.items()),
            "</section>",
        ]
    )


def _table(caption: str, table: pd.DataFrame) -> str:
    frame = table.reset_index()
    text = [not _is_numeric(frame[name]) for name in frame]

    def row(cells: Sequence[Any], tag: str) -> str:
        written = [
            f"<{tag}{' class=text' if left else ''}>{_cell(cell)}</{tag}>"
            for cell, left in zip(cells, text, strict=True)
        ]
        return f"<tr>{''.join(written)}</tr>"

    head = row([str(name).replace("_", " ") for name in frame.columns], "th")
    body = "\n".join(row(cells, "td") for cells in frame.itertuples(index=False, name=None))
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption>\n<thead>{head}</thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _is_numeric(column: pd.Series) -> bool:
    return column.dtype.kind in "iuf"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if value != value else _text(NUMBER(value))
    return _text(str(value)).replace("_", "_<wbr>")


def _figure(caption: str, draw: Callable[[Axes], Any]) -> str:
    """A picture as SVG in the page, the same at each drawing."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError(f"a report's pictures need matplotlib: {INSTALL_HINT}") from error
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    draw(figure.add_subplot())
    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "hypercate"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<figure><img alt="{_text(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _text(value: str) -> str:
    return html.escape(value, quote=True)
