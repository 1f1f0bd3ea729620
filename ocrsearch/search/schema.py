"""The JSON schema of space files, for editors: a configuration's, with distributions as leaves."""

from __future__ import annotations

from typing import Any

from ocrsearch.config import Config
from ocrsearch.search.distributions import Choice, FloatRange, IntRange
from ocrsearch.search.settings import SearchSettings

WHEN = {
    "description": "Value (or list of values) of another parameter on which this depends.",
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean", "array"]},
}


def space_schema() -> dict[str, Any]:
    """Return the JSON schema of a space file."""
    schema = Config.model_json_schema()
    root = _section(schema, schema["$defs"])
    settings = SearchSettings.model_json_schema()
    definitions = settings.pop("$defs", {})
    for kind in (Choice, IntRange, FloatRange):
        definition = kind.model_json_schema()
        definition["properties"]["when"] = WHEN
        definitions[kind.__name__] = definition
    root["properties"]["search"] = settings
    root["properties"]["init"] = {
        "description": "Model file to start from; its path counts from this file's folder.",
        "type": "string",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ocrsearch space",
        **root,
        "$defs": definitions,
    }


def _section(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A section, or the union of the sections of several architectures, as one object."""
    properties: dict[str, Any] = {"when": WHEN}
    for variant in _variants(node, definitions):
        for name, child in variant.get("properties", {}).items():
            properties[name] = _child(name, child, properties.get(name), definitions)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _child(
    name: str, child: dict[str, Any], earlier: dict[str, Any] | None, definitions: dict[str, Any]
) -> dict[str, Any]:
    if any("properties" in v for v in _variants(child, definitions)):
        section = _section(child, definitions)
        known = earlier["properties"] if earlier else {}
        return {**section, "properties": {**known, **section["properties"]}}
    if "const" in child:  # the tags of the architectures, one from each
        known = earlier["anyOf"][0]["enum"] if earlier else []
        child = {"enum": [*known, child["const"]], "description": f"Which {name}."}
    kinds = [{"$ref": f"#/$defs/{k.__name__}"} for k in (Choice, IntRange, FloatRange)]
    fixed = {key: value for key, value in child.items() if key not in ("default", "title")}
    return {"description": child.get("description", ""), "anyOf": [fixed, *kinds]}


def _variants(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for variant in [node, *node.get("oneOf", []), *node.get("allOf", [])]:
        if "$ref" in variant:
            found += _variants(definitions[variant["$ref"].rpartition("/")[2]], definitions)
        elif "properties" in variant or variant is node:
            found.append(variant)
    return found
