"""`plan.json` as a file, and the hash that fixes it before the confirmation: every reader checks it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from embedding_core.errors import Faults

FILE: Final = "plan.json"
"""Name of a plan in the folder of its sweep."""

KEY: Final = "sha256"
"""Where `plan.json` keeps it; absent until the plan is frozen."""

DATA: Final = "data"
"""Where `plan.json` keeps what its data are, by content; older ones have none."""

LINES: Final = "lines"
"""Where, within that, it keeps what was said of them when the sweep began."""

PARTS: Final = {"train": "training images", "test": "test images"}
"""Keys within that, and what they are about."""

GUESSED: Final = "guessed"
"""Where `plan.json` keeps the fields that nobody typed, a sentence each; absent where nothing was guessed."""

EXTENDED: Final = "extended"
"""Where `plan.json` keeps hash and sizes (search trials, replicates, blocks) of the plans that it extends, in order."""

MERGED: Final = "merged"
"""Where the `plan.json` of a merge keeps the names of the sweeps whose replicates it holds."""

LOOKED: Final = "looked"
"""Where it says that reports could be read before the merged sweeps were all there."""

PLUGINS: Final = "plugins"
"""Where it lists the sweep's plug-ins, in order, each with the hash of its source; also the folder of their copies."""


def sha256_of(plan: Mapping[str, Any]) -> str:
    """Hash of everything else in the plan, as canonical JSON."""
    rest = {name: value for name, value in plan.items() if name != KEY}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def data_hashes(plan: Mapping[str, Any]) -> dict[str, str]:
    """What a stored plan pins -> its hash."""
    pin = plan.get(DATA) or {}
    of_parts = {what: pin[part]["sha256"] for part, what in PARTS.items() if pin.get(part)}
    return of_parts | {f"weights in {file}": sha256 for file, sha256 in pin.get("weights", {}).items()}


def fault_of(plan: Mapping[str, Any]) -> str | None:
    """What is wrong with a frozen plan: it no longer is what was frozen. None if it is, or was never frozen."""
    stated = plan.get(KEY)
    if stated is None or stated == sha256_of(plan):
        return None
    return f"The plan was changed after it was frozen: its hash is {sha256_of(plan)[:12]}, it states {stated[:12]}."


def read(file: Path, *, needed_by: str) -> dict[str, Any]:
    """Contents of a `plan.json`.

    Args:
        file: its path.
        needed_by: what cannot go on without it, as the message begins.

    Raises:
        Faults: it cannot be read, or is no plan.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Faults([f"{needed_by} needs {file}, which cannot be read: {error}"]) from error
    kinds = {"design": str, "design_sha256": str, "what": dict}
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in kinds.items()):
        raise Faults([f"{needed_by} needs {file}, but it is not the plan of a sweep."])
    return content


def with_hash(content: Mapping[str, Any]) -> dict[str, Any]:
    """A plan with the hash of all the rest of it, in place of the one that it may have."""
    bare = {name: value for name, value in content.items() if name != KEY}
    return {**bare, KEY: sha256_of(bare)}


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write `plan.json` atomically."""
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)
