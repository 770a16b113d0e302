"""bench/RESULTS.md from the results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.results import Row

HEAD = """# Results

Made by `make bench`; [README.md](README.md) says what is measured and how. Nothing here is left out
because it came out badly.
"""


def write(page: Path, sections: dict[str, Path]) -> None:
    """Write the page of all results there are.

    Args:
        page: where to.
        sections: a result's file by the section's title; those that do not exist are left out.
    """
    parts = [HEAD]
    for title, path in sections.items():
        if path.exists():
            parts.append(_section(title, json.loads(path.read_text())))
    page.write_text("\n".join(parts))


def _section(title: str, record: dict[str, Any]) -> str:
    goals = [{**goal, "reached": "yes" if goal["reached"] else "**no**"} for goal in record["goals"]]
    remarks = [f"- {remark}" for remark in record["remarks"]]
    told = [*table(goals), ""] if goals else []
    return "\n".join([f"## {title}", "", *told, *_tables(record["rows"]), *remarks, *_origin(record), ""])


def _tables(rows: Sequence[Row]) -> list[str]:
    """Rows that have no more than half of their columns in common begin a table of their own.

    >>> _tables([{"a": 1, "b": 2}, {"a": 3}, {"a": 4, "c": 5, "d": 6}])[-4:]
    ['| a | c | d |', '| --- | --- | --- |', '| 4 | 5 | 6 |', '']
    """
    kinds: list[list[Row]] = []
    for row in rows:
        if kinds and _alike(row, kinds[-1][0]):
            kinds[-1].append(row)
        else:
            kinds.append([row])
    return [line for kind in kinds for line in (*table(kind), "")]


def _alike(row: Row, other: Row) -> bool:
    return 2 * len(row.keys() & other.keys()) > min(len(row), len(other))


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table; its columns are the rows' keys."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(value: object) -> str:
    """A number in three or four digits that tell something; anything else as it is.

    >>> _cell(0.00123456), _cell(12.3456), _cell(4653261)
    ('0.00123', '12.3', '4653261')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _origin(record: dict[str, Any]) -> list[str]:
    machine = record["machine"]
    versions = [
        f"{side} on " + ", ".join(f"{name} {version}" for name, version in machine[key].items())
        for side, key in (("glioseg", "ours"), ("peers", "peers"))
        if machine[key]
    ]
    return [
        f"- {record['date']}; {machine['processor']}, {machine['cores']} cores used,"
        f" {machine['memory_gb']} GB, {' '.join(machine['flags'])}; Python {machine['python']}.",
        f"- {'; '.join(versions)}.",
    ]
