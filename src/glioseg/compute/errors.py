"""What goes wrong with machines."""

from glioseg.core.errors import GliosegError


class ClusterError(GliosegError):
    """The machines failed the work, not the work itself."""
