"""Benchmark: one training step of the same network, in Keras on TensorFlow and in PyTorch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.options import Options
from bench.paired import ratios, take_turns
from bench.results import Goal, Result, Row
from bench.worker import Worker
from glioseg.core.labels import regions_from_labels

TITLE = "Training step: the same network in PyTorch"
USES = ()
GOAL, TOLERANCE = 1.1, 1e-3


@dataclass(frozen=True)
class Size:
    """One batch: (batch, edge, edge, edge, 4) voxels; and how many pairs are timed."""

    batch: int
    edge: int
    pairs: int


def run(options: Options) -> Result:
    """Time both sides in turn, after checking that they compute the same."""
    shape = {"base_filters": 16, "depth": 5, "dropout": 0.3}
    sizes = [Size(2, 64, 15), Size(1, 128, 7)]
    if options.smoke:
        shape, sizes = {"base_filters": 2, "depth": 4, "dropout": 0.3}, [Size(2, 16, 2)]
    rows = [_measure(size, shape, options) for size in sizes]
    goals = [
        Goal(
            f"throughput at {row['batch']} ≥ {GOAL}× PyTorch's", f"{row['ratio']:.2f}×", row["ratio"] >= GOAL
        )
        for row in rows
    ]
    worst = max(max(row["largest difference"], row["loss difference"]) for row in rows)
    goals.append(Goal(f"the same function: differences ≤ {TOLERANCE:g}", f"{worst:.1e}", worst <= TOLERANCE))
    return Result(rows, goals)


def _measure(size: Size, shape: dict[str, object], options: Options) -> Row:
    """One size's row."""
    work = options.work / "train_step"
    files = _batch(size, work)
    with (
        Worker("ours_net.py", log=options.log("ours_net")) as ours,
        Worker("torch_step.py", log=options.log("torch_step")) as peer,
    ):
        count = ours.ask("prepare", **shape)
        ours.ask("export", out=work / "weights.npz")
        peers = peer.ask("build", weights=work / "weights.npz", **shape)
        if peers != count:
            raise ValueError(f"PyTorch's network: expected {count} parameters, got {peers}")
        losses = []
        for side, name in ((ours, "ours"), (peer, "peer")):
            side.ask("batch", **files)
            losses.append(side.ask("answer", out=work / f"{name}.npy"))
        pairs = take_turns([lambda: ours.ask("step"), lambda: peer.ask("step")], rounds=size.pairs)
        ours_s, peer_s = np.median(pairs, axis=0)
        return {
            "batch": f"{size.edge}³ × {size.batch}",
            "parameters": count,
            "glioseg s": float(ours_s),
            "PyTorch s": float(peer_s),
            **ratios(pairs),
            "pairs": size.pairs,
            "largest difference": float(abs(np.load(work / "ours.npy") - np.load(work / "peer.npy")).max()),
            "loss difference": abs(losses[0] - losses[1]),
            "glioseg peak GB": ours.ask("peak_gb"),
            "PyTorch peak GB": peer.ask("peak_gb"),
        }


def _batch(size: Size, work: Path) -> dict[str, object]:
    """Noise with a ball of tumour in it: what the voxels hold does not change a step's cost."""
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    shape = (size.batch, size.edge, size.edge, size.edge)
    axes = np.indices(shape[1:]) - size.edge / 2
    labels = np.digitize(np.linalg.norm(axes, axis=0) / size.edge, [0.1, 0.2, 0.3])
    truth = regions_from_labels(np.broadcast_to(np.array([3, 1, 2, 0], np.uint8)[labels], shape))
    files = {"images": work / "images.npy", "truth": work / "truth.npy"}
    np.save(files["images"], rng.standard_normal((*shape, 4), np.float32))
    np.save(files["truth"], truth)
    return files
