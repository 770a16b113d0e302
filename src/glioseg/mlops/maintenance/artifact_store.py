"""The files of a run, a logged model or a version, in a local folder or in a bucket."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from glioseg.mlops.tracking.s3 import open_s3

S3 = "s3://"


@dataclass(frozen=True)
class ArtifactStore:
    """All files below `address`, which is a local path or starts with `s3://`."""

    address: str

    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """The details of each file, including its `size` in bytes, by relative path."""
        found = self._system.find(self._root, detail=True)
        return {name.removeprefix(f"{self._root}/"): details for name, details in found.items()}

    def size_bytes(self) -> int:
        """The total size of all files."""
        return sum(details["size"] for details in self.files().values())

    def content_hashes(self) -> dict[str, str]:
        """A hash of each file's content, by relative path: the bucket's ETag, or SHA-256 for local files."""
        return {name: details.get("ETag") or self._sha256(name) for name, details in self.files().items()}

    def read(self, name: str) -> bytes:
        """The content of a file."""
        content: bytes = self._system.cat_file(f"{self._root}/{name}")
        return content

    def remove(self) -> None:
        """Delete all files permanently; if the store does not exist, do nothing."""
        if self._system.exists(self._root):
            self._system.rm(self._root, recursive=True)

    def contains(self, other: "ArtifactStore") -> bool:
        """Whether the other store equals this one or is below it."""
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
