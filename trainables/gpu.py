"""The GPU of a trial that holds a share of one: whether torch can use it, and how much of its memory is the trial's."""

import json
import shutil
import subprocess
from typing import Any, Final

import torch

from embedding_core.train import pick_device
from trainables.endings import UnfitMachine

CONTEXT_BYTES: Final = 896 * 2**20
"""What CUDA, cuBLAS and cuDNN take in each process beside torch's allocator, a little rounded up: on an H100 618 MiB
after the first tensor, 866 to 870 MiB after an epoch of any backbone. Smaller cards take less."""

LEAST_FRACTION: Final = 0.01
"""Of a GPU, for a trial whose share others have taken: it runs out of memory, and is tried again alone."""

_ANSWER_TIMEOUT_S: Final = 20.0


def device_of(asked: str, gpu_share: float) -> torch.device:
    """The device that a trial trains on.

    Args:
        asked: `TrainConfig.device`.
        gpu_share: of a GPU that Ray reserves for it.

    Raises:
        UnfitMachine: a share of a GPU that torch cannot use; Ray counts GPUs without it.
        Faults: no such device.
    """
    device = pick_device(asked)
    if gpu_share and asked != "cpu" and (why := why_unusable(device)):
        text = f"A trial holds {gpu_share:g} of a GPU that torch cannot use here: {why}. {_what_is_here()}."
        raise UnfitMachine(f"{text} `--gpus-per-trial 0` trains on CPUs.")
    return device


def why_unusable(device: torch.device) -> str:
    """Why nothing can be computed there by CUDA; empty: it can."""
    if device.type != "cuda":
        return f"{torch.cuda.device_count()} CUDA devices are visible"
    try:
        torch.ones(8, device=device).sum().item()
    except RuntimeError as error:  # no kernel for this card is one as well
        return str(error).splitlines()[0].rstrip(".")
    return ""


def _what_is_here() -> str:
    """Driver, wheel and card."""
    wheel = f"torch {torch.__version__}" + (
        f" for CUDA {torch.version.cuda}" if torch.version.cuda else " without CUDA"
    )
    kernels = ", ".join(torch.cuda.get_arch_list()) or "none"
    cards = "unknown, as `nvidia-smi` does not answer" if (found := _cards()) is None else "; ".join(found) or "none"
    return f"Card, its compute capability and driver: {cards}; {wheel}, kernels for: {kernels}"


def _cards() -> list[str] | None:
    """Name, compute capability and driver of each kind of card that the driver sees; None: there is no telling."""
    program = shutil.which("nvidia-smi")
    asked = [program or "nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return sorted(set(answer.strip().splitlines()))


def survey() -> dict[str, Any]:
    """What torch is and sees here, for who asks in another process: `python -m trainables.gpu` prints it as JSON.

    Returns:
        `torch`; `cards`, the driver's own count of kinds; `gpus`, each with its `name`, `gib` and `why` it cannot be
        used (empty: it can); `here`, a sentence on driver, wheel and card.
    """
    gpus = []
    for index in range(torch.cuda.device_count()):
        named = torch.cuda.get_device_properties(index)
        why = why_unusable(torch.device("cuda", index))
        gpus.append({"name": named.name, "gib": named.total_memory / 2**30, "why": why})
    return {"torch": torch.__version__, "cards": len(_cards() or ()), "gpus": gpus, "here": _what_is_here()}


def memory_fraction(gpu_share: float, *, total: int, in_use: int) -> float:
    """Fraction of a GPU's memory that torch may allocate for a trial, so that as many as share it fit.

    Args:
        gpu_share: in (0, 1).
        total: bytes of the GPU.
        in_use: bytes in use when the trial begins and holds nothing but its context.

    Returns:
        Its share of what is not known to be others' (who are not this sweep's trials), without its context.
    """
    beside = int(1 / gpu_share + 1e-9) - 1
    others = max(0, in_use - CONTEXT_BYTES - int(beside * gpu_share * total))
    return max(LEAST_FRACTION, (gpu_share * (total - others) - CONTEXT_BYTES) / total)


if __name__ == "__main__":
    print(json.dumps(survey()))
