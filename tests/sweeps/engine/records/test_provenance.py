"""The commit of a sweep that runs as a job of a cluster, where there is no checkout."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from sweeps.engine.machines.cluster import TRIAL_ENVIRONMENT
from sweeps.engine.records.provenance import GIT_DIRTY, GIT_SHA, Provenance

ROOT = Path(__file__).resolve().parents[4]


def submitted() -> list[str]:
    """The words of the command that `make cluster-submit` would run."""
    make = ["make", "--dry-run", "--old-file", ".venv/.aws", "cluster-submit", "NAME=first"]
    made = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return shlex.split(made[made.index("job submit") :].replace("\\\n", ""))


def test_a_submitted_job_knows_the_commit_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    words = submitted()
    runtime_env = json.loads(words[words.index("--runtime-env-json") + 1])
    variables = runtime_env.pop("env_vars")
    # Ray refuses a driver that sets what its job sets; the driver sets these.
    assert not variables.keys() & TRIAL_ENVIRONMENT.keys()
    assert not runtime_env
    here = Provenance.here()
    monkeypatch.setenv("PATH", "")  # as good as no checkout
    assert (Provenance.here().git_sha, Provenance.here().git_dirty) == (None, None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Provenance.here() == here


@pytest.mark.parametrize(
    ("sha", "dirty", "expected"),
    [("c0ffee", "true", ("c0ffee", True)), ("c0ffee", "false", ("c0ffee", False)), ("", "false", (None, None))],
)
def test_the_environment_tells_a_commit_and_whether_it_was_changed(
    sha: str, dirty: str, expected: tuple[str | None, bool | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(GIT_SHA, sha)
    monkeypatch.setenv(GIT_DIRTY, dirty)
    there = Provenance.here()
    assert (there.git_sha, there.git_dirty) == expected
