"""Worker: one case from raw NIfTI to a label map on the scan's own grid, by glioseg."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from serve import serve

from glioseg.core.memory import peak_gb
from glioseg.core.nifti import read_volume
from glioseg.models.inference.loading import load_model
from glioseg.models.inference.model_settings import Settings
from glioseg.models.inference.predictor import Predictor

STATE = {}


def load_whole(*, model: str, memory_gb: float) -> None:
    """Load a model folder, to see each case in one pass."""
    _load(model, memory_gb=memory_gb, one_pass=True)


def load_windowed(*, model: str, window: list[int]) -> None:
    """Load a model folder, with memory for one window of this shape and no more."""
    known = Settings.load(Path(model))
    memory_gb = peak_gb(tuple(window), base_filters=known.base_filters)
    _load(model, memory_gb=memory_gb, window_shape=tuple(window), overlap=0.5)


def _load(model: str, **changes) -> None:
    known = load_model(Path(model))
    STATE["predictor"] = Predictor(known.models, replace(known.settings, mirror=False, **changes))


def segment(*, files: dict[str, str], out: str) -> float:
    """Segment the case of these files by modality; write its dense labels; return the seconds."""
    begun = time.perf_counter()
    images = {name: read_volume(Path(path)) for name, path in files.items()}
    labels = STATE["predictor"].segment(images)
    seconds = time.perf_counter() - begun
    np.save(out, labels)
    return seconds


if __name__ == "__main__":
    serve(load_whole, load_windowed, segment)
