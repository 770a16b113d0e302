"""The address that the service listens on, taken before anything is loaded: it imports next to nothing."""

import socket

from glioseg.core.errors import GliosegError


def take_port(host: str, port: int) -> socket.socket:
    """Listen on an address; who connects before the service runs waits for its answer.

    A socket that is bound and does not listen yet leaves its port to a second one, where both have
    `SO_REUSEADDR`; without that option a service that is started again would find its port taken.

    Args:
        host: a name or an address of this machine.
        port: 0: any that is free.

    Raises:
        GliosegError: it is taken, or is none of this machine's.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen()
    except OSError as error:
        taken.close()
        raise GliosegError(f"{host}, port {port}: {error.strerror}") from None
    return taken
