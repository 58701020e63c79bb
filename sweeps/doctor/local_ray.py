"""What Ray needs of a machine before it can start there: short paths for its sockets, a token, folders to write in."""

import os
import secrets
import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from embedding_core.storage.local_cache import cache_dir
from embedding_core.storage.places import obstacle
from sweeps.doctor.finding import Finding, ok, red, writable

SOCKET_LIMIT: Final = 107
"""Bytes of a socket's path that Linux takes, without the zero at its end."""

SESSION: Final = "ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""Ray's longest path below its temporary folder."""

TOKEN_NAME: Final = "auth_token"
TOKEN_FILE: Final = f"~/.ray/{TOKEN_NAME}"
TOKEN_PATH: Final = "RAY_AUTH_TOKEN_PATH"


def before_start() -> list[Finding]:
    """All that can be known of whether a Ray of this machine's own will start."""
    return [socket_path(), temporary_folder(), own_token()]


def in_the_way(findings: Iterable[Finding]) -> list[str]:
    """A sentence for each red one, with its remedy."""
    return [
        f"Ray cannot be started on this machine: {one.found}: {one.remedy}." for one in findings if one.state == "red"
    ]


def temporary() -> tuple[Path, str]:
    """The folder in which Ray makes its own, and the variable that names it; Linux's /tmp where none does."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    return Path(os.environ.get(name, "/tmp")).absolute(), name


def socket_path() -> Finding:
    """Whether Ray's sockets fit below its temporary folder."""
    folder, variable = temporary()
    length = len(os.fsencode(folder / SESSION.format(pid=os.getpid())))
    room = SOCKET_LIMIT - (length - len(os.fsencode(folder)))
    where = f"{folder} ({variable or 'the default'}) has {len(os.fsencode(folder))} characters"
    if length <= SOCKET_LIMIT:
        return ok("Ray's sockets", f"{where}, of {room} at most")
    return red(
        "Ray's sockets",
        f"{where}, and its sockets fit in a folder of {room} at most",
        "name a shorter folder for Ray, `export RAY_TMPDIR=/tmp`",
    )


def temporary_folder() -> Finding:
    """Whether Ray can write in its temporary folder."""
    folder, _ = temporary()
    remedy = "name a folder of yours with a short path for Ray, `export RAY_TMPDIR=FOLDER`"
    return writable("Ray's files", folder / "ray", remedy)


def own_token() -> Finding:
    """Whether Ray's token is there, is not asked for, or can be made; see `make_token`."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ok("token", "none is asked for: RAY_AUTH_MODE")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return ok("token", "in RAY_AUTH_TOKEN")
    named = os.environ.get(TOKEN_PATH)
    file = Path(named or TOKEN_FILE).expanduser()
    if os.path.isfile(file) and os.access(file, os.R_OK):
        return ok("token", f"in {file}")
    if named or os.path.lexists(file):
        of = f", which {TOKEN_PATH} names," if named else ""
        remedy = f"make it one, or unset {TOKEN_PATH}" if named else "make it one"
        return red("token", f"{file}{of} is no file that can be read", remedy)
    place = _place_of_token()
    if place is None:
        return red(
            "token",
            f"Ray's token can be kept neither in {file.parent} nor in {cache_dir()}, as neither can be written",
            "name a folder that can be, `export EMBED_CACHE_DIR=FOLDER`",
        )
    return ok("token", f"none yet: the first sweep makes it, in {place}")


def make_token() -> None:
    """Where Ray cannot make the token that it wants, for want of a home that can be written, name it one in the cache.

    Raises:
        OSError: e.g. disk full.
    """
    place = _place_of_token()
    if own_token().found.startswith("none yet") and place == cache_dir() / TOKEN_NAME:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f"{place.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_hex(32))
            with suppress(FileExistsError):  # of a sweep that started before, or in the same moment
                os.link(partial, place)
        finally:
            partial.unlink(missing_ok=True)
        os.environ[TOKEN_PATH] = str(place)


def names_token() -> str:
    """What a command of Ray's must begin with, in another shell, to find the token; empty where it lies as usual."""
    named = os.environ.get(TOKEN_PATH)
    return f"{TOKEN_PATH}={shlex.quote(named)} " if named else ""


def _place_of_token() -> Path | None:
    """Where a token that is not there yet would be kept; None: nowhere."""
    places = Path(TOKEN_FILE).expanduser(), cache_dir() / TOKEN_NAME
    return next((place for place in places if obstacle(place.parent) is None), None)
