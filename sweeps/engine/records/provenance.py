"""Which code, on what, by which command."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "pyarrow")

GIT_SHA, GIT_DIRTY = "EMBED_GIT_SHA", "EMBED_GIT_DIRTY"
"""Variables by which `make cluster-submit` tells the commit: a job's working directory comes without `.git`."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Columns of `trials` that are the same for everything one driver runs."""

    git_sha: str | None
    git_dirty: bool | None
    versions: str
    argv: str

    @classmethod
    def here(cls) -> Self:
        """Of this process; the git columns are None outside a checkout, unless the environment has them."""
        sha, dirty = _commit(Path(__file__).parent)
        versions = {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
        return cls(
            git_sha=sha,
            git_dirty=dirty,
            versions=json.dumps(versions, sort_keys=True),
            argv=shlex.join(sys.argv),
        )

    def columns(self) -> dict[str, Any]:
        """By column name."""
        return {name: getattr(self, name) for name in ("git_sha", "git_dirty", "versions", "argv")}


def _commit(folder: Path) -> tuple[str | None, bool | None]:
    """Commit, and whether tracked files differ from it."""
    sha = _git(folder, "rev-parse", "HEAD")
    if sha is None:
        told = os.environ.get(GIT_SHA) or None
        return told, None if told is None else os.environ.get(GIT_DIRTY) == "true"
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return sha, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
