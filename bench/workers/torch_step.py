"""Worker: training steps of the network in PyTorch, in the machine's fastest precision, channels last."""

import time

import numpy as np
import torch
from serve import serve
from torch_net import UNet, fast, loss

STATE = {}


def build(*, weights: str, base_filters: int, depth: int, dropout: float) -> int:
    """Build the network with ours' weights; return its number of parameters."""
    net = UNet(base_filters=base_filters, depth=depth, dropout=dropout)
    net.take(weights)
    STATE["net"] = net.to(memory_format=torch.channels_last_3d)
    STATE["adam"] = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)
    return net.count()


def batch(*, images: str, truth: str) -> None:
    """Load a batch (B, D, H, W, C) and keep it as PyTorch likes it best."""
    for name, path in (("images", images), ("truth", truth)):
        tensor = torch.from_numpy(np.load(path)).movedim(-1, 1)
        STATE[name] = tensor.contiguous(memory_format=torch.channels_last_3d)


def answer(*, out: str) -> float:
    """Write the probabilities of the batch, in float32 and without dropout; return the loss."""
    net = STATE["net"].eval()
    with torch.inference_mode():
        logits = net(STATE["images"])
        np.save(out, torch.sigmoid(logits).movedim(1, -1).numpy())
        return float(loss(logits, STATE["truth"]))


def step() -> float:
    """Train on the batch; return the seconds."""
    net, adam = STATE["net"].train(), STATE["adam"]
    begun = time.perf_counter()
    adam.zero_grad(set_to_none=True)
    with fast():
        logits = net(STATE["images"])
    loss(logits, STATE["truth"]).backward()
    adam.step()
    return time.perf_counter() - begun


if __name__ == "__main__":
    serve(build, batch, answer, step)
