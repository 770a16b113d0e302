"""Starts an S3 server, and creates buckets there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.helpers.servers import free_port, server

KEYS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server on this machine; yields its address."""
    port = free_port()
    words = ["moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with server(words, port=port, ready="moto-api/") as address:
        yield address


def make_bucket(address: str, name: str) -> Any:
    """A new bucket, as boto3's resource."""
    import boto3

    return boto3.resource(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=name)


def keys_of(bucket: Any) -> dict[str, int]:
    """The size of each object of a bucket, by its key."""
    return {entry.key: entry.size for entry in bucket.objects.all()}
