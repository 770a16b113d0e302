"""The options of `glioseg predict`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glioseg.cli.options import user_path


class Format(StrEnum):
    """The format of a file of statistics."""

    JSON = "json"
    CSV = "csv"


ScanFolder = Annotated[
    Path | None,
    typer.Argument(callback=user_path, help="Folder with the files of one case, or of several cases."),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", callback=user_path, help="File to write; for several cases, a folder."),
]
T1 = Annotated[
    Path | None, typer.Option("--t1", callback=user_path, help="T1 of one case, in place of a folder.")
]
T1CE = Annotated[Path | None, typer.Option("--t1ce", callback=user_path, help="T1 with contrast agent.")]
T2 = Annotated[Path | None, typer.Option("--t2", callback=user_path, help="T2.")]
FLAIR = Annotated[Path | None, typer.Option("--flair", callback=user_path, help="FLAIR.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        show_default="models:/glioseg@champion, or builtin if none is registered",
        help="Registered model, folder with a model.keras, builtin or builtin-synthetic."
        " Repeat it to average several models.",
    ),
]
Entropy = Annotated[
    bool, typer.Option("--entropy", help="Also write the entropy of each voxel's label, 0 to 2 bits.")
]
Mirror = Annotated[
    bool | None,
    typer.Option(
        show_default="the model's own setting",
        help="Average over the eight mirror images; the network then takes eight times as long.",
    ),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(min=0, help="Memory budget; it replaces the model's own inference.memory_gb."),
]
Statistics = Annotated[
    Format | None,
    typer.Option(
        help="Also write volumes, intervals, expected Dice and warnings, to <output>_statistics.json or .csv."
    ),
]
Preview = Annotated[
    bool,
    typer.Option("--preview", help="Also draw three planes with the label map, to <output>_preview.png."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print which files would be read and written, and stop.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the statistics of each case as a line of JSON.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also print notes without consequences, and the seconds.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")]
