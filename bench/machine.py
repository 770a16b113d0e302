"""What the numbers were measured on, and the two cores that every measured process may use."""

import os
import platform
import subprocess
from pathlib import Path

import psutil

from glioseg.core.fingerprint import installed_version

CORES = 2
OURS = ("tensorflow", "keras", "numpy", "nibabel")
PEERS = ("torch", "monai", "nnunetv2", "numpy", "nibabel")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""Environment variables that keep oneDNN, which TensorFlow and PyTorch share, and PyTorch's own kernels from
newer instructions."""
TELLING = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8"}
PEER_BIN = Path(__file__).parent / ".venv/bin"
"""Where the peers' interpreter and commands are."""


def pin() -> None:
    """Confine this process, and every process that it starts, to the same few cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def limit_to_avx2() -> None:
    """Emulate a processor without AVX-512, in this process and in every process that it starts."""
    os.environ.update(AVX2)


def limited_to_avx2() -> bool:
    """Whether `limit_to_avx2` was called."""
    return AVX2.items() <= os.environ.items()


def describe() -> dict[str, object]:
    """The machine and the versions, for a result's record; the flags are those that may be used."""
    cpu = _first_cpu()
    usable = {"avx2"} if limited_to_avx2() else TELLING
    return {
        "processor": f"{cpu['model name']}, family {cpu['cpu family']} model {cpu['model']}",
        "cores": f"{CORES} of {os.cpu_count()}",
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "flags": sorted(usable & set(cpu["flags"].split())),
        "python": platform.python_version(),
        "ours": {name: installed_version(name) for name in OURS},
        "peers": _peer_versions(),
    }


def _first_cpu() -> dict[str, str]:
    """What Linux says of the first core."""
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _peer_versions() -> dict[str, str]:
    """Of the peers' environment; benchmarks without peers do not need it."""
    if not PEER_BIN.is_dir():
        return {}
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    answer = subprocess.run(
        [PEER_BIN / "python", "-c", code, *PEERS], capture_output=True, text=True, check=True
    )
    return dict(zip(PEERS, answer.stdout.split(), strict=True))
