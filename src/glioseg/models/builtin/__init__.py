"""The models in the package, each an ordinary model folder with a card, a licence and a training record.

`model/` was trained on synthetic and then on a few real cases (CC BY 4.0); `synthetic/` on synthetic cases
alone, so that no data licence applies to it.
"""

import hashlib
from pathlib import Path

from glioseg.core.errors import GliosegError
from glioseg.core.files import read_json

ADDRESS, SYNTHETIC = "builtin", "builtin-synthetic"
"""The names of the built-in models in commands and settings."""
FOLDER, SYNTHETIC_FOLDER = (Path(__file__).parent / name for name in ("model", "synthetic"))
CHECKSUM_FILE = "SHA256SUMS"
RECORD, HISTORY, CARD = "pretraining.json", "history.csv", "card.md"
"""Files of the folder: the record of the training, the logs of its epochs, and the model card."""


def is_builtin(address: str) -> bool:
    """Whether this is the name of a built-in model."""
    return address in (ADDRESS, SYNTHETIC)


def folder_of(address: str) -> Path:
    """The folder of the built-in model with this name."""
    return {ADDRESS: FOLDER, SYNTHETIC: SYNTHETIC_FOLDER}[address]


def builtin_model(address: str = ADDRESS) -> Path:
    """The folder of a built-in model, after its checksums have been verified.

    Raises:
        GliosegError: a file differs from the published one.
    """
    folder = folder_of(address)
    for line in (folder / CHECKSUM_FILE).read_text().splitlines():
        published, name = line.split()
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() == published:
            continue
        if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == published:
            raise GliosegError(
                f"{folder / name}: expected line endings LF, got CRLF, to which git converts them where"
                " core.autocrlf is set; clone glioseg again"
            )
        raise GliosegError(
            f"{folder / name}: differs from the file that glioseg was published with; reinstall glioseg"
        )
    return folder


def training_images() -> dict[str, str]:
    """The real images that the built-in model was trained on: name of the case by the hash of the voxels.

    The hashes are those of `data.quality.near_duplicates.hash_voxels`.
    """
    images = read_json(FOLDER / RECORD)["real_cases"]["images"]
    return {digest: case for case, digests in images.items() for digest in digests}


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a model folder, in the format of `sha256sum --check`."""
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUM_FILE)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / CHECKSUM_FILE).write_text("".join(sums))
