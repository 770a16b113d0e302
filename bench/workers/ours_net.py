"""Worker: training steps of glioseg's network in the machine's fastest precision, its weights and answers."""

import time
from pathlib import Path

import keras
import numpy as np
from ours_build import build, changed, compiled
from serve import serve

from glioseg.models.networks.keras_file import MODEL_FILE, load_network
from glioseg.models.training.losses import segmentation_loss

STATE = {}
NETWORK = {"architecture": "seed", "heads": "plain", "deep_supervision": "sum", "target": "regions"}
TRAIN = {
    "outputs": ["segmentation"],
    "loss": "dice_ce",
    "batch_dice": False,
    "cross_entropy_weight": 1,
    "schedule": "constant",
    "precision": "auto",
    "patch_shape": [64, 64, 64],  # batches are given: this one only has to suit the depth
}


def prepare(**shape: object) -> int:
    """Build the network twice with the same weights, for steps and for answers; count its parameters."""
    keras.utils.set_random_seed(1)
    params = changed({"network": NETWORK | shape, "train": TRAIN})
    plan, exact = compiled(params, cases=()), build(params, dtype="float32")
    exact.set_weights(plan.model.get_weights())
    STATE.update(plan=plan, exact=exact)
    return exact.count_params()


def export(*, out: str, model: str | None = None) -> None:
    """Write the weights of the network, or of a model folder, by layer and name."""
    net = load_network(Path(model) / MODEL_FILE, "float32") if model else STATE["exact"]
    np.savez(
        out, **{f"{layer.name}/{w.name}": w.numpy() for layer in net.layers for w in layer.trainable_weights}
    )


def batch(*, images: str, truth: str) -> None:
    """Load a batch (B, D, H, W, C) and keep it as Keras likes it best."""
    for name, path in (("images", images), ("truth", truth)):
        STATE[name] = keras.ops.convert_to_tensor(np.load(path))


def answer(*, out: str) -> float:
    """Write the probabilities of the batch, in float32 and without dropout; return the loss."""
    answer = STATE["exact"](STATE["images"], training=False)["segmentation"]
    np.save(out, keras.ops.convert_to_numpy(answer))
    return float(segmentation_loss(STATE["plan"].train)(STATE["truth"], answer))


def step() -> float:
    """Train on the batch; return the seconds."""
    begun = time.perf_counter()
    STATE["plan"].model.train_on_batch(STATE["images"], {"segmentation": STATE["truth"]})
    return time.perf_counter() - begun


if __name__ == "__main__":
    serve(prepare, export, batch, answer, step)
