"""JSON Schemas of params.yaml and contract.yaml, with which editors complete and check both files.

`python docs/site/settings_schemas.py` writes them again. Types and limits come from the Pydantic models.
Descriptions come from where they are written already: the comments in params.yaml, and the table of rules in
docs/contract.md.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from glioseg.params import Params
from glioseg.params.contract import Contract

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
SETTING = re.compile(r"( *)(\w+):(?: +[^\s#].*?)?(?: +# (.*))?$")
CONTINUED = re.compile(r" +# (.*)$")
RULE = re.compile(r"^\| `(\w+)` \|(?:[^|\n]*\|){3} ([^|\n]*) \|$", re.MULTILINE)
MORE = re.compile(r" \(\[[^]]*\]\([^)]*\)\)|(?<=\.) \[[^]]*\]\([^)]*\)\.")
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")

Schema = dict[str, Any]


class _WithoutTitles(GenerateJsonSchema):
    """Schemas without titles, which would repeat the names of the fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def params_schema() -> Schema:
    """The JSON Schema of params.yaml."""
    schema = _schema(Params, "Settings of glioseg (params.yaml)")
    comments = setting_comments((ROOT / "params.yaml").read_text())
    for path, field in fields(schema, schema):
        if path in comments:
            field["description"] = comments[path]
    return schema


def contract_schema() -> Schema:
    """The JSON Schema of contract.yaml; a rule may lack settings, which then have their defaults."""
    schema = _schema(Contract, "Rules for raw scans (contract.yaml)")
    for rule in schema["$defs"].values():
        rule.pop("required", None)
    for name, text in rule_descriptions((ROOT / "docs" / "contract.md").read_text()).items():
        schema["properties"][name]["description"] = text
    return schema


def _schema(model: type[BaseModel], title: str) -> Schema:
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    for definition in schema["$defs"].values():
        definition["description"] = definition.get("description", "").split("\n\n")[0].replace("\n", " ")
    heading = {"$schema": GenerateJsonSchema.schema_dialect, "title": title}
    return heading | {key: value for key, value in schema.items() if key != "title"}


def setting_comments(text: str) -> dict[tuple[str, ...], str]:
    r"""The comment of each setting of params.yaml, also over several lines, by the path of its keys.

    >>> setting_comments("train:\n  loss: dice  # of the\n              # training\n  folds: 1\n")
    {('train', 'loss'): 'of the training'}
    """
    comments: dict[tuple[str, ...], str] = {}
    path: tuple[str, ...] = ()
    for line in text.splitlines():
        if match := SETTING.match(line):
            indent, name, comment = match.groups()
            path = (*path[: len(indent) // 2], name)
            if comment:
                comments[path] = comment
        elif (match := CONTINUED.match(line)) and path in comments:
            comments[path] += f" {match[1]}"
    return comments


def rule_descriptions(text: str) -> dict[str, str]:
    """The requirement of each rule in the table of docs/contract.md, as plain text.

    >>> rule_descriptions("| `nan` | critical | critical | | No voxel is NaN ([why](x.md)). [How](#how). |")
    {'nan': 'No voxel is NaN.'}
    """
    return {rule: LINK.sub(r"\1", MORE.sub("", words)) for rule, words in RULE.findall(text)}


def resolve(schema: Schema, field: Schema) -> Schema:
    """The definition to which a `$ref` points; a field without one is returned as it is."""
    definition: Schema = schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field
    return definition


def fields(
    schema: Schema, parent: Schema, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """The path and the schema of each field of an object, and of the objects in it."""
    for name, field in parent.get("properties", {}).items():
        yield (*path, name), field
        yield from fields(schema, resolve(schema, field), (*path, name))


SCHEMAS = {"params.schema.json": params_schema, "contract.schema.json": contract_schema}


def schema_text(name: str) -> str:
    """The content of a schema's file in docs/reference."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (FOLDER / name).write_text(schema_text(name))
