"""Which tests can compute in bfloat16 here."""

import pytest

from glioseg.models.networks import precision

needs_bfloat16 = pytest.mark.skipif(
    bool(precision.CPU_FLAGS & precision.cpu_flags()) and not precision.onednn_has_bfloat16(),
    reason="oneDNN is kept from bfloat16 here, and does not fall back as on a processor that lacks it",
)
