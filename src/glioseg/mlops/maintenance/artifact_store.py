"""Files that MLflow keeps together, wherever that is: a folder of this machine, or a part of a bucket."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from glioseg.mlops.tracking.s3 import open_s3

S3 = "s3://"


@dataclass(frozen=True)
class Shelf:
    """The files of a run, a logged model or a version; `address` is a path, or begins with `s3://`."""

    address: str

    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """All files by their path inside, each with its `size` in bytes and what else the place knows."""
        found = self._system.find(self._root, detail=True)
        return {name.removeprefix(f"{self._root}/"): facts for name, facts in found.items()}

    def size(self) -> int:
        """Bytes of all files."""
        return sum(facts["size"] for facts in self.files().values())

    def marks(self) -> dict[str, str]:
        """What changes with the content of each file: SHA-256, or in a bucket what that keeps itself."""
        return {name: facts.get("ETag") or self._sha256(name) for name, facts in self.files().items()}

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self._system.cat_file(f"{self._root}/{name}")
        return content

    def remove(self) -> None:
        """Remove all files for good; what is not there is no error."""
        if self._system.exists(self._root):
            self._system.rm(self._root, recursive=True)

    def holds(self, other: "Shelf") -> bool:
        """Whether another one is this one or a part of it."""
        return f"{other._root}/".startswith(f"{self._root}/")

    def _sha256(self, name: str) -> str:
        with self._system.open(f"{self._root}/{name}") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _system(self) -> AbstractFileSystem:
        return open_s3() if self.address.startswith(S3) else LocalFileSystem()

    @property
    def _root(self) -> str:
        return self.address.removeprefix(S3).rstrip("/")
