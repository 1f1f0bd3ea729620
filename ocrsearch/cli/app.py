"""The program with all its commands.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

from ocrsearch.cli import (
    benchmark,
    best,
    card,
    data,
    export,
    log,
    model,
    predict,
    run,
    serve,
    space,
    studies,
    train,
)
from ocrsearch.cli.program import make_app, run_app

app = make_app("Search network and training for a small text recogniser that runs offline.")
app.command("run")(run.run)
app.command("best")(best.best)
app.command("train")(train.train)
app.command("export")(export.export)
app.command("benchmark")(benchmark.benchmark)
app.command("evaluate")(model.evaluate)
app.command("predict")(predict.predict)
app.command("serve")(serve.serve)
app.command("card")(card.card)
app.command("language-model")(train.language_model)
app.command("inspect")(model.inspect)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")
app.add_typer(studies.app, name="studies")
app.command("report")(studies.report)
app.command("dashboard")(studies.dashboard)
app.command("log")(log.log)


def main() -> None:
    """Run the command line. An error is printed as one line, not as a traceback."""
    run_app(app)
