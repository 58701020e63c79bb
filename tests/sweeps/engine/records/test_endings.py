"""How a trial ended, as the driver sees it: by its last row, or by what its process died of."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from sweeps.engine.private_api import HostMemoryError
from sweeps.engine.records.endings import of_death, of_last_row, of_lost_results
from sweeps.results.endings import END_REASONS
from trainables.endings import ERROR_LENGTH


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"epoch": 2, "end_reason": "completed"}, "completed"),
        ({"epoch": 2, "end_reason": "diverged"}, "diverged"),
        ({"end_reason": "oom"}, "oom"),  # no row of an epoch: it gave up
        ({"epoch": 2, "end_reason": None}, "asha_stopped"),
        ({}, "asha_stopped"),
    ],
)
def test_what_its_process_does_not_say_the_scheduler_did(row: dict[str, Any], reason: str) -> None:
    assert of_last_row(row) == {"end_reason": reason}
    assert reason in END_REASONS


def test_lost_results_are_computed_again_and_the_reason_fits_its_column() -> None:
    found = of_lost_results(ValueError("x" * 2 * ERROR_LENGTH))
    assert found["end_reason"] == "preempted"
    assert found["error_type"].startswith("Results on held-out images are lost: xxx")
    assert len(found["error_type"]) == ERROR_LENGTH


def ending(tmp_path: Path, error: RayError | None, **silence: float) -> dict[str, Any]:
    """Through the file in which Tune leaves a trial's last error."""
    file = tmp_path / "error.pkl"
    if error is not None:
        file.write_bytes(cloudpickle.dumps(error))
    trial = SimpleNamespace(pickled_error_file=str(file))
    return of_death(trial, **{"silent_s": 0.0, "deadline_s": 0.0, **silence})  # type: ignore[arg-type]


def of_our_code() -> RayTaskError:
    return RayTaskError("setup", "Traceback:\n  here\nKeyError: 'x'", KeyError("x"))


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (HostMemoryError(error_msg="Killed.\n\tpid: 7\nToo little memory."), "oom", "Killed. Too little memory."),
        (ActorDiedError(), "preempted", "The actor died unexpectedly"),
        (ActorUnavailableError("lost the node", None), "preempted", "lost the node"),
        (None, "preempted", "without an error of its own"),
        (of_our_code(), "error", "KeyError: 'x'"),
        (ActorDiedError(of_our_code()), "error", "raised in its creation task"),
    ],
)
def test_each_death_has_its_ending(tmp_path: Path, error: RayError | None, reason: str, text: str) -> None:
    found = ending(tmp_path, error)
    assert found["end_reason"] == reason
    assert text in found["error_type"]
    assert (found["traceback"] is not None) == (reason == "error")


def test_a_process_that_ended_itself_over_its_deadline_hung(tmp_path: Path) -> None:
    found = ending(tmp_path, ActorDiedError(), silent_s=61.0, deadline_s=60.0)
    assert (found["end_reason"], found["error_type"]) == ("error", "No row within 60 s.")
    assert ending(tmp_path, ActorDiedError(), silent_s=59.0, deadline_s=60.0)["end_reason"] == "preempted"


NO_GPU_MEMORY = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
NO_HOST_MEMORY = "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    ("error", "gpu_share", "reason"),
    [
        (NO_GPU_MEMORY, 0.25, "oom_shared"),
        (NO_GPU_MEMORY, 1.0, "oom"),  # it had the whole of it
        (NO_GPU_MEMORY, 0.0, "oom"),
        (NO_HOST_MEMORY, 0.25, "oom"),  # a whole GPU would not help
    ],
)
def test_what_a_share_of_a_gpu_is_too_small_for_is_not_judged_yet(error: str, gpu_share: float, reason: str) -> None:
    row = {"end_reason": "oom", "error_type": error}
    assert of_last_row(row, gpu_share=gpu_share)["end_reason"] == reason
    assert of_last_row({"end_reason": "completed"}, gpu_share=gpu_share)["end_reason"] == "completed"
