"""How a trial ends that raises, as long as its process can still say so: out of memory, an error, storage out of reach.

A dead process says nothing: `sweeps.engine.records.endings`. `sweeps.results.endings` lists all endings.
"""

import traceback
from types import TracebackType
from typing import Any, Final

import torch

from embedding_core.storage.atomic_write import StorageError

ERROR_LENGTH: Final = 500
"""Characters of an error kept in its trial's row."""

TRACEBACK_LENGTH: Final = 8000
"""Characters of its traceback; the end of it."""

_NO_HOST_MEMORY: Final = "can't allocate memory"
"""torch raises a plain RuntimeError where the machine, not the device, has no memory left."""


def ending_of(error: BaseException) -> dict[str, Any] | None:
    """`end_reason`, `error_type` and `traceback` for `trials`, or None: the process must not go on, and Ray is to tell.

    Memory that ran out is `oom`; a disk, share or object store out of reach is `preempted`: both may pass. Anything
    else is a bug of ours or a bad configuration, and would be the same at the next attempt: `error`.
    """
    if not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError):
        return None  # after an error of the device nothing works in this process
    no_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _NO_HOST_MEMORY in str(error)
    reason = "oom" if no_memory else "preempted" if isinstance(error, StorageError) else "error"
    return {
        "end_reason": reason,
        "error_type": described(error),
        "traceback": "".join(traceback.format_exception(error))[-TRACEBACK_LENGTH:],
    }


def described(error: BaseException) -> str:
    """Class and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:ERROR_LENGTH]


class UnfitMachine(Exception):
    """No trial of this sweep can run on this machine: what the driver has, its data, the share, a GPU, is not here."""


class CaughtEnding:
    """As a context, keeps how the block ended in place of what it raised.

    Ray retries whatever is raised, a bug as often as a lost machine: only a dead process may be an error to it. The
    exception itself is let go, for its traceback keeps the loop's tensors alive.
    """

    def __init__(self) -> None:
        self.reached: dict[str, Any] | None = None

    def __enter__(self) -> "CaughtEnding":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.reached = ending_of(error) if error is not None else None
        return self.reached is not None
