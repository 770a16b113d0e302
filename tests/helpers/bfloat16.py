"""A mark for tests that compute in bfloat16."""

import pytest

from glioseg.models.networks import hardware

needs_bfloat16 = pytest.mark.skipif(
    bool(hardware.BFLOAT16_CPU_FLAGS & hardware.cpu_flags()) and not hardware.onednn_has_bfloat16(),
    reason="the environment forbids oneDNN bfloat16, and oneDNN does not emulate it on such a processor",
)
