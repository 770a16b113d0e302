"""A verdict for people and programs: a table in the terminal, and files that stay with the version."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from glioseg.mlops.registry.gate import CHAMPION, Comparison, Verdict
from glioseg.params.promotion import Register


def verdict_table(verdict: Verdict) -> str:
    """One line a region and one a limit; empty where there is nothing to compare.

    Args:
        verdict: as from `gate.judge`.
    """
    lines = []
    for each in verdict.against:
        rival = "champion" if each.rival.role == CHAMPION else "best"
        lines.append(f"{'gate':6}{rival:>10}{'new':>8}{'difference':>13}{'lower bound':>14}{'margin':>9}")
        lines += map(_row, each.comparisons)
    lines += [f"{limit}{_mark(limit.kept)}" for limit in verdict.limits]
    return "\n".join(lines)


def _row(found: Comparison) -> str:
    numbers = f"{found.champion:10.3f}{found.candidate:8.3f}{found.difference:+13.4f}{found.low:+14.4f}"
    return f"{found.region:6}{numbers}{found.margin:9g}{_mark(found.passed)}"


def _mark(good: bool) -> str:
    return "" if good else "  does not pass"


def write_record(folder: Path, verdict: Verdict, *, rules: Register, names: Mapping[str, str]) -> None:
    """Write `verdict.json` and, where there was a champion, `cases.csv` and `differences.png`.

    Args:
        folder: an empty folder.
        verdict: as from `gate.judge`.
        rules: by which it was judged.
        names: which versions it is about, and its line: `version`, `compared_with`, `verdict`.
    """
    record = {
        **names,
        "promoted": verdict.promoted,
        "rules": rules.model_dump(mode="json"),
        "compared": [
            {
                "version": each.rival.version,
                "role": each.rival.role,
                "comparisons": [asdict(found) for found in each.comparisons],
            }
            for each in verdict.against
        ],
        "remarks": list(verdict.remarks),
        "limits": [asdict(limit) for limit in verdict.limits],
    }
    (folder / "verdict.json").write_text(json.dumps(record, indent=2) + "\n")
    if verdict.against:
        from glioseg.mlops.registry.gate_figure import (
            draw_differences,  # drawing loads only where it is needed
        )

        cases = [each.cases.assign(compared_with=each.rival.version) for each in verdict.against]
        pd.concat(cases).to_csv(folder / "cases.csv", index=False)
        rivals = " and ".join(str(each.rival) for each in verdict.against)
        title = f"Version {names['version']} beside {rivals}"
        (folder / "differences.png").write_bytes(draw_differences(verdict, title=title))
