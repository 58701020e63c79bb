"""Batched augmentation on the device with per-sample parameters (torchvision's v2 draws one set per call)."""

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor


def crop_and_flip(
    images: UInt8[Tensor, "n c h w"], *, padding: int, flip: bool, generator: torch.Generator
) -> UInt8[Tensor, "n c h w"]:
    """Random crop of the original size after zero padding, then a horizontal flip with probability one half.

    Args:
        images: on the generator's device.
        padding: pixels on each side, >= 0.
        flip: whether to flip.
        generator: source of the 3n draws.
    """
    n, c, h, w = images.shape
    device = images.device
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator, device=device)
    mirrored = torch.rand(n, 1, generator=generator, device=device) < 0.5
    rows = top + torch.arange(h, device=device)
    columns = left + torch.arange(w, device=device)
    if flip:
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images, (padding,) * 4)
    wide = padded.gather(2, rows[:, None, :, None].expand(n, c, h, w + 2 * padding))
    return wide.gather(3, columns[:, None, None, :].expand(n, c, h, w))
