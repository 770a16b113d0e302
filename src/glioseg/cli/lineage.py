"""`glioseg lineage`: how a registered version came to be."""

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.mlops.tracking.storage import Lab

if TYPE_CHECKING:
    from glioseg.mlops.provenance.lineage import Link

PICTURES = (".svg", ".png")
NAME_WIDTH, WIDTH = 28, 110

Model = Annotated[
    str, typer.Argument(help="A registered version: models:/glioseg@champion or models:/glioseg/3.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Picture = Annotated[
    Path | None, typer.Option("-o", "--output", help="Also draw the chain: a file that ends in .svg or .png.")
]


def lineage(model: Model, as_json: AsJson = False, output: Picture = None) -> None:
    """Print how a registered version came to be, link by link.

    From the version to its runs, study and trial, parameters, split, data, validation, commit and
    environment: each with where it was read. A link that is missing is named with the cause; then the exit
    code is 1.
    """
    if output and output.suffix not in PICTURES:
        sys.exit(f"glioseg lineage: {output}: expected a name that ends in {' or '.join(PICTURES)}")
    from glioseg.mlops.provenance.lineage import chain  # MLflow takes seconds to import
    from glioseg.mlops.provenance.record import open_version
    from glioseg.mlops.tracking.mlflow_runs import connect

    with one_line("glioseg lineage"):
        client = connect(Lab.here())
        kept = open_version(client, model)
        links = chain(client, kept, root=Path())
        if output:
            from glioseg.mlops.provenance.lineage_figure import draw_chain

            draw_chain(
                links, output, title=f"How {kept.version.name} version {kept.version.version} came to be"
            )
    print(_json(kept.address, links) if as_json else _text(links))
    if any(link.missing for link in links):
        sys.exit(1)


def _json(address: str, links: "Sequence[Link]") -> str:
    complete = not any(link.missing for link in links)
    content = {"model": address, "complete": complete, "links": [asdict(link) for link in links]}
    return json.dumps(content, indent=2, ensure_ascii=False)


def _text(links: "Sequence[Link]") -> str:
    """Two lines a link: its value, and where that was read; at the end what is missing."""
    lines = []
    for link in links:
        said = f"MISSING: {link.missing}" if link.missing else link.value
        indent = " " * NAME_WIDTH
        lines += textwrap.wrap(
            said, WIDTH, initial_indent=link.name.ljust(NAME_WIDTH), subsequent_indent=indent
        )
        lines.append(f"{indent}from {link.source}")
    missing = [link.name for link in links if link.missing]
    return "\n".join([*lines, "", f"missing: {', '.join(missing)}" if missing else "no link is missing"])
