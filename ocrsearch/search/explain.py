"""Pydantic's findings as one line: where, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ocrsearch.config import Config

ARCHITECTURE_TAGS = frozenset({"crnn", "seq2seq"})


def explain_validation_error(where: str, error: ValidationError, place: str = "") -> str:
    """Return one line about the first finding.

    Args:
        where: the file.
        error: what pydantic found.
        place: used instead of ``where`` and the path, where the caller knows better.
    """
    finding = error.errors()[0]
    path = ".".join(str(part) for part in finding["loc"] if part not in ARCHITECTURE_TAGS)
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    location = f"{where}: {path}" if path else where
    if finding["type"] == "extra_forbidden":
        return f"{location}: unknown key{suggestion(path, config_paths())}{more}"
    if finding["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return f"{where}: model.architecture: must be one of {sorted(ARCHITECTURE_TAGS)}"
    found = f": found {finding['input']!r}" if not isinstance(finding["input"], dict) else ""
    message = finding["msg"].replace("Input should be", "must be")
    return f"{location}{found}, {message}{more}" if found else f"{place or location}: {message}"


def suggestion(path: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` if something known is close to a misspelt path."""
    close = difflib.get_close_matches(path, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def config_paths() -> list[str]:
    """Return the paths of all keys that some configuration has, as ``model.encoder.dropout``."""
    schema = Config.model_json_schema()
    paths: set[str] = set()
    _collect(schema, schema["$defs"], "", paths)
    return sorted(paths)


def _collect(node: dict[str, Any], defs: dict[str, Any], prefix: str, paths: set[str]) -> None:
    for variant in [node, *node.get("oneOf", []), *node.get("allOf", [])]:
        resolved = defs[variant["$ref"].rpartition("/")[2]] if "$ref" in variant else variant
        if resolved is not node and "$ref" in variant:
            _collect(resolved, defs, prefix, paths)
            continue
        for name, child in resolved.get("properties", {}).items():
            paths.add(f"{prefix}{name}")
            _collect(child, defs, f"{prefix}{name}.", paths)
