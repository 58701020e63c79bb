"""Standard output and error that end no run: what cannot be written there is dropped, and said once somewhere else."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

from embedding_core.errors import Faults

GONE: Final = (errno.EPIPE, errno.EIO)
"""Whoever read it has left: a pipe into `head`, a terminal that was closed. A full disk is another matter."""

Note = Callable[[str], None]
"""Takes a sentence and keeps it where it can still be read."""


class GuardedStream:
    """A text stream that takes whatever it is given and raises nothing.

    What the stream's encoding lacks is written as an escape. After a failure each write is tried again, for a full disk
    may be cleared.
    """

    def __init__(self, stream: Any, name: str, note: Note) -> None:
        """Guard a stream.

        Args:
            stream: to write to, whatever kind it is; None: there is none, as in a process without a terminal.
            name: what a note calls it.
            note: told of the first failure alone.
        """
        self._stream, self._name, self._note = stream, name, note
        self.lost: OSError | ValueError | None = None
        """Why something could not be written; None: everything was."""
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # what was printed before comes first
        # Past the stream's own buffer, which would hold what failed and fail with it again, up to the end of Python.
        own = stream is not None and stream in (sys.__stdout__, sys.__stderr__)
        self._descriptor = stream.fileno() if own else None

    def write(self, text: str) -> int:
        """Write, or drop; the length of `text` either way."""
        try:
            if self._descriptor is not None:
                left = self._encoded(text)
                while left:
                    left = left[os.write(self._descriptor, left) :]
            elif self._stream is not None:
                self._stream.write(self._encoded(text).decode(self.encoding))
        except (OSError, ValueError) as error:  # a ValueError: closed
            self._failed(error)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what the stream itself holds back."""
        try:
            if self._stream is not None and self._descriptor is None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _encoded(self, text: str) -> bytes:
        return text.encode(self.encoding, "backslashreplace")

    def _failed(self, error: OSError | ValueError) -> None:
        if self.lost is None:
            self.lost = error
            self._note(f"{self._name} cannot be written ({error}): what is printed there is lost, the run goes on.")


@contextmanager
def guarded(note: Note | None = None) -> Iterator[None]:
    """Put guarded streams in the place of `sys.stdout` and `sys.stderr`; at the end those of before come back.

    Args:
        note: told of the first failure of each. None: standard error is told that standard output failed, unless its
            reader left.
    """
    _hold_descriptors()
    before = sys.stdout, sys.stderr
    error = GuardedStream(before[1], "Standard error", note or (lambda _: None))
    output = GuardedStream(before[0], "Standard output", note or (lambda text: _told(output, error, text)))
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", error)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def answer(text: str) -> None:
    """Print what a command was asked for, and nothing else keeps.

    Raises:
        Faults: see `require_output`.
    """
    print(text, flush=True)
    require_output()


def require_output() -> None:
    """Make sure that what was printed on guarded standard output is there.

    Raises:
        Faults: the disk that it goes to could not take it. That its reader has left is no fault.
    """
    lost = getattr(sys.stdout, "lost", None)
    if lost is not None and not reader_left(lost):
        raise Faults([f"The answer cannot be written to standard output: {lost}."])


def reader_left(error: Exception) -> bool:
    """Whether nobody wants to read any more."""
    return isinstance(error, OSError) and error.errno in GONE


def _told(output: GuardedStream, error: GuardedStream, text: str) -> None:
    if output.lost is not None and not reader_left(output.lost):
        error.write(f"{text}\n")


def _hold_descriptors() -> None:
    """Where 0, 1 or 2 is closed, the next file that is opened would get its number, and all that is printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
