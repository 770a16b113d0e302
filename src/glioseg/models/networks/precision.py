"""Which dtype policy a network trains and predicts in: what this machine computes fast."""

import os
import platform
from pathlib import Path
from typing import Literal

import keras

Precision = Literal["auto", "float32", "bfloat16"]
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Features of a processor that multiplies bfloat16: the first two of x86-64, the last of arm64."""
GPU_CAPABILITY = (8, 0)
"""NVIDIA's first compute capability with bfloat16 tensor cores."""
ONEDNN, ONEDNN_ISA = "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA"
"""Environment variables that switch oneDNN off, or keep it from a processor's newer instructions."""
BFLOAT16_ISAS = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10")
"""What the values of ONEDNN_MAX_CPU_ISA begin with that leave it bfloat16."""


def dtype_policy(precision: Precision = "auto") -> str:
    """Keras' name for a precision; "auto" means bfloat16 where the hardware multiplies it natively.

    >>> dtype_policy("bfloat16")
    'mixed_bfloat16'
    """
    mixed = precision == "bfloat16" or (precision == "auto" and has_bfloat16())
    return "mixed_bfloat16" if mixed else "float32"


def has_bfloat16() -> bool:
    """Whether the device that Keras will use, GPU before CPU, has fast bfloat16.

    On a processor without it, or where oneDNN may not use it, bfloat16 is emulated: a forward pass takes some
    twenty times as long as in float32.
    """
    gpu = gpu_capability()
    return gpu >= GPU_CAPABILITY if gpu else bool(CPU_FLAGS & cpu_flags()) and onednn_has_bfloat16()


def onednn_has_bfloat16() -> bool:
    """Whether the environment lets oneDNN multiply bfloat16 where the processor can."""
    highest = os.environ.get(ONEDNN_ISA, "ALL").upper()
    allowed = highest in ("ALL", "DEFAULT", "") or highest.startswith(BFLOAT16_ISAS)
    return os.environ.get(ONEDNN) != "0" and (allowed or platform.machine() not in ("x86_64", "AMD64"))


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's features as Linux lists them, on arm64 as "Features"; none where there is no list."""
    if not cpuinfo.exists():
        return frozenset()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith(("flags", "Features")))
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
