"""`sweep.log`: what failed beside a sweep's results and ended nothing, a dated line each."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FILE: Final = "sweep.log"
"""Name of the log in the folder of its sweep; there is none where nothing failed."""


class SweepLog:
    """Takes notes from the start of a driver; they are written as soon as the sweep has a folder and its disk room."""

    def __init__(self) -> None:
        """Without a folder yet."""
        self._file: Path | None = None
        self._waiting: list[str] = []

    def open(self, folder: Path) -> None:
        """Write to this folder of a sweep from now on."""
        self._file = folder / FILE
        self._write()

    def note(self, text: str) -> None:
        """Keep a sentence. Never fails: what cannot be written waits for the next one."""
        self._waiting.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {text}\n")
        self._write()

    def _write(self) -> None:
        if self._file is None or not self._waiting:
            return
        try:
            with self._file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write("".join(self._waiting))
        except OSError:
            return
        self._waiting.clear()
