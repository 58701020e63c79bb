"""Batched augmentation on the device with per-sample parameters (torchvision's v2 draws one set per call)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.transforms.affine import PerImage, Window, bounds, random_window, resized, turned, warp
from embedding_core.transforms.colour import colour_jitter, gaussian_blur, greyscale

SIMCLR_JITTER = (0.8, 0.8, 0.8, 0.2)
"""Strengths of brightness, contrast, saturation and hue at strength 1."""

BLUR_SIDE = 64
"""Shorter side in pixels from which `simclr` blurs: the paper leaves it out for CIFAR."""

CPU_BLOCK = 2**18
"""Values changed at once on a CPU: they stay in its cache (1.6 to 2.6 times as fast at 1,024 CIFAR images)."""


def augment(
    images: UInt8[Tensor, "n c h w"],
    name: str,
    *,
    padding: int,
    flip: bool,
    strength: float,
    generator: torch.Generator,
) -> UInt8[Tensor, "n c h w"]:
    """Change every image by its own draws.

    How many draws are made depends on name and shape alone, not on pixels, `flip` or `strength`. Each augmentation
    moves, then recolours, then blurs; it interpolates once and rounds once.

    Args:
        images: on the generator's device; one channel (grey) or three (red, green, blue).
        name: one of `AUGMENTATIONS`: `none`; `crop`, see `crop_and_flip`; the others, see their functions here.
        padding: pixels on each side, >= 0; for `crop`.
        flip: whether a mirrored image is one of its class.
        strength: factor on the strengths of the colour jitter, >= 0.
        generator: source of all draws.

    Raises:
        ValueError: unknown name.
    """
    if name == "none":
        return images
    if name == "crop":
        return crop_and_flip(images, padding=padding, flip=flip, generator=generator)
    if name not in BY_NAME:
        raise ValueError(unknown("augmentation", name, AUGMENTATIONS))
    n, _, h, w = images.shape
    return apply(images, BY_NAME[name](Draws(n, h, w, flip, strength, generator)))


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


class Changes(NamedTuple):
    """What happens to each image of a batch, in this order; None: nothing."""

    source: Float[Tensor, "n 2 3"] | None = None
    limits: Float[Tensor, "n 2 2"] | None = None
    jitter: Float[Tensor, "n 4"] | None = None
    grey: Bool[Tensor, " n"] | None = None
    sigma: PerImage | None = None


def apply(images: UInt8[Tensor, "n c h w"], changes: Changes) -> UInt8[Tensor, "n c h w"]:
    """Carry out `changes` in float32, rounding once at the end."""
    n, *shape = images.shape
    block = max(1, CPU_BLOCK // math.prod(shape) if images.device.type == "cpu" else n)
    out = torch.empty_like(images)
    for start in range(0, n, block):
        rows = slice(start, start + block)
        source, limits, jitter, grey, sigma = (None if part is None else part[rows] for part in changes)
        x = images[rows].float() / 255
        if source is not None:
            x = warp(x, source, limits)
        if jitter is not None:
            x = colour_jitter(x, jitter)
        if grey is not None:
            x = greyscale(x, grey)
        if sigma is not None:
            x = gaussian_blur(x, sigma)
        out[rows] = (x * 255).round_().clamp_(0, 255)
    return out


@dataclass(frozen=True)
class Draws:
    """Independent draws, one per image, and what the augmentations need to know of the batch."""

    n: int
    h: int
    w: int
    flip: bool
    strength: float
    generator: torch.Generator

    def uniform(self, low: float, high: float) -> PerImage:
        """Uniform between `low` and `high`."""
        return low + (high - low) * torch.rand(self.n, generator=self.generator, device=self.generator.device)

    def chance(self, probability: float) -> Bool[Tensor, " n"]:
        """True with this probability."""
        return self.uniform(0, 1) < probability

    def mirrored(self) -> Bool[Tensor, " n"]:
        """True with probability one half, if images may be flipped at all."""
        return self.chance(0.5) & self.flip

    def two_of(self, allowed: Sequence[bool]) -> Bool[Tensor, "k n"]:
        """Marks two of the allowed ones of k, every pair being equally likely."""
        keys = torch.rand(len(allowed), self.n, generator=self.generator, device=self.generator.device)
        for key, may in zip(keys, allowed, strict=True):
            if not may:
                key.fill_(2)  # above all others, so never among the lowest two
        return keys.argsort(dim=0).argsort(dim=0) < 2

    def jitter(self, strengths: Sequence[float], where: Bool[Tensor, " n"]) -> Float[Tensor, "n 4"]:
        """Factors of brightness, contrast and saturation around 1 (not below 0) and a hue shift around 0."""
        *ranges, hue = (self.strength * s for s in strengths)
        factors = [torch.where(where, self.uniform(max(0.0, 1 - s), 1 + s), 1.0) for s in ranges]
        return torch.stack([*factors, torch.where(where, self.uniform(-hue, hue), 0.0)], dim=1)

    def window(self, scale: tuple[float, float]) -> Window:
        """Part of the image to enlarge."""
        return random_window(self.n, self.h, self.w, scale=scale, generator=self.generator)


def affine(draws: Draws) -> Changes:
    """Turn by up to 10 degrees, enlarge by up to 1.1, flip if allowed, brightness and contrast within .2.

    Source: study 3's protocol (fastai's transforms), without its flip of digits.
    """
    source = turned(draws.uniform(-10, 10), draws.uniform(1, 1.1), draws.mirrored(), h=draws.h, w=draws.w)
    everywhere = torch.ones_like(source[:, 0, 0], dtype=torch.bool)
    return Changes(source, jitter=draws.jitter((0.2, 0.2, 0, 0), everywhere))


def simclr(draws: Draws) -> Changes:
    """Resized crop (.08 to 1 of the area), flip, colour jitter (probability .8), grey (.2), blur (.5).

    The paper keeps the crop's range on CIFAR (its appendix B.9) and leaves out the blur: see `BLUR_SIDE`.

    Source: Chen et al. 2020, arXiv 2002.05709, appendix A.
    """
    h, w = draws.h, draws.w
    window, mirrored = draws.window((0.08, 1)), draws.mirrored()
    jitter = draws.jitter(SIMCLR_JITTER, draws.chance(0.8))
    grey = draws.chance(0.2)
    sigma = torch.where(draws.chance(0.5), draws.uniform(0.1, 2), 0.0) if min(h, w) >= BLUR_SIDE else None
    return Changes(resized(window, mirrored, h=h, w=w), bounds(window, h=h, w=w), jitter, grey, sigma)


def study4_weak(draws: Draws) -> Changes:
    """Two of flip, rotation by up to 10 degrees, a quarter of SimCLR's jitter, blur.

    A flip that was picked is a fair coin, as torchvision's is; one that is not allowed is never picked.

    Source: study 4's protocol, iteration 1. It gives no strength of the jitter and no width of the blur: ours.
    """
    flips, turns, jitters, blurs = draws.two_of((draws.flip, True, True, True))
    degrees = torch.where(turns, draws.uniform(-10, 10), 0.0)
    source = turned(degrees, torch.ones_like(degrees), draws.mirrored() & flips, h=draws.h, w=draws.w)
    jitter = draws.jitter([s / 4 for s in SIMCLR_JITTER], jitters)
    return Changes(source, jitter=jitter, sigma=torch.where(blurs, draws.uniform(0.1, 2), 0.0))


def study4_strong(draws: Draws) -> Changes:
    """Two of flip, resized crop (.5 to 1 of the area), grey (probability .2), blur, half of SimCLR's jitter.

    A flip that was picked is a fair coin, as torchvision's is; one that is not allowed is never picked.

    Source: study 4's protocol, iteration 2. It gives no strength of the jitter and no width of the blur: ours.
    """
    h, w = draws.h, draws.w
    flips, crops, greys, blurs, jitters = draws.two_of((draws.flip, True, True, True, True))
    whole = (0, 0, h, w)
    window = Window(*(torch.where(crops, part, side) for part, side in zip(draws.window((0.5, 1)), whole, strict=True)))
    source = resized(window, draws.mirrored() & flips, h=h, w=w)
    jitter = draws.jitter([s / 2 for s in SIMCLR_JITTER], jitters)
    sigma = torch.where(blurs, draws.uniform(0.1, 2), 0.0)
    return Changes(source, bounds(window, h=h, w=w), jitter, draws.chance(0.2) & greys, sigma)


BY_NAME: dict[str, Callable[[Draws], Changes]] = {
    "affine": affine,
    "simclr": simclr,
    "study4_weak": study4_weak,
    "study4_strong": study4_strong,
}
AUGMENTATIONS = ("none", "crop", *BY_NAME)
