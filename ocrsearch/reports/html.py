"""HTML pages: a single file that works offline, in light and dark mode.

A page with interactive figures includes Plotly's script once. Text and grid lines of the figures
take their colours from the style sheet of the page. Images are embedded.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ocrsearch.core import printable, write_text_file

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEMPLATE = "plotly_white"

THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH = 64, 640
WEBP_QUALITY = 55

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2530; --soft: #5b6675;
  --line: #dde2e9; --card: #f6f7f9; --bad: #b3261e; --bad-paper: #fbe3e1;
  --good: #176b3a; --good-paper: #dff3e6; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --ink: #e6e9ee;
  --soft: #9aa5b4; --line: #313945; --card: #1c222a; --bad: #ff9c93; --bad-paper: #4a201d;
  --good: #83d6a2; --good-paper: #173a26; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); max-width: 72rem; margin: auto;
  padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0; }
.soft { color: var(--soft); }
figure { margin: 0; min-width: 0; }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1.25rem .2rem 0;
  border-bottom: 1px solid var(--line); font-weight: normal; }
th { color: var(--soft); white-space: nowrap; }
.light { --ink: #1d2530; --line: #dde2e9; background: #ffffff; border-radius: .5rem; }
.wide { overflow-x: auto; background:
  linear-gradient(90deg, var(--paper) 30%, transparent) 0 0 / 2rem 100% no-repeat local,
  linear-gradient(270deg, var(--paper) 30%, transparent) 100% 0 / 2rem 100% no-repeat local,
  linear-gradient(90deg, var(--line), transparent) 0 0 / .8rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--line), transparent) 100% 0 / .8rem 100% no-repeat scroll; }
.wide td { white-space: nowrap; }
.main-svg { background: transparent !important; }
.main-svg :is(.gtitle, .xtitle, .ytitle, .legendtext, .xtick text, .ytick text, .cbaxis text,
  .heatmap-label text) { fill: var(--ink) !important; }
.main-svg .gridlayer path, .main-svg .zerolinelayer path { stroke: var(--line) !important; }
.main-svg .bg { fill: transparent !important; }
"""


def page(title: str, parts: Sequence[str], style: str = "", script: str | None = None) -> str:
    """Assemble a page from parts of HTML; the caller escapes them.

    Args:
        title: title for the browser, as plain text.
        parts: HTML of the body, in order.
        style: additional style sheet.
        script: script of the page; Plotly's by default.
    """
    from plotly.offline import get_plotlyjs  # drawings need no plotly

    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(printable(title))}</title><style>{STYLE}{style}</style>"
        f"<script>{get_plotlyjs() if script is None else script}</script></head>"
    )
    body = printable("".join(parts), keep="\n\t")  # names and labels may hold control characters
    return f"{head}<body>{body}</body></html>\n"


def figure_part(figure: go.Figure) -> str:
    """Return a figure as HTML for a page; it fills the available width."""
    figure.update_layout(template=TEMPLATE, margin={"l": 60, "r": 20, "t": 80, "b": 50})
    figure.update_layout(title={"font_size": 15, "yref": "container", "y": 1, "yanchor": "top"})
    figure.update_layout(title_pad={"t": 12, "l": 0})
    options = {"responsive": True, "displayModeBar": False}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=options)
    return f"<figure>{drawn}</figure>"


def asset(name: str) -> str:
    """Return the text of a file in ``templates/``."""
    return (resources.files("ocrsearch.reports") / "templates" / name).read_text(encoding="utf-8")


def save_page(content: str, path: Path) -> None:
    """Write a page atomically."""
    write_text_file(path, content)


def thumbnail_url(image: np.ndarray) -> str:
    """Return a small copy of a grey image, (H, W) uint8, as the data URL of a WebP or PNG file.

    It is at most THUMBNAIL_HEIGHT high and THUMBNAIL_WIDTH wide, and never enlarged.
    """
    height, width = image.shape
    scale = min(1.0, THUMBNAIL_HEIGHT / height, THUMBNAIL_WIDTH / width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, png = cv2.imencode(".png", image)
    _, webp = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    kind, encoded = min(("png", png), ("webp", webp), key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def png_url(image: np.ndarray) -> str:
    """Return an image, (H, W) or (H, W, 4: BGRA) uint8, as the data URL of a PNG."""
    _, encoded = cv2.imencode(".png", image)
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
