"""Where trials run: what the command line says goes before the environment."""

import pytest
import ray

from embedding_core.errors import Faults
from sweeps.engine.cluster import Where, connect, joins_cluster


@pytest.mark.parametrize(
    ("where", "environment", "cluster"),
    [
        (Where(), None, None),
        (Where(), "", None),
        (Where(), "head:6379", "head:6379"),
        (Where(address="here:1"), "head:6379", "here:1"),
        (Where(local=True), "head:6379", None),
    ],
)
def test_a_cluster_is_joined_where_one_is_named(
    monkeypatch: pytest.MonkeyPatch, where: Where, environment: str | None, cluster: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert where.cluster == cluster
    assert joins_cluster(where) == (cluster is not None)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (
            OSError("AF_UNIX path length cannot exceed 107 bytes"),
            "a path too long for one: set TMPDIR to a shorter one.",
        ),
        (RuntimeError("no memory"), "Ray cannot be started on this machine: no memory"),
    ],
)
def test_what_fails_on_this_machine_is_not_said_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, said: str
) -> None:
    def fails(**options: object) -> None:
        raise cause

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(Faults) as error:
        connect(Where(local=True))
    assert str(error.value).startswith("Ray cannot be started on this machine")
    assert said in str(error.value)
    assert "cluster" not in str(error.value)
