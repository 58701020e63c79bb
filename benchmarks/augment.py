"""Images per second of every augmentation recipe, against torchvision's transforms image by image.

    python benchmarks/augment.py [--rounds 15] [--device cpu] [--threads 2]

Peer: a list of torchvision v2 transforms called on each image by itself, which is how it gets parameters of its own.
Recipe and peer take turns in one process; medians over rounds. The target is 20,000 CIFAR-sized images per second for
`crop` on two cores.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from machine import machine_class
from torch import Tensor
from torchvision.transforms import v2

from embedding_core.seeding import generator
from embedding_core.transforms import AUGMENTATIONS, augment

TARGET = 20_000
SIZE = 32
PEER_IMAGES = 64
"""Images per round of the peer: its time per image does not depend on their number."""


def main() -> None:
    """Print one row per recipe and batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="counted, of recipe and peer (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    print(f"{machine_class()}; on {device.type}, {torch.get_num_threads()} threads, n = {arguments.rounds} rounds")
    print(f"images/s at 3x{SIZE}x{SIZE}, uint8 to uint8: medians; ratio: median of the rounds' ratios and their range")
    print(f"{'':16}{'batch':>8}{'recipe':>12}{'one by one':>12}{'ratio':>8}{'range':>14}")
    for recipe in AUGMENTATIONS[1:]:
        for batch in (256, 1024):
            ours, theirs = compare(recipe, batch, device, arguments.rounds)
            ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{recipe:16}{batch:8}{statistics.median(ours):12,.0f}{statistics.median(theirs):12,.0f}"
                f"{statistics.median(ratios):8.1f}{ratios[0]:8.1f}-{ratios[-1]:.1f}",
                flush=True,
            )
    print(f"target: `crop` at least {TARGET:,} images/s on two cores.")


def compare(recipe: str, batch: int, device: torch.device, rounds: int) -> tuple[list[float], list[float]]:
    """Images per second of recipe and peer, in turns, after one round of each that does not count."""
    images = torch.randint(0, 256, (batch, 3, SIZE, SIZE), generator=generator(0, "images"), dtype=torch.uint8)
    images = images.to(device)
    draws = generator(0, "augmentation", device=device)
    transform = peer(recipe)

    def batched() -> Tensor:
        return augment(images, recipe, padding=SIZE // 8, flip=True, strength=1.0, generator=draws)

    def one_by_one() -> Tensor:
        return torch.stack([transform(image) for image in images[:PEER_IMAGES]])

    ours, theirs = [], []
    for _ in range(1 + rounds):
        ours.append(batch / seconds(batched, device))
        theirs.append(PEER_IMAGES / seconds(one_by_one, device))
    return ours[1:], theirs[1:]


def seconds(run: Callable[[], Tensor], device: torch.device) -> float:
    """Wall time until the device is done."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def peer(recipe: str) -> Callable[[Tensor], Tensor]:
    """The recipe in torchvision's words."""
    flip = v2.RandomHorizontalFlip()
    turn = v2.RandomRotation(10, interpolation=v2.InterpolationMode.BILINEAR)
    blur = v2.GaussianBlur(3, (0.1, 2.0))
    grey = v2.RandomGrayscale(0.2)
    zoom = v2.RandomAffine(10, scale=(1.0, 1.1), interpolation=v2.InterpolationMode.BILINEAR)
    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
    weak, stronger = v2.ColorJitter(0.2, 0.2, 0.2, 0.05), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    transforms: dict[str, Callable[[Tensor], Tensor]] = {
        "crop": v2.Compose([v2.RandomCrop(SIZE, padding=SIZE // 8), flip]),
        "affine": v2.Compose([zoom, flip, v2.ColorJitter(0.2, 0.2)]),
        "simclr": v2.Compose([v2.RandomResizedCrop(SIZE), flip, jitter, grey]),
        "study4_weak": TwoOf(flip, turn, weak, blur),
        "study4_strong": TwoOf(flip, v2.RandomResizedCrop(SIZE, (0.5, 1.0)), grey, blur, stronger),
    }
    return transforms[recipe]


class TwoOf:
    """Two of the transforms, drawn anew at each call."""

    def __init__(self, *transforms: Callable[[Tensor], Tensor]) -> None:
        self.transforms = transforms

    def __call__(self, image: Tensor) -> Tensor:
        """Apply them in the order drawn."""
        for i in torch.randperm(len(self.transforms))[:2].tolist():
            image = self.transforms[i](image)
        return image


if __name__ == "__main__":
    main()
