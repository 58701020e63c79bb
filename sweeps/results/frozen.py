"""The hash that fixes a sweep's plan before its confirmation: written by the engine, checked by every reader."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

FILE: Final = "plan.json"
"""Name of a plan in the folder of its sweep."""

KEY: Final = "sha256"
"""Where `plan.json` keeps it; absent until the plan is frozen."""

EXTENDED: Final = "extended"
"""Where `plan.json` keeps hash, search trials and blocks of each plan that it is an extension of, the oldest first."""


def sha256_of(plan: Mapping[str, Any]) -> str:
    """Hash of everything else in the plan, as canonical JSON."""
    rest = {name: value for name, value in plan.items() if name != KEY}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def fault_of(plan: Mapping[str, Any]) -> str | None:
    """What is wrong with a frozen plan: it no longer is what was frozen. None if it is, or was never frozen."""
    stated = plan.get(KEY)
    if stated is None or stated == sha256_of(plan):
        return None
    return f"The plan was changed after it was frozen: its hash is {sha256_of(plan)[:12]}, it states {stated[:12]}."
