"""The promotion gate's rules, for tests that register a model."""

from glioseg.params.promotion import Limits, Margin, Register

NO_LIMITS = Limits(calibration_error=None, case_s=None, memory_gb=None)


def make_rules(name: str = "glioseg", margin: float = 0.0, **changes: object) -> Register:
    """Rules with one margin for all and no limit; keyword arguments change them."""
    margins = Margin(wt=margin, tc=margin, et=margin, mean=margin)
    given = {"builtin": False, "confidence": 0.95, "samples": 2000, "seed": 1, "limits": NO_LIMITS}
    return Register(name=name, margin=margins, **given | changes)
