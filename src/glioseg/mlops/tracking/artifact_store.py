"""The store for the files of runs and models: a local folder, or an S3 bucket."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glioseg.core.errors import GliosegError
from glioseg.core.extras import optional_imports

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from s3fs import S3FileSystem

S3 = "s3://"


class BucketError(GliosegError):
    """An address without a usable bucket."""


def open_s3() -> "S3FileSystem":
    """Connect to Amazon's S3, or to the server that AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL names.

    Raises:
        MissingPackageError: the driver is not installed.
    """
    with optional_imports("S3"):
        from s3fs import S3FileSystem
    # Other processes write to the bucket too, so a cached listing may be out of date.
    return S3FileSystem(
        endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None, use_listings_cache=False
    )


def require_bucket(url: str) -> None:
    """Require that a bucket can be used, so that no run starts whose files cannot be stored.

    Raises:
        BucketError: the address is not that of a bucket, or no server responds there.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise BucketError(f"GLIOSEG_ARTIFACTS_URL: expected s3://bucket/folder, got {url}")
    s3 = open_s3()
    from botocore.exceptions import BotoCoreError

    try:
        s3.call_s3("head_bucket", Bucket=parts.netloc)
    except (OSError, BotoCoreError) as error:
        reason = " ".join(str(error).split())
        raise BucketError(f"GLIOSEG_ARTIFACTS_URL: no usable bucket at {url}: {reason}") from None


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
    def _system(self) -> "AbstractFileSystem":
        if self.address.startswith(S3):
            return open_s3()
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()

    @property
    def _root(self) -> str:
        return self.address.removeprefix(S3).rstrip("/")
