"""What goes wrong with machines."""


class ClusterError(OSError):
    """The machines failed the work, not the work itself."""
