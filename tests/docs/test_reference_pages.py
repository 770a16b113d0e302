"""Every command, option, setting and rule is in the reference."""

import pytest
import typer
from pydantic import BaseModel
from reference_pages import commands, rules, settings

from glioseg.cli import app
from glioseg.params import Params
from glioseg.params.contract import Contract, RuleSettings

COMMANDS = typer.main.get_group(app).commands
TEXT = commands()


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_has_a_section_with_all_its_options(name):
    section = TEXT.split(f"\n## `glioseg {name}`\n")[1].split("\n## ")[0]
    for parameter in COMMANDS[name].params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option.strip("-").replace("_", "-") in section.replace("_", "-")
    summary = COMMANDS[name].help.partition("\n\n")[0].replace("\n", " ")
    assert f"[`{name}`](#glioseg-{name}): {summary}" in TEXT.replace("\n", " ")


def names(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += names(field.annotation, f"{dotted}.")
        else:
            found.append(dotted)
    return found


def test_each_setting_has_a_row():
    text, expected = settings(), names(Params)
    assert len(expected) > 80
    assert [name for name in expected if f"{{ #{name} }}" not in text] == []


def test_a_row_shows_values_the_shipped_one_and_the_meaning():
    row = next(line for line in settings().splitlines() if "#network.heads }" in line)
    assert row == (
        "| `heads`{ #network.heads } | `plain`, `normalised` | `plain` | plain: 1³ convolutions; normalised:"
        " with instance norm and LeakyReLU (slope 0.3 everywhere), as in the seed |"
    )


def test_each_rule_has_a_row_with_its_bounds():
    rows = {line.split("`")[1]: line for line in rules().splitlines()[2:]}
    assert rows.keys() == Contract.model_fields.keys()
    for name, field in Contract.model_fields.items():
        for bound in type(field.default).model_fields.keys() - RuleSettings.model_fields.keys():
            assert f"`{bound}: " in rows[name]
