"""``ocrsearch dashboard``: browse the study database with optuna-dashboard."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from ocrsearch.cli.options import DEFAULT_STORAGE, Storage
from ocrsearch.cli.output import echo, note
from ocrsearch.errors import OptionError

LOOPBACK = "127.0.0.1"


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The default is for this machine only.")
    ] = LOOPBACK,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Browse studies in a web browser. A search may run at the same time.

    Examples:
      ocrsearch dashboard
      ocrsearch dashboard --port 9000 --storage sqlite:///studies/other.db
    """
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise OptionError(
            "the dashboard is not installed; pip install 'ocrsearch[dashboard]'"
        ) from None
    from ocrsearch.search.artifacts import existing_artifacts, open_artifacts
    from ocrsearch.search.database import is_read_only, open_storage, shown_storage, study_folder

    study_storage = open_storage(storage)
    folder = study_folder(storage, "any").parent
    reads_only = is_read_only(storage)
    artifacts = existing_artifacts(folder) if reads_only else open_artifacts(folder)
    if reads_only:
        note(f"{shown_storage(storage)}: may only be read: it is shown and cannot be changed")
    echo(f"http://{host}:{port}/dashboard/ (end with Ctrl-C)")
    try:
        run_server(study_storage, host=host, port=port, artifact_store=artifacts)
    except OSError as error:
        option = f"--host {host}" if isinstance(error, socket.gaierror) else f"--port {port}"
        reason = error.strerror or error
        raise OptionError(f"{option}: cannot listen on {host}:{port} ({reason})") from None
    raise KeyboardInterrupt  # the server has taken Ctrl-C for its own
