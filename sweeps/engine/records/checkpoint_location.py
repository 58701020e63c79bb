"""Where a sweep keeps its checkpoints, and that a resume finds them there again."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from embedding_core.errors import Faults
from sweeps.engine.machines.resources import autoscaled
from trainables.checkpoint_store import CheckpointStore, below

NAME: Final = "checkpoints_at"
"""File beside the plan, if they are not in the sweep's folder. The plan says what is run, and its hash not where."""


def settled(folder: Path, asked: str | None, *, resume: bool) -> str:
    """Absolute folder or URI of the checkpoints, ready to be written; empty: in the sweep's own folder.

    Args:
        folder: of the sweep.
        asked: absolute folder or URI below which each sweep has a place of its name.
        resume: whether the sweep has been started before; then it keeps its place.

    Raises:
        Faults: a place that cannot be written, one that an earlier sweep has filled, or another than before; one that
            a resume does not find, its share not mounted, say.
    """
    file = folder / NAME
    there = file.read_text().strip() if resume and file.is_file() else ""
    wanted = below(asked, folder.name) if asked else there
    if resume and wanted != there:
        kept = there or "the sweep's own folder"
        raise Faults([f"A resumed sweep keeps its checkpoints in {kept}, but got {wanted}: leave `--checkpoints` out."])
    if wanted and not CheckpointStore.ready(wanted, make=not resume).is_empty() and not resume:
        text = f"`{wanted}` holds the checkpoints of an earlier sweep, which this one would take for its own"
        raise Faults([f"{text}: delete them, or give another `--name`."])
    return wanted


def check_reach(where: str, *, own: bool) -> None:
    """Make sure that all nodes of a cluster see the checkpoints, which the driver has made ready.

    Args:
        where: absolute folder or URI.
        own: whether it is the sweep's own folder, on the driver's disk as far as anybody knows.

    Raises:
        Faults: a node that does not; or one that is yet to be started and can only be guessed at.
    """
    CheckpointStore.ready(where, make=own)
    driver = ray.get_runtime_context().get_node_id()
    there = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != driver]  # type: ignore[no-untyped-call]
    others = [node for node in there if node["Resources"].get("CPU")]
    found = {node["NodeName"]: _why_not_from(node, where) for node in others}
    faults = [f"{node} does not see the checkpoints in {where}: {why}" for node, why in found.items() if why]
    if own and not others and autoscaled():
        faults = [f"The autoscaler's machines would not see the checkpoints in {where}, on the head's disk."]
    if faults:
        raise Faults([*faults, "Give `--checkpoints` a folder that all nodes share, or s3://bucket/prefix."])


def _why_not_from(node: dict[str, Any], where: str) -> str:
    """`_unreached` on this node, whatever it is busy with."""
    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    task = ray.remote(_unreached).options(num_cpus=0, scheduling_strategy=there)
    try:
        return str(ray.get(task.remote(where)))
    except RayError:  # it has gone meanwhile
        return ""


def _unreached(where: str) -> str:
    """Why this machine cannot read there; empty: it can."""
    try:
        with TemporaryDirectory() as scratch:
            CheckpointStore.at(where).get("search/none.pt", Path(scratch) / "none.pt")
    except OSError as error:
        return str(error)
    return ""


def remember(folder: Path, place: str) -> None:
    """For a resume."""
    if place:
        (folder / NAME).write_text(f"{place}\n")
