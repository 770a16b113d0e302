"""The model in the package, trained on synthetic cases alone, so that no data licence restricts it.

`model/` is an ordinary model folder, with a model card, a licence, and the record of the training.
"""

import hashlib
from pathlib import Path

from glioseg.core.errors import GliosegError

ADDRESS = "builtin"
"""The name of the built-in model in commands and settings."""
FOLDER = Path(__file__).parent / "model"
CHECKSUM_FILE = "SHA256SUMS"
RECORD, HISTORY, CARD = "pretraining.json", "history.csv", "card.md"
"""Files of the folder: the record of the training, the logs of its epochs, and the model card."""


def builtin_model() -> Path:
    """The folder of the built-in model, after its checksums have been verified.

    Raises:
        GliosegError: a file differs from the published one.
    """
    for line in (FOLDER / CHECKSUM_FILE).read_text().splitlines():
        published, name = line.split()
        content = (FOLDER / name).read_bytes()
        if hashlib.sha256(content).hexdigest() == published:
            continue
        if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == published:
            raise GliosegError(
                f"{FOLDER / name}: expected line endings LF, got CRLF, to which git converts them where"
                " core.autocrlf is set; clone glioseg again"
            )
        raise GliosegError(
            f"{FOLDER / name}: differs from the file that glioseg was published with; reinstall glioseg"
        )
    return FOLDER


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a model folder, in the format of `sha256sum --check`."""
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUM_FILE)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / CHECKSUM_FILE).write_text("".join(sums))
