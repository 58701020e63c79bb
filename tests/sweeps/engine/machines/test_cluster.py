"""Where trials run: what the command line says goes before the environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import services

from embedding_core.errors import Faults
from embedding_core.storage.fetched import LISTING
from sweeps.engine.machines.cluster import Where, connect, joins_cluster, wants_token


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


def test_a_ray_that_has_gone_is_told_at_once_where_auto_still_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray itself tries for a quarter of an hour, and says something else then."""
    monkeypatch.setattr(services, "find_gcs_addresses", set)  # a Ray that is up on this machine goes before
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(Faults, match=r"No Ray cluster answers at `auto`: .* at \S+:9, and nothing answers"):
        connect(Where(address="auto"))


@pytest.mark.parametrize(("status", "wants"), [(200, False), (401, True), (403, True), (500, False)])
def test_a_dashboard_that_refuses_strangers_wants_a_token(
    answering: Callable[..., str], status: int, wants: bool
) -> None:
    assert wants_token(answering(status)) == wants


def test_a_dashboard_that_is_not_to_be_reached_is_no_reason_to_stop() -> None:
    assert not wants_token("127.0.0.1:9")


def test_what_fails_on_this_machine_is_not_said_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**options: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray does on a busy machine

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(Faults) as error:
        connect(Where(local=True))
    assert str(error.value) == (
        "Ray cannot be started on this machine: The current node timed out during startup. "
        "`koleo-sweeps doctor` looks for the cause."
    )


def test_the_trials_of_each_start_list_a_bucket_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier start has listed may have changed since."""
    given: list[str] = []

    def init(**options: Any) -> None:
        given.append(options["runtime_env"]["env_vars"][LISTING])
        raise Exception("No Ray is needed here.")

    monkeypatch.setattr(ray, "init", init)
    for _ in range(2):
        with pytest.raises(Faults):
            connect(Where(local=True))
    assert all(given)
    assert len(set(given)) == 2
