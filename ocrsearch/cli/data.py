"""``ocrsearch data``: commands on labelled pictures."""

from __future__ import annotations

import typer

from ocrsearch.cli import data_inspect, data_preview, data_save, data_split, data_synth

app = typer.Typer(help="Summarise, split, preview and make datasets.", no_args_is_help=True)
app.command("inspect")(data_inspect.inspect)
app.command("save")(data_save.save)
app.command("split")(data_split.split)
app.command("preview")(data_preview.preview)
app.add_typer(data_synth.app, name="synth")
