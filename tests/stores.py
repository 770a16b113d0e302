"""A real PostgreSQL and a server that speaks S3, for tests of what many machines share."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.servers import free_port, server

PASSWORD = "p%/w:d"
KEYS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}


def programs() -> Path:
    """The folder of PostgreSQL's own programs; Debian keeps them out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if debian:
        return debian[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else pytest.skip("no PostgreSQL: apt-get install postgresql")


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a new database on a server of its own, which refuses to run as root."""
    bins, port = programs(), free_port()
    as_user = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if not os.geteuid() else []
    )
    folder = Path(tempfile.mkdtemp(prefix="glioseg-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if as_user:
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "password", "postgres")

    def run(*words: object) -> None:
        subprocess.run([*as_user, *map(str, words)], cwd=folder, check=True, capture_output=True)

    cluster = ["-D", str(folder / "cluster")]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run(
            *(bins / "initdb", *cluster, "-U", "me", "-A", "scram-sha-256", "--no-sync"),
            *("--pwfile", folder / "password", "-E", "UTF8", "--locale", "C"),
        )
        run(bins / "pg_ctl", *cluster, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            run(bins / "pg_ctl", *cluster, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3, on this machine."""
    port = free_port()
    words = ["moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with server(words, port=port, ready="moto-api/") as address:
        yield address


def make_bucket(address: str, name: str):
    """A new bucket, as boto3 has it."""
    import boto3

    return boto3.resource(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=name)


def keys_of(bucket) -> dict[str, int]:
    """The size of each object of a bucket, by its key."""
    return {entry.key: entry.size for entry in bucket.objects.all()}
