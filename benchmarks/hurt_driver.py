"""A driver as a user starts one, on a terminal of its own, with every process that comes of it: see `kills.py`."""

import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

MARK = "KOLEO_BENCHMARK_DRIVER"
"""Variable by which all that a driver has started is known."""
TRIAL_TITLES = (b"ray::ResourceTrainable", b"ray::EmbeddingTrainable", b"ray::FailsOnSickNodes")


class Driver:
    """One start of a sweep's command line, on a terminal of its own, and everything that it has started."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self._mark = uuid.uuid4().hex
        self._terminal, theirs = os.openpty()
        self._hang_up = threading.Event()
        given = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], env=given | environment | {MARK: self._mark},
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        self._screen = threading.Thread(target=self._show, args=(log,), daemon=True)
        self._screen.start()

    def _show(self, log: Path) -> None:
        """Copy what is printed to `log` until the terminal is closed, here or by all who have it."""
        with log.open("ab") as file:
            while not self._hang_up.is_set():
                if select.select([self._terminal], [], [], 0.05)[0]:
                    try:
                        file.write(os.read(self._terminal, 2**16))
                        file.flush()
                    except OSError:
                        break
        os.close(self._terminal)

    def close_terminal(self) -> None:
        """As when its window is closed: SIGHUP comes to all in the foreground, and whatever is printed fails."""
        self._hang_up.set()
        self._screen.join()

    def ended(self, seconds: float) -> bool:
        """Whether it has ended by itself within these seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def processes(self, chosen: Callable[[Path], bool] = lambda folder: True) -> list[int]:
        """Ids of this start's processes that are chosen by their folder in /proc."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                marked = f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                if folder.name.isdigit() and marked and chosen(folder):
                    found.append(int(folder.name))
            except OSError:
                continue  # ended meanwhile, or no process
        return found

    def trials(self) -> list[int]:
        """Ids of the processes that train."""
        return self.processes(lambda folder: (folder / "cmdline").read_bytes().startswith(TRIAL_TITLES))

    def clear(self) -> None:
        """End what a killed driver leaves behind; Ray's own processes go by themselves, but not at once."""
        while left := self.processes():
            for pid in left:
                kill(pid)
            time.sleep(0.1)
        self.close_terminal()


def kill(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
