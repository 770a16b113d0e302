"""What TensorFlow and Keras find when they are imported: environment variables, and no JAX beside them."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from glioseg.core.cpus import cores

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""TensorFlow's names of the threads that compute an operation, and that begin operations."""
TENSORFLOW = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # of its start-up only what is fatal matters to a user
    # Its wheels turn oneDNN on by themselves only where the processor has AVX-512: without oneDNN a training
    # step takes four times as long on AVX2.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Operations split their sums over the threads, and round accordingly: their number follows from the cores
    # alone and not from the workers that share them, so that every worker computes the same bytes.
    **dict.fromkeys(THREADS, str(cores())),
}
"""Environment variables of TensorFlow, and what glioseg sets them to."""

TAKE_JAX = ("tensorflow.lite.python.util", "keras.src.callbacks.orbax_checkpoint")
"""They import JAX where it is installed, and do without it elsewhere; nothing here needs it there."""
START_UP = re.compile(rb"WARNING: All log messages before absl|I\d{4} \d\d:\d\d:\d\d")
"""Lines that TensorFlow writes while it is imported, whatever `TF_CPP_MIN_LOG_LEVEL` is: that it uses oneDNN,
and that there is no GPU."""


def configure_tensorflow() -> None:
    """Set the environment variables, hide JAX and start-up lines, and silence warnings, in this process.

    TensorFlow reads the variables while it is imported, so this comes before. A value that is set already
    stays; processes started later inherit all.
    """
    sys.meta_path[:0] = [WithoutJax(), Quietly()]
    for name, value in TENSORFLOW.items():
        os.environ.setdefault(name, value)
    # It warns of every grid that is compiled anew: cases differ in size.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


class WithoutJax(MetaPathFinder):
    """Hides JAX from modules that only adapt to it: it would take a second of every start on TensorFlow.

    Where Keras computes with JAX, it is imported before them.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Refuse JAX while one of them is imported; everything else is found as ever."""
        specs = (getattr(sys.modules.get(name), "__spec__", None) for name in TAKE_JAX)
        if fullname == "jax" and any(getattr(spec, "_initializing", False) for spec in specs):
            raise ModuleNotFoundError("hidden by glioseg.models", name="jax")


class Quietly(MetaPathFinder):
    """Imports TensorFlow without its start-up lines."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find TensorFlow as ever, to be run by a loader that listens; nothing else."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "tensorflow" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _without_start_up():
            self._loader.exec_module(module)


@contextmanager
def _without_start_up() -> Iterator[None]:
    """Hold back what is written to stderr, by compiled code too; at the end write it, but for `START_UP`."""
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed: there is nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not START_UP.match(line):
                    os.write(2, line)
