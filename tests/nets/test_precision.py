"""bfloat16 is chosen where the processor lists it, and only then."""

from pathlib import Path

import pytest

from glioseg.nets import precision

FLAGS = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n"


def test_flags_are_read_as_linux_lists_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(FLAGS)
    assert precision.cpu_flags(cpuinfo) == {"fpu", "avx512f", "avx512_bf16", "amx_tile"}
    assert precision.cpu_flags(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize(
    ("flags", "gpu", "policy"),
    [
        ({"avx512_bf16"}, None, "mixed_bfloat16"),
        ({"amx_bf16"}, None, "mixed_bfloat16"),
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


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert precision.dtype_policy("float32") == "float32"
    assert precision.dtype_policy("bfloat16") == "mixed_bfloat16"
