"""Preparation of the imports of TensorFlow and Keras: environment variables, no JAX, no start-up messages."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from glioseg.core.cpus import usable_cores

THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Environment variables for the numbers of threads within one operation, and across operations."""
TENSORFLOW_VARIABLES = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # users need only its fatal messages
    # The wheels enable oneDNN by default only for processors with AVX-512; on AVX2, a training step without
    # oneDNN takes four times as long.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Operations split their sums over the threads, so rounding depends on the number of threads. It is the
    # number of cores, even if several workers share them, so that all workers compute the same bytes.
    **dict.fromkeys(THREAD_VARIABLES, str(usable_cores())),
}
"""Environment variables of TensorFlow, with the values that glioseg sets."""
BACKENDS = ("tensorflow", "jax")
"""Keras' backends that run glioseg; the first one by default."""
KERAS_HOME = Path("~/.keras/glioseg")
"""Keras' folder while glioseg runs. Its file keras.json has Keras' own defaults, whatever the user's file
says: another data format, precision or epsilon would change results or break the network."""
SHORTENED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
"""Environment variables with which Keras shortens any training."""

OPTIONAL_JAX_USERS = ("tensorflow.lite.python.util", "keras.src.callbacks.orbax_checkpoint")
"""Modules that import JAX if it is installed, for features that glioseg does not use."""
STARTUP_LINE = re.compile(
    rb"WARNING: All log messages before absl|I\d{4} \d\d:\d\d:\d\d|To enable the following instructions: "
)
"""Messages that TensorFlow writes during its import at any `TF_CPP_MIN_LOG_LEVEL`: that it uses oneDNN, that
there is no GPU, and which instructions of the processor it uses (two lines)."""


def configure_tensorflow() -> None:
    """Set the environment variables, hide JAX and start-up messages, and silence warnings, in this process.

    This must run before TensorFlow and Keras are imported, which read the variables. Variables of TensorFlow
    that are set already are unchanged; child processes inherit all of them.
    """
    sys.meta_path[:0] = [JaxHider(), QuietTensorFlowFinder()]
    for name, value in TENSORFLOW_VARIABLES.items():
        os.environ.setdefault(name, value)
    _configure_keras()
    # TensorFlow warns of each compilation for a new shape, but cases differ in shape.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _configure_keras() -> None:
    """Replace the user's settings of Keras, which serve other programs, except for the backend JAX."""
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        expected = " or ".join(BACKENDS)
        print(f"KERAS_BACKEND: expected {expected}, got {backend}: {BACKENDS[0]} is used", file=sys.stderr)
    os.environ["KERAS_BACKEND"] = backend if backend in BACKENDS else BACKENDS[0]
    os.environ["KERAS_HOME"] = str(KERAS_HOME.expanduser())
    for name in SHORTENED:
        os.environ.pop(name, None)


class JaxHider(MetaPathFinder):
    """Hides JAX from `OPTIONAL_JAX_USERS`: its import would delay each start by a second.

    With the JAX backend, Keras imports JAX before these modules.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise ModuleNotFoundError for JAX while one of these modules is being imported."""
        specs = (getattr(sys.modules.get(name), "__spec__", None) for name in OPTIONAL_JAX_USERS)
        if fullname == "jax" and any(getattr(spec, "_initializing", False) for spec in specs):
            raise ModuleNotFoundError("hidden by glioseg.models", name="jax")


class QuietTensorFlowFinder(MetaPathFinder):
    """Imports TensorFlow without its start-up messages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual spec of TensorFlow with a loader that filters stderr; None for other modules."""
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
        with _without_startup_lines():
            self._loader.exec_module(module)


@contextmanager
def _without_startup_lines() -> Iterator[None]:
    """Buffer stderr, also of compiled code; at the end, write all lines that do not match `STARTUP_LINE`."""
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed: there is nothing to buffer
        yield
        return
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            buffer.seek(0)
            for line in buffer:
                if not STARTUP_LINE.match(line):
                    os.write(2, line)
