"""Which dtype policy a network should train in on this machine."""

from pathlib import Path
from typing import Literal

import keras

Precision = Literal["auto", "float32", "bfloat16"]
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
GPU_CAPABILITY = (8, 0)
"""NVIDIA's first compute capability with bfloat16 tensor cores."""


def dtype_policy(precision: Precision) -> str:
    """Keras' name for a precision; "auto" means bfloat16 where the hardware multiplies it natively.

    >>> dtype_policy("bfloat16")
    'mixed_bfloat16'
    """
    mixed = precision == "bfloat16" or (precision == "auto" and has_bfloat16())
    return "mixed_bfloat16" if mixed else "float32"


def has_bfloat16() -> bool:
    """Whether the device that Keras will use, GPU before CPU, has fast bfloat16."""
    gpu = gpu_capability()
    return gpu >= GPU_CAPABILITY if gpu else bool(CPU_FLAGS & cpu_flags())


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's feature flags as Linux lists them; none where there is no such list."""
    if not cpuinfo.exists():
        return frozenset()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def gpu_capability() -> tuple[int, int] | None:
    """Compute capability of the first NVIDIA GPU that Keras could use; None without one."""
    find = {"tensorflow": _found_by_tensorflow, "jax": _found_by_jax}.get(keras.backend.backend())
    return find() if find else None


def _found_by_tensorflow() -> tuple[int, int] | None:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    major, minor = tf.config.experimental.get_device_details(devices[0])["compute_capability"]
    return (major, minor)


def _found_by_jax() -> tuple[int, int] | None:
    import jax

    first = jax.local_devices()[0]
    if first.platform != "gpu":
        return None
    major, minor = map(int, first.compute_capability.split("."))
    return (major, minor)
