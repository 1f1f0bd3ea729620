"""Pages hold no control characters, whatever the names and labels in them."""

from __future__ import annotations

import re

import plotly.graph_objects as go

from ocrsearch.reports.html import figure_part, page

ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def test_names_with_control_characters() -> None:
    name = "\x1b]0;pwn\x07\x9b\u202e\udcff</script><script>"
    figure = go.Figure(go.Scatter(x=[1], y=[2], text=[name]))
    figure.update_layout(title=name)
    made = page(name, ["<p>a\x1b[2J\u2028</p>", figure_part(figure)])
    body = made[made.index("<body>") :]
    assert ACTIVE.search(body) is None
    assert r"<p>a\x1b[2J\u2028</p>" in body
    assert "<script>\x1b" not in body
    assert "</script><script>" not in body.partition("<p>")[0]
    title = made[made.index("<title>") : made.index("</title>")]
    assert ACTIVE.search(title) is None
