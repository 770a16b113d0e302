"""Simulated hosts on one machine: network namespaces on a bridge (needs root and iproute2)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

NETWORK = "10.213.0"


@dataclass(frozen=True)
class Host:
    """A network namespace with one link, `eth0`."""

    name: str
    address: str

    @property
    def before(self) -> list[str]:
        """Words before a command that make it run on this host."""
        return ["ip", "netns", "exec", self.name]

    def cut_off(self) -> None:
        """Take the link down: packets are lost without any error."""
        ip("-n", self.name, "link", "set", "eth0", "down")


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts on a bridge in its own namespace, connected to each other and to no other network.

    The test is skipped if namespaces are not allowed.
    """
    lan = f"glioseg-{os.getpid()}-lan"  # unique for each test process
    with ExitStack() as stack:
        try:
            stack.enter_context(_namespace(lan))
            ip("-n", lan, "link", "add", "lan", "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or error
            pytest.skip(f"network namespaces need root, iproute2 and the permission to create them: {reason}")
        ip("-n", lan, "link", "set", "lan", "up")
        yield [stack.enter_context(_host(name, number, lan)) for number, name in enumerate(names, 1)]


@contextmanager
def _host(name: str, number: int, lan: str) -> Iterator[Host]:
    host, port = Host(f"{lan}-{name}", f"{NETWORK}.{number}"), f"port{number}"
    with _namespace(host.name):
        ip("-n", lan, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        ip("-n", lan, "link", "set", port, "master", "lan", "up")
        ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            ip("-n", host.name, "link", "set", link, "up")
        yield host


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    ip("netns", "add", name)
    try:
        yield
    finally:
        ip("netns", "del", name)


def ip(*words: str) -> None:
    """Run iproute2's command."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
