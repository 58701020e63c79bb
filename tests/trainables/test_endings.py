"""What a trial's process calls what it raises."""

import gc
import weakref

import pytest
import torch

from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import StorageError
from trainables.endings import ERROR_LENGTH, CaughtEnding, ending_of


def raised_by_torch() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "oom"),
        (MemoryError(), "oom"),
        (raised_by_torch(), "oom"),
        (StorageError(28, "No space left on device"), "preempted"),
        (FileNotFoundError("weights.pt"), "error"),
        (Faults(["Unknown data set."]), "error"),
        (RuntimeError("shapes differ"), "error"),
    ],
)
def test_each_error_has_an_ending(error: BaseException, reason: str) -> None:
    ending = ending_of(error)
    assert ending is not None
    assert ending["end_reason"] == reason
    assert ending["error_type"].startswith(f"{type(error).__name__}:")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), torch.AcceleratorError("device-side assert")])
def test_what_the_process_must_not_survive_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)), CaughtEnding():
        raise error


def test_an_ending_says_where_and_lets_the_tensors_go() -> None:
    class Tensors:
        """Something that the loop holds."""

    def loop() -> weakref.ref[Tensors]:
        held = Tensors()
        alive.append(weakref.ref(held))
        raise ValueError("first line\n" + "x" * 2 * ERROR_LENGTH)

    alive: list[weakref.ref[Tensors]] = []
    with CaughtEnding() as caught:
        loop()
    gc.collect()
    assert alive[0]() is None
    assert caught.reached is not None
    assert caught.reached["error_type"] == "ValueError: first line"
    assert "in loop" in caught.reached["traceback"]


def test_a_block_that_ends_well_has_no_ending() -> None:
    with CaughtEnding() as caught:
        pass
    assert caught.reached is None
