"""Machines of one's own, reached by a program that stands for ssh."""

import os
import time
from pathlib import Path

import pytest

from sweeps.doctor import own_machines

SSH = """#!/bin/sh
for last; do :; done
case "$*" in
*researcher@192.168.1.10*) echo {date};;
*researcher@192.168.1.11*) exit 0;;
*) echo "ssh: connect to host: No route to host" >&2; exit 255;;
esac
"""
CLUSTER = {
    "provider": {"type": "local", "head_ip": "192.168.1.10", "worker_ips": ["192.168.1.11", "192.168.1.12"]},
    "auth": {"ssh_user": "researcher", "ssh_private_key": "~/.ssh/id_ed25519"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("key")
    (tmp_path / "bin" / "rsync").write_text("")
    (tmp_path / "bin" / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def answers(home: Path, *, clock: float) -> None:
    (home / "bin" / "ssh").write_text(SSH.format(date=int(clock)))
    (home / "bin" / "ssh").chmod(0o755)


def test_a_worker_that_is_off_is_no_obstacle_and_a_head_is(home: Path) -> None:
    answers(home, clock=time.time())
    programs, key, head, clock, first, second = own_machines.findings(CLUSTER)
    assert [one.state for one in (programs, key, head, clock, first, second)] == ["ok"] * 5 + ["note"]
    assert second.found == "192.168.1.12 cannot be reached: ssh: connect to host: No route to host"
    away = {**CLUSTER, "provider": {"head_ip": "192.168.1.99"}}
    assert [one.state for one in own_machines.findings(away)] == ["ok", "ok", "red"]


def test_a_head_whose_clock_is_wrong_and_a_key_that_is_gone(home: Path) -> None:
    answers(home, clock=time.time() - 3600)
    (clock,) = [one for one in own_machines.findings(CLUSTER) if one.check == "clock"]
    assert clock.state == "red"
    assert clock.found.endswith("s ahead of the head, 192.168.1.10")
    (home / ".ssh" / "id_ed25519").unlink()
    *_, key = own_machines.findings(CLUSTER)
    assert (key.check, key.state) == ("SSH key", "red")
