"""Worker: MONAI's SegResNet with the settings of its BraTS bundle, trained until the time is over."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import DataLoader, PersistentDataset
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    Lambdad,
    LoadImaged,
    NormalizeIntensityd,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
)
from monai.utils import set_determinism
from monai_case import read
from serve import serve

PATCH = (128, 128, 128)
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 1e-5
BOTH = ("image", "label")


def _network() -> SegResNet:
    return SegResNet(
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
        init_filters=16,
        in_channels=4,
        out_channels=3,
        dropout_prob=0.2,
    )


def _regions(nested: torch.Tensor) -> torch.Tensor:
    """WT, TC and ET of nested labels, as channels."""
    return torch.cat([nested >= 1, nested >= 2, nested >= 3]).float()


def _transforms() -> Compose:
    return Compose(
        [
            LoadImaged(BOTH),
            EnsureChannelFirstd(BOTH),
            Lambdad("label", _regions),
            CropForegroundd(BOTH, source_key="image", select_fn=_is_brain, allow_smaller=True),
            SpatialPadd(BOTH, PATCH),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            RandSpatialCropd(BOTH, PATCH, random_size=False),
            *(RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3)),
            RandScaleIntensityd("image", factors=0.1, prob=1.0),
            RandShiftIntensityd("image", offsets=0.1, prob=1.0),
        ]
    )


def _is_brain(image: torch.Tensor) -> torch.Tensor:
    return image != 0


def train(*, cases: list[dict[str, object]], minutes: float, out: str) -> dict[str, object]:
    """Train on cases, each of four images and a nested label map; preparing them is not counted."""
    set_determinism(1)
    begun = time.monotonic()
    dataset = PersistentDataset(cases, _transforms(), cache_dir=Path(out).parent / "cache")
    for number in range(len(dataset)):
        dataset[number]
    prepared_s = time.monotonic() - begun
    net = _network().to(memory_format=torch.channels_last_3d)
    batches = DataLoader(dataset, batch_size=1, sampler=_rounds(len(dataset)), num_workers=1)
    steps, seconds = _run(net, batches, 60 * minutes)
    torch.save(net.state_dict(), out)
    return {"prepared s": prepared_s, "seconds": seconds, "steps": steps}


def _rounds(count: int) -> Iterator[int]:
    """Each case once in a round, in random order, round after round.

    The loader's worker would otherwise start anew in each round, which for one case is each step.
    """
    while True:
        yield from torch.randperm(count).tolist()


def _run(net: SegResNet, batches: DataLoader, limit_s: float) -> tuple[int, float]:
    """Steps until the time is over; the learning rate falls as a cosine of the time that has passed."""
    adam = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    loss = DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)
    begun, steps = time.monotonic(), 0
    for batch in batches:
        passed = (time.monotonic() - begun) / limit_s
        if passed >= 1:
            break
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * passed)) / 2
        images, truth = (batch[k].as_tensor().contiguous(memory_format=torch.channels_last_3d) for k in BOTH)
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(images)
        loss(logits.float(), truth).backward()
        adam.step()
        steps += 1
    return steps, time.monotonic() - begun


def predict(*, model: str, cases: dict[str, list[str]], out: str) -> float:
    """Segment cases of four images; write nested label maps; return the seconds."""
    begun = time.monotonic()
    net = _network().to(memory_format=torch.channels_last_3d).eval()
    net.load_state_dict(torch.load(model))
    inferer = SlidingWindowInferer(PATCH, sw_batch_size=1, overlap=0.5)
    for name, files in cases.items():
        case = read(files)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits = inferer(case.image[None], net)
        labels = case.uncrop(logits[0] > 0)
        nibabel.save(nibabel.Nifti1Image(labels, np.asarray(case.affine)), Path(out) / f"{name}.nii.gz")
    return time.monotonic() - begun


if __name__ == "__main__":
    serve(train, predict)
