"""`glioseg preset`: put settings that belong together into params.yaml."""

from typing import Annotated

import typer

from glioseg.core.errors import one_line
from glioseg.params.presets import apply_preset


def preset(name: Annotated[str, typer.Argument(help="demo, seed or brats.")]) -> None:
    """Put a preset's settings into params.yaml; what it does not name stays as it is.

    demo: minutes on two CPU cores. seed: the 2018 project's own set-up. brats: a full BraTS cohort on a
    GPU.
    """
    with one_line("glioseg preset"):
        changed = apply_preset(name)
    print(f"params.yaml: {', '.join(changed) if changed else 'nothing to change'}")
