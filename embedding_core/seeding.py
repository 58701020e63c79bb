"""Random streams: one per (block seed, role), so that no draw depends on what another role drew before it."""

import hashlib

import torch

_BITS = 63
"""`torch.Generator.manual_seed` takes a signed 64-bit integer."""

STREAMS = 2**_BITS
"""Number of streams, all equally likely."""


def stream(seed: int, *role: str | int) -> int:
    """Seed of the stream that `role` (for example `"order", epoch`) draws from in the block with `seed`."""
    digest = hashlib.sha256(repr((seed, *role)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)


def generator(seed: int, *role: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator at the start of the stream of `role`."""
    return torch.Generator(device).manual_seed(stream(seed, *role))
