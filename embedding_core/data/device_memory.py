"""Whether images have room on the device that trains on them."""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor


def free_on(device: torch.device) -> int | None:
    """What this process may still allocate; None: not known (a CPU)."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    kept = torch.cuda.memory_reserved(device) - allocated  # by torch, for what comes next
    share = torch.cuda.get_per_process_memory_fraction(device)
    return min(free + kept, int(share * total) - allocated)


def too_large(name: str, images: UInt8[Tensor, "n c h w"], device: torch.device, free: int) -> str:
    """A sentence about images that a device has no room for, that says what would fit.

    Args:
        name: of the data set.
        images: all of them.
        device: that has no room.
        free: its bytes.
    """
    count, channels = images.shape[:2]
    per_image = images[0].numel()
    side = math.isqrt(max(0, free) // (count * channels))
    smaller = f"`image_size` {side} or less" if side else "fewer images"
    return (
        f"The images of `{name}` stay on the device and must fit there, but {count:,} of {images.shape[2]}x"
        f"{images.shape[3]} take {_gib(images.numel())} and {device} has {_gib(free)} free. What would fit, with "
        f"nothing left for the network: {smaller}; a data set of {max(0, free) // per_image:,} images of this size "
        "(`subset` draws from all of them, and does not help). With a backbone that is never trained (`freeze_epochs` "
        "of `epochs` or more) the images stay on the host."
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
