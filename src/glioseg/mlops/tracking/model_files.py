"""The files that a logged model is made from, and their hashes. MLflow is not imported."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glioseg.core.fingerprint import SourceCode, sha256_bytes, sha256_file

CONTENT_HASH = "content_sha256"
"""Tag with the hash of everything that affects a version's predictions, unique among a model's versions."""
FILES_HASH = "files_sha256"
"""Tag with the hash of a version's files alone, by which they can be checked with any libraries."""

PYFUNC_FILE, PYFUNC_MODULE = "serving/pyfunc.py", "glioseg.serving.pyfunc"
"""The file in the package that MLflow runs to predict, and its module."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model.

    `files`: the networks and their settings; `package`: glioseg's own folder, which the model gets a copy of.
    """

    files: Sequence[Path]
    package: Path

    @property
    def pyfunc_file(self) -> Path:
        """The models-from-code file of MLflow."""
        return self.package / PYFUNC_FILE

    @property
    def content_hash(self) -> str:
        """The hash of everything that affects the predictions: the files, and the versions of libraries."""
        libraries = SourceCode.read(self.package).reachable_from(PYFUNC_MODULE).libraries
        return sha256_bytes(json.dumps([self.files_hash, libraries]).encode())

    @property
    def files_hash(self) -> str:
        """The hash of all files of the model: networks, settings, and all of glioseg's code."""
        network = {file.name: sha256_file(file) for file in self.files}
        return sha256_bytes(
            json.dumps([network, SourceCode.read(self.package).source], sort_keys=True).encode()
        )
