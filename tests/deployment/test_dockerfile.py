"""The Dockerfile starts the service with options that exist, and not as root."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer.main

from ocrsearch.cli.app import app

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{name} ")]


def test_the_command_is_right() -> None:
    (entry,), (words,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert json.loads(entry) == ["ocrsearch"]
    name, *arguments = json.loads(words)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, list(arguments))
    assert context.params["host"] == "0.0.0.0"  # noqa: S104 - in a container
    assert instructions("EXPOSE") == [str(context.params["port"])]
    (check,) = instructions("HEALTHCHECK")
    assert f"http://127.0.0.1:{context.params['port']}/health" in check


def test_the_process_is_not_root() -> None:
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_only_the_wheel_is_copied() -> None:
    (copied,) = instructions("COPY")
    ignored, allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored == "*"
    assert copied.split()[0] == allowed.removeprefix("!")
