"""A bucket that speaks S3, as the place for the files of runs and models."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glioseg.core.errors import GliosegError

if TYPE_CHECKING:
    from s3fs import S3FileSystem


class BucketError(GliosegError):
    """An address at which there is no bucket to use."""


def open_s3() -> "S3FileSystem":
    """Amazon's S3, or the server that AWS_ENDPOINT_URL names; MLflow has a variable of its own for that.

    Raises:
        BucketError: the driver is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError:
        raise BucketError("S3 needs its driver: pip install 'glioseg[s3]'") from None
    # Other processes write there too: what was listed once may have changed.
    return S3FileSystem(
        endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None, use_listings_cache=False
    )


def require_bucket(url: str) -> None:
    """Make sure that files can be kept at an address, before there is a run that would lose them.

    Raises:
        BucketError: the address is none of a bucket's, or nobody answers there.
    """
    place = urlsplit(url)
    if place.scheme != "s3" or not place.netloc:
        raise BucketError(f"GLIOSEG_ARTIFACTS_URL: expected s3://bucket/folder, got {url}")
    s3 = open_s3()
    from botocore.exceptions import BotoCoreError

    try:
        s3.call_s3("head_bucket", Bucket=place.netloc)
    except (OSError, BotoCoreError) as error:
        reason = " ".join(str(error).split())
        raise BucketError(f"GLIOSEG_ARTIFACTS_URL: no bucket to use at {url}: {reason}") from None
