"""Worker: one case from raw NIfTI to a label map on its own grid, by MONAI's sliding window."""

import time

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai_case import read
from serve import serve
from torch_net import UNet, fast

STATE = {}


def load(*, weights: str, base_filters: int, depth: int, window: list[int]) -> None:
    """Load the network with ours' weights."""
    net = UNet(base_filters=base_filters, depth=depth, dropout=0)
    net.take(weights)
    STATE["net"] = net.eval().to(memory_format=torch.channels_last_3d)
    STATE["inferer"] = SlidingWindowInferer(window, sw_batch_size=1, overlap=0.5, mode="gaussian")


def segment(*, files: list[str], out: str) -> float:
    """Segment the case of these four files; write its nested labels; return the seconds."""
    begun = time.perf_counter()
    case = read(files)
    with torch.inference_mode(), fast():
        probabilities = STATE["inferer"](case.image[None], _probabilities)
    labels = case.uncrop(probabilities[0] >= 0.5)
    seconds = time.perf_counter() - begun
    np.save(out, labels)
    return seconds


def _probabilities(window: torch.Tensor) -> torch.Tensor:
    logits = STATE["net"](window.contiguous(memory_format=torch.channels_last_3d))
    return torch.sigmoid(logits.float())


if __name__ == "__main__":
    serve(load, segment)
