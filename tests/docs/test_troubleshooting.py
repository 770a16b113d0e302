"""Each error message that a user can meet is in docs/troubleshooting.md, with a remedy."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.projects import ROOT

SOURCE = ROOT / "src" / "glioseg"
TREES = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
BASES = {
    node.name: [ast.unparse(base).split(".")[-1] for base in node.bases]
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
}
MIN_LETTERS = 6
"""A message with fewer letters of its own is that of another error, with the name of a file before it."""


def plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


PAGE = plain((ROOT / "docs" / "troubleshooting.md").read_text())


def is_of_the_user(error: str) -> bool:
    return error == "GliosegError" or any(is_of_the_user(base) for base in BASES.get(error, ()))


def calls(path: Path, tree: ast.Module) -> Iterator[ast.Call]:
    """The calls that make an error of one line; a validator of settings raises ValueError."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        in_settings = isinstance(node, ast.Raise) and name == "ValueError" and path.parent.name == "params"
        if in_settings or name == "sys.exit" or (isinstance(node, ast.Raise) and is_of_the_user(name)):
            yield call


def longest_part(message: ast.expr) -> str:
    """The longest part of a message that holds no names and values; empty if the message is computed."""
    values = message.values if isinstance(message, ast.JoinedStr) else [message]
    parts = [
        plain(value.value)
        for value in values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return max(parts, key=len, default="")


MESSAGES = [
    pytest.param(part, id=f"{path.relative_to(SOURCE)}, {part[:40]}")
    for path, tree in TREES.items()
    for call in calls(path, tree)
    if call.args
    for part in [longest_part(call.args[0])]
    if len(re.findall(r"[a-zA-Z]", part)) >= MIN_LETTERS
]


def test_the_messages_are_found_in_the_code():
    assert len(MESSAGES) > 150


@pytest.mark.parametrize("part", MESSAGES)
def test_a_message_is_in_the_page(part):
    assert part in PAGE, "describe this message and its remedy in docs/troubleshooting.md"


def test_each_row_has_a_remedy():
    rows = [
        line for line in (ROOT / "docs" / "troubleshooting.md").read_text().splitlines() if line[:3] == "| `"
    ]
    assert [row for row in rows if not re.fullmatch(r"\| .*` *\| [^|]*[A-Za-z][^|]*\.[^|]* \|", row)] == []


def test_each_code_of_the_service_is_in_its_page():
    page = (ROOT / "docs" / "serving.md").read_text()
    codes = {
        call.args[1].value
        for path, tree in TREES.items()
        for call in calls(path, tree)
        if ast.unparse(call.func) == "RequestError"
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
    }
    assert {"busy", "timeout", "unauthorised"} <= codes
    assert {code for code in codes if f"`{code}`" not in page} == set()
