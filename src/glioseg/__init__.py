"""From brain MRI to a registered, served tumour-segmentation model whose lineage is recorded.

`import glioseg` loads no library; each name is imported when it is first used.

Examples:
    >>> import glioseg
    >>> result = glioseg.segment("case/")  # doctest: +SKIP
    >>> result.volumes_ml  # doctest: +SKIP
    {'WT': 103.2, 'TC': 41.0, 'ET': 22.7}
    >>> result.save("segmentation.nii.gz")  # doctest: +SKIP
    >>> glioseg.evaluate("segmentation.nii.gz", "truth.nii.gz")["dice_wt"]  # doctest: +SKIP
    0.91
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "GliosegError": "glioseg.core.errors",
    "Model": "glioseg.api.model",
    "RejectedCaseError": "glioseg.api.segmentation",
    "RejectedCaseWarning": "glioseg.api.model",
    "Segmentation": "glioseg.api.segmentation",
    "evaluate": "glioseg.api.score",
    "load_model": "glioseg.api.model",
    "segment": "glioseg.api.model",
}
"""The module of each name; `__init__.pyi` states the same for type checkers and editors."""

__all__ = [
    "GliosegError",
    "Model",
    "RejectedCaseError",
    "RejectedCaseWarning",
    "Segmentation",
    "evaluate",
    "load_model",
    "segment",
]


def __getattr__(name: str) -> Any:
    """A name of the API; its module is imported when the name is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'glioseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
