"""An S3 bucket as the store for the files of runs and models."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glioseg.core.errors import GliosegError

if TYPE_CHECKING:
    from s3fs import S3FileSystem


class BucketError(GliosegError):
    """An address without a usable bucket."""


def open_s3() -> "S3FileSystem":
    """Connect to Amazon's S3, or to the server that AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL names.

    Raises:
        BucketError: the driver is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError:
        raise BucketError("S3 needs its driver: pip install 'glioseg[s3]'") from None
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
