"""Surroundings that only a mount namespace can make: folders that are read-only to root too, one disk mounted twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def in_own_mounts(mounts: str, code: str, *arguments: str, **environment: str) -> str:
    """What Python code prints, in a process with mounts of its own; skips the test where there can be none.

    Args:
        mounts: shell commands that make them.
        code: of Python; its `sys.argv[1:]` are the arguments, its environment is `environment` and a PATH.
    """
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    spaces = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*spaces, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode:
        pytest.skip("mounts of one's own are not allowed here")
    shell = f'set -e; mount --make-rprivate /; {mounts}; exec "$@"'
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [*spaces, "sh", "-c", shell, "_", sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=given, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
