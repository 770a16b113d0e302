"""Content of the reference pages: settings from the JSON Schemas, and commands from Typer."""

import re
from functools import reduce
from typing import Any

import typer
import yaml
from settings_schemas import ROOT, Schema, contract_schema, fields, params_schema, resolve
from typer.cli import get_docs_for_click

from glioseg.cli import app
from glioseg.params import load_params
from glioseg.params.contract import Contract

COMMON = ("severity", "predict")
DOCUMENT = re.compile(r"\bdocs/([\w-]+)\.md")
EXAMPLE = re.compile(r"\{(?:[^{}]|\{[^}]*\})*\}")
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def commands() -> str:
    """The commands with their arguments and options, as Markdown."""
    group = typer.main.get_group(app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="glioseg"), name="glioseg")
    for name, command in group.commands.items():
        summary = (command.help or "").partition("\n\n")[0]  # Typer cuts it after 45 characters
        text = re.sub(rf"^\* `{name}`: .*$", f"* [`{name}`](#glioseg-{name}): {summary}", text, flags=re.M)
    return DOCUMENT.sub(r"[docs/\1.md](../\1.md)", text.partition("\n")[2])


def settings() -> str:
    """A table for each section of params.yaml, and for the two kinds of domains of a study, as Markdown."""
    schema = params_schema()
    shipped = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    parts = []
    for name, field in schema["properties"].items():
        section = resolve(schema, field)
        rows = [
            [_anchor(name, *path), values(schema, inner), _shipped(shipped[name], path), _meaning(inner)]
            for path, inner in fields(schema, section)
        ]
        table = _table(["setting", "values", "as shipped", "meaning"], rows)
        parts.append(f"## {name}\n\n{section['description']}\n\n{table}")
    return "\n\n".join([*parts, _domains(schema)])


def _domains(schema: Schema) -> str:
    """The two kinds of domains of a searched setting."""
    rows = [
        [kind, f"`{name}`", values(schema, field), _meaning(field)]
        for kind in ("Range", "Choices")
        for name, field in schema["$defs"][kind]["properties"].items()
    ]
    return f"## A domain in tune.space\n\n{_table(['domain', 'field', 'values', 'meaning'], rows)}"


def rules() -> str:
    """A table of the rules of contract.yaml and their settings, as Markdown."""
    schema, defaults = contract_schema(), Contract().model_dump(mode="json")
    rows = []
    for name, rule in schema["properties"].items():
        properties = resolve(schema, rule)["properties"]
        bounds = [
            f"`{field}: {_yaml(defaults[name][field])}` ({values(schema, properties[field])})"
            for field in properties
            if field not in COMMON
        ]
        severities = [f"`{defaults[name][field]}`" for field in COMMON]
        rows.append([_anchor(name), *severities, "<br>".join(bounds), _meaning(rule)])
    return _table(["rule", "severity", "predict", "bounds", "requirement"], rows)


def values(schema: Schema, field: Schema) -> str:
    """The values that a field accepts, in words.

    >>> values({}, {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'integer ≥ 1 or `null`'
    """
    field = resolve(schema, field)
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(values(schema, option) for option in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    match field.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "array" if "prefixItems" in field:
            items = [values(schema, item) for item in field["prefixItems"]]
            return f"list of {len(items)}: {', '.join(dict.fromkeys(items))}"
        case "array":
            return f"list of {values(schema, field['items'])}"
        case "object" if isinstance(field.get("additionalProperties"), dict):
            return f"mapping to {values(schema, field['additionalProperties'])}"
        case "object":
            return "mapping"
        case "string":
            return "path" if field.get("format") == "path" else "text"
    bounds = [f"{sign} {field[key]:g}" for key, sign in BOUNDS.items() if key in field]
    return " ".join([{"null": "`null`"}.get(field["type"], field["type"]), " and ".join(bounds)]).strip()


def _shipped(section: Any, path: tuple[str, ...]) -> str:
    """The value of a setting in params.yaml; empty for an object, whose fields have rows of their own."""
    value = reduce(dict.__getitem__, path, section)
    return "" if isinstance(value, dict) else f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _meaning(field: Schema) -> str:
    """The description of a field, with links to documents, and with examples in braces as code."""
    text = EXAMPLE.sub(r"`\g<0>`", field.get("description", ""))
    return DOCUMENT.sub(r"[docs/\1.md](../\1.md)", text)


def _anchor(section: str, *path: str) -> str:
    """The name of a setting in its section, or of a rule, with an anchor."""
    return f"`{'.'.join(path) or section}`{{ #{'.'.join((section, *path))} }}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
