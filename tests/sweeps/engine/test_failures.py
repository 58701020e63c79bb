"""What ended a trial that could not say so itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from sweeps.engine.failures import HostMemoryError, ending_of


def ending(tmp_path: Path, error: RayError | None, **silence: float) -> dict[str, Any]:
    """Through the file in which Tune leaves a trial's last error."""
    file = tmp_path / "error.pkl"
    if error is not None:
        file.write_bytes(cloudpickle.dumps(error))
    trial = SimpleNamespace(pickled_error_file=str(file))
    return ending_of(trial, **{"silent_s": 0.0, "deadline_s": 0.0, **silence})  # type: ignore[arg-type]


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
