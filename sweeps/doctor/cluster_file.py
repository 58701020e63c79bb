"""What raising a cluster needs of the machine that one sits at, by the cluster's file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from embedding_core.errors import Faults
from embedding_core.storage.places import obstacle
from sweeps.doctor import aws, own_machines
from sweeps.doctor.finding import Finding, note, ok, red
from sweeps.doctor.local_ray import TOKEN_FILE

GENERATE: Final = "`ray get-auth-token --generate`, which `make cluster-up` runs"


def read(file: Path) -> dict[str, Any]:
    """The cluster's file.

    Raises:
        Faults: none, or not one.
    """
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Faults([f"{file} is no cluster file that can be read: {str(error).splitlines()[0]}"]) from error
    if not isinstance(found, dict) or not isinstance(found.get("provider"), dict):
        raise Faults([f"{file} is no cluster file: it has no `provider`."])
    return found


def findings(cluster: dict[str, Any], folder: Path) -> Iterator[Finding]:
    """Checks of the files that the cluster is raised from, then those of where it will be.

    Args:
        cluster: see `read`.
        folder: that `ray up` runs in, and paths are relative to.
    """
    yield token()
    yield mounted(cluster, folder)
    yield keys()
    kind = cluster["provider"].get("type")
    if kind == "aws":
        yield from aws.findings(cluster)
    elif kind == "local":
        yield from own_machines.findings(cluster)
    else:
        yield note("provider", f"{kind}: nothing is known of it here but files")


def token() -> Finding:
    """Whether the token is there that is copied to every node: without it none of them can start Ray."""
    file = Path(TOKEN_FILE).expanduser()
    if not os.path.isfile(file):
        return red("token", f"{file} is not there, and every node demands it", GENERATE)
    if file.stat().st_mode & 0o077:
        return red("token", f"others can read {file}: whoever has it runs code on the cluster", f"`chmod 600 {file}`")
    return ok("token", f"in {file}")


def mounted(cluster: dict[str, Any], folder: Path) -> Finding:
    """Whether the files are there that go to every node, the token aside."""
    local = [Path(str(path)).expanduser() for path in (cluster.get("file_mounts") or {}).values()]
    gone = [str(path) for path in local if not (folder / path).exists() and path != Path(TOKEN_FILE).expanduser()]
    if gone:
        return red("file mounts", f"not there: {', '.join(gone)}", "run this, and `ray up`, in the project's folder")
    return ok("file mounts", f"{len(local)}, all there")


def keys() -> Finding:
    """Whether `ray up` can keep what it makes: the key of a cluster on AWS, and the state of any cluster."""
    folder = Path("~/.ssh").expanduser()
    hindrance = obstacle(folder) or obstacle(Path("~/.ray").expanduser())
    if hindrance is None:
        return ok("home", f"{folder} and ~/.ray can be written")
    return red("home", f"{hindrance} cannot be written, where `ray up` keeps keys and state", "`export HOME=FOLDER`")
