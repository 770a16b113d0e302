"""The model that comes with the package: it learned from drawn patients alone, so no data licence binds it.

`model/` is a model folder as any other, with its card, its licence, and the record of its training.
"""

import hashlib
from pathlib import Path

from glioseg.core.errors import GliosegError

ADDRESS = "builtin"
"""How commands and settings call it."""
FOLDER = Path(__file__).parent / "model"
SUMS = "SHA256SUMS"
RECORD, HISTORY, CARD = "pretraining.json", "history.csv", "card.md"
"""In the folder: how it came to be, every epoch of its training, and its model card."""


def builtin_model() -> Path:
    """The folder of the built-in model, once it is sure that it is as it was published.

    Raises:
        GliosegError: a file is not what was published.
    """
    for line in (FOLDER / SUMS).read_text().splitlines():
        published, name = line.split()
        if hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() != published:
            raise GliosegError(
                f"{FOLDER / name}: not the file that glioseg was published with; install it anew"
            )
    return FOLDER


def write_sums(folder: Path) -> None:
    """Write down the hash of every file of a model folder, as `sha256sum --check` reads it."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(sums))
