"""The seed's network once more, in PyTorch: the same layers under the same names, and its loss."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LEAK = 0.01
HEADS = 3


def fast() -> torch.autocast:
    """A context in bfloat16, or on a processor without AVX-512, which would emulate it, in float32."""
    return torch.autocast(
        "cpu", torch.bfloat16, enabled=torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    )


class Conv(nn.Module):
    """Convolution, instance norm, LeakyReLU; a stride of 2 pads behind only, as Keras does."""

    def __init__(self, ins: int, outs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.behind = stride == 2
        self.conv = nn.Conv3d(ins, outs, size, stride, 0 if self.behind else size // 2)
        self.norm = nn.InstanceNorm3d(outs, eps=1e-5, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ins, D, H, W) to (B, outs, …)."""
        if self.behind:
            x = functional.pad(x, (0, 1, 0, 1, 0, 1))
        return functional.leaky_relu_(self.norm(self.conv(x)), LEAK)


class UNet(nn.Module):
    """(B, 4, D, H, W) to (B, 3, D, H, W) logits; arguments as those of `build_unet`."""

    def __init__(self, *, base_filters: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.depth, self.dropout, self.parts = depth, nn.Dropout3d(dropout), nn.ModuleDict()
        for level in range(depth):
            filters = base_filters * 2**level
            ins, stride = (4, 1) if level == 0 else (filters // 2, 2)
            self.parts[f"enc{level}"] = Conv(ins, filters, stride=stride)
            self.parts[f"enc{level}_conv1"] = Conv(filters, filters)
            self.parts[f"enc{level}_conv2"] = Conv(filters, filters)
        for level in range(depth - 1):
            filters = base_filters * 2**level
            self.parts[f"dec{level}_up_conv"] = Conv(2 * filters, filters)
            self.parts[f"dec{level}_conv1"] = Conv(2 * filters, filters)
            self.parts[f"dec{level}_conv2"] = Conv(filters, filters, size=1)
            if level < HEADS:
                self.parts[f"head{level}"] = nn.Conv3d(filters, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of the heads' logits."""
        skips = []
        for level in range(self.depth):
            x = self.parts[f"enc{level}"](x)
            y = self.dropout(self.parts[f"enc{level}_conv1"](x))
            x = x + self.parts[f"enc{level}_conv2"](y)
            skips.append(x)
        total = None
        for level in reversed(range(self.depth - 1)):
            x = self.parts[f"dec{level}_up_conv"](up(x))
            x = self.parts[f"dec{level}_conv1"](torch.cat([skips[level], x], 1))
            x = self.parts[f"dec{level}_conv2"](x)
            if level < HEADS:
                logits = self.parts[f"head{level}"](x)
                total = logits if total is None else logits + up(total)
        return total

    def count(self) -> int:
        """How many parameters it has."""
        return sum(parameter.numel() for parameter in self.parameters())

    def take(self, weights: str) -> None:
        """Take the weights that `ours_net.export` wrote; every one must find its place."""
        left = dict(np.load(weights))
        with torch.no_grad():
            for name, part in self.parts.items():
                conv, norm = (part.conv, part.norm) if isinstance(part, Conv) else (part, None)
                conv.weight.copy_(torch.from_numpy(left.pop(f"{name}/kernel").transpose(4, 3, 0, 1, 2)))
                conv.bias.copy_(torch.from_numpy(left.pop(f"{name}/bias")))
                if norm is not None:
                    norm.weight.copy_(torch.from_numpy(left.pop(f"{name}_norm/gamma")))
                    norm.bias.copy_(torch.from_numpy(left.pop(f"{name}_norm/beta")))
        if left:
            raise ValueError(f"{weights}: weights without a place: {sorted(left)}")


def up(x: torch.Tensor) -> torch.Tensor:
    """Nearest-neighbour upsampling by two."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice loss, case by case, plus binary cross-entropy: glioseg's `dice_ce`."""
    logits, truth = logits.float(), truth.float()
    p, voxels = torch.sigmoid(logits), (2, 3, 4)
    dice = (2 * (p * truth).sum(voxels) + 1) / (p.sum(voxels) + truth.sum(voxels) + 1)
    return 1 - dice.mean() + functional.binary_cross_entropy_with_logits(logits, truth)
