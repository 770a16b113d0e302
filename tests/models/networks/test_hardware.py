"""bfloat16 is used where processor and library support it, and only there."""

from pathlib import Path

import pytest

from glioseg.models.networks import hardware

X86_64 = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n"
ARM64 = "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd sve bf16\n"


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove limits on oneDNN from the environment of the tests."""
    for name in (hardware.ONEDNN, hardware.ONEDNN_ISA):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("content", "flags"),
    [(X86_64, {"fpu", "avx512f", "avx512_bf16", "amx_tile"}), (ARM64, {"fp", "asimd", "sve", "bf16"})],
)
def test_cpu_flags_are_read_from_cpuinfo(tmp_path: Path, content: str, flags: set[str]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(content)
    assert hardware.cpu_flags(cpuinfo) == flags
    assert hardware.cpu_flags(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize(
    ("flags", "gpu", "policy"),
    [
        ({"avx512_bf16"}, None, "mixed_bfloat16"),
        ({"amx_bf16"}, None, "mixed_bfloat16"),
        ({"fp", "bf16"}, None, "mixed_bfloat16"),
        (set(), None, "float32"),
        ({"avx2"}, None, "float32"),
        ({"avx2"}, (8, 0), "mixed_bfloat16"),
        ({"avx512_bf16"}, (7, 5), "float32"),
    ],
)
def test_auto_depends_on_the_device(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], gpu: tuple[int, int] | None, policy: str
) -> None:
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(hardware, "gpu_capability", lambda: gpu)
    assert hardware.dtype_policy("auto") == policy


@pytest.mark.parametrize(
    ("system", "variable", "value", "policy"),
    [
        ("x86_64", "ONEDNN_MAX_CPU_ISA", "AVX2", "float32"),
        ("x86_64", "ONEDNN_MAX_CPU_ISA", "avx512_core", "float32"),
        ("x86_64", "ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX", "mixed_bfloat16"),
        ("x86_64", "ONEDNN_MAX_CPU_ISA", "ALL", "mixed_bfloat16"),
        ("aarch64", "ONEDNN_MAX_CPU_ISA", "AVX2", "mixed_bfloat16"),
        ("x86_64", "TF_ENABLE_ONEDNN_OPTS", "0", "float32"),
        ("aarch64", "TF_ENABLE_ONEDNN_OPTS", "0", "float32"),
        ("x86_64", "TF_ENABLE_ONEDNN_OPTS", "1", "mixed_bfloat16"),
    ],
)
def test_auto_is_float32_if_the_environment_forbids_bfloat16(
    monkeypatch: pytest.MonkeyPatch, system: str, variable: str, value: str, policy: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset({"avx512_bf16", "bf16"}))
    monkeypatch.setattr(hardware, "gpu_capability", lambda: None)
    monkeypatch.setattr(hardware.platform, "machine", lambda: system)
    assert hardware.dtype_policy() == policy


def test_an_explicit_precision_overrides_the_device() -> None:
    assert hardware.dtype_policy("float32") == "float32"
    assert hardware.dtype_policy("bfloat16") == "mixed_bfloat16"
