"""What a run computes products in, by name: settings of the whole process, kept for as long as the run computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from embedding_core.errors import Faults

_Item = TypeVar("_Item")


def pick_precision(asked: str, device: torch.device) -> str:
    """`auto` follows the device: bf16 on a CPU without the instructions is 10 times slower than float32.

    Raises:
        Faults: `tf32` of a device that has none, and would compute in float32 under that name.
    """
    if asked == "tf32" and device.type != "cuda":
        raise Faults([f"`precision` must be float32, bf16 or auto without a CUDA device, but got tf32 on {device}."])
    if asked != "auto":
        return asked
    return "bf16" if device.type == "cuda" else "float32"


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Convolutions and matrix products of float32 tensors: in TF32 under `tf32`, in float32 under any other name.

    torch's own default on CUDA is mixed: convolutions in TF32 (10 bits of mantissa in place of 23), matrix products in
    float32. The settings are the process's; they are afterwards as they were before.

    Args:
        precision: `float32`, `tf32` or `bf16` (of which this settles what autocast leaves in float32).
    """
    before, matmul = [flag.fp32_precision for flag in _flags()], _matmul_precision()
    _set("tf32" if precision == "tf32" else "ieee")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0] == "tf32"
        torch.set_float32_matmul_precision(matmul)
        for flag, value in zip(_flags(), before, strict=True):
            flag.fp32_precision = value


def computed_in(precision: str, items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; `float32_products` holds while one is computed, and not while their consumer has the word."""
    while True:
        with float32_products(precision):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def precision_seen(of_backbone: str, device: torch.device) -> str:
    """What products are computed in now: `float32`, `tf32`, `bf16`, or `mixed`, which no run asks for.

    Args:
        of_backbone: `EmbeddingNetwork.precision`.
        device: where it is computed; only CUDA has TF32.
    """
    if of_backbone == "bf16" or device.type != "cuda":
        return "bf16" if of_backbone == "bf16" else "float32"
    convolutions, _, products, _ = (flag.fp32_precision == "tf32" for flag in _flags())
    return "mixed" if convolutions != products else "tf32" if products else "float32"


def _flags() -> tuple[Any, ...]:
    """Each with an `fp32_precision` of its own."""
    backends: Any = torch.backends
    return backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.matmul


def _set(value: str) -> None:
    """By torch's older names too: its compiler asks those, and gets an error where they disagree with the newer."""
    torch.backends.cudnn.allow_tf32 = value == "tf32"
    torch.set_float32_matmul_precision("high" if value == "tf32" else "highest")
    for flag in _flags():  # what is left open would follow `torch.backends.fp32_precision`
        flag.fp32_precision = value


def _matmul_precision() -> str:
    """Of matrix products by the older name; where torch refuses to say, in agreement with the newer."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"
