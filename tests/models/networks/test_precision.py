"""bfloat16 is chosen where the processor lists it, and only then."""

from pathlib import Path

import pytest

from glioseg.models.networks import precision

X86_64 = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n"
ARM64 = "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd sve bf16\n"


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN may use all that the processor has, whatever these tests were started with."""
    for name in (precision.ONEDNN, precision.ONEDNN_ISA):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("content", "features"),
    [(X86_64, {"fpu", "avx512f", "avx512_bf16", "amx_tile"}), (ARM64, {"fp", "asimd", "sve", "bf16"})],
)
def test_features_are_read_as_linux_lists_them(tmp_path: Path, content: str, features: set[str]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(content)
    assert precision.cpu_flags(cpuinfo) == features
    assert precision.cpu_flags(tmp_path / "absent") == frozenset()


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
def test_auto_follows_the_device(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], gpu: tuple[int, int] | None, policy: str
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision, "gpu_capability", lambda: gpu)
    assert precision.dtype_policy("auto") == policy


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
def test_a_library_that_may_not_use_bfloat16_gets_float32(
    monkeypatch: pytest.MonkeyPatch, system: str, variable: str, value: str, policy: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx512_bf16", "bf16"}))
    monkeypatch.setattr(precision, "gpu_capability", lambda: None)
    monkeypatch.setattr(precision.platform, "machine", lambda: system)
    assert precision.dtype_policy() == policy


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert precision.dtype_policy("float32") == "float32"
    assert precision.dtype_policy("bfloat16") == "mixed_bfloat16"
