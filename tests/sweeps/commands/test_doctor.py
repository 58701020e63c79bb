"""The table and the exit code of `koleo-sweeps doctor`."""

from pathlib import Path

import pytest

from sweeps.commands import doctor
from sweeps.doctor import software
from sweeps.doctor.finding import note, ok, red

ROOT = Path(__file__).resolve().parents[3]


def test_the_remedy_stands_beside_what_is_wrong_and_brackets_stay() -> None:
    lines = doctor.text([ok("a", "[x] fine"), note("b", "so so"), red("c", "bad", "`pip install 'p[aws]'`")])
    head, *rows, _, last = lines.splitlines()
    assert head.split("  ")[-1].strip() == "what to do"
    assert [row.split() for row in rows] == [
        ["ok", "a", "[x]", "fine"], ["note", "b", "so", "so"], ["RED", "c", "bad", "`pip", "install", "'p[aws]'`"],
    ]  # fmt: skip
    assert last == "1 of 3 are in the way."


def test_a_machine_with_one_thing_wrong_has_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(software, "torch_and_gpus", lambda: iter([ok("torch", "2")]))  # seconds in another process
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    for name in ("EMBED_CACHE_DIR", "EMBED_DATA_ROOT", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    here = ["--results", str(tmp_path / "results")]
    assert doctor.main(here) == 0
    assert capsys.readouterr().out.endswith("Nothing is in the way.\n")
    monkeypatch.setenv("TMPDIR", "/" + "x" * 100)
    monkeypatch.delenv("RAY_TMPDIR")
    assert doctor.main(here) == doctor.RED
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("RED")]
    assert "Ray's sockets" in line
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_asks_for_its_token_and_files_and_not_for_this_machines_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    file = tmp_path / "gcp.yaml"
    file.write_text((ROOT / "cluster.yaml").read_text().replace("type: aws", "type: gcp"))
    assert doctor.main(["--cluster", str(file)]) == doctor.RED
    out = capsys.readouterr().out
    assert "ray get-auth-token --generate" in out
    assert "GPU" not in out
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray" / "auth_token"
    token.write_text("0" * 64)
    token.chmod(0o644)
    doctor.main(["--cluster", str(file)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "others can read" in line]
    assert "`chmod 600" in line
    assert doctor.main(["--cluster", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'none.yaml'} is no cluster file that can be read: ")
