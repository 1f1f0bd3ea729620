"""The program of the light distribution: the commands for models of ONNX.

The other commands are known, but say only that they need the full installation.
"""

from __future__ import annotations

import typer

from ocrsearch.cli import model, predict, serve
from ocrsearch.cli.program import make_app, run_app
from ocrsearch.core import OcrSearchError, needs_full

ONLY_FULL = (
    *("run", "best", "train", "export", "language-model", "data", "space", "studies", "report"),
    *("benchmark", "card", "dashboard", "log"),
)
"""Commands of the full distribution that this one lacks."""

app = make_app("Recognise text with models in ONNX. To make models: pip install ocrsearch.")
app.command("evaluate")(model.evaluate)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("inspect")(model.inspect)


def refuse(context: typer.Context) -> None:
    """End a command that is not in the light distribution."""
    raise OcrSearchError(needs_full(f"'{context.command_path}'"))


for name in ONLY_FULL:
    app.command(
        name,
        hidden=True,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(refuse)


def main() -> None:
    """Run the command line. An error is printed as one line, not as a traceback."""
    run_app(app)
