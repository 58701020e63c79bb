"""Whatever becomes of standard output and error, a command runs to its end and its exit status tells which."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from embedding_core.streams import GuardedStream, answer, guarded

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")

SETTINGS = ("subset=32", "epochs=2", "batch_size=16", "embedding_dim=4")


def train(*arguments: str, stdout: int | None = None, stderr: int | None = None) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "embedding_core.train", *SETTINGS, *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=Path(__file__).parents[2])


class Failing(io.StringIO):
    """A stream of which each write fails, until it is told otherwise."""

    encoding = "ascii"  # type: ignore[assignment]
    fails = True

    def write(self, text: str) -> int:
        if self.fails:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_what_cannot_be_written_is_dropped_and_said_once() -> None:
    notes: list[str] = []
    stream = Failing()
    guard = GuardedStream(stream, "Standard error", notes.append)
    assert guard.write("lost") == 4
    guard.writelines(["lost", "too"])
    (note,) = notes
    assert "Standard error cannot be written ([Errno 28] No space left on device)" in note
    stream.fails = False  # somebody has made room
    guard.write("étude\n")
    assert stream.getvalue() == "\\xe9tude\n"


def test_streams_come_back_and_a_closed_one_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded():
        print("nobody reads this")
        print("nor this", file=sys.stderr)
        assert not sys.stderr.isatty()
    assert sys.stdout is closed


def test_an_answer_that_a_full_disk_takes_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing())
    with guarded(), pytest.raises(Faults, match=r"answer cannot be written to standard output: .* No space left"):
        answer("42")


@needs_full
@pytest.mark.slow
def test_training_goes_on_without_its_streams(tmp_path: Path) -> None:
    """What is asked to be saved is saved: the rows are in the checkpoint."""
    kept = tmp_path / "run.pt"
    with FULL.open("wb") as full:
        run = train("--save", str(kept), stdout=full.fileno(), stderr=full.fileno())
        assert run.wait() == 0
        assert kept.exists()
        lost = train(stdout=full.fileno(), stderr=subprocess.PIPE)
        said = lost.communicate()[1].decode()
    assert lost.returncode == 2
    assert "Traceback" not in said
    assert said.count("No space left on device") == 2  # as it happens, and why the status is 2


@pytest.mark.slow
def test_a_reader_that_leaves_ends_no_training(tmp_path: Path) -> None:
    kept = tmp_path / "run.pt"
    run = train("--save", str(kept), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == b""
    assert run.wait() == 0
    assert kept.exists()


def test_closed_descriptors_are_not_given_to_the_next_file(tmp_path: Path) -> None:
    """A results file with the number of standard error would hold what is printed."""
    script = (
        "import os, sys\nfrom embedding_core.streams import guarded\n"
        "with guarded():\n"
        f"    file = os.open({str(tmp_path / 'rows')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "    os.write(2, b'an error of a library')\n"
        "    sys.exit(0 if file > 2 else 1)\n"
    )

    def close() -> None:
        os.close(1)
        os.close(2)

    run = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], preexec_fn=close, check=False)
    assert run.returncode == 0
    assert (tmp_path / "rows").read_bytes() == b""
