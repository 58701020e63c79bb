"""Folders that sweeps read and write, the disks below them, and shared memory."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from embedding_core.config.data_root import is_uri
from embedding_core.storage.local_cache import cache_dir
from embedding_core.storage.places import obstacle
from sweeps.doctor.finding import Finding, note, ok, red, writable
from sweeps.doctor.local_ray import temporary

LEAST_FREE_BYTES: Final = 2**30
"""Checkpoints, rows and a report of a small sweep; one of large networks takes more, which `--plan` tells."""

SMALL_SHARED_BYTES: Final = 256 * 2**20
"""Containers have 64 MiB unless they are told otherwise."""

SHOWN: Final = 6
"""Names of data sets that fit in a line."""


def results(folder: Path) -> Finding:
    """Whether sweeps can be kept there."""
    return writable("results", folder.absolute(), "give sweeps another folder, `--results DIR`")


def caches() -> Finding:
    """Where decoded images, cached features and what libraries compile go."""
    folder = cache_dir()
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    if not os.environ.get("EMBED_CACHE_DIR") and users not in folder.parents:
        remedy = "a folder that outlives this machine's start saves decoding, `export EMBED_CACHE_DIR=FOLDER`"
        return note("caches", f"{folder}, as {users} cannot be written", remedy)
    return writable("caches", folder, "name a folder that can be, `export EMBED_CACHE_DIR=FOLDER`")


def home() -> Finding:
    """Whether tools can keep their settings; what this project would keep there has other places."""
    remedy = "`export MPLCONFIGDIR=FOLDER` keeps matplotlib's list of fonts"
    return writable("home", Path.home(), remedy, without="token and caches go elsewhere")


def compiled() -> Finding:
    """Where UMAP's compiled functions are kept."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        place = Path(named)
    else:
        found = find_spec("umap")
        beside = Path(found.origin).parent / "__pycache__" if found is not None and found.origin else None
        place = beside if beside is not None and obstacle(beside) is None else cache_dir() / "numba_cache_dir"
    remedy = "name a folder that can be, `export NUMBA_CACHE_DIR=FOLDER`"
    return writable("compiled code", place, remedy, without="reports go without UMAP")


def data_root(given: str | None) -> Finding:
    """The folder of the data sets. Args: given: as `--data-root` has it; None: $EMBED_DATA_ROOT, else `data`."""
    named = given or os.environ.get("EMBED_DATA_ROOT")
    if named and is_uri(named):
        return ok("data root", f"{named}, copied to {cache_dir()} on each node")
    folder = Path(named or "data").expanduser().absolute()
    if not os.path.isdir(folder):
        if named:
            return red("data root", f"{folder} is not there", "mount or make it, or name another, `--data-root DIR`")
        return note("data root", f"{folder} is not there: digits needs none", "`export EMBED_DATA_ROOT=DIR`")
    try:
        sets = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        return red("data root", f"{folder} cannot be read ({error.strerror})", "name another, `--data-root DIR`")
    more = f" and {len(sets) - SHOWN} more" if len(sets) > SHOWN else ""
    return ok("data root", f"{folder}: {', '.join(sets[:SHOWN]) or 'empty'}{more}")


def disks(results_folder: Path) -> Iterator[Finding]:
    """Free space for results, caches and Ray's files; places on one disk share a line."""
    places = {"results": results_folder.absolute(), "caches": cache_dir(), "Ray": temporary()[0]}
    by_disk: dict[int, list[str]] = {}
    there = {
        name: next(path for path in (place, *place.parents) if os.path.exists(path)) for name, place in places.items()
    }
    for name, path in there.items():
        by_disk.setdefault(path.stat().st_dev, []).append(name)
    for names in by_disk.values():
        path = there[names[0]]
        free = shutil.disk_usage(path).free
        text = f"{free / 2**30:.1f} GiB free for {', '.join(names)} ({path})"
        remedy = f"free {LEAST_FREE_BYTES / 2**30:.0f} GiB there, or name places on another disk"
        yield ok("disk", text) if free >= LEAST_FREE_BYTES else red("disk", text, remedy)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Where Ray keeps what its processes share."""
    if obstacle(folder) is not None or not folder.is_dir():
        return red(
            str(folder), "cannot be written, and Ray keeps there what its processes share", "mount a tmpfs on it"
        )
    size = shutil.disk_usage(folder).total
    text = f"{size / 2**30:.2f} GiB"
    if size < SMALL_SHARED_BYTES:
        remedy = "a container has more with `docker run --shm-size=2g`"
        return note(str(folder), f"{text}: Ray takes its temporary folder instead, which is slower", remedy)
    return ok(str(folder), text)
