"""Where trials run: what the command line says goes before the environment."""

import pytest

from sweeps.engine.cluster import Where, joins_cluster


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
