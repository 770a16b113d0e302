"""Use of the hardware by networks: a fast precision, limits of threads, and one network at a time."""

import os
import platform
from pathlib import Path
from threading import Lock
from typing import Literal

from glioseg.core.tensorflow_startup import THREAD_VARIABLES

Precision = Literal["auto", "float32", "bfloat16"]
BFLOAT16_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags of processors that multiply bfloat16: the first two on x86-64, the last on arm64."""
BFLOAT16_GPU_CAPABILITY = (8, 0)
"""First compute capability of NVIDIA GPUs that has bfloat16 tensor cores."""
ONEDNN, ONEDNN_ISA = "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA"
"""Environment variables that switch oneDNN off, or limit the instructions that it uses."""
BFLOAT16_ISAS = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10")
"""Prefixes of the values of ONEDNN_MAX_CPU_ISA that permit bfloat16."""
NETWORK_LOCK = Lock()
"""Lock for running or training a network: two at once in a worker would take twice the memory."""


def dtype_policy(precision: Precision = "auto") -> str:
    """Keras' dtype policy for a precision; "auto" means bfloat16 where the hardware multiplies it natively.

    >>> dtype_policy("bfloat16")
    'mixed_bfloat16'
    """
    mixed = precision == "bfloat16" or (precision == "auto" and has_bfloat16())
    return "mixed_bfloat16" if mixed else "float32"


def has_bfloat16() -> bool:
    """Whether Keras' device, a GPU if there is one, computes bfloat16 natively.

    Otherwise, or if oneDNN may not use it, bfloat16 is emulated: a forward pass takes about twenty times as
    long as in float32.
    """
    gpu = gpu_capability()
    return (
        gpu >= BFLOAT16_GPU_CAPABILITY
        if gpu
        else bool(BFLOAT16_CPU_FLAGS & cpu_flags()) and onednn_has_bfloat16()
    )


def onednn_has_bfloat16() -> bool:
    """Whether the environment permits oneDNN to use the processor's bfloat16 instructions."""
    highest = os.environ.get(ONEDNN_ISA, "ALL").upper()
    allowed = highest in ("ALL", "DEFAULT", "") or highest.startswith(BFLOAT16_ISAS)
    return os.environ.get(ONEDNN) != "0" and (allowed or platform.machine() not in ("x86_64", "AMD64"))


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's flags as Linux lists them ("Features" on arm64); empty on other systems."""
    if not cpuinfo.exists():
        return frozenset()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features")))
    return frozenset(next(lines, "").partition(":")[2].split())


def gpu_capability() -> tuple[int, int] | None:
    """Compute capability of the first NVIDIA GPU that Keras can use; None without one."""
    import keras  # not at the top: importing TensorFlow takes 12 s

    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow_gpu_capability()
        case "jax":
            return _jax_gpu_capability()
    return None


def _tensorflow_gpu_capability() -> tuple[int, int] | None:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    major, minor = tf.config.experimental.get_device_details(devices[0])["compute_capability"]
    return (major, minor)


def _jax_gpu_capability() -> tuple[int, int] | None:
    import jax

    first = jax.local_devices()[0]
    if first.platform != "gpu":
        return None
    major, minor = map(int, first.compute_capability.split("."))
    return (major, minor)


def thread_variables() -> dict[str, str]:
    """Environment variables that limit a training process to the threads of the Dask worker that starts it.

    Outside a worker the result is empty, and TensorFlow uses the threads that `configure_tensorflow` sets.
    """
    from glioseg.compute.dask_worker import worker_threads  # a served model must not import `compute`

    count = worker_threads()
    return dict.fromkeys(THREAD_VARIABLES, str(count)) if count else {}
