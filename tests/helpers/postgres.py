"""Starts a real PostgreSQL server, as Debian packages it or as it is in PATH."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.helpers.servers import free_port

PASSWORD = "p%/w:d"
QUICK = {"fsync": "off"}
"""A test's database need not survive a power cut."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, if there is one; Debian does not put them into PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if debian:
        return debian[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres(bins: Path, **settings: str) -> Iterator[str]:
    """Run a new server until the block ends; yields the address of its database.

    Args:
        bins: as from `programs`.
        settings: of the server, besides its defaults.
    """
    port = free_port()
    # PostgreSQL refuses to run as root.
    as_user = [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    folder = Path(tempfile.mkdtemp(prefix="glioseg-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if as_user:
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "password", "postgres")

    def run(*words: str | Path) -> None:
        subprocess.run([*as_user, *words], cwd=folder, check=True, capture_output=True)

    cluster = ["-D", folder / "cluster"]
    chosen = {"listen_addresses": "127.0.0.1"} | settings
    options = " ".join([f"-p {port} -k {folder}", *(f"-c {name}={value}" for name, value in chosen.items())])
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
